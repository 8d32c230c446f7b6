package rmi

import (
	"reflect"
	"runtime"
	"slices"
	"sync"

	"gormi/proxy"
	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/multicast"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// side is a node's side of a session as the codec sees it: it turns remote
// values that are sent into references, and references that arrive into values.
//
// It counts every reference that it sends when the reference is made (package lease says how), so
// that the object is there when the receiver gets it. ungive undoes that for what is then not sent.
type side struct {
	n      *Node
	s      *transport.Session
	sender multicast.Sender
	leases intake
}

var (
	_ codec.Exporter  = (*side)(nil)
	_ codec.Forwarder = (*side)(nil)
	_ codec.Repeater  = (*side)(nil)
	_ codec.Importer  = (*side)(nil)
	_ codec.Importer  = (*keeping)(nil)
	_ codec.Keeper    = (*keeping)(nil)
)

// attach makes the side of a new session; it is found again by sideOf.
func (n *Node) attach(s *transport.Session) any {
	return &side{n: n, s: s}
}

// Multicast is the session's part in multicast.
func (x *side) Multicast() *multicast.Sender { return &x.sender }

func sideOf(s *transport.Session) *side { return s.Attached().(*side) }

// ExportRef implements codec.Exporter. A proxy gives its reference; anything
// else is an object of this node, which is exported for as long as the peer
// holds it.
func (x *side) ExportRef(v reflect.Value, i *codec.Interface) (refs.Ref, error) {
	n := x.n
	// A proxy of another node of this process will do if anybody can use its reference.
	if c := holderOf(&n.proxies, v); c != nil && (nodeOf(c) == n || c.Ref().Listens()) {
		r := n.give(c.Ref(), x.s)
		runtime.KeepAlive(c) // what it holds is handed on now
		return r, nil
	}
	e, err := n.exports.Hold(i, v, x.s, func(e *skeleton.Export) { e.Extra = &served{to: x.s.Peer()} })
	if err != nil {
		return refs.Ref{}, err
	}
	n.forgetEnded(x.s)
	return n.refTo(e), nil
}

// holderOf is what stands behind v, and holds its object, if v is a proxy.
func holderOf(t *proxy.Table, v reflect.Value) *proxy.Core {
	c := t.CoreOf(v)
	if c != nil && c.Refresh != nil {
		return c.Target()
	}
	return c
}

// ForwardRef implements codec.Forwarder.
func (x *side) ForwardRef(r refs.Ref) refs.Ref { return x.n.give(r, x.s) }

// RepeatRef implements codec.Repeater.
func (x *side) RepeatRef(r refs.Ref) { x.n.ungive(x.s, r) }

// give counts a reference that is about to be sent on s, and makes it fit for
// its receiver.
func (n *Node) give(r refs.Ref, s *transport.Session) refs.Ref {
	out, relayed := n.outgoing(r, s)
	if r.ID.Node == n.ID() {
		n.exports.Give(r.Object, s)
	} else {
		n.leases.table.Hand(s, r, relayed)
	}
	n.forgetEnded(s)
	return out
}

// ungive undoes give, or ExportRef, for references that the peer never received.
func (n *Node) ungive(s *transport.Session, rs ...refs.Ref) {
	for _, r := range rs {
		if r.ID.Node == n.ID() {
			n.exports.Take(s, lease.Count{Object: r.Object, N: 1})
		} else {
			n.leases.table.Unhand(s, r.ID)
		}
	}
}

// ungiver returns a func that does ungive once, nil if there is nothing to undo. The caller may
// reuse rs.
func (n *Node) ungiver(s *transport.Session, rs []refs.Ref) func() {
	if len(rs) == 0 {
		return nil
	}
	rs = slices.Clone(rs)
	return sync.OnceFunc(func() { n.ungive(s, rs...) })
}

// forgetEnded undoes what was counted on a session that ended meanwhile: nobody else would.
func (n *Node) forgetEnded(s *transport.Session) {
	if s.Err() != nil {
		n.sessionGone(s)
	}
}

// outgoing makes a reference to another node's object fit to be sent on s. If the owner listens
// nowhere, the receiver could not use the reference. Then this node becomes its relay, unless it
// has a relay that listens. s may be nil, for any receiver.
func (n *Node) outgoing(r refs.Ref, s *transport.Session) (out refs.Ref, relayed bool) {
	to := func(id refs.NodeID) bool { return s != nil && s.Peer() == id }
	switch {
	case r.ID.Node == n.ID():
		r.Endpoint, r.Completed = n.Endpoint(), false
	case r.Listens(), to(r.ID.Node), to(r.Via.Node):
	case r.Via.Node != n.ID() && !r.Via.Node.IsZero() && r.Via.Listens():
	default: // it leads through this node, from now on or since it was handed on before
		relayed = true
		r.Via = refs.Via{Node: n.ID(), Endpoint: n.Endpoint()}
	}
	return r.Outgoing(), relayed
}

// receive reads and counts a table that came on s, and fills in blank hosts.
// What is in it is held until n.decoded is called with the result.
func (n *Node) receive(s *transport.Session, count uint32, table []byte) ([]refs.Ref, error) {
	rs, err := wire.ParseTable(table, count)
	if err != nil || len(rs) == 0 {
		return nil, err
	}
	remote := s.Remote()
	for i, r := range rs {
		rs[i] = r.Complete(s.PeerHost()).From(s.PeerHost(), remote)
	}
	n.leases.start()
	if err := n.leases.table.Receive(s, rs); err != nil {
		return nil, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "this node holds as many of the peer's references as it may, a fixed limit: %w", err)
	}
	n.forgetEnded(s)
	return rs, nil
}

