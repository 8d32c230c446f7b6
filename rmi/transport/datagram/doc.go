// Package datagram makes a session's connection of datagrams that may be lost, duplicated and reordered: a carrier
// beside TCP, chosen by address ("udp:host:port", rmi+udp://host:port/name).
//
// It serves links that lose datagrams, where a stream would make every call wait for what was lost before it, and it
// shows the mechanism of remote calls over packets, as Birrell and Nelson described it ("Implementing Remote
// Procedure Calls", 1984): a small call is one datagram, its answer is the acknowledgement, and who gets no answer
// asks again. So a call costs two datagrams, where TCP would acknowledge either.
//
// [Dial] and [Listen] take sockets, [Network] takes addresses. A [Conn] is a [net.Conn], except that it knows what is
// written to it: first the handshake, then records, as package wire specifies them.
//
// # What is promised
//
// Records arrive whole and unchanged, if the connection lives. Those that travel in order arrive once and in the
// order in which they were written. A direct call arrives at least once, unless it was answered, and may arrive again
// after the session answered it, and only then; a direct return arrives once, if it was written whenever its call
// came; a direct cancel arrives any number of times, and not before its call. A direct record may come before others
// that were written earlier, direct or not. The session numbers its calls, and holds those back that take turns (package
// wire, "Order").
//
// So the session above has one thing to do ([Conn.Lossy] tells it so): when a call arrives that it has answered, same
// slot and same sequence number, it writes the return that it kept once more. That makes calls at-most-once, and
// those that were answered exactly-once. It keeps a return until the slot is used again, which says that the return
// is there.
//
// What fails, and how: a peer that is not heard for 10 seconds, while this side repeats itself, is gone
// (syscall.ETIMEDOUT); a peer that does not know the connection, because it began anew, says so at once
// (syscall.ECONNRESET), and so it counts if the system tells three times in a row that the port is nobody's. After
// the peer's Close, Read returns io.EOF behind what was written before. All of them are the end of the connection, as
// a cut is for TCP. An idle connection is not watched: the session pings.
//
// Nothing is encrypted, and TLS does not run over it. A stranger who does not see the datagrams would have to guess
// the connection's number, 64 random bits; one who sees them can end and forge connections. So sockets stay on
// loopback unless [Network.Insecure] says otherwise.
//
// # Datagrams
//
// Integers are big endian. A datagram is at most 1200 bytes, and one that is longer, of unknown type, or malformed in
// any part is dropped whole. Examples with every byte explained stand under testdata/golden.
//
//	1     version of this format, 1, in the upper four bits, and type in the lower: 1 INIT, 2 COOKIE, 3 OPEN, 4 DATA, 5 RESET
//	8     connection: a number that the dialler draws at random
//
//	INIT    16 bytes, cookie, 0 in the first one; zeros up to 1200 bytes
//	COOKIE  16 bytes, cookie
//	OPEN    nothing
//	DATA    4 bytes, sent; 4 bytes, echo; frames, at least one
//	RESET   nothing
//
// The dialler sends INIT, again and again, until the answer comes, at first after 200 milliseconds, or a timeout as of the
// ordered channel once a COOKIE told how long an answer takes, doubled each time up to a second. A listener that does not find its cookie in it
// answers by COOKIE, and keeps nothing; the dialler sends INIT with that. Then the listener answers by OPEN, and the
// connection stands: it begins to exist at the listener with the right cookie. A cookie is the beginning of an
// HMAC-SHA-256 over connection and address under a secret of the listener's, which makes cookies for 10 seconds and
// takes them for 10 more: who returns it is where he says he is. INIT is the longest datagram there is, so nobody can
// use a listener to send others more than he sends himself. A listener holds at most 128 connections that the program
// has not accepted; beyond, INIT with a cookie is not answered.
//
// INIT for a connection that exists is answered by OPEN if it comes from that connection's address. Any datagram for
// it from another address is dropped. DATA for no connection is answered by RESET, and so is INIT where no
// connections are taken any more. Who gets RESET from the peer's address ends the connection.
//
// sent is the sender's clock in microseconds; it begins anywhere, and wraps. echo is the newest sent (after it in
// serial arithmetic, RFC 1982) that came from the peer, plus the microseconds since it came, so that the clock less
// echo is a round trip, whatever was sent and however often; 0 if none came.
//
// # Frames
//
//	1 DIRECT   a record of package wire: call or return, not fragmented, or cancel; its prefix tells the length
//	2 SEGMENT  8 bytes, number; 2 bytes, length, 1 to 1172; that many bytes of the ordered channel
//	3 END      8 bytes, number, as of a segment: no more come
//	4 ACK      8 bytes, first missing number; 2 bytes, window; 1 byte, count of ranges, at most 32; of each
//	           1 byte, numbers missing, and 1 byte, numbers that are here behind them, neither 0
//	5 GOT      1 byte, count, 1 to 128; of each call 4 bytes, slot, and 4 bytes, sequence number
//	6 ASK      nothing; ACK is to be sent
//
// # The ordered channel
//
// One in each direction carries what does not travel directly: the handshake, fragments, calls and returns that do
// not fit, streams, pings, notices. Its bytes are cut into segments, numbered from 0. The receiver acknowledges at
// once what is not in order, every second segment, and any after 10 milliseconds, in a datagram that goes anyway if
// there is one. The window is how many numbers from the first missing one on it has room for, at most 256, which is
// what the sender may use before the first ACK. What was announced is not taken back. A sender that has nothing in
// flight and no room sends ASK, again and again.
//
// Lost is a segment that three later ones overtook (RFC 6675), or one that was sent a quarter of a round trip before
// one that is here (RFC 8985). When nothing arrives for the timeout, the first that is not known to be there is sent
// again, and the answer tells about the others (as RFC 9002's probes do: a program that did not run for a while has
// lost nothing); when nothing arrives then, all that is in flight is lost. The timeout is the mean round trip and
// four times its variation, as in RFC 6298, and the 10 milliseconds that an acknowledgement may wait, at least 15
// milliseconds, doubled each time up to 2 seconds. The congestion window is NewReno's, counted in datagrams: 10 at
// the beginning, more by each that arrives and later by one a round trip, half after a loss, 10 when all was lost,
// from 10 to 256.
//
// # Direct calls
//
// A call that fits a datagram, with 1182 bytes for the record, goes directly while fewer direct calls are in flight
// than the congestion window allows, else in order. It is sent again at the timeout, with a random quarter more,
// until its return came, one way or the other, or a GOT. Records that are written together share datagrams.
//
// The callee's side passes a call on that is new, and one that it answered directly. If it has not been answered 10
// milliseconds after it came, or its return does not fit, it sends GOT, and again whenever the call comes again, and
// then the return goes in order: from then on it is the callee who repeats. All other calls that come again are
// dropped, and so is one of a slot from which a later call has come. A return goes directly if its call came so, it
// fits, and no GOT was sent. It is sent once: if it is lost the call comes again. A return of a call whose slot was
// used again, which the session gave once more to a late copy, is not sent. The caller's side passes a direct return
// on if the call waits for it.
//
// A cancel of a direct call without GOT goes directly, behind its call in the same datagram, and so whenever the call
// goes again; when GOT comes it goes in order once more. If both do not fit into a datagram, and of any other call,
// it goes in order. Direct records that come before the end of the peer's part of the handshake, or while 256 KiB
// wait for the session, are dropped: they come again.
//
// # The end
//
// Close sends END behind all that was written, and waits for its acknowledgement, for a second at most; not if the
// peer is known to be gone, has closed too, or dialled and sent no DATA. Direct returns are not waited for: who did not
// get one asks again, and learns by RESET that nobody answers any more. A connection that ends in another way, or in
// vain, sends RESET. Listeners end apart from their connections, and the socket with the last of all.
//
// # Decisions
//
// Direct calls are acknowledged by GOT when they take long. Without it, they would be repeated until they return, so
// a method of 10 seconds would get ten copies of its call, nobody could tell a lost return from a slow method, and
// silence would not tell that the peer is gone. With it a slow call costs four datagrams, as over TCP, and only those
// calls reach the session twice whose quick return was lost.
//
// A cancel shares the datagram of its call: alone it could come before it, and the session would have to remember
// cancels of calls that it has never seen.
//
// The clock in each datagram, after RFC 7323 and RFC 3550, gives round trips from any exchange, those that were
// repeated too, without the time that a method took. Karn's rule would leave few measurements on a link that loses
// much, and a session of small calls sends few segments.
//
// The least congestion window is 10 datagrams, what RFC 6928 lets any connection begin with: on a link that loses a
// fifth of all datagrams whatever is sent, NewReno's 1 or 2 would stand still (4: 34 seconds for 11 MB each way over
// 3 ms, of virtual time; 10: 10 seconds). The timeout still doubles.
//
// The window for direct calls is their own, so that a small call does not wait behind bulk data; there are at most
// twice as many datagrams in flight as the window says.
//
// Close waits, since nobody else would repeat what is lost when the program has ended; in a kernel's TCP, the kernel
// does.
//
// # Measured
//
// TestACallCostsTwoDatagrams and its neighbours count datagrams. Over loopback, on two cores that had much else to
// do, against TCP in the same run and with a session that writes by TryWrite: a null call by one caller took 0.96
// times as long, by 64 callers 2 times, 1 MiB there and back 5 times: there is a system call for each 1200 bytes.
// With a fifth of all datagrams lost, a tenth twice and a fifth late, 10,048 calls by 64 callers, every fiftieth with
// 50 KB each way besides, all ended well in 23 seconds over real sockets, each executed once (by a session that kept
// its returns).
package datagram
