package rmi

import (
	"reflect"
	"runtime"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/multicast"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// multicastHost is the node as package multicast sees it.
type multicastHost Node

var _ multicast.Host = (*multicastHost)(nil)

// Limits implements multicast.Host.
func (h *multicastHost) Limits() *wire.Limits { return &h.limits }

// Live implements multicast.Host.
func (h *multicastHost) Live(id refs.NodeID) *transport.Session { return h.transport.Live(id) }

// Pin implements multicast.Host.
func (h *multicastHost) Pin(v reflect.Value, i *codec.Interface) (r refs.Ref, unpin func(), err error) {
	return (*Node)(h).pin(v, i, refs.NodeID{})
}

// pin returns a reference to a remote value for no session in particular. Until unpin is called
// the object stays exported, or held. to is for whom it is, zero for many.
func (n *Node) pin(v reflect.Value, i *codec.Interface, to refs.NodeID) (r refs.Ref, unpin func(), err error) {
	// A proxy of another node of this process will do if anybody can use its reference.
	if c := holderOf(&n.proxies, v); c != nil && (nodeOf(c) == n || c.Ref().Listens()) {
		r := c.Ref()
		n.leases.Pin(r)
		runtime.KeepAlive(c)
		return r, func() { n.leases.Unpin(r.ID) }, nil
	}
	e, err := n.exports.Pin(i, v, 0, func(e *skeleton.Export) { e.Extra = &served{to: to} }, nil)
	if err != nil {
		return refs.Ref{}, nil, err
	}
	return n.refTo(n.exports.Known(e)), func() { n.exports.Unpin(e) }, nil
}

// Give implements multicast.Host.
func (h *multicastHost) Give(s *transport.Session, r refs.Ref) refs.Ref { return (*Node)(h).give(r, s) }

// Ungive implements multicast.Host.
func (h *multicastHost) Ungive(s *transport.Session, rs ...refs.Ref) { (*Node)(h).ungive(s, rs...) }

// Receive implements multicast.Host.
func (h *multicastHost) Receive(s *transport.Session, count uint32, table []byte) ([]refs.Ref, error) {
	return (*Node)(h).receive(s, count, table)
}

// Decoded implements multicast.Host.
func (h *multicastHost) Decoded(rs []refs.Ref) { (*Node)(h).decoded(rs) }

// Importer implements multicast.Host.
func (h *multicastHost) Importer(s *transport.Session) codec.Importer { return (*keeping)(sideOf(s)) }