// decoded ends the hold of receive: from here on proxies hold.
func (n *Node) decoded(rs []refs.Ref) {
	if len(rs) > 0 {
		n.leases.table.Decoded(rs)
	}
}

// tableDropped counts and gives back the table of a frame that came in full and
// whose body nobody will decode. It does not block.
func (n *Node) tableDropped(s *transport.Session, count uint32, table []byte) {
	if rs, err := n.receive(s, count, table); err == nil {
		n.decoded(rs)
	}
}

// ImportRef implements codec.Importer. A reference to an object of this node becomes that object,
// any other a proxy. Nothing is dialled.
func (x *side) ImportRef(r refs.Ref, i *codec.Interface) (reflect.Value, error) {
	return x.n.resolve(r, i)
}

// keeping is a side that decodes values that outlive their table: results. They reach the program
// after their table was given back. A table of arguments is held while the method runs.
type keeping side

// ImportRef implements codec.Importer.
func (x *keeping) ImportRef(r refs.Ref, i *codec.Interface) (reflect.Value, error) {
	return x.n.resolve(r, i)
}

// KeepRef implements codec.Keeper: the program may want a proxy for the reference.
func (x *keeping) KeepRef(r refs.Ref) { x.n.leases.table.Keep(r.ID) }

// Hold makes the owner keep the object of a reference exported, as a proxy does, until
// release is called. It is for programs that store references as values, or offer them to
// others as the binder of a name does. If the owner listens nowhere, n relays calls of the
// object for whoever has the reference.
//
// A reference that came as a value of type refs.Ref can be held, or made a proxy by Resolve,
// for a limited time: 30 s if it was a result or in an event; while the method runs if it was
// an argument. After that the owner may have collected the object.
func (n *Node) Hold(r refs.Ref) (release func()) {
	if r.ID.Node == n.ID() {
		e := n.exports.PinNum(r.Object)
		if e == nil {
			return func() {}
		}
		return sync.OnceFunc(func() { n.exports.Unpin(e) })
	}
	n.leases.start()
	_, relayed := n.outgoing(r, nil)
	n.leases.table.Offer(r, relayed)
	n.leases.table.Taken(r.ID)
	return sync.OnceFunc(func() { n.leases.table.Withdraw(r.ID) })
}

// resolve returns the value that a reference, complete already, stands for.
func (n *Node) resolve(r refs.Ref, i *codec.Interface) (reflect.Value, error) {
	if r.ID.Node == n.ID() {
		e := n.exports.Get(r.Object)
		if e == nil || r.Time != n.time {
			return reflect.Value{}, fault.Add(fault.New(fault.KindNoSuchObject, fault.OutcomeNotExecuted, "the reference is to an object of this node that is not exported any more"), fault.At(r), fault.Of(i.Name))
		}
		v := e.Value()
		for v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if !v.Type().AssignableTo(i.Type) {
			return reflect.Value{}, fault.Add(fault.New(fault.KindMismatch, fault.OutcomeNotExecuted, "the reference is to this node's own %v, which is no %v", v.Type(), i.Type), fault.At(r), fault.Of(i.Name))
		}
		return v, nil
	}
	c, err := n.proxies.Get(r, i, (*proxyCaller)(n))
	if err != nil {
		return reflect.Value{}, err
	}
	return c.Value(), nil
}
