// Package memnet is a network in memory, for tests that cut, delay and partition connections.
//
// A [Network] has hosts, known by name. Hosts listen and dial as they would with
// [net.ListenConfig] and [net.Dialer]. The methods are the same, so whatever takes those takes
// a [Host]. Connections behave as TCP's do where a program can see it. Bytes are buffered. A
// full buffer blocks the writer. A closed peer is end of file after the last byte. Errors are
// [*net.OpError] around the errno or sentinel that package net would use.
//
// # Time
//
// There is no goroutine, no descriptor and no clock here except package time's. Everything that
// waits waits on a channel made by the network, or on a timer. So a network made inside a
// testing/synctest bubble runs on virtual time and lets the bubble become idle. Do not carry a
// network into a bubble.
//
// # Hosts
//
// A host exists once it is named. A name may be anything without a colon. Blank hosts,
// "localhost", "0.0.0.0", "::", and loopback addresses mean the host that uses them. Addresses
// always contain the host's name. So every host can dial the address that a listener returns.
// Methods of the Network itself act on the host "localhost", but listen on any.
//
// # Where it is kinder than TCP
//
// Closing a connection with unread bytes does not reset it. A writer learns at once that its
// peer has closed, whatever the delay. Buffers are not acknowledged across the link, so latency
// does not limit throughput.
package memnet
