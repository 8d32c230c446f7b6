// Package transport carries calls between nodes. It dials and listens, proves
// who is at the other end, keeps one session with each peer over the connections
// that come and go, and runs the handlers of the calls that arrive. It knows
// slots, frames and bytes, and nothing of Go types; package wire specifies what is
// on the wire.
//
// A Transport belongs to a node. Session explains who does what; Link is one
// connection of a session, and resume.go tells how there comes to be another; peers,
// how one session is left when two nodes dial each other; busyPoll, when a reader
// waits; outbox, how frames get to the socket; callTable and callee, the two ends of a
// slot.
//
// # Decisions
//
// A node that shuts down learns that a reply arrived from its acknowledgement, which its
// peer owes it at once after goaway (drain.go). A ping behind the replies, whose pong would
// say the same, does not: over datagrams it is not in order with them, and it does not
// tell how many are missing.
//
// A caller writes its own frame when nobody else is writing, by a write that
// does not block, which saves the hop to another goroutine; measured with one
// caller that is what makes a call as fast as net/rpc's or faster. With more
// than a few calls under way (crowd) that makes many small writes, and leaving
// all frames to the flusher, which yields once before it takes what has
// gathered, more than doubled the calls per second of 64 callers (99,000 to
// 213,000 on a machine of two cores).
//
// A session keeps nothing of what was on its way on a connection that is lost: no
// copy of the bytes written, no count of those that arrived, as a resumed stream
// would. What the two sides have not heard of each other stands in their slots, and
// a call comes again as a whole. So nothing is copied or counted while nothing is
// lost, a record means the same wherever the cut was, and what is not worth
// repeating (pings, streams) is not repeated. The price is that a large
// payload begins anew.
//
// Duplicates are told by slot and number, as NFSv4.1's sessions do (RFC 8881, section
// 2.10.6). A table of the calls seen would need a bound or a time after which it
// forgets, and then a call could run twice; a slot has one call, the next in it
// acknowledges the one before, and a long call holds up nobody.
//
// Replies are kept until they are acknowledged and never evicted, for an evicted
// reply would make exactly-once a matter of luck. Memory is bounded by not letting new
// calls in (Limits.Kept). As slots are used again last in, first out, small replies need
// no acknowledgement of their own: an idle session keeps one of at most 4 KiB for each
// slot that it ever used at once. Larger ones are acknowledged when their slot is idle
// for a tick. A reply is copied for its slot to keep, so that its encoder is used again,
// unless it is so large that it travels in fragments: then its memory is kept, and used
// again once it is acknowledged. (Keeping the memory of those of 4 to 32 KiB made the
// encoders grow anew from nothing: of the memory that a call with 8 KiB each way took
// on both sides, 34 KB of 54, and a fifth of its time.)
//
// Over datagrams calls that take turns are put back into the order in which they were sent
// by the callee's session (order.go), not by the carrier, which would hold up all calls, nor
// by sending those calls in order, for which callers would have to know how the object was
// exported. A connection numbers its calls for that: 11 bytes a call.
//
// Connections of a session are numbered by the side that dials, and the other takes
// only numbers above the last: a connection that was long on its way cannot take the
// place of the one that came after it. It takes a newer one at once, and does not ask
// whether the old one is dead: the side that dialled knows better.
//
// A dial that failed after its proof may have begun the session at the peer. The next
// dial therefore proposes the same id: a new one would leave a session at the peer that
// nobody knows, which stands in the way of the new one until its lease is over, and
// whose calls would wait as long. For the same reason the dialling side refuses
// nothing after its proof.
//
// A call that was given up while there was no connection is cancelled on the next
// even if it never arrived there: the callee then uses its number up without running
// it. So the numbers of a slot have no holes, and the caller learns that the references
// in the call were not taken in.
//
// A peer that breaks the protocol is told which rule, by a close record that the flusher
// writes behind what was begun; then the connection's sending half is closed, and what
// the peer still sends is read for a second at most, for a TCP connection that is closed
// with bytes unread takes back what was written last. The session is over before any of
// that. There is one such record for a session, a kilobyte at most, never in answer to
// another, and the log has ten lines a second of all peers: whoever can connect can
// break the protocol as often as it likes.
//
// Keepalive counts ticks of the transport's own clock, not time, so that a
// process that was stopped does not take its own absence for its peers'.
//
// A null call by one caller, both processes on one core, is system calls for three
// quarters of its time. Two things made them fewer and cheaper. A read that empties
// the socket is followed by waiting, not by a read that finds nothing
// (polled_unix.go): 4 to 6 % more calls a second. And where there is one processor,
// reads and writes that cannot block do not tell the scheduler (nowait_linux.go): 35,000
// calls a second became 48,000, where a ping-pong of package net makes 37,000. (With
// two, 15,700 became 12,900.)
//
// A reader whose socket is empty looks again for a while before it waits (busyPoll).
// Most of what a call between two processes takes is not its own: a thread is put to
// sleep and woken again, four times, and on a virtual machine the processor with it. One
// caller on two cores made 13,000 calls a second and makes about 50,000 (15,000 and 85,000
// over a unix socket), with a third of the processor time for each; four make 85,000
// instead of 35,000; 16 and more do what they did. On one core it is 47,000 and 53,000
// (50,000 and 77,000), where giving way is a system call, and beside another process that
// wants that core for itself a twentieth less than before. Learned on the way: polling has
// to be tried by both sides at nearly the same time to be of use, so a few polls in vain
// must not stop it (an account that holds 5 of them instead of 20 halves the calls); a
// limit of 60 µs, less than it takes here until a peer that has to be woken has answered,
// finds that out too seldom; giving way to other processes where there are two cores makes
// it useless (18,000), and so does not giving way to goroutines.
//
// Tried and not kept: waiting in a blocking read, or in a poll by the system call of at
// most 100 µs, instead of in Go's poller. Where the goroutine that waits for the reply
// does that itself, with nothing else in the process, a ping-pong went from 41,000 to
// 51,000 a second; with a goroutine that reads and another that calls, it fell from
// 38,000 to 35,000 (blocking) and 30,000 (poll). For the thread keeps its processor while
// it waits, the monitor takes it away and looks for other work, and other connections of
// the process wait for up to 10 ms. Nor was a handler on the reading goroutine, which
// saves a switch of goroutines: 1 % more calls by one caller on one core, 15 % on two,
// and less than half as many by 64 (130,000 instead of 340,000 a second), which no
// longer gather.
//
// Large bodies: four fragments are written by one system call, their memory is used
// again (mempool.Put), and what is decoded out of one that came in fragments keeps
// its memory if it is most of it. Echo of 1 MiB by four callers went from 0.85 to
// 1.5 of net/rpc's calls per second. Sending the caller's own bytes without a copy
// was not done: a caller that gives up may change them while they are sent.
//
// Small calls beside transfers of 64 MiB (BenchmarkSmallCallsBesideBulk, both nodes in
// one process of two processors): the buffer that grew by copying, on the reading
// goroutine, was most of the wait, and is blocks now (assembly.go); whoever copies or
// reads much gives others their turn every 64 or 128 KiB. The 99th percentile went from
// 20 ms to 4 ms, the median from 240 to 90 µs, of 40 µs without transfers. What is left
// is not the session's: beside one goroutine that copies memory and calls Gosched, in
// the caller's process or the owner's, and no transfer at all, calls have the same 99th
// percentile, and so has a ping-pong of package net (4.0 to 5.8 ms on two cores, 0.25 ms
// without). It is the turn that the kernel gives a thread before another that became
// ready has its own, and transfers of memory keep threads busy. Tried against that,
// without gain: a writev that does not tell the scheduler, smaller steps, receive buffers
// of 64 KiB to 4 MiB, more than two processors for Go, and sched_yield, which made it
// 12 ms.
package transport
