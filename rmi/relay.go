package rmi

import (
	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// relay passes a call on to the owner of its object, or to the next relay, and the reply back,
// both with their metadata.
// Bodies pass undecoded. The tables of references are made to fit the next hop. rs is the call's
// table as it arrived.
//
// A node relays calls of objects whose references it handed on, for as long as somebody holds
// these, and no other calls.
func (n *Node) relay(in *transport.Incoming, rs []refs.Ref) {
	h := in.Header
	ref, ok := n.leases.table.Relay(refID(in.Extensions, h))
	if ok {
		defer n.leases.Unpin(ref.ID)
	}
	if err := n.authorizeOnward(in, ref); err != nil {
		in.Fail(err)
		return
	}
	if !ok {
		in.Fail(fault.New(KindNoSuchObject, OutcomeNotExecuted, "this node relays no such object: it never handed a reference to it on, or nobody holds it any more"))
		return
	}
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
	retained := false
	defer func() {
		if retained {
			reply.Detach()
		} else {
			reply.Release()
		}
	}()
	results, err := n.receive(to.session, reply.References, reply.Table)
	if err != nil {
		in.Fail(fault.Add(err, fault.OutcomeExecuted))
		return
	}
	defer n.decoded(results)
	back := n.translate(results, in.Session)
	table, failed := n.results(in.Session, back, reply.Body)
	if failed != nil {
		in.Fail(failed)
		return
	}
	retained = in.Relay(reply.Failed, len(back), table, reply.Body, reply.Metadata)
}

// passOn sends a call on its way to the owner of its object and returns the reply. A call
// that came too late to the next relay is sent once more, to the owner itself.
func (n *Node) passOn(in *transport.Incoming, h wire.CallHeader, ref refs.Ref, rs []refs.Ref) (to route, reply transport.Reply, failed *Error) {
	for {
		to, err := n.route(in.Context(), ref)
		if err != nil {
			return to, reply, fault.Add(err, fault.OutcomeNotExecuted)
		}
		reply, failed := n.passTo(to, in, h, ref, rs)
		if failed != nil || !reply.Failed || !to.relay {
			return to, reply, failed
		}
		if !n.overtaken(to, ref.ID.Node, n.errorOf(reply).Kind) {
			return to, reply, nil
		}
		n.tableDropped(to.session, reply.References, reply.Table)
		reply.Release()
	}
}

// passTo sends a call on a route and returns the reply.
func (n *Node) passTo(to route, in *transport.Incoming, h wire.CallHeader, ref refs.Ref, rs []refs.Ref) (reply transport.Reply, failed *Error) {
	ctx := in.Context()
	req := &transport.Request{Header: h, Body: in.Body()}
	req.Deadline, _ = ctx.Deadline()
	reply, err := n.transmit(ctx, req, to, ref, n.translate(rs, to.session), in.Metadata())
	if err != nil {
		return reply, fault.Add(err)
	}
	return reply, nil
}

// translate makes references that arrived fit to be sent on a session, and
// counts them.
func (n *Node) translate(rs []refs.Ref, to *transport.Session) []refs.Ref {
	if len(rs) == 0 {
		return nil
	}
	on := make([]refs.Ref, len(rs))
	for i, r := range rs {
		on[i] = n.give(r, to)
	}
	return on
}

// results returns the table of the references in a reply's body, counted already. They are
// taken back if the session would refuse to send the reply.
func (n *Node) results(to *transport.Session, on []refs.Ref, body []byte) ([]byte, *Error) {
	table, err := wire.AppendTable(nil, on)
	if size := len(table) + len(body); err == nil && size > to.PeerMessage() {
		err = fault.New(KindTooLarge, OutcomeExecuted, "%d bytes of results: the caller accepts %d in one message (its Options.Limits.Message)", size, to.PeerMessage())
	}
	if err != nil {
		n.ungive(to, on...)
		return nil, fault.Add(err, fault.OutcomeExecuted)
	}
	return table, nil
}
