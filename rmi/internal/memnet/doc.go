// Package memnet is a network in memory, for tests that cut, delay and
// partition connections.
//
// A [Network] has hosts, known by name, and hosts listen and dial as they would
// with [net.ListenConfig] and [net.Dialer]: the methods have the same shape, so
// whatever takes those takes a [Host]. Connections behave as TCP's do where a
// program can tell: bytes are buffered, a full buffer blocks the writer, a
// closed peer is end of file after the last byte, errors are [*net.OpError]
// around the errno or sentinel that package net would use.
//
// # Time
//
// There is no goroutine, no descriptor and no clock here but package time's.
// Everything that waits waits on a channel made by the network, or on a timer,
// so a network made inside a testing/synctest bubble runs on virtual time and
// lets the bubble become idle. Do not carry a network into a bubble.
//
// # Hosts
//
// A host is made by naming it; a name may be anything without a colon. Blank
// hosts, "localhost", "0.0.0.0", "::", and loopback addresses mean the host
// that uses them. Addresses always carry the host's name, so that what a
// listener says of itself can be dialled from every host. Methods of the
// Network itself stand on the host "localhost", but listen on any.
//
// # Where it is kinder than TCP
//
// Closing a connection with unread bytes does not reset it; a writer learns
// that its peer has closed at once, whatever the delay; and buffers are not
// acknowledged across the link, so latency does not limit throughput.
package memnet
