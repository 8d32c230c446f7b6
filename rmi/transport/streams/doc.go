// Package streams is the stream lane of a session: flow-controlled byte streams over chunks.
// The session carries the chunks as records among its other traffic.
//
// A [Lane] does not own a connection. The session passes it what arrived ([Lane.Feed]). The
// lane passes the session what is to be sent ([Config.Send]). The bytes of successive chunks
// are one sequence, cut anywhere. Both ends of a session have a lane, one of them as the
// dialer. The bytes are yamux' protocol, version 0. Its specification is spec.md in
// github.com/hashicorp/yamux. What this package demands beyond that is under "The filter".
//
// # How it works
//
//	Feed -> filter -> in buffer -> yamux' receive loop -> stream -> Read
//	Write -> yamux' send loop -> ledger -> out buffer -> sender -> Config.Send
//
// yamux v0.1.2 implements the streams, and is trusted with nothing else. It runs over a
// connection made of two buffers (buffers.go). Neither end of them waits for the network. A
// frame is passed to yamux only when all of it has arrived, and whatever yamux writes is
// accepted at once. So yamux never blocks. All waiting is done in this package, where contexts
// and deadlines are obeyed. The buffers stay bounded because their users wait first. A Write
// reserves its bytes of the out buffer, and waits for the peer's window, before it passes yamux
// a part. The peer can send only what the windows permit, and the filter counts that.
//
// # Concurrency
//
// One mutex, Lane.mu, guards the lane and all its streams. The state that it guards is in
// laneState and streamState. Their methods need the lock, and whoever has one of them has it.
// It is held for bookkeeping and copies of at most one chunk. It is not held while yamux,
// Config.Send or a logger is called. The exception is setting a yamux deadline, which stores
// and returns. Lane.opening is taken before it, so that streams reach the wire in the order of
// their numbers. stream.reading is taken before it by readers.
//
// A lane that was used has four goroutines: yamux' receive loop and send loop; the acceptor,
// which takes streams out of yamux as fast as they come; and the sender, the only one that
// calls Config.Send. The last two end when the lane is over and Send has returned. Close waits
// for them and for yamux. It also waits for timers of lingering streams, and for the goroutine
// that logs yamux' remarks.
//
// Only laneState.fail decides that a lane is over. It only sets state. yamux then reads end of
// file and shuts itself down.
//
// # The filter
//
// The filter (filter.go) reads every byte before yamux does. Each of these is a breach of the
// protocol, and ends the session:
//
//   - an unknown version, type or flag, or flags that contradict one another
//   - a stream number of the wrong parity, that does not increase, or was never opened
//   - more data than the window that was granted
//   - data or an end after the end
//   - an acknowledgement that was not due, or anything else before it
//   - more than MaxStreams streams opened by the peer
//   - window updates past 2 GiB
//   - pings faster than allowed, and answers to pings (a lane sends none)
//   - more bytes than the bound between Feed and yamux
//   - a peer that makes us answer, and does not read the answers
//
// Frames for streams that have ended are dropped: they may have been sent before the sender
// learned of the end. Both sides may open streams at the same time. If a stream exceeds the
// limit only because of both together, it is answered by a reset, and Open returns
// [ErrRefused].
//
// The filter itself handles pings and go-away. yamux sees only frames of streams. Their data is
// cut to what has arrived. So yamux never allocates for a length that was merely announced.
//
// # Answers to yamux' hazards
//
//   - A write that times out leaves the window unaccounted. Here yamux' writes do not wait, so
//     they cannot time out. If one did, the lane would be over.
//   - Frames have no size limit. Write passes parts that fit a chunk.
//   - StreamOpenTimeout and the keepalive close whole sessions. Both are off. Open times out
//     itself and resets its stream. The session pings.
//   - Resets leak the bookkeeping of a SYN. A reset that comes before the acknowledgement is
//     passed on as both.
//   - The end of the session reads as a clean end of file. End of file is believed only if the
//     peer ended the stream and every byte before that was read.
//   - Session.Close waits for the receive loop. Read of our connection returns as soon as the
//     lane is over.
//   - A full accept backlog blocks the receive loop. A stream has a slot until the acceptor has
//     it, and there are fewer slots than the backlog.
//   - Stream.Write and the window updates of Stream.Read ignore deadlines while queued. The
//     queue moves without the network.
//   - yamux cannot reset a stream. The lane sends the reset, and tells yamux that one came.
//   - Log lines are without bound. A lane logs at most maxRemarks of them, on a goroutine of
//     their own.
//   - All sessions of a process share yamux' timer pool, and it cannot enter testing/synctest.
//     Callers see only [Stream], and test time with another implementation.
package streams
