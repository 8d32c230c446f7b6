// Package wire is GoRMI's protocol. This comment specifies it; the code beside it writes and reads
// it.
//
// The specification is for those who implement a node in another language. It needs no other source
// but RFC 8032 (Ed25519), the MessagePack specification and, for peers that open streams, yamux's
// spec.md. testdata/golden has an example of every kind of message, with its bytes explained. A
// short exchange stands at the end of this text. A long one, with a connection that is cut and made
// again, is testdata/golden/session.txt. Events have a specification of their own, in package
// callback. So has the carrier of datagrams, in package datagram.
//
// # Conventions
//
// Integers are unsigned and big endian unless a table says otherwise. u8 to u64 give their width in
// bits. Sizes and lengths count bytes. What is reserved is sent as 0. KiB is 1024 bytes, MiB is
// 1024 KiB.
//
// A node is one end of a connection. D is the node that dialled, A the node that accepted. After
// the handshake they are equals. Caller and callee are the two ends of one call. Calls travel in
// both directions of a connection. So a node that does not listen can still be called: that is how
// callbacks reach clients. A session is the conversation of two nodes. At any time it has at most
// one connection. It ends with that connection, or goes on with another: see "Sessions".
//
// Rules have numbers that never change: errors, logs and the text of close records cite them. MUST,
// MUST NOT, SHOULD and MAY are meant as in RFC 2119. A table or a layout is a MUST. Where a rule
// says neither MUST nor MUST NOT, the node decides, and its peer accepts either.
//
// W-1: If a peer breaks a MUST, and no rule says what follows, that is a protocol error. In the
// handshake the receiver refuses the connection with kind Protocol (W-16). After the handshake the
// receiver ends the session, and nothing else. First it SHOULD say why, by a close record (W-84) of
// kind Protocol. The text of that record begins with the number of the broken rule, a colon and a
// space. The receiver sends at most one such record, and none in answer to another. It waits at
// most a second until the peer has taken it.
//
// # Levels of conformance
//
// A node need not do everything. Each level is of use without the next ones, and every peer gets
// along with it.
//
//	level           sections                                 what it can do
//	minimum client  Conventions, Beginning of a connection,  dials, calls, is called back. It
//	                Records, Calls, The other records,       announces no features and no streams.
//	                References, Bodies, Errors,              Its session ends with its connection.
//	                Descriptions and agreement, Versions     What it was handed is held for it
//	                                                         until then
//	+ resume        Sessions, Calls that come again,         announces resume; calls survive their
//	                What a cut means                         connection and are not executed twice
//	+ leases        Leases                                   gives references back, and holds those
//	                                                         of others
//	+ events        Multicast, and package callback          announces streams; subscribes to topics
//	server          the accepting side of Beginning of a     listens, exports objects that have
//	                connection, Descriptions in full         descriptions
//
// The client needs no section in full. It does not accept connections, is no relay, and answers no
// method but those of its callbacks, and method 0. The registry and being a relay are optional for
// the server: it may answer calls that it does not relay with NoSuchObject. rmi/internal/testclient
// is a client that was written from this text alone. Its steps follow these levels.
//
// # Beginning of a connection
//
// The carrier is a TCP connection, TLS on one, a unix socket, or datagrams made reliable, which the
// doc of rmi/transport/datagram specifies. A unix socket and datagrams never have TLS. There is one
// session between two nodes.
//
//	D                               A
//	magic, HELLO          →
//	                      ←         magic, HELLO, PROOF
//	PROOF                 →
//	                      ←         WELCOME
//
// W-2: Each side begins with the six bytes "GoRMI\n" (47 6f 52 4d 49 0a), before its first message.
//
// W-3: A MUST NOT send before it has read D's HELLO. After its PROOF, D MUST NOT send until it has
// read WELCOME. If D finds that it needs no connection, it MAY close without a PROOF.
//
// W-4: All of it, TLS included, MUST be over in 5 seconds, over datagrams in 10.
//
// W-5: Each message has the layout
//
//	1     kind: 1 HELLO, 2 PROOF, 3 WELCOME, 4 REFUSE; no other
//	2     length of what follows, at most 4096
//	n     body
//
// Messages MUST come in the order above. A REFUSE may take the place of any of them.
//
// W-6: HELLO says who the sender is, and what it accepts from its peer:
//
//	2     newest protocol version that the sender speaks; this text is version 1
//	2     oldest version that it speaks: at least 1, at most the newest
//	8     features, one bit each: bit 0 (value 1) is resume, see "Sessions"; version 1 has no other
//	32    Ed25519 public key of the node
//	32    nonce, random, never used twice
//	16    from D: id of the node that it wants to reach, or zero for whoever answers; from A: zero
//	8     time when the node started: nanoseconds since 1970 UTC, signed; the time in its references
//	4     message limit: bytes of one payload (table and body); at least 1024
//	4     assembly budget: see W-66; at least the message limit
//	4     slots: calls in flight from the receiver of this hello to its sender; at least 16
//	4     entries of one table of references
//	2     open streams, 0 for none
//	2     length of the extensions
//	n     extensions
//
// W-7: The session's version is the smaller of the two newest ones. If it is below either oldest,
// the hello is refused.
//
// W-8: A feature is in use if both hellos have its bit. Bits that a node does not know mean
// nothing.
//
// W-9: All hellos that a node sends for one session MUST say the same, except nonce and expected
// id.
//
// W-10: A node's id is a UUID of version 8: the first 16 bytes of the SHA-256 of the 32-byte key,
// with the upper four bits of byte 6 set to 1000 and the upper two bits of byte 8 set to 10 (bytes
// counted from 0).
//
// W-11: A refuses a hello that expects an id other than its own. D ends the handshake if A's key
// does not make the id that D expects. The kind is StaleReference.
//
// W-12: PROOF shows that the sender holds the key:
//
//	64    Ed25519 signature, pure, of the bytes of W-13
//	16    from D: id of the session that the connection is for, random, not zero; from A: zero
//	16    from D: the last session with A that D knows to be over, or zero; from A: zero
//	2     length of the extensions
//	n     extensions
//
// W-13: The signed bytes are, in this order: 19 bytes, "GoRMI handshake 1 " followed by "D" or "A"
// for the signer's role; one SHA-256 over D's HELLO message, A's HELLO message (both with kind,
// length and extensions) and the TLS binding, joined; and, not hashed, the two session ids and the
// extensions (without their length) of this very proof. A node whose signature does not verify MUST
// be refused with kind Denied.
//
// W-14: The binding is the value of the keying material exporter (RFC 5705, RFC 8446 section 7.5)
// for the label "EXPORTER-GoRMI", no context and 32 bytes. Without TLS the binding is empty. A TLS
// connection that has no such value (before 1.3 without the extended master secret) MUST be refused
// with kind Denied: it could be another's. Without TLS the proof tells who is there, but does not
// protect what follows from somebody on the path.
//
// W-15: WELCOME, from A, has 16 bytes, the session's id as D drew it; 2 bytes, the length of the
// extensions; and the extensions. With WELCOME the session begins, or goes on.
//
// W-16: In place of any other message either side MAY send REFUSE and close. After its PROOF, D
// only closes, because A may be in the session by then. REFUSE is 1 byte, an error kind (see
// "Errors"), and text for people, UTF-8 of at most 1024 bytes, to the end of the message. Besides
// the kinds named elsewhere in this section, kinds are Protocol for what breaks these rules,
// versions included; PeerGone for a session that is over; Overloaded for a node that has as many
// connections as it accepts; Denied, in the clear behind the magic, for a peer that begins in the
// clear where TLS is wanted; and Closed for a node that is about to end. Kind 0 means "crossed"
// (W-18). A peer's text, here and in notices and error forms, is nothing but text. It SHOULD be
// cleaned of control characters before it is shown or logged.
//
// W-17: Over datagrams both nodes MUST have the feature resume, and refuse the connection
// otherwise.
//
// W-18: Two nodes may dial each other at the same time. They MUST come to use the same connection.
// Of each pair, the node with the smaller id, compared byte by byte, decides. It refuses the peer's
// dials as crossed from its own PROOF on, until that dial failed, and while a session with the peer
// lives. It does not refuse them if the session in the way is the one that the peer's PROOF calls
// over, or if W-19 ends that session. The other node takes every dial of the deciding node, and
// ends the session that it replaces. A node that is refused as crossed waits for the other's
// connection. It dials again if none comes within half a second. All this is about dials for new
// sessions.
//
// W-19: A node may be started again with the key of its former run. Then it knows nothing of its
// sessions, and its peer may not know that it was gone. The time in its hello tells. So a node that
// has verified a PROOF of a node with which it has a session compares the time in that node's HELLO
// with the time that the session began with. If they differ, it does as follows, whether it decides
// or not, dialled or accepted. A later time ends the old session, and W-18 then ignores that
// session. An earlier time does the same if the old session is without a connection. While it has
// one, A refuses the dial with kind Denied, and D keeps the session that it has. (So a node is
// taken back at once, and two programs with one key do not replace each other for ever.)
//
// W-20: With the feature resume in use, D's PROOF MUST have the extension connection (W-45).
// Without the feature it MUST NOT. A's PROOF MUST NOT have it. Otherwise the proof is refused with
// kind Protocol.
//
// # Sessions
//
// With the feature resume in use, a session outlives its connections. Without it the session ends
// with its first connection. Then the extension connection, ack records and the flags uncounted and
// settle are not sent.
//
// The extension connection has a number and begin. By the number D counts the connections that it
// tries for the session, from 1, each larger than all before. begin is 1 as long as D never had a
// WELCOME for the session, else 0.
//
// W-30: A answers D's PROOF by
//
//	a session of this id that D dialled lives    it gets this connection, if the number is larger
//	                                             than those before
//	no such session, begin 1                     it is a new session, unless W-18 or W-19 refuses it
//	no such session, begin 0                     REFUSE, kind PeerGone: the session is over
//
// A session is D's if key and time of D's hello are those with which it began. The number 0 is
// refused with Protocol, the id of another node's session with Denied.
//
// W-31: The new connection takes the place of the one before. If A thinks that the old one still
// stands, A cuts it. A connection that comes late has a number that is not larger. A closes it,
// with or without a REFUSE.
//
// W-32: A may have taken a connection in whose handshake D sent its PROOF, whatever became of the
// WELCOME. So D MUST propose the same id again, with begin 1, until it gets a WELCOME or takes a
// session that A dialled. With begin 0 the id of the last session that is over is zero.
//
// W-33: A connection is cut when it ends and neither side ended the session. The session is
// detached then. It keeps its slots, replies and counts, methods run on, and new calls wait. The
// node that dialled the session dials the same place again, expecting the same node. It dials at
// once, and then with pauses that grow to seconds. The pauses SHOULD be random, so that many
// clients do not come together. The other node cannot dial, so it waits. It MAY let calls fail when
// D has not come back for 5 seconds, unless it is set up otherwise. That does not end the session.
// On the next connection both repeat what may have been lost: see "Calls that come again" and "What
// a cut means".
//
// W-34: A session is over for good
//   - with a close record, for both;
//   - with a protocol error, for the node that found it; for the other by the close record that
//     tells of it;
//   - when it was detached for the length of the session lease, for the node whose clock says so.
//     The lease is 60 seconds unless a node is set up otherwise. A node that has too many detached
//     sessions may end some earlier;
//   - for D, when another node answers at the place, and when A refuses the connection with
//     PeerGone, Protocol or Denied;
//   - for D, when the place refuses connections twice in a row, 200 ms apart: A's key was its
//     process's. TCP, a unix socket or, by ICMP, datagrams say that nobody listens. A node that is
//     set up for places which refuse for a while tries again, and so does D after any other
//     failure;
//   - for either, when W-18 or W-19 puts another session in its place.
//
// Calls in flight have outcome Unknown then, those that were never sent NotExecuted. A node that is
// not told learns it by the lease, by a REFUSE, or by a new session.
//
// # Records
//
// W-40: After WELCOME both sides send records, in any order that the rules below allow:
//
//	1     kind
//	1     flags
//	2     length of the extensions, at most 8192
//	4     length of all that follows these 8 bytes, at most 41018 (58 + 8192 + 32768)
//	h     header of the kind
//	e     extensions
//	n     the rest
//
// W-41: For a known kind, flags that the table does not name MUST NOT be set. For other kinds,
// flags mean nothing.
//
//	kind          flags                        header        the rest
//	1  call       1 fragmented                 58 bytes      payload, unless fragmented
//	2  return     1 fragmented, 2 error,       20 bytes      payload, unless fragmented
//	              4 uncounted
//	3  fragment   1 of a return                slot, number  1 to 32768 bytes of payload
//	4  cancel     1 settle                     slot, number  nothing
//	5  ping                                    token, 8      nothing
//	6  pong                                    token, 8      nothing
//	7  stream                                  none          chunk of the stream lane (W-80),
//	                                                         at most 32768 bytes
//	8  goaway                                  none          notice
//	9  close                                   none          notice
//	10 ack                                     slot, number  nothing
//
// W-42: A kind with the bit 0x80 is skippable: a receiver that does not know it skips the record.
// Any other unknown kind is a protocol error.
//
// W-43: A record MUST have its header and its extensions in full. The rest MUST be what the table
// says.
//
// W-44: Extensions, here and in the handshake, are any number of
//
//	1     type: the bit 0x80 means skippable, as above
//	2     length of the value
//	n     value
//
// Extensions MUST be well formed, of types that the receiver knows or may skip, and in the place
// where they belong.
//
// W-45: The types are
//
//	0x01  target, calls only, at most once: node id (16) and time (8) of the owner; see W-106
//	0x04  connection, D's PROOF only, once: its number (4), from 1, and begin (1), 0 or 1;
//	      see W-20, W-30
//	0x05  order, calls over datagrams only: the call's number (8) on its connection, from 1; see W-60
//	0x82  metadata, calls and returns only, at most once: see W-47
//	0x83  trace, reserved: a trace context
//
// W-46: A call that breaks W-44, W-45 or W-47 is answered with an error of kind Protocol, and
// nothing else follows. Anywhere else that is a protocol error.
//
// W-47: Metadata are key-value pairs that go with a call to its method, or come from the method
// with the return. They are one pair or more, at most 8128 bytes together:
//
//	1     flags: bit 0 (value 1) is passed on; every other bit is 0
//	1+n   key, its length first: at least 1 byte, UTF-8, no control characters (00 to 1f, 7f to 9f
//	      as code points)
//	2+n   value, its length first: any bytes
//
// Keys ascend, bytewise, so none comes twice.
//
// W-48: Pairs that are passed on go with the calls that the method makes, too, flags and all,
// unless the method gives the key another value. The others do not. In a return the flag means
// nothing. A return of a call that did not run has no metadata. That of a call which failed may
// have some. A relay sends metadata on unchanged, both ways. A node that does not know metadata
// skips them, and its caller is not told.
//
// # Calls
//
// The header of a call:
//
//	4     slot
//	4     sequence number
//	16    chain: random at depth 0, and the same for all calls made to serve that call
//	8     object number
//	8     microseconds until the deadline, not 0; more than a day counts as a day
//	4     method: 32-bit FNV-1a hash of its name (start 0x811c9dc5; xor a byte, multiply by
//	      0x01000193), 0 to describe
//	4     references: entries of the table
//	4     length of the table
//	4     length of the body
//	1     depth: 0 for a call from outside, else one more than the depth of the call that is being
//	      served; at most 32
//	1     hops: relays passed, at most 8
//
// The header of a return: slot (4), sequence number (4), and references, length of the table and
// length of the body as above. The payload is the table followed by the body.
//
// W-50: A payload of at most 32768 bytes MAY be in the record of its call or return. Then it MUST
// be as long as its header says. A longer payload MUST travel in fragments, and any other that is
// not empty MAY. Then the record has the flag, and none of the payload.
//
// W-51: A payload MUST be at most as long as the receiver's message limit. Its table MUST have at
// most as many entries as the receiver's hello says. The length of the table is 0 if and only if
// there are no references. A call or return that is announced with more ends the session. So its
// sender looks first: a caller fails the call locally, a callee answers with TooLarge.
//
// W-52: The time until the deadline MUST NOT be 0. A callee measures a call's time by its own
// clock, from the arrival of the header. The calls that a method makes, wherever they go, get its
// deadline, its chain, and its depth plus one.
//
// W-53: The caller numbers its calls in flight by slots. Slots count from 0 and are below the
// number in the callee's hello. Each direction has its own. A slot belongs to one call from the
// call record until the last byte of its return.
//
// W-54: The sequence number of a slot's first call is 1. Each next one is one more, wrapping to 0
// after 2^32-1. A call that was never sent uses no number. So using a slot again says that its last
// return arrived. These are protocol errors, except for calls that come again (W-72): a call in a
// slot that is in use, a call with another number, and a return for a call that is not in flight.
//
// W-55: Calls of depth 0 MUST NOT have more than a quarter of the callee's slots at any moment,
// rounded up: of 16 slots 4, of 18 slots 5. Their count matters, not which slots they have. The
// other slots are for calls of depth above 0. These must not wait for a slot, or cycles of calls
// could deadlock. Without a slot they fail.
//
// W-56: Every call is answered by exactly one return, even if it is cancelled, refused or late. The
// return comes once the call's payload is complete or was cancelled, never before. Returns come in
// any order.
//
// W-57: A callee that has no room for more calls answers with Overloaded and NotExecuted. Calls of
// depth above 0 do not wait in queues there. A call of depth above 32 gets the same answer.
//
// W-58: A one-way call (see W-142) is a call like any other, except that its caller does not wait.
// The return frees the slot, its table counts, and nobody reads it. A one-way call is not sent
// again, so it may be lost.
//
// W-59: Records arrive in the order in which they were sent. Calls begin in the order in which
// their payloads become complete. They run concurrently, unless the object was exported with turns:
// for each caller, or one call at a time. Later small calls may pass a call with a large payload.
// On a new connection calls come again in the order in which they were made.
//
// W-60: Over datagrams, small calls, returns and cancels may come before others that were sent
// earlier. Calls, returns and cancels that are lost are sent again on the same connection. So a
// call may come again after it was answered, or after later ones of its slot.
//
// W-61: The caller gives a call up by a cancel record with its slot and number. It also does so
// when the call's deadline passes. The slot stays taken until the return comes. The callee cancels
// the method's context, and answers when the method returns. A cancel for a call that is answered
// already or not known is no error, because the two may have crossed. The return of a cancelled
// call is whatever the method gave in the end. A caller that has the return MUST NOT send a cancel
// on a later connection: it would ask for the return once more (W-72).
//
// W-62: A cancel for a call whose fragments are not all sent ends them. The caller sends no more,
// what arrived is thrown away, and the return has kind Cancelled and outcome NotExecuted. A
// return's fragments go on to the end.
//
// W-63: Because of W-60, each call over datagrams MUST have a number, by the extension order. It is
// the call's place among the calls sent on the connection, those that come again included, from 1
// and without gaps. It stands in the record that completes the call: its own, or the last fragment
// of its payload. A payload that is cancelled has none. These are protocol errors: a call that is
// completed without a number, a number such that more are missing than calls may be in flight, and
// a number on a fragment of a stream.
//
// W-64: Over datagrams a callee holds back a call to an object with turns until all calls with
// smaller numbers have come. Other calls begin when they come. When too many wait, the call is
// answered with Overloaded and NotExecuted. Calls that are held back when the connection is cut
// have not come. A callee MUST send the return of a call only on a connection on which the call
// came, or a cancel in its place. So no number stays missing.
//
// W-65: Fragments have the slot and number of the call or return that announced them. They come
// after it, in order, cut anywhere, 1 to 32768 bytes each, until the announced lengths are complete
// and no further. Payloads may be interleaved, and other records may come between. Short ones
// SHOULD NOT wait for long ones.
//
// W-66: A payload is under assembly from its header until its last fragment, or its cancel. The sum
// of the announced lengths of those under assembly in one direction, calls and returns, MUST NOT
// exceed the receiver's budget. Both sides count alike without acknowledgements. The sender adds a
// payload when it sends the header, and subtracts it when it has sent the last fragment or the
// cancel. It sends no header that does not fit, and none before the cancel that makes the room.
//
// W-67: A node that makes the peer send answers MUST read them. If many answers wait for that, the
// peer MAY treat it as a protocol error.
//
// # Calls that come again
//
// This holds with the feature resume.
//
// W-70: On a new connection a caller sends, for each call that it may have sent before and whose
// return did not arrive in full:
//
//	if it waits for the call     the call again: slot, number and all else as before, except the
//	                             time that is left
//	if it gave the call up       a cancel
//	if the call is one-way       a cancel with the flag settle
//
// This repairs a call that was lost on the way. A duplicate is recognised by its number.
//
// W-71: At a cut both sides throw away the payloads under assembly. A call whose payload was under
// assembly has not come.
//
// W-72: Let n be the number of the last call that came in a slot, 0 if none did. That call runs
// until its return is made. It is done while its reply is retained, and acknowledged after that.
// What comes for the slot means:
//
//	call n+1    the next call, if n does not run; its header acknowledges n, whatever becomes of
//	            its payload
//	call n      it comes again. That is legal once on each connection later than that on which it
//	            came, and over datagrams at any time. Its payload is taken in and thrown away, and
//	            its table does not count. If it runs, it is answered when it ends; if it is done,
//	            its reply is sent again
//	cancel n    if it runs it is cancelled, or with settle goes on; if it is done, its reply is
//	            sent again
//	cancel n+1  if n does not run: n+1 was lost. It is done without having run, n is acknowledged,
//	            and the reply is an error form, Cancelled and NotExecuted, with the flag uncounted
//	ack n       if it is done, it is acknowledged: the reply is dropped
//
// Other calls are protocol errors. Over datagrams, those with numbers up to n are late and ignored.
// Other cancels and acks mean nothing.
//
// W-73: A reply is sent again as it was, flags and payload, unless it was sent on this very
// connection already. Over datagrams one that is not in fragments is sent then too, and the carrier
// passes on the first. So a caller gets at most one return for a call on one connection. It may get
// the return before its call went out again there, but not over datagrams (W-64). Over datagrams, a
// cancel for a call that was answered on this connection crossed the return, and is ignored. A
// cancel ends the fragments of a call that comes again like those of any other.
//
// W-74: The flag uncounted says that the callee did not take in the table of the call, and never
// will: the payload was cancelled or lost, or had no room. Its entries were not given.
//
// W-75: A callee MUST keep a reply until the call is acknowledged, for as long as the session
// lives. A caller acknowledges by an ack the replies with payload and metadata above 4096 bytes
// whose slots it does not use again at once (a quarter of a second), and once more on a new
// connection. It acknowledges all others too when those not acknowledged are together above 1 MiB,
// or after goaway (W-83). A callee that keeps replies of 32 MiB, or of what it is set up for,
// refuses new calls with Overloaded and NotExecuted.
//
// # The other records
//
// W-80: Stream: the chunks of one direction, joined, are the stream lane. It is a byte stream of
// yamux, version 0; D is its client, A its server. A node that announces 0 open streams need not
// implement it and MUST NOT be sent any. In this version only multicast depends on it. Beyond
// yamux's rules, these end the session: streams past the limit, data past a window, and floods of
// pings. Each connection has a lane of its own, and streams end with it.
//
// W-81: A ping is answered at once by a pong with the same token. A node that received no byte for
// 5 seconds sends a ping. After 15 seconds without a byte, or with a write that makes no progress,
// it cuts the connection.
//
// W-82: Goaway and close have a notice: 1 byte, an error kind, and text as in REFUSE.
//
// W-83: After goaway the sender takes no new calls of depth 0 (PeerGone, NotExecuted). Calls whose
// headers it had before, and what they cause, go on. With the feature resume, the receiver MUST
// acknowledge every reply that it has, of whatever size, and each later one as soon as it has it.
// The sender may wait for that before it closes. Goaway is sent again on each new connection.
//
// W-84: Close is the last record. The session is over, calls in flight have outcome Unknown, and
// both sides close the connection without an answer. The sender SHOULD end its direction of the
// connection first, and read until the peer has ended the other, or for a second: a TCP connection
// that is closed with bytes unread discards what was written last. The kind is PeerGone unless
// there is a better one, and 0 means PeerGone too. Protocol is for W-1. An end of the connection
// without close is a cut, or without the feature resume the same as close.
//
// # What a cut means
//
// A part of a record counts for nothing. So a cut during a record is like one before it.
//
//	cut                   before it                         after it
//	1  call               it is sent again, and is new      it is sent again; it runs, or its reply
//	                                                        comes
//	   fragmented         the same                          it is sent again, and is new
//	2  return             the call is sent again, and       nothing: the caller has it
//	                      then the return
//	   fragmented         the same                          as before it
//	3  fragment, of call  the call is sent again from its   as before it; if it was the last, as
//	                      header on, and is new             after a call
//	   of return          the call is sent again, and then  as before it; if it was the last, as
//	                      the return from its header on     after a return
//	4  cancel             it is sent again                  it is sent again: twice is as once; the
//	                                                        return comes
//	5  ping               nothing: silence is counted       the same
//	                      from 0
//	6  pong               the same                          the same
//	7  stream             the chunk is lost, and the        the streams end. Nothing is sent again,
//	                      streams end                       and the sender does not know what
//	                                                        arrived. Who needs a stream opens
//	                                                        another, with its window full
//	8  goaway             it is sent again                  the same: twice is as once
//	9  close              a cut: the peer learns it by a    the session is over for both
//	                      REFUSE, or by the lease
//	10 ack                it is sent again, above 4096      the same: twice is as once
//	                      bytes; else the slot's next use
//	                      says it
//
// One-way calls are the exception to the first rows: they are settled, not sent again. A call may
// end by its deadline while there is no connection. If it was never sent it is NotExecuted,
// otherwise Unknown.
//
// # Multicast
//
// W-90: Values for many receivers of a node travel on a stream, at most one in each direction of a
// connection. The sender opens it for its first packet. It carries nothing the other way. It begins
// with the eight bytes "EVNT", 1 for the version, 0, 0, 0. A stream that begins otherwise, or not
// within 10 seconds, is reset.
//
// W-91: Then come packets, with v for an unsigned LEB128 varint. A malformed one ends the session.
//
//	4     length of what follows
//	v     count of receivers, 1 to 4096
//	v     each receiver's number less the one before it; the first less 0; never 0, so they ascend
//	2     length of the head, at most 1024
//	n     head: for the receivers to interpret
//	v     references: entries of the table
//	v, n  length of the table, and the table; only if there are references
//	n     body: an array of one value, as the arguments of a call, or nothing
//
// W-92: Table and body together are at most the receiver's message limit, and the entries at most
// as many as its hello says. A table or a body that cannot be used costs this packet only.
//
// W-93: A node gives out the numbers of its receivers. Those who send to them learn the numbers by
// calls, as in package callback. Numbers that the node does not know are skipped: those receivers
// may have just ended. The stream's window is the only flow control: a receiver takes packets as
// they come.
//
// # References
//
// W-100: A table has as many entries as the header says and nothing else. Each entry is a u16
// length and a reference of that length, in the form that package refs specifies:
//
//	1     flags: 1 VIA, 2 COMPLETED, 4 VIA_COMPLETED, 8 UDP, 16 VIA_UDP; every other bit is 0
//	16    node id of the owner, zero for a well-known object
//	8     time: start of the owner, as in its hello, signed; 0 for a well-known object
//	8     object number; those below 65536 are well known, others random
//	2     port; 0 for a unix socket and for an owner that does not listen
//	1+n   host, its length first; empty if the owner does not listen or the receiver is to fill it in
//	1+n   name of the interface, its length first; for people, may be empty
//	16    fingerprint of the interface, zero if not known
//
//	only with VIA:
//	16    node id of the relay, not zero
//	2     port of the relay
//	1+n   host of the relay, its length first
//
// Hosts are DNS names, IPv4 addresses, IPv6 addresses without brackets, and sockets ("/path" or
// "@name", with port 0). UDP says that the owner's port is one of UDP, where the carrier is that of
// package datagram. VIA_UDP says so of the relay's port. Without the flag the port is of TCP.
//
// W-101: A malformed table fails its call with kind Protocol, not the connection.
//
// W-102: Two references are to one object if node, time and number are equal.
//
// W-103: A node that listens but does not know its host sends it blank (empty, with a port). The
// receiver fills in the host by which it reached the sender or saw it come from, "127.0.0.1" over a
// unix socket. The same holds for a relay's host. A loopback host that was filled in so is made
// blank again when the reference is sent on. The two COMPLETED flags are for storage. Senders leave
// them 0, and receivers take a host marked so for blank.
//
// W-104: To call an object, use the session with its owner if there is one, whoever dialled it.
// Else dial the owner, expecting its node id; or, if it does not listen, its relay. A reference
// without node id goes to whoever answers at the place. The time only tells objects apart: a call
// to an object of an earlier start finds another node, or NoSuchObject.
//
// W-105: A node that hands on a reference whose owner is another node and does not listen sets VIA
// to itself. It does not if the receiver is the owner or the relay, or if the reference has a relay
// that listens already.
//
// W-106: Calls to a relay carry the target extension. A relay relays calls to these objects and no
// others: those whose reference it handed on with itself as VIA, while that was not given back; and
// those that it bound a name to, while the name is its own. It sends header and body on in a slot
// of its own, with hops plus 1, the time that is left, the chain, depth and metadata as they were,
// and the table made fit for the next receiver by the rules above. It does the same with the
// return. It refuses at 8 hops. A target that is the receiver itself is an ordinary call.
//
// # Leases
//
// W-110: Each entry of a table, in a call, a return or a multicast packet, counts as one reference
// given to its receiver. It counts when the payload or packet is complete, whatever then becomes of
// the body. These count for nothing: a payload that was cancelled, a table of which the return says
// uncounted, and a malformed table. What comes again does not count again. If a cut may have lost a
// packet, nobody can say whether it arrived, and its sender takes its entries for given. Entries
// without node id do not count. Every other one does: the receiver's own objects too, and objects
// that the sender does not hold itself. Counts belong to the session.
//
// W-111: An owner MUST keep an object callable at least while a session has references to it that
// were not given back, and while the owner holds it itself: because it exported it until further
// notice, or bound a name to it (W-152).
//
// W-112: A node that hands on a reference that it holds MUST keep its own until the receiver gave
// back what it was handed.
//
// Object 2 of every node, called on the session whose counts it is about, is
//
//	Clean  (batch uint64, own list of Count, others list of CountOf)      0xf8a56cde
//	Dirty  (batch uint64, own list of uint64) list of uint32              0x57addc3b
//	Linger (own list of uint64, others list of Object)                    0xe5f20c5e
//
//	Count   tuple (object number uint64, count uint32)
//	CountOf tuple (node id byte array of 16, time int64, object number uint64, count uint32)
//	Object  tuple (node id byte array of 16, time int64, object number uint64)
//
// W-113: Clean gives references back. own are to the callee's objects, others to anybody else's
// that the callee handed to the caller. Counts are differences, since the last Clean. The callee
// takes none back that it did not give, ignores what it does not know, and takes no more than there
// is. A holder SHOULD send what it gives back within some seconds, many in a call.
//
// W-114: Dirty counts one reference more to each of the callee's objects in own: others handed them
// to the caller. It returns the positions in own, from 0, of those that the callee does not export.
// These are not counted. Then, not before, the caller gives back what it was handed. A node that is
// handed a reference SHOULD do so when it has a session with the owner. If the owner listens, it
// SHOULD look for such a session before its session with the node that handed the reference on is
// over.
//
// W-115: Batches are numbered for each session and direction, from 1, in one sequence for both
// methods. A caller has one under way at a time. If it does not learn what became of a batch, it
// sends it again under its number, unchanged. A callee takes each number in once. It gives the last
// one's answer again, and ignores lower numbers.
//
// W-116: Linger says that the caller is about to close. It handed on these references, which it has
// from the callee. The callee keeps what the session holds of them for one lease, 60 seconds, after
// the session is over. In that time the others can register.
//
// W-117: When a session is over for good, all that was given on it counts as given back. A node
// that held an object only through it holds it no more. A caller whose callee answers with
// NoSuchObject gives nothing back on that session. A node that never calls object 2 is a peer like
// any other.
//
// # Bodies
//
// W-120: A call's body is one MessagePack array of the arguments, a return's one of the results.
// Context and error are left out: a method without results returns an empty array. A variadic
// parameter is an array. With the flag error the body is an error form.
//
// W-121: A receiver refuses bodies that are not exactly one value, nest deeper than 64 (the outer
// array counts), declare more than 1,048,576 elements (keys and values count) or more memory than
// it grants, or have ext types other than the two below. These are defaults; a node may be set up
// otherwise. W-133 says which kinds of errors that gives. Numbers and lengths may have any of
// MessagePack's forms, whatever their width.
//
// W-122: Values travel by the kind of their type. The kinds are those of descriptions, which tell a
// caller what a method takes:
//
//	kind                        value
//	1 bool                      bool
//	2 to 5 int8 ... int64       integer, signed or unsigned code; out of range is an error
//	6 to 9 uint8 ... uint64     integer, likewise
//	10 float32, 11 float64      float of that width; readers take either, and integers up to 2^53
//	12 string                   str
//	13 bytes                    bin
//	14 byte array               bin of exactly that length
//	15 time                     ext -1, MessagePack's timestamp (4, 8 or 12 bytes)
//	16 reference                ext 1, 2 bytes: u16, index into the table; nil for none
//	17 error                    error form; kind 0 if it was no error of this protocol; nil for none
//	18 any                      array of a registered type's name and a value; nil for none
//	19 list                     array; nil for none
//	20 array                    array of exactly that length
//	21 map                      map; no key twice
//	22 struct                   map by field name; unknown keys are skipped, missing ones are zero,
//	                            none twice
//	23 tuple                    array of the fields' values; may be longer or shorter: more fields
//	                            come at the end
//	24 remote interface, func   as 16
//	25 binary form              bin: what the type makes of itself; readers take str too
//	26 text form                bin, though it is text, UTF-8; readers take str too
//	27 custom                   whatever the type itself reads
//
// A nil stands for the zero value of every kind. A pointer is what it points to, or nil. The same
// reference needs only one entry in the table. The fields of a struct within a struct may count as
// the outer one's (embedded structs, in Go). Such a struct has no value of its own: its fields
// stand among the others, or, if there is no inner struct, none of them.
//
// W-123: Go's int is kind 5 and its uint kind 9, on every machine. A type that is defined as
// another (type Cents int64) has the kind of that. A Go type may have methods for a form of its
// own. Its kind is the first that fits: 27 with methods for MessagePack, 25 with MarshalBinary and
// UnmarshalBinary, 26 with MarshalText and UnmarshalText. Of the standard library, url.URL and
// netip's Addr, AddrPort and Prefix have the binary form; net.IP, big.Int, big.Float, big.Rat,
// regexp.Regexp and slog.Level the text form. A parameter's description says which it has, with the
// type's name: a node of another make has to know what the type writes.
//
// W-124: These names for 18 are known from the start: bool, string, []byte, int, int8, int16,
// int32, int64, uint, uint8, uint16, uint32, uint64, float32, float64, time.Time, time.Duration
// (kind 5), []any, []string, map[string]any, refs.Ref. A name with "*" in front is a pointer to
// that type.
//
// # Errors
//
// W-130: The error form is an array [kind, outcome, text, op, identities]. Readers skip further
// elements. Kind and outcome are integers, text and op strings (at most 64 KiB; op may be empty).
//
// W-131: Identities is an array of at most 16 entries. [name, nil] is a sentinel that both sides
// know. [name, bin] is a typed error, whose value as MessagePack is in the bin. ["rmi.Error", bin]
// is an error of this protocol inside another; the bin holds [kind, outcome, op, text] or more.
// Unknown names are skipped. Known from the start: context.Canceled, context.DeadlineExceeded,
// errors.ErrUnsupported, fs.ErrClosed, fs.ErrExist, fs.ErrInvalid, fs.ErrNotExist,
// fs.ErrPermission, io.EOF, io.ErrClosedPipe, io.ErrUnexpectedEOF, net.ErrClosed,
// os.ErrDeadlineExceeded. An error that a method returned has kind Application and outcome
// Executed, whatever it is itself. But if the call's deadline had passed, and the error says that,
// it has kind Deadline and outcome Executed.
//
// W-132: The kinds are
//
//	1   Invalid          6   NoSuchMethod     11  Deadline         16  Application
//	2   NotBound         7   BadArguments     12  Cancelled        17  Mismatch
//	3   AlreadyBound     8   TooLarge         13  ConnectFailed    18  Closed
//	4   NoSuchObject     9   Denied           14  PeerGone         19  Protocol
//	5   StaleReference   10  Overloaded       15  Panic            20  Internal
//
// W-133: A callee or relay answers with
//
//	NoSuchObject   for an object that it does not export, and a target that it does not relay
//	NoSuchMethod   for a method that the object does not have
//	BadArguments   for a body that is malformed or does not fit the parameters
//	Protocol       for a malformed table, and for extensions (W-46)
//	TooLarge       for arguments past a limit of W-121, or past the object's own: a registry takes
//	               bodies of 64 KiB; for results, or references among them, past the caller's limits
//	Overloaded     where there is no room for the call or its payload, and where its time ran out
//	               in a queue
//	Invalid        past 8 hops
//	Panic          for a method that crashed
//	Deadline,      for a call that ended so before its method began
//	Cancelled
//
// A payload past the limits of the callee's hello is not answered: it ends the session (W-51).
//
// W-134: Outcomes are 0 Unknown (it may have run), 1 NotExecuted (it did not and will not), 2
// Executed (it ran to its end). The outcome of an answer is NotExecuted before the method began,
// and Executed from then on. Unknown kinds are kept as numbers. Unknown outcomes are Unknown.
//
// # Descriptions and agreement
//
// W-140: Method 0, called with an empty array, exists for every object and returns [bin]: the
// object's description. A client that passes a callback MUST answer method 0 for it, unless it
// knows the fingerprint that the owner expects.
//
// W-141: A description is
//
//	description: [1, name, [type...], [method...]]
//	type:        [kind, name, elem, key, len, [[field name, type]...], [method...]]
//	method:      [name, variadic, [type of each parameter...], [type of each result...],
//	              [flags, timeout]]
//
// A type stands as its index in the list of types. Trailing parts of a type that are 0 or empty are
// left out. elem is for kinds 19 to 21, key for 21, len for 14 and 20, fields for 22 and 23,
// methods for 24. Names of types are for people. Methods are sorted by name, bytewise; a func has
// one, "Call". The limits are 64 KiB, 4096 types, 255 methods, 255 parameters. Readers skip further
// elements.
//
// W-142: The last part of a method is its semantics: what becomes of its calls when messages are
// lost. It is left out if both numbers are 0. It counts for the methods of the object itself, not
// for those of remote interfaces within. Flags are 1 idempotent (a call with outcome Unknown may be
// made again) and 2 one-way (its caller does not wait; it has no results, and its error is
// dropped). Others mean nothing. Timeout is the time in microseconds for calls whose callers do not
// say one, at most 1,800,000,000; 0 for the caller's default. All of it is for the caller, who may
// wait, and make no call twice.
//
// W-143: A caller agrees with an owner if its methods are a subset of the owner's with equal arity,
// and types are of equal kind (and len), recursively. Structs are compared by the field names that
// both have. Tuples are compared by the positions that both have, where the names MUST be equal
// too. For remote interfaces in parameters the subset is the other way round, since the owner calls
// them. The flag variadic plays no part in it: the parameter stands there as kind 19.
//
// W-144: Equal fingerprints need no comparison; otherwise a caller SHOULD ask for the description
// before its first call, but not of objects 1 and 2.
//
// W-145: The fingerprint is the first 16 bytes of a SHA-256 over the interface's methods. Let v be
// an unsigned LEB128 varint, str be v(length) and the bytes, H[t] be the hash of type t. Methods
// are v(count), and for each, in order, str(name), v(count) and H of each parameter, v(count) and H
// of each result. H[t] begins as the SHA-256 of the kind as one byte. It is then replaced 64 times,
// for all types at once from the values of the round before, by the SHA-256 of: the kind as one
// byte, v(len), and
//
//	19 list, 20 array   v(1), H[elem]
//	21 map              v(2), H[key], H[elem]
//	22 struct           v(count), and for each field, sorted by name, str(name), H[type]
//	23 tuple            v(count), and for each field, in order, str(name), H[type]
//	24 remote           its methods, as above
//
// W-146: If methods of the interface itself have semantics, not 0 and 0, its fingerprint is instead
// the first 16 bytes of another SHA-256. It is over the 9 bytes "semantics", the 16 of the
// fingerprint made as above, and for each of these methods, in order, str(name), the flags as one
// byte and the timeout as u64. So a caller that does not know the semantics asks for the
// description, and learns them. It does the same with well-known objects, of which it has no
// fingerprint, except objects 1 and 2.
//
// # The registry
//
// W-150: Object 1 of a node that runs a registry, addressed without node id and time, is a remote
// interface like any other:
//
//	Bind   (name string, e Entry)                            0x30ad5f4e   AlreadyBound if the name
//	                                                                      is taken; see below
//	Rebind (name string, e Entry)                            0x6ce63aa7   takes the name in any case
//	Unbind (name string, only reference)                     0x04cfadf9   NotBound; nil: whatever is
//	                                                                      bound
//	Lookup (name string) Entry                               0x69ab10ab   NotBound
//	List   (prefix string, after string, limit int64) Page   0x8d2937a1
//	Acquire(claims list of Claim) list of Grant              0x05cc05b3   an answer for each claim,
//	                                                                      in order
//	Renew  (held list of Held) list of Lost                  0x9a23808e
//	Release(held list of Held) list of Lost                  0x6d1e9b1e
//
//	Entry    struct {Ref: reference, Description: bytes}
//	Page     struct {Names: list of NameInfo, More: bool}
//	NameInfo struct {Name: string, Interface: string}
//	Claim    struct {Name: string, Entry: Entry, Lease: int64, Replace: bool, Held: uint64}
//	Grant    struct {Revision: uint64, Lease: int64, Refused: error}
//	Held     struct {Name: string, Revision: uint64}
//	Lost     struct {Index: int64, Now: uint64, Unbound: bool, By: string}
//
// Package registry says which names are legal. The registry's errors come as Application with an
// identity "rmi.Error" of the kind above. The usual port is 1099. What a registry does not let the
// caller do it refuses with Denied: the whole call if there is no name for which it would let it,
// else the claim or the name. Renew and Release concern what the calling node itself acquired, and
// nothing else. A node that does not have a name gets it by Held only if Rebind would give it to
// that node. It takes the name from a node that is cut off only if both have the same principal, or
// Rebind would give it the name.
//
// W-151: Description is that of the object, as its method 0 returns it, semantics included. Its
// fingerprint (W-145, W-146) is the one in the reference. Description is empty if it is not known,
// or too long for a call of the registry. Then a node that looks the name up asks the object, as
// W-144 says.
//
// W-152: A registry keeps nobody's object alive. It gives back what it was handed (W-113), and
// holds nothing but the reference's bytes, apart from those that it relays (W-105). A node that
// binds a name MUST keep what it binds for as long as the name is bound: its own object callable,
// and of another node's object a reference that it does not give back.
//
// W-153: Unbind with a reference removes the name only if it is bound to that object. List returns
// names that begin with prefix and come behind after, in the order of their bytes. It returns at
// most limit (0 is 100) and at most 1000. More says that others follow.
//
// W-154: What Bind and Rebind bind stays until it is unbound or rebound, or the registry ends. What
// Acquire binds is leased. When the lease was not renewed for its length, the name counts as not
// bound from that moment on. A claim asks for a Lease in nanoseconds, 0 for the registry's default,
// 20 seconds. The grant says which one was given, at least a second. The registry measures it by a
// monotonic clock. Renew when a quarter of it is over, all names in one call.
//
// W-155: Each time a name is bound it gets a revision, higher than all that the registry gave
// before, to other names too. Begin with the nanoseconds since 1970 when the registry starts, so
// that this holds for the registry before it too.
//
// W-156: A claim whose Held is 0 is refused (Refused is then an error form of kind AlreadyBound) if
// the name is bound. It is granted all the same if Replace is true, or if what is bound is leased
// and the connection of the node that acquired it is cut. The latter holds for Bind too. Any other
// Held is the revision under which the claimant had the name before. Such a claim is granted if
//
//   - the name is bound with that revision, or was bound with it last, and the lease lapsed;
//   - the last binding of the name is what the same claim, of the same node for the same object
//     with the same Held, got before, and the answer was lost;
//   - the last binding of the name was claimed with a Held lower than this one, and both are of the
//     registry before this one: the other node came back first, and had not heard that this one
//     took the name from it; or
//   - the registry remembers no binding of the name.
//
// Else it is refused. The kind is NotBound if somebody, whoever it was, unbound the last binding of
// the name. It is AlreadyBound if that binding was somebody else's, leased or not, still bound or
// lapsed. The registry remembers how the last binding of a name ended for some minutes. Other kinds
// of refusals are those of Bind.
//
// W-157: Renew and Release answer with those of the list, by their index from 0, that are not held
// with the revision given. Now is the revision of what is bound in its place. By says to people
// what that is and where. The node that had the name then stops. It also stops if Unbound, because
// somebody unbound the name (By says who), and if Now is that of a later binding which lapsed. A
// node that may not know the revision is told 1 as Now, and an empty By. If Now is 0 and Unbound
// false, the lease lapsed, or the registry is a new one, and the name may be claimed again with
// Held. Release removes the others, as an orderly end does. Acquire, Renew and Release take at
// most 1000 entries, and 64 KiB.
//
// # Versions
//
// W-170: Within a version may be added: skippable kinds and extensions; feature bits (so far 0,
// resume), which may bring anything that is used only where both hellos have the bit; error kinds,
// outcomes, identities, elements at the end of error forms, descriptions and types; well-known
// objects; methods of the registry; texts, and rules that say which one a close record cites.
//
// W-171: What changes the meaning or the place of what stands here needs a new version number. The
// magic and the message format of HELLO never change, so that versions can be agreed on. Error
// kinds, record kinds and type kinds are never given a second meaning, nor are the numbers of
// rules: one that is dropped leaves a gap.
//
// # A worked example
//
// D, whose key is made from the seed 00 01 ... 1f, calls Null() of an object of A, key from 20 21
// ... 3f, over TCP without TLS. Lines are hexadecimal.
//
//	476f524d490a                                                      # D: magic
//	010078 0001 0001 0000000000000000                                 # D: HELLO, versions, features
//	03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8  # key
//	d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1  # nonce
//	24f6ed6acbfe80098030d7ca567c33ca 17979cfe362a0000                 # expected node, time
//	00400000 01000000 00010000 00004000 0100 0000                           # limits, no extensions
//	476f524d490a                                                      # A: magic
//	010078 0001 0001 0000000000000000                                 # A: HELLO
//	29acbae141bccaf0b22e1a94d34d0bc7361e526d0bfe12c89794bc9322966dd7  # key
//	a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1  # nonce
//	00000000000000000000000000000000 17979cfe362a0000                 # expects nobody, time
//	00400000 01000000 00010000 00004000 0100 0000                           # limits
//	020062                                                            # A: PROOF, signature
//	439ed48b65a81af13836915c0dbed9dda6226ccdb37f2380dbfbe9db7442d7dc
//	3d0f1046aa79a7f0f3e4aa6516b97ebc4a60c300b2a7f4e4ed64ad07516a6607
//	00000000000000000000000000000000 00000000000000000000000000000000 0000
//	020062                                                            # D: PROOF, signature
//	8abf5ca3117f362a196a0f529810ff4c85183dbada40beb2836d8fc69a1e479c
//	66081f2c48b92f8f3dede1b6b55956d564220d79f5f5ebf84997fcdff2836300
//	e0e1e2e3e4e5e6e7e8e9eaebecedeeef 00000000000000000000000000000000 0000
//	030012 e0e1e2e3e4e5e6e7e8e9eaebecedeeef 0000                      # A: WELCOME
//	01 00 0000 0000003b 00000000 00000001                             # D: call, slot 0, number 1
//	c0c1c2c3c4c5c6c7c8c9cacbcccdcecf 9f3c5d7e11aa22bb                 # chain, object
//	0000000001c9c380 f73397c4 00000000 00000000 00000001              # 30 s, Null, payload
//	00 00 90                                                          # depth, hops, body
//	02 00 0000 00000015 00000000 00000001                             # A: return
//	00000000 00000000 00000001 90                                     # payload, body
package wire
