// Package streams is the stream lane of a session: flow-controlled byte streams
// over chunks that the session carries as records among its other traffic.
//
// A [Lane] does not own a connection. The session gives it what arrived
// ([Lane.Feed]) and is given what has to go out ([Config.Send]); the bytes of
// successive chunks are one sequence, cut anywhere. Both ends of a session have
// a lane, one of them as the dialer. The bytes are yamux' protocol, version 0,
// whose specification is spec.md in github.com/hashicorp/yamux; what this
// package demands beyond it stands under "The filter".
//
// # How it works
//
//	Feed -> filter -> in buffer -> yamux' receive loop -> stream -> Read
//	Write -> yamux' send loop -> ledger -> out buffer -> sender -> Config.Send
//
// yamux v0.1.2 does the streams and is trusted with nothing else. It runs over
// a connection made of two buffers (buffers.go) of which neither end ever waits
// for the network: a frame reaches yamux only when all of it is there, and
// whatever yamux writes is taken at once. So yamux never blocks for longer than
// it computes, and all waiting is done in this package, where contexts and
// deadlines are honoured. The buffers stay bounded because their users wait
// first: a Write reserves its bytes of the out buffer and waits for the peer's
// window before it hands yamux a part, and the peer can only send what windows
// allow, which the filter counts.
//
// # Concurrency
//
// One mutex, Lane.mu, guards the lane and all its streams. What it guards stands in laneState
// and streamState. Their methods need the lock, and who has one of them has it. It is held for
// bookkeeping and copies of at most one chunk. It is not held while yamux, Config.Send or
// a logger is called. The exception is setting a yamux deadline, which stores and returns.
// Lane.opening is taken before it, so that streams reach the wire
// in the order of their numbers. stream.reading is taken before it by readers.
//
// Goroutines of a lane that was used: yamux' receive loop and send loop, the
// acceptor, which takes streams out of yamux as fast as they come, and the
// sender, the only one that calls Config.Send. The last two end when the lane
// is over and Send has returned; Close waits for them and for yamux. Timers of
// lingering streams and the logger of yamux' remarks are counted too.
//
// One place, laneState.fail, decides that a lane is over. It only sets state:
// yamux then reads end of file and shuts itself down.
//
// # The filter
//
// The filter (filter.go) reads every byte before yamux does. It refuses, and so
// ends the session, on: an unknown version, type or flag, flags that contradict
// one another, a stream number of the wrong parity, one that does not increase
// or was never opened, more data than the window that was granted, data or an
// end after the end, an acknowledgement nobody asked for or anything else
// before it, more than MaxStreams streams opened by the peer, window updates
// past 2 GiB, pings faster than their allowance, answers to pings (a lane sends
// none), more bytes than the bound between Feed and yamux, and a peer that does
// not read what it makes us answer. Frames for streams that have ended may have
// crossed the end on the wire: they are dropped. Because both sides may open at
// once, a stream that is one too many only for both together is answered by a
// reset; Open then returns [ErrRefused].
//
// Pings and go-away are the filter's own business: yamux sees frames of streams
// only. It sees data in frames of what has arrived, so that it never allocates
// for a length that was merely announced.
//
// # Answers to yamux' hazards
//
//   - A write that times out leaves the window unaccounted: its writes do not
//     wait, so they cannot; should one, the lane is over.
//   - Frames have no size limit: Write hands over parts that fit a chunk.
//   - StreamOpenTimeout and the keepalive close whole sessions: both are off.
//     Open times out itself and resets its stream; pings are the session's.
//   - Resets leak the SYN bookkeeping: a reset that comes before the
//     acknowledgement is passed on as both.
//   - The end of the session reads as a clean end of file: end of file is
//     believed only if the peer ended the stream and every byte before that was
//     read.
//   - Session.Close waits for the receive loop: Read of our connection returns as
//     soon as the lane is over.
//   - A full accept backlog blocks the receive loop: slots, which a stream
//     keeps until the acceptor has it, are fewer than the backlog.
//   - Stream.Write and the window updates of Stream.Read ignore deadlines while
//     queued: the queue moves without the network.
//   - It cannot reset a stream: the lane sends the reset, and tells yamux that
//     one came.
//   - Log lines are without bound: at most maxRemarks a lane, logged by a
//     goroutine of their own.
//   - Its timer pool is shared by all sessions of a process and cannot enter
//     testing/synctest: callers see only [Stream], and test time over another.
package streams
