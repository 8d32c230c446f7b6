package rmi

import (
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// relay passes a call on to the owner of its object, or to the next relay, and
// the reply back. Bodies pass undecoded; the tables of references are made to
// fit the next hop. rs is the call's table as it arrived.
//
// A node relays calls to what it handed on to be called through it, for as long
// as somebody holds that, and to nothing else.
func (n *Node) relay(in *transport.Incoming, rs []refs.Ref) {
	h := in.Header
	ref, ok := n.keeper.table.Relay(refID(in.Extensions, h))
	if !ok {
		in.Fail(fault.New(KindNoSuchObject, OutcomeNotExecuted, "this node relays no such object: it never handed a reference to it on, or nobody holds it any more"))
		return
	}
	defer n.keeper.Unpin(ref.ID)
	if h.Hops >= wire.MaxHops {
		in.Fail(fault.New(KindInvalid, OutcomeNotExecuted, "the call passed %d relays, as many as it may", wire.MaxHops))
		return
	}
	h.Hops++
	to, reply, failed := n.passOn(in, h, ref, rs)
	if failed != nil {
		in.Fail(failed)
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
	results, err := n.receive(to.session, reply.References, reply.Table)
	if err != nil {
		in.Fail(asError(err, OutcomeExecuted))
		return
	}
	defer n.decoded(results)
	back, table, err := n.translate(results, in.Session)
	if err == nil {
		err = n.fits(in.Session, table, reply.Body)
	}
	if err != nil {
		n.ungive(in.Session, back...)
		in.Fail(asError(err, OutcomeExecuted))
		return
	}
	kept = in.Relay(reply.Failed, len(back), table, reply.Body)
}

// passOn sends a call on its way to the owner of its object and returns the reply. A call
// that came too late to the next relay is sent once more, to the owner itself.
func (n *Node) passOn(in *transport.Incoming, h wire.CallHeader, ref refs.Ref, rs []refs.Ref) (to route, reply transport.Reply, failed *Error) {
	for {
		to, err := n.route(in.Context(), ref)
		if err != nil {
			return to, reply, asError(err, OutcomeNotExecuted)
		}
		reply, failed := n.passTo(to, in, h, ref, rs)
		if failed != nil || !reply.Failed || !to.relay {
			return to, reply, failed
		}
		f, err := codec.ParseError(reply.Body, &n.limits)
		if err != nil || !n.overtaken(to, ref.ID.Node, f.Kind) {
			return to, reply, nil
		}
		n.tableDropped(to.session, reply.References, reply.Table)
		reply.Release()
	}
}

// passTo sends a call on a route and returns the reply.
func (n *Node) passTo(to route, in *transport.Incoming, h wire.CallHeader, ref refs.Ref, rs []refs.Ref) (reply transport.Reply, failed *Error) {
	on, table, err := n.translate(rs, to.session)
	if err != nil {
		n.ungive(to.session, on...)
		return reply, asError(err, OutcomeNotExecuted)
	}
	deadline, _ := in.Context().Deadline()
	unsent := n.ungiver(to.session, on)
	reply, err = to.session.Call(in.Context(), &transport.Request{
		Header: h, Extensions: to.extension(ref), References: len(on), Table: table, Body: in.Body(), Deadline: deadline, Uncounted: unsent,
	})
	if err == nil {
		return reply, nil
	}
	if unsent != nil && OutcomeOf(err) == OutcomeNotExecuted { // it was not sent
		unsent()
	}
	return reply, asError(err, OutcomeOf(err))
}

// translate makes references that arrived fit to be sent on a session, and
// counts them.
func (n *Node) translate(rs []refs.Ref, to *transport.Session) (on []refs.Ref, table []byte, err error) {
	if len(rs) == 0 {
		return nil, nil, nil
	}
	on = make([]refs.Ref, len(rs))
	for i, r := range rs {
		on[i] = n.give(r, to)
	}
	table, err = wire.AppendTable(nil, on)
	return on, table, err
}

// fits tells what the session would refuse to send as results, so that the
// references among them can be taken back.
func (n *Node) fits(to *transport.Session, table, body []byte) error {
	if size := len(table) + len(body); size > to.PeerMessage() {
		return fault.New(KindTooLarge, OutcomeExecuted, "%d bytes of results: the caller accepts %d in one message (its Options.Limits.Message)", size, to.PeerMessage())
	}
	return nil
}
