package rmi

import (
	"fmt"
	"runtime/debug"

	"gormi/refs"
	"gormi/rmi/access"
	"gormi/rmi/audit"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/skeleton"
)

// authorize asks the gates about a call of an object of this node, and returns nil if it may run.
// e is nil if the object is not exported. Package access says what is asked, and what not.
func (n *Node) authorize(in *transport.Incoming, e *skeleton.Export) *Error {
	node, object := n.opts.Authorize, access.Gate(nil)
	if e != nil {
		object = e.Extra.(*served).Authorize
	}
	if node == nil && object == nil || in.Header.Object == refs.LeaseObject {
		return nil
	}
	c := callOf(in)
	if e != nil {
		c.Interface = e.Interface.Name
		if m := e.Interface.ByID(in.Header.Method); m != nil {
			c.Method = m.Name
		}
	}
	if n.passes(node, in, c) && n.passes(object, in, c) {
		return nil
	}
	return n.denied(c)
}

// authorizeOnward is authorize for a call that this node relays to the object of ref, which is
// zero if it relays to no such object.
func (n *Node) authorizeOnward(in *transport.Incoming, ref refs.Ref) *Error {
	if n.opts.Authorize == nil {
		return nil
	}
	c := callOf(in)
	c.Onward, c.Interface = true, ref.Interface.Name
	if n.passes(n.opts.Authorize, in, c) {
		return nil
	}
	return n.denied(c)
}

// callOf is what a gate is told of every call.
func callOf(in *transport.Incoming) access.Call {
	s, relayed := in.Session, in.Header.Hops > 0
	return access.Call{Principal: s.Principal(), Node: s.Peer(), Local: s.Local() && !relayed, Relayed: relayed, Object: in.Header.Object}
}

// passes asks a gate. One that panics denies.
func (n *Node) passes(g access.Gate, in *transport.Incoming, c access.Call) (ok bool) {
	if g == nil {
		return true
	}
	returned := false
	defer func() {
		if !returned {
			v := recover() // nil of runtime.Goexit, by which the transport answers
			n.opts.Logger.Error("an Authorize function panicked, and so denies", "interface", c.Interface, "method", c.Method, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			ok = false
		}
	}()
	ok = g(in.Context(), c)
	returned = true
	return ok
}

// denied notes a call that a gate denies, and returns the answer to it. It is the same whether
// the object is exported or not: it says nothing but what the peer knows.
func (n *Node) denied(c access.Call) *Error {
	e := audit.Event{Kind: audit.CallDenied, Principal: c.Principal, Node: c.Node, Interface: c.Interface, Method: c.Method}
	if c.Onward {
		e.Reason = "to be relayed"
	}
	n.transport.Note(e)
	if c.Principal == transport.Anonymous {
		return fault.New(KindDenied, OutcomeNotExecuted, "the node does not know who you are, and does not let such peers call this: "+
			"connect with a certificate of an authority that it trusts (rmi.TLSFromEnv), or ask who runs it (its Options.Authorize or ExportOptions.Authorize)")
	}
	return fault.New(KindDenied, OutcomeNotExecuted, "the node does not let %.255q call this: ask who runs it (its Options.Authorize or ExportOptions.Authorize)", c.Principal)
}
