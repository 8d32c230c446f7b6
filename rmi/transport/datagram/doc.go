// Package datagram makes a session's connection of datagrams, which may be lost, duplicated and
// reordered. It is a carrier beside TCP, chosen by address ("udp:host:port",
// rmi+udp://host:port/name).
//
// It serves links that lose datagrams. Over a stream, every call there waits for whatever was lost
// before it. It also shows remote calls over packets as Birrell and Nelson described them
// ("Implementing Remote Procedure Calls", 1984). A small call is one datagram. Its answer is the
// acknowledgement. A caller that gets no answer sends the call again. So a call costs two
// datagrams, where TCP would acknowledge both.
//
// [Dial] and [Listen] take sockets, [Network] takes addresses. A [Conn] is a [net.Conn] with one
// difference: it understands what is written to it. That is first the handshake, then records, as
// package wire specifies them.
//
// # What is promised
//
// While the connection lives, records arrive whole and unchanged. A record travels in one of two
// ways:
//
//   - In order. Such records arrive once, and in the order in which they were written.
//   - Directly, in a datagram of its own. A direct record may overtake others, direct or not.
//
// A direct call arrives at least once, unless it was answered. It may arrive again after the
// session answered it, and only then. A direct return arrives once, if the session writes it
// whenever its call arrives. A direct cancel arrives any number of times, but not before its call.
// The session numbers its calls, and holds back those that must wait for their turn (package wire,
// "Order").
//
// So the session has one duty ([Conn.Lossy] tells it so). When a call arrives that it has
// answered, with the same slot and sequence number, it writes the retained return again. That makes
// calls at-most-once, and calls that were answered exactly-once. The session retains a return until
// the slot is used again. That shows that the return has arrived.
//
// A connection fails in these cases. Each is its end, as a cut is for TCP:
//
//   - The peer is not heard for 10 seconds in which this side repeats itself, 12 times or more:
//     syscall.ETIMEDOUT.
//   - The peer says that it does not know the connection, because it was restarted:
//     syscall.ECONNRESET. It is the same when the system says three times in a row that nobody
//     has the peer's port.
//   - The peer closed it: Read returns io.EOF behind what the peer wrote before.
//
// An idle connection is not watched: the session pings.
//
// Nothing is encrypted, and TLS does not run over it. A stranger who does not see the datagrams
// would have to guess the connection's number, which is 64 random bits. One who sees them can end
// and forge connections. So sockets stay on loopback unless [Network.Insecure] says otherwise.
//
// # Datagrams
//
// Integers are big endian. A datagram has at most 1200 bytes. One that is longer, of unknown type,
// or malformed in any part is dropped whole. Examples with every byte explained are under
// testdata/golden.
//
//	1     version of this format, 1, in the upper four bits; type in the lower four:
//	      1 INIT, 2 COOKIE, 3 OPEN, 4 DATA, 5 RESET
//	8     connection: a number that the dialler draws at random
//
//	INIT    16 bytes, cookie, 0 in the first one; zeros up to 1200 bytes
//	COOKIE  16 bytes, cookie
//	OPEN    nothing
//	DATA    4 bytes, sent; 4 bytes, echo; frames, at least one
//	RESET   nothing
//
// The dialler repeats INIT until the answer comes. It waits 200 milliseconds at first. Once a
// COOKIE has shown how long an answer takes, it waits for the timeout of the ordered channel. Each
// wait is twice the one before, up to a second.
//
// A listener that does not find its cookie in INIT answers by COOKIE, and keeps nothing. The
// dialler then sends INIT with that cookie. The listener answers by OPEN, and from then on the
// connection exists. A cookie is the beginning of an HMAC-SHA-256 over connection and address,
// under a secret of the listener's. The listener makes cookies with a secret for 10 seconds, and
// accepts them for 10 more. Who returns a cookie is at the address that he claims. INIT is the
// longest datagram there is, so a listener cannot be used to send a victim more than the attacker
// sends. A listener holds at most 128 connections that the program has not accepted. Beyond that it
// does not answer INIT with a cookie.
//
// INIT for a connection that exists is answered by OPEN if it comes from that connection's address.
// Any datagram for it from another address is dropped. DATA for no connection is answered by RESET,
// and so is INIT where no connections are accepted any more. Who gets RESET from the peer's address
// ends the connection.
//
// sent is the sender's clock in microseconds. It begins anywhere, and wraps. echo is the newest
// sent that came from the peer, plus the microseconds since it came. Newest is meant in serial
// arithmetic (RFC 1982). So the clock less echo is a round trip, whatever was sent and however
// often. echo is 0 if no datagram came.
//
// # Frames
//
//	1 DIRECT   a record of package wire: call or return, not fragmented, or cancel; its prefix
//	           tells the length
//	2 SEGMENT  8 bytes, number; 2 bytes, length, 1 to 1172; that many bytes of the ordered channel
//	3 END      8 bytes, number, as of a segment: no more come
//	4 ACK      8 bytes, first missing number; 2 bytes, window; 1 byte, count of ranges, at most 32;
//	           of each 1 byte, numbers missing, and 1 byte, numbers that are here behind them,
//	           neither 0
//	5 GOT      1 byte, count, 1 to 128; of each call 4 bytes, slot, and 4 bytes, sequence number
//	6 ASK      nothing; ACK is to be sent
//
// # The ordered channel
//
// There is one in each direction. It carries what does not travel directly: the handshake,
// fragments, calls and returns that do not fit, streams, pings, notices. Its bytes are cut into
// segments, numbered from 0.
//
// The receiver acknowledges three things: what is not in order, at once; every second segment, at
// once; any segment after 10 milliseconds. The acknowledgement shares a datagram that is sent
// anyway, if there is one. The window says for how many numbers, from the first missing one on, the
// receiver has room. It is at most 256, and the sender may use 256 before the first ACK. Room that
// was announced is not taken back. A sender that has nothing in flight and no room repeats ASK.
//
// A segment is lost if three later ones overtook it (RFC 6675), or if it was sent a quarter of a
// round trip before one that arrived (RFC 8985). When nothing arrives for the timeout, the first
// segment that is not known to have arrived is sent again. The answer tells about the others, as
// with the probes of RFC 9002: a program that was suspended for a while has lost nothing. When
// nothing arrives then, all that is in flight is lost.
//
// The timeout is the mean round trip, four times its variation (as in RFC 6298), and the 10
// milliseconds that an acknowledgement may wait. It is at least 15 milliseconds, and doubles each
// time up to a second, if it is not longer from the first.
//
// The congestion window is NewReno's, counted in datagrams. It is 10 at first, and from 10 to 256.
// It grows by one for each datagram that arrives, and later by one in a round trip. It is halved after a loss, and 10 again when all was lost.
//
// # Direct calls
//
// A call goes directly if it fits a datagram, which has 1182 bytes for the record, and if fewer
// direct calls are in flight than the congestion window allows. Else it goes in order. It is sent
// again at the timeout, plus a random quarter at most. That ends when its return comes, one way
// or the other, or a GOT. Records that are written together share datagrams.
//
// The receiver of calls passes a call to the session if it is new, or if it was answered directly.
// It sends GOT if the call has not been answered 10 milliseconds after it came, or if its return
// does not fit. It sends GOT again whenever the call comes again. The return then goes in order:
// from then on it is the receiver who repeats. All other calls that come again are dropped. So is a
// call whose slot has been used for a later call.
//
// A return goes directly if its call came so, it fits, and no GOT was sent. It is sent once: if it
// is lost, the call comes again. The session may give a return again for a late copy of a call
// whose slot was used again. That return is not sent. The caller's side passes a direct return
// to the session if the call waits for it.
//
// A cancel of a direct call without GOT goes directly, behind its call in the same datagram,
// whenever the call goes again. When GOT comes, the cancel goes once more, in order. If both do not
// fit a datagram, the cancel goes in order. So does the cancel of any other call. Direct records
// are dropped if they come before the end of the peer's part of the handshake, or while 256 KiB
// wait for the session. They come again.
//
// # The end
//
// Close sends END behind all that was written. It waits for the acknowledgement, for a second at
// most. It does not wait if the peer is known to be gone or has closed too, or if the peer dialled
// and sent no DATA. It does not wait for direct returns either: a peer that did not get one sends
// the call again, and learns by RESET that nobody answers. A connection that ends in another way,
// or whose END was not acknowledged, sends RESET. A listener does not end its connections. The last
// of them all closes the socket.
//
// # Decisions
//
// Direct calls are acknowledged by GOT when they take long. Without it, they would be repeated
// until they return. A method of 10 seconds would get ten copies of its call. Nobody could tell a
// lost return from a slow method, and silence would not show that the peer is gone. With GOT a slow
// call costs four datagrams, as over TCP. Only a call whose quick return was lost reaches the
// session twice.
//
// A cancel shares the datagram of its call. Alone it could arrive first, and the session would have
// to remember cancels of calls that it has never seen.
//
// The clock in each datagram follows RFC 7323 and RFC 3550. It gives round trips from any exchange,
// also from repeated ones, without the time that a method took. Karn's rule would leave few
// measurements on a link that loses much, and a session of small calls sends few segments.
//
// The least congestion window is 10 datagrams, with which RFC 6928 lets any connection begin. On a
// link that loses a fifth of all datagrams whatever is sent, NewReno's 1 or 2 would stand still.
// With 4, 11 MB each way over 3 ms took 34 seconds of virtual time; with 10, 10 seconds. The
// timeout still doubles.
//
// Direct calls have a window of their own, so a small call does not wait behind bulk data. At most
// twice as many datagrams are in flight as the congestion window says.
//
// Close waits, since nobody else would repeat what is lost after the program has ended. With TCP,
// the kernel does.
//
// # Measured
//
// TestACallCostsTwoDatagrams and its neighbours count datagrams. The times are over loopback, on
// two busy cores, beside TCP in the same run, by a session that writes by TryWrite. A null call by
// one caller took 0.96 times as long, by 64 callers 2 times, 1 MiB there and back 5 times: there is
// a system call for each 1200 bytes.
//
// In another run a fifth of all datagrams was lost, a tenth arrived twice, and a fifth late. 64
// callers made 10,048 calls over real sockets, every fiftieth with 50 KB each way. All ended well
// in 23 seconds, and each was executed once, by a session that retained its returns.
package datagram
