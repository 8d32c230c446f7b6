// Package access has the words of access control: what a node asks before it runs a call.
//
// A gate is a function that says whether a peer may make a call: rmi.Options.Authorize is asked
// about every call that arrives at a node, and rmi.ExportOptions.Authorize about those of one
// object. Without a gate everybody may call what has a reference to it. With both, both must
// allow. A gate is asked after the call's references were counted and before any argument is
// decoded:
//
//	gate := func(ctx context.Context, c access.Call) bool {
//		switch c.Interface {
//		case "bank.Account":
//			return c.Principal == "spiffe://bank/teller" || c.Method == "Balance"
//		}
//		return false
//	}
//	node := rmi.NewNode(&rmi.Options{TLS: config, Authorize: gate})
//
// A gate is best written so that it denies what it does not know, as this one does: it says more
// about unknown objects below.
//
// # What passes a gate
//
//  1. Every call of a method or a function that this node exported or passed, be it one-way,
//     nested, a callback, or of the registry that the node serves.
//  2. A request for the description of an object's interface, and a call of a method that the
//     interface does not have: Method is "".
//  3. A call of an object that is not exported: Interface and Method are "".
//  4. A call of another node's object that this node relays: Onward is true, and Method is "".
//
// Not asked about are:
//
//  1. The calls by which nodes give references back (rmi/lease.go). They concern what the peer was
//     given already, and run none of the program's code. If a gate could deny them, objects would
//     stay exported for ever.
//  2. Events that arrive on a stream: this node subscribed to them.
//  3. Calls that a program makes of its own objects, without a proxy.
//
// # What the caller is told
//
// A call that a gate denies fails with rmi.KindDenied and rmi.OutcomeNotExecuted. A call of an
// object that is not exported fails with rmi.KindNoSuchObject, if Options.Authorize allows it
// (rule 3). Else it gets the answer of a call that is denied, word for word, and after the same
// question. So somebody who guesses numbers of objects, and whom Options.Authorize allows
// nothing, cannot tell which objects there are. Numbers of objects are random, but for the
// well-known ones, and a guess finds none in practice. That is why ExportOptions.Authorize may
// be told apart: its Denied says that there is an object. A call that is denied is an event of
// package audit.
//
// # What a gate costs
//
// A Call is passed by value, and costs no allocation. A gate runs on the call's goroutine, in its
// turn if the object's calls take turns, and many run at once. It should not wait for anything. One
// that panics denies.
package access

import (
	"context"

	"gormi/refs"
)

// Gate tells whether a call may run. ctx is the call's: rmi.PeerFrom tells more of the peer.
type Gate func(ctx context.Context, c Call) bool

// Call is a call that arrived.
type Call struct {
	// Principal is who calls: see rmi.PeerInfo. If the call was relayed, that is the relay.
	Principal string

	// Node is the peer's node.
	Node refs.NodeID

	// Local says that the peer is on this machine: its connection came over loopback or a unix
	// socket. A call that was relayed is not Local.
	Local bool

	// Relayed says that the call came through a relay, which has let the caller in.
	Relayed bool

	// Onward says that the object is another node's, and that this node relays calls to it.
	Onward bool

	// Object is the object's number. refs.RegistryObject is the registry's.
	Object refs.ObjNum

	// Interface is the name of the interface as which the object is exported: "bank.Account".
	Interface string

	// Method is the method's name. That of a func is "Call".
	Method string
}
