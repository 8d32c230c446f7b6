package rmi

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// route is how to reach a reference's owner.
type route struct {
	session *transport.Session
	relay   bool // session's peer is not the owner
}

// extension is what a call on the route to ref's owner carries.
func (r route) extension(ref refs.Ref) []byte {
	if !r.relay {
		return nil
	}
	return wire.AppendTarget(nil, ref.ID.Node, ref.Time)
}

func refID(x wire.Extensions, h wire.CallHeader) refs.ID {
	return refs.ID{Node: x.Node, Time: x.Time, Object: h.Object}
}

// route finds a session to a reference's owner: one that exists, whoever
// dialled it; by dialling the owner; or through the relay that the reference names.
func (n *Node) route(ctx context.Context, r refs.Ref) (route, error) {
	owner := r.ID.Node
	if !owner.IsZero() {
		if s := n.transport.Live(owner); s != nil {
			return route{session: s}, nil
		}
	}
	if r.Listens() || r.Via.Node.IsZero() {
		s, err := n.dial(ctx, r.Endpoint, owner, r.Origin)
		return route{session: s}, err
	}
	s, err := n.dial(ctx, r.Via.Endpoint, r.Via.Node, r.Origin)
	return route{session: s, relay: true}, err
}

// dial returns the session with a node at an endpoint. If a peer chose the endpoint, and the call is
// made on behalf of a peer, its error does not say what the dial met. That peer may be the same,
// and methods return the texts of such errors. The log has it.
func (n *Node) dial(ctx context.Context, ep refs.Endpoint, node refs.NodeID, from refs.Origin) (*transport.Session, error) {
	s, err := n.transport.SessionFor(ctx, ep, node, from)
	if err == nil || transport.SessionOf(ctx) == nil {
		return s, err
	}
	public := fault.Public(err)
	if public != err {
		n.transport.DialFailed(ep, err)
	}
	return nil, public
}

// routeOf is route, remembered in the proxy if it leads to the owner itself. A route through a
// relay ends once there is a session with the owner. This node then registers with the owner and
// gives back what it holds through the relay, and the relay relays no more.
func (n *Node) routeOf(ctx context.Context, c *proxy.Core) (route, error) {
	if r, ok := c.Cache.Load().(route); ok && r.session.Err() == nil {
		return r, nil
	}
	r, err := n.route(ctx, c.Ref())
	if err == nil && !r.relay {
		c.Cache.Store(r)
	}
	return r, err
}

// overtaken reports whether a call came too late to its relay. While the call was on its way, this
// node began to hold the object from its owner, and gave back what it held through the relay. kind
// is that of the peer's error.
func (n *Node) overtaken(to route, owner refs.NodeID, kind Kind) bool {
	return kind == KindNoSuchObject && to.relay && n.transport.Live(owner) != nil
}

// Whose default a deadline is.
const (
	byNode  = "Options.Timeout"
	byOwner = "the owner's, for this method"
)

// late adds to the error of a call that its default deadline has passed. It leaves other errors as
// they are.
func late(err error, limit time.Duration, whose string) error {
	var f *Error
	if !errors.As(err, &f) || f.Kind != KindDeadline || f.Origin == fault.OriginPeer && f.Outcome != OutcomeExecuted {
		return err
	}
	note := fmt.Sprintf("within the default of %v (%s): give the context a deadline of its own", limit, whose)
	switch {
	case f.Outcome == fault.OutcomeUnknown && f.Msg != "" && f.Err != nil: // the connection is lost, as it says
		return fault.Add(f, fault.Cause(errors.New("no reply "+note)))
	case f.Outcome == fault.OutcomeExecuted:
		return fault.Add(f, fault.Msg("the method did not end by itself "+note))
	case f.Outcome == fault.OutcomeUnknown:
		return fault.Add(f, fault.Msg("no reply "+note), fault.Cause(nil))
	case f.Msg == "":
		return fault.Add(f, fault.Msg("not sent "+note), fault.Cause(nil))
	}
	return fault.Add(f, fault.Cause(errors.New("not sent "+note)))
}

// describe asks an object for the description of its interface.
func (n *Node) describe(ctx context.Context, r refs.Ref, to route) (*codec.Description, error) {
	var x exchange
	x.begin(n, to)
	if err := x.send(ctx, r, describe, codec.EncodeAny(x.enc, nil)); err != nil {
		return nil, err
	}
	defer x.end()
	out, err := codec.DecodeAny(x.dec)
	if err != nil {
		return nil, fault.Add(err, fault.OutcomeNotExecuted)
	}
	if len(out) == 1 {
		if b, ok := out[0].([]byte); ok {
			return codec.ParseDescription(b)
		}
	}
	return nil, fault.New(KindProtocol, OutcomeNotExecuted, "W-140: the object's description of itself is malformed")
}
