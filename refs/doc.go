// Package refs says what a reference to a remote object is, and how it is written down.
//
// A [Ref] has two parts: who the object is, and how to use it. The identity is [ID]: the owner's
// node id, the time the owner started, and the number of the object there. Two references with
// equal ID name the same object. The rest tells how to use the object (the interface) and how to
// reach its owner. That is the owner's host and port. For an owner that does not listen, it is the
// relay nearest to it. This rest may differ between two references to one object.
//
// # The object number is a capability
//
// Whoever knows the number of an object can call it. So numbers are random, except the well-known
// ones below [ReservedObjects]. And they are left out wherever a reference is printed: by String,
// GoString, every verb of package fmt that asks the value how to print itself, and slog. Three ways
// lead past this, and callers must avoid them:
//
//   - [Ref.MarshalText], [Ref.AppendBinary] and [ObjNum.Hex] give the full form, because a
//     reference must be able to travel. encoding/json uses the first of them. So do not hand a
//     struct that holds references to a JSON log whole.
//   - Package fmt prints unexported fields without asking them. So a type that stores a reference
//     in such a field needs a String method of its own.
//   - Package fmt asks nobody for the verbs %p and %w on a value that is neither pointer nor error.
//     go vet reports these.
//
// # Wire form
//
// Integers are big endian. The lengths count bytes.
//
//	size  field
//	1     flags: 1 VIA, 2 COMPLETED, 4 VIA_COMPLETED, 8 UDP, 16 VIA_UDP; every other bit is 0
//	16    node id of the owner, all zero for a well-known object
//	8     time: start of the owner, nanoseconds since 1970 UTC, signed; 0 for a well-known object
//	8     object number
//	2     port; 0 for a unix socket and for an owner that does not listen
//	1     length of the host
//	n     host; empty when the owner does not listen, or when the receiver is to fill it in
//	1     length of the interface's name
//	n     interface's name
//	16    fingerprint of the interface, all zero when not known
//
//	only with the flag VIA:
//	16    node id of the relay, never all zero
//	2     port of the relay
//	1     length of the relay's host
//	n     relay's host
//
// Nothing follows: a message with several references gives the length of each. A reader refuses
//   - a flag that it does not know, and a byte too many or too few;
//   - a host that [ValidHost] refuses, a host with port 0 that is no unix socket, and a unix socket
//     with a port;
//   - an interface name that is not printable UTF-8;
//   - COMPLETED with a host that is not an IP host on loopback, and UDP with port 0;
//   - VIA_COMPLETED and VIA_UDP likewise for the relay's place, and either of them without VIA.
//
// Hence every Ref has one wire form. The longest takes [MaxBinary] bytes.
//
// UDP says that the owner's port is a UDP port, where it speaks in datagrams, and not a TCP port.
// VIA_UDP says so of the relay's port. A reader that is older than these two flags refuses a
// reference that has one: it could not dial it.
//
// A blank host with a port means: the owner listens, on the machine that sent this reference. The
// receiver fills in the address by which it reached the sender ([Ref.Complete]). If that address is
// loopback, the reference is of use only on this machine. So the receiver remembers that it filled
// the host in, and sends it on blank ([Ref.Outgoing]). The two COMPLETED flags keep that memory for
// a reference in storage. On a connection they are not set. A receiver that gets a host with the
// flag completes it as if it were blank.
//
// # Text form
//
//	ref         = "rmi+ref://" place "/" node "/" time "/" object "/" name "/" fingerprint
//	              [ "?" params ]
//	place       = "" / [ "udp:" ] [ host ] ":" port / socket
//	host        = DNS name / IPv4 address / "[" IPv6 address [ "%25" zone ] "]"
//	socket      = path or "@" name of a unix socket, escaped ("%2Frun%2Fx.sock")
//	port        = 1*5DIGIT                 ; 1 to 65535, no leading zero
//	node        = "-" / UUID               ; lower case; "-" is the zero id
//	time        = [ "-" ] 1*19DIGIT        ; nanoseconds since 1970 UTC
//	object      = 16HEXDIG                 ; lower case
//	name        = *escaped                 ; name of the interface
//	fingerprint = "-" / 32HEXDIG           ; lower case; "-" is the zero fingerprint
//	params      = param *( "&" param )     ; each at most once, in this order
//	param       = "completed" / "via=" node "@" place / "via-completed"
//
// In socket, zone and name, a byte stands for itself if it is an ASCII letter, a digit or one of
// - . _ ~. In name, the bytes ( ) [ ] * , stand for themselves too. Every other byte is written as
// "%" and two upper-case hexadecimal digits. Every Ref has one text form. [Parse] refuses any other
// spelling of it, and also what the wire form refuses.
//
//	rmi+ref://bank.example:7000/6ba7b810-9dad-81d1-80b4-00c04fd430c8/1700000000000000000/9f3c5d7e11aa22bb/bank.Account/-
//	rmi+ref://localhost:1099/-/0/0000000000000001/registry.Registry/-
//	rmi+ref://udp:sensor.example:7000/6ba7b810-9dad-81d1-80b4-00c04fd430c8/1700000000000000000/9f3c5d7e11aa22bb/Sensor/-
//
// String prints another form. It has no time and no fingerprint, and … in place of the object
// number. Parse refuses it:
//
//	rmi+ref://bank.example:7000/6ba7b810/…/bank.Account
package refs
