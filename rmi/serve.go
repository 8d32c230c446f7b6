package rmi

import (
	"errors"
	"fmt"
	"strings"

	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// describe is the method that every object has: it returns the description of
// its interface.
const describe wire.MethodID = 0

// server is the node as the transport's handler.
type server struct{ n *Node }

var _ transport.Handler = server{}

// Route implements transport.Handler.
func (v server) Route(in *transport.Incoming) (transport.Threading, *transport.Turn) {
	if v.relayed(in) {
		return transport.Concurrent, nil
	}
	e := v.n.exports.Get(in.Header.Object)
	if e == nil || in.Header.Method == describe {
		return transport.Concurrent, nil
	}
	x := e.Extra.(*served)
	if x.Threading == Serial {
		return Serial, &x.turn
	}
	return x.Threading, nil
}

// relayed reports whether a call is for another node.
func (v server) relayed(in *transport.Incoming) bool {
	return in.Extensions.Relay && in.Extensions.Node != v.n.ID()
}

// Serve implements transport.Handler.
func (v server) Serve(in *transport.Incoming) {
	n := v.n
	if v.relayed(in) {
		n.relay(in)
		return
	}
	e := n.exports.Get(in.Header.Object)
	if e == nil {
		in.Fail(fault.New(NoSuchObject, NotExecuted, "the object is not exported (any more): look its name up again"))
		return
	}
	if err := n.serve(in, e); err != nil {
		err.Interface = e.Interface.Name
		in.Fail(err)
	}
}

// serve answers a call of an object of this node, or returns why not.
func (n *Node) serve(in *transport.Incoming, e *skeleton.Export) *Error {
	enc := wire.NewEncoder(sideOf(in.Session), &n.limits)
	kept := false
	defer func() {
		if !kept {
			enc.Release()
		}
	}()
	if in.Header.Method == describe {
		b, err := e.Interface.Description().MarshalBinary()
		if err == nil {
			err = wire.EncodeAny(enc, []any{b})
		}
		if err != nil {
			return fault.New(Internal, NotExecuted, "%w", err)
		}
		kept = in.Reply(0, nil, enc.Body())
		return nil
	}
	m := e.Interface.ByID(in.Header.Method)
	if m == nil {
		return fault.New(NoSuchMethod, NotExecuted, "%s has no method with the id %#x; it has %s", e.Interface.Name, uint32(in.Header.Method), methodNames(e.Interface))
	}
	if limit := e.Extra.(*served).MaxMessage; limit > 0 && len(in.Body()) > limit {
		return fault.New(TooLarge, NotExecuted, "%d bytes of arguments: the object accepts %d", len(in.Body()), limit)
	}
	table, err := parseTable(in.Table(), in.Header.Payload.References, in.Session)
	if err != nil {
		return asError(err, NotExecuted)
	}
	dec, err := wire.NewDecoder(in.Body(), table, sideOf(in.Session), &n.limits)
	if err != nil {
		return asError(err, NotExecuted)
	}
	defer dec.Release()
	if err := e.Serve(in.Context(), m, dec, enc); err != nil {
		err.Method = m.Name
		var p *skeleton.PanicError
		if err.Kind == Panic && errors.As(err, &p) {
			n.opts.Logger.Error("a method panicked", "interface", e.Interface.Name, "method", m.Name, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
		}
		return err
	}
	out, err := wire.AppendTable(nil, enc.Refs())
	if err != nil {
		return asError(err, Executed)
	}
	kept = in.Reply(len(enc.Refs()), out, enc.Body())
	return nil
}

func methodNames(i *wire.Interface) string {
	var names []string
	for _, m := range i.Methods {
		names = append(names, m.Name)
	}
	return strings.Join(names, ", ")
}

// asError makes an Error with the outcome given of err.
func asError(err error, o Outcome) *Error {
	var f *Error
	if errors.As(err, &f) {
		c := *f
		c.Outcome = o
		return &c
	}
	return &Error{Kind: Internal, Outcome: o, Err: err}
}

// relay passes a call on to the owner of its object, or to the next relay, and
// the reply back. Bodies pass undecoded; the tables of references are made to
// fit the next hop.
func (n *Node) relay(in *transport.Incoming) {
	x := in.Extensions
	h := in.Header
	ref, ok := n.relays.get(refID(x, h))
	if !ok {
		in.Fail(fault.New(NoSuchObject, NotExecuted, "this node relays no such object: it never handed a reference to it on, or its owner is gone"))
		return
	}
	if h.Hops >= wire.MaxHops {
		in.Fail(fault.New(Invalid, NotExecuted, "the call passed %d relays, as many as it may", wire.MaxHops))
		return
	}
	ctx := in.Context()
	to, err := n.route(ctx, ref)
	if err != nil {
		in.Fail(asError(err, NotExecuted))
		return
	}
	table, err := n.translate(in.Table(), h.Payload.References, in.Session, to.session)
	if err != nil {
		in.Fail(asError(err, NotExecuted))
		return
	}
	deadline, _ := ctx.Deadline()
	h.Hops++
	reply, err := to.session.Call(ctx, &transport.Request{
		Header: h, Extensions: to.extension(ref), References: int(h.Payload.References), Table: table, Body: in.Body(), Deadline: deadline,
	})
	if err != nil {
		in.Fail(asError(err, OutcomeOf(err)))
		return
	}
	kept := false
	defer func() {
		if kept {
			reply.Detach()
		} else {
			reply.Release()
		}
	}()
	back, err := n.translate(reply.Table, reply.References, to.session, in.Session)
	if err != nil {
		in.Fail(asError(err, Executed))
		return
	}
	kept = in.Relay(reply.Failed, int(reply.References), back, reply.Body)
}

// translate makes a table that arrived on one session fit to be sent on another.
func (n *Node) translate(table []byte, count uint32, from, to *transport.Session) ([]byte, error) {
	rs, err := parseTable(table, count, from)
	if err != nil {
		return nil, err
	}
	for i, r := range rs {
		if r.ID.Node == n.ID() {
			if e := n.exports.Get(r.Object); e != nil {
				n.exports.HoldExport(e, to)
			}
		}
		rs[i] = n.outgoing(r, to)
	}
	return wire.AppendTable(nil, rs)
}
