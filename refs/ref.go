package refs

import (
	"errors"
)

// Interface says which interface the holder of a reference uses it by.
type Interface struct {
	Name        string // "bank.Account"; for people, no part of any comparison
	Fingerprint Fingerprint
}

// Via is a relay: a node that forwards calls to an owner that does not listen. If there are several
// relays between holder and owner, it is the one nearest the owner. The zero Via means no relay.
type Via struct {
	Node NodeID
	Endpoint
	Completed bool // as in Ref, about this Endpoint's Host
}

// IsZero reports whether there is no relay.
func (v Via) IsZero() bool { return v == Via{} }

// Ref is a reference to a remote object. It is a value: comparable, and safe to copy and share. Use
// == to ask whether two are written the same and came the same way. Compare their ID to ask whether
// they name the same object.
type Ref struct {
	Endpoint // where the owner listens; zero when it does not
	ID
	Interface Interface
	Via       Via

	// Completed means that Host arrived blank and this node filled in a loopback address. That
	// address says nothing to other machines, so Outgoing makes it blank again.
	Completed bool

	// Origin says who chose the addresses. It counts in ==, but does not travel.
	Origin Origin
}

// IsZero reports whether r is the zero Ref, which refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Complete returns r as its receiver stores it. Blank hosts of the owner and the relay become
// peerHost. That is the host, without port and brackets, by which the receiver reached the node
// that sent r. A peer reached over a unix socket is on this machine, so then the host becomes
// "localhost". An empty peerHost is not known, and changes nothing.
//
// A host that a careless sender marked as completed counts as blank, because the sender's loopback
// is not ours.
func (r Ref) Complete(peerHost string) Ref {
	if peerHost == "" {
		return r
	}
	if isSocket(peerHost) {
		peerHost = "localhost"
	}
	r = r.Outgoing()
	if r.IsBlank() {
		r.Host, r.Completed = peerHost, loopback(peerHost)
	}
	if r.Via.IsBlank() {
		r.Via.Host, r.Via.Completed = peerHost, loopback(peerHost)
	}
	return r
}

// Outgoing returns r as it is sent on. Hosts that this node filled in with loopback are blank
// again. The next receiver then fills in how it reached us, which leads to the same machine.
func (r Ref) Outgoing() Ref {
	if r.Completed {
		r.Host, r.Completed = "", false
	}
	if r.Via.Completed {
		r.Via.Host, r.Via.Completed = "", false
	}
	return r
}

// OnlyLoopback reports whether only processes on the owner's machine can dial r, be it the owner or
// the relay. That is so if those that listen have an explicit loopback host, 0.0.0.0 or ::, or a
// unix socket. A registry that others can reach refuses such a reference. For a blank or completed
// host it is false, because each receiver fills in its own. If neither listens, it is false,
// because nobody dials.
func (r Ref) OnlyLoopback() bool {
	owner, relay := r.Listens(), r.Via.Listens()
	if owner && (r.Completed || !captive(r.Endpoint)) {
		return false
	}
	if relay && (r.Via.Completed || !captive(r.Via.Endpoint)) {
		return false
	}
	return owner || relay
}

// captive reports whether an endpoint leads others who dial it to their own machine.
func captive(e Endpoint) bool { return e.IsLoopback() || unspecified(e.Host) }

// check returns why r cannot be written down: it would be refused, or read back as another
// reference.
func (r Ref) check() error {
	if err := r.Endpoint.check(); err != nil {
		return err
	}
	if r.Completed && !loopback(r.Host) {
		return errors.New("refs: the host is marked as completed but is no IP host on loopback")
	}
	if err := validInterface(r.Interface.Name); err != nil {
		return err
	}
	if r.Via.IsZero() {
		return nil
	}
	if r.Via.Node.IsZero() {
		return errors.New("refs: the relay has no node id")
	}
	if err := r.Via.Endpoint.check(); err != nil {
		return err
	}
	if r.Via.Completed && !loopback(r.Via.Host) {
		return errors.New("refs: the relay's host is marked as completed but is no IP host on loopback")
	}
	return nil
}

// WellKnown returns the reference to an object of a well-known number at an address, whichever node
// listens there.
func WellKnown(at Endpoint, num ObjNum) Ref {
	return Ref{Endpoint: at, ID: ID{Object: num}}
}
