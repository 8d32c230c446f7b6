package rmi

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// side is a node's side of a session as the codec sees it: it turns remote
// values that are sent into references, and references that arrive into values.
type side struct {
	n    *Node
	s    *transport.Session
	peer atomic.Pointer[Peer] // of the connection that the session has, or had last
}

var (
	_ wire.Exporter  = (*side)(nil)
	_ wire.Forwarder = (*side)(nil)
	_ wire.Importer  = (*side)(nil)
)

// attach makes the side of a new session; it is found again by sideOf.
func (n *Node) attach(s *transport.Session) any {
	return &side{n: n, s: s}
}

func sideOf(s *transport.Session) *side { return s.Attached().(*side) }

// ExportRef implements wire.Exporter. A proxy gives its reference; anything
// else is an object of this node, which is exported for as long as the session
// lives.
func (x *side) ExportRef(v reflect.Value, i *wire.Interface) (refs.Ref, error) {
	n := x.n
	if c := n.proxies.CoreOf(v); c != nil {
		if c.Caller == proxy.Caller(n) {
			return n.outgoing(c.Ref(), x.s), nil
		}
		if c.Ref().Listens() { // another node of this process: its reference serves anybody
			return c.Ref().Outgoing(), nil
		}
	}
	e, err := n.exports.Hold(i, v, x.s, func(e *skeleton.Export) { e.Extra = new(served) })
	if err != nil {
		return refs.Ref{}, err
	}
	if x.s.Err() != nil { // ended meanwhile: nobody would give the hold back
		n.exports.Gone(x.s)
	}
	return n.refTo(e), nil
}

// ForwardRef implements wire.Forwarder.
func (x *side) ForwardRef(r refs.Ref) refs.Ref { return x.n.outgoing(r, x.s) }

// outgoing makes a reference to another node's object fit to be sent on s. A
// reference that its receiver could not use, because the owner listens nowhere,
// gets this node as its relay, unless it has one that listens.
func (n *Node) outgoing(r refs.Ref, s *transport.Session) refs.Ref {
	peer := s.Peer()
	switch {
	case r.ID.Node == n.ID():
		r.Endpoint, r.Completed = n.Endpoint(), false
	case r.Listens(), r.ID.Node == peer, r.Via.Node == peer:
	case r.Via.Node == n.ID(), !r.Via.Node.IsZero() && r.Via.Listens():
	default:
		n.relays.add(r)
		r.Via = refs.Via{Node: n.ID(), Endpoint: n.Endpoint()}
	}
	return r.Outgoing()
}

// ImportRef implements wire.Importer. A reference that comes home becomes the
// original object, any other a proxy. Nothing is dialled.
func (x *side) ImportRef(r refs.Ref, i *wire.Interface) (reflect.Value, error) {
	return x.n.resolve(r, i)
}

// resolve returns the value that a reference, complete already, stands for.
func (n *Node) resolve(r refs.Ref, i *wire.Interface) (reflect.Value, error) {
	if r.ID.Node == n.ID() {
		e := n.exports.Get(r.Object)
		if e == nil || r.Time != n.time {
			return reflect.Value{}, &Error{Ref: r, Interface: i.Name, Kind: NoSuchObject, Outcome: NotExecuted, Msg: "the reference is to an object of this node that is not exported any more"}
		}
		v := e.Value()
		for v.Kind() == reflect.Interface {
			v = v.Elem()
		}
		if !v.Type().AssignableTo(i.Type) {
			return reflect.Value{}, &Error{Ref: r, Interface: i.Name, Kind: Mismatch, Outcome: NotExecuted, Msg: fmt.Sprintf("the reference is to this node's own %v, which is no %v", v.Type(), i.Type)}
		}
		return v, nil
	}
	c, err := n.proxies.Get(r, i, n)
	if err != nil {
		return reflect.Value{}, err
	}
	return c.Value(), nil
}

// parseTable reads a table that arrived on s; blank hosts are filled in.
func parseTable(table []byte, count uint32, s *transport.Session) ([]refs.Ref, error) {
	rs, err := wire.ParseTable(table, count)
	for i, r := range rs {
		rs[i] = r.Complete(s.PeerHost())
	}
	return rs, err
}

// relays are the references of objects whose owners listen nowhere that this
// node handed on. It relays calls to these and to no others, while it has a
// session with the owner (or with the next relay).
type relays struct {
	mu   sync.Mutex
	byID map[refs.ID]refs.Ref
}

// maxRelays bounds the table; a reference handed on past it cannot be used.
const maxRelays = 1_000_000

func (r *relays) add(ref refs.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byID == nil {
		r.byID = make(map[refs.ID]refs.Ref)
	}
	// Whoever knows an object can name a relay for it: the first one stays.
	if _, known := r.byID[ref.ID]; !known && len(r.byID) < maxRelays {
		r.byID[ref.ID] = ref
	}
}

func (r *relays) get(id refs.ID) (refs.Ref, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ref, ok := r.byID[id]
	return ref, ok
}

// gone drops the references that were reached through a node.
func (r *relays) gone(n refs.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, ref := range r.byID {
		if id.Node == n || ref.Via.Node == n {
			delete(r.byID, id)
		}
	}
}
