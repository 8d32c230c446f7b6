// Package transport carries calls between nodes. It dials and listens, and proves who is at
// the other end. It has one session with each peer, over the connections that come and go. It
// runs the handlers of the calls that arrive. It knows slots, frames and bytes, and nothing of
// Go types. Package wire specifies what is on the wire.
//
// A Transport belongs to a node. These comments explain its parts:
//   - Session: which goroutine does what.
//   - Link: one connection of a session. resume.go: how the session gets another.
//   - carrier: what a connection can do, and what is different where datagrams get lost.
//   - peers: how only one session remains when two nodes dial each other.
//   - busyPoll: when a reader waits.
//   - outbox: how frames get to the socket.
//   - account: how much of the node's room one owner's peers may use.
//   - outbound and inbound: the two ends of a slot.
//
// # What busy polling costs
//
// A reader whose socket is empty looks for more bytes again and again, for at most
// Config.BusyPoll, before it waits. What arrives in that time is served without waiting for a
// thread to wake up. Between two processes of a machine that wait is most of the time of a
// call. The price is processor time, so there are bounds. Only one connection of a node polls
// at a time: a TCP or unix connection without TLS that was just in use. And it polls only while
// that pays. Polling costs no more than the waiting that it saves, and a 32nd of one
// processor's time. It works on Linux and macOS only. A negative Config.BusyPoll is better for
// processes with many nodes. It is also better for a process that may use less than two
// processors' time on a machine that has more.
//
// # Decisions
//
// A node that shuts down learns from an acknowledgement that a reply arrived. Its peer owes
// it the acknowledgement at once after goaway (drain.go). A ping after the replies would not
// do: over datagrams its pong is not in order with them, and it does not tell how many are
// missing.
//
// A caller writes its own frame when nobody else is writing, by a write that does not block.
// That saves the hop to another goroutine. Measured with one caller, it is what makes a call
// as fast as net/rpc's or faster. With more than a few calls in flight (crowd) it would make
// many small writes. Then all frames are left to the flusher, which yields once before it
// takes what has gathered. That more than doubled the calls per second of 64 callers (99,000
// to 213,000 on a machine of two cores).
//
// A session stores nothing of what was on its way on a connection that is lost. It has no
// copy of the bytes written and no count of those that arrived, as a resumed stream would.
// What the two sides have not heard of each other is in their slots, and a call is sent
// again as a whole. So nothing is copied or counted while nothing is lost. A record means the
// same wherever the cut was. What is not worth repeating (pings, streams) is not repeated.
// The price is that a large payload is sent again from its beginning.
//
// Duplicates are recognised by slot and number, as in NFSv4.1's sessions (RFC 8881, section
// 2.10.6). A table of the calls seen would need a bound, or a time after which it forgets,
// and then a call could run twice. A slot has one call. The next call in the slot
// acknowledges the one before. A long call delays nobody.
//
// Replies are retained until they are acknowledged. They are never evicted, because an evicted
// reply would make exactly-once a matter of luck. Memory is bounded by refusing new calls
// (Limits.Retained). Slots are reused last in, first out, so small replies need no
// acknowledgement of their own: an idle session retains one of at most 4 KiB for each slot that
// it ever used at once. Larger replies are acknowledged when their slot is idle for a tick.
// The slot retains a copy of the reply, so that its encoder can be reused. But the memory of a
// reply that is large enough to travel in fragments is retained itself, and reused once the reply
// is acknowledged. (Keeping the memory of replies of 4 to 32 KiB made the encoders grow again
// from nothing. Of what a call with 8 KiB each way took on both sides, that was 34 KB of 54 KB
// and a fifth of its time.)
//
// Over datagrams, the callee's session puts calls that take turns back into the order in
// which they were sent (order.go). The carrier does not do it, because it would delay all
// calls. Nor are those calls sent in order, because callers would have to know how the object
// was exported. For this a connection numbers its calls: 11 bytes a call.
//
// The side that dials numbers the connections of a session. The other side accepts only
// numbers above the last. So a connection that was long on its way cannot replace the one that
// came after it. The other side accepts a newer connection at once, without asking whether the
// old one is dead: the side that dialled knows better.
//
// A dial that failed after its proof may have begun the session at the peer. So the next dial
// proposes the same id. A new id would leave a session at the peer that nobody knows. That
// session would block the new one until its lease is over, and calls would wait as long. For
// the same reason the dialling side refuses nothing after its proof.
//
// A call that was given up while there was no connection is cancelled on the next one, even
// if the call never arrived. The callee then uses the call's number up without running it. So
// the numbers of a slot have no holes. And the caller learns that the references in the call
// were not taken in.
//
// A peer that breaks the protocol is told which rule, in a close record. The flusher writes
// the record after the frames that were begun. Then the sending half of the connection is
// closed, and what the peer still sends is read for a second at most. Otherwise TCP would take
// back what was written last, because a connection that is closed with bytes unread does
// that. The session is over before any of this. There is one such record for a session, a
// kilobyte at most, and never in answer to another. The log gets ten lines a second for all
// peers, because whoever can connect can break the protocol as often as it likes.
//
// Keepalive counts ticks of the transport's own clock, not time, so that a
// process that was stopped does not take its own absence for its peers'.
//
// A null call by one caller, with both processes on one core, spends three quarters of its
// time in system calls. Two things made them fewer and cheaper. After a read that empties the
// socket, the reader waits and does not read in vain (socket_unix.go): 4 to 6 % more calls a
// second. And with one processor, reads and writes that cannot block do not tell the scheduler
// (socket_linux.go). 35,000 calls a second became 48,000, where a ping-pong of package net
// makes 37,000. (With two processors, 15,700 became 12,900.)
//
// A reader whose socket is empty looks again for a while before it waits (busyPoll). Most of
// the time of a call between two processes is not its own. Four times a thread is put to sleep
// and woken again, and on a virtual machine the processor with it. On two cores one caller
// made 13,000 calls a second and now makes about 50,000 (over a unix socket 15,000 and
// 85,000), with a third of the processor time for each. Four callers make 85,000 instead of
// 35,000. 16 callers and more make as many as before. On one core it is 47,000 and 53,000
// (unix socket: 50,000 and 77,000); there, yielding is a system call. Beside another process
// that wants that core for itself it is a twentieth less than before. Learned on the way:
//   - Polling helps only if both sides try it at nearly the same time. So a few polls in vain
//     must not stop it: an account that holds 5 of them instead of 20 halves the calls.
//   - A limit of 60 µs is too short to find that out often enough. A peer that has to be woken
//     takes longer than that to answer here.
//   - With two cores, yielding to other processes makes polling useless (18,000), and so does
//     not yielding to goroutines.
//
// Tried and rejected: waiting in a blocking read, or in a poll by the system call of at most
// 100 µs, instead of in Go's poller. If the goroutine that waits for the reply does that
// itself, with nothing else in the process, a ping-pong went from 41,000 to 51,000 a second.
// With one goroutine that reads and another that calls, it fell from 38,000 to 35,000
// (blocking) and 30,000 (poll). The reason: the thread keeps its processor while it waits, the
// monitor takes the processor away and looks for other work, and other connections of the
// process wait for up to 10 ms.
//
// Also rejected: a handler on the reading goroutine, which saves a switch of goroutines. One
// caller made 1 % more calls on one core and 15 % more on two. 64 callers made less than half
// as many (130,000 instead of 340,000 a second), because their calls no longer gather.
//
// Large bodies: one system call writes four fragments, and their memory is reused
// (mempool.Put). A value decoded from a body that came in fragments keeps the body's memory if
// the value is most of the body. Echo of 1 MiB by four callers went from 0.85 to 1.5 times
// net/rpc's calls per second. The caller's own bytes are not sent without a copy, because a
// caller that gives up may change them while they are sent.
//
// Small calls beside transfers of 64 MiB (BenchmarkSmallCallsBesideBulk, both nodes in one
// process of two processors): most of the wait was for a buffer on the reading goroutine that
// grew by copying. It consists of blocks now (assembly.go). Code that copies or reads much
// yields every 64 or 128 KiB. The 99th percentile went from 20 ms to 4 ms, and the median from
// 240 to 90 µs; without transfers it is 40 µs. What is left is not the session's. Without any
// transfer, beside one goroutine that copies memory and calls Gosched, in the caller's process
// or the owner's, calls have the same 99th percentile. So has a ping-pong of package net (4.0
// to 5.8 ms on two cores, 0.25 ms without such a goroutine). It is the time slice that the
// kernel gives a thread before another that became ready gets its own, and transfers of memory
// keep threads busy. Tried against that, without gain: a writev that does not tell the
// scheduler, smaller steps, receive buffers of 64 KiB to 4 MiB, more than two processors for
// Go, and sched_yield, which made it 12 ms.
package transport
