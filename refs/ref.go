package refs

import (
	"errors"
)

// Interface says which interface the holder of a reference uses it by.
type Interface struct {
	Name        string // "bank.Account"; for people, no part of any comparison
	Fingerprint Fingerprint
}

// Via is a node that forwards calls to an owner who does not listen: of the relays between holder
// and owner, the one nearest the owner. The zero Via is none.
type Via struct {
	Node NodeID
	Endpoint
	Completed bool // as in Ref, about this Endpoint's Host
}

// IsZero reports whether there is no relay.
func (v Via) IsZero() bool { return v == Via{} }

// Ref is a reference to a remote object. It is a value: comparable, and safe to copy and share. Use
// == for "written the same", and compare the ID of both for "the same object".
type Ref struct {
	Endpoint // where the owner listens; zero when it does not
	ID
	Interface Interface
	Via       Via

	// Completed means that Host came blank and was filled in by this node with a loopback address,
	// which says nothing to others: Outgoing makes it blank again.
	Completed bool
}

// IsZero reports whether r is the zero Ref, which refers to nothing.
func (r Ref) IsZero() bool { return r == Ref{} }

// Complete returns r as its receiver keeps it. Blank hosts, of the owner and of the relay, become
// peerHost: the host, without port and brackets, by which the receiver reached the node that sent
// r. A peer reached over a unix socket is on this machine, so the host becomes "localhost". An
// empty peerHost changes nothing: it is not known.
//
// Hosts that a careless sender marked as completed are taken for blank, because its loopback is not
// ours.
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

// Outgoing returns r as it is sent on: hosts that this node filled in with loopback are blank
// again, so that the next receiver fills in how it reached us, which leads to the same machine.
func (r Ref) Outgoing() Ref {
	if r.Completed {
		r.Host, r.Completed = "", false
	}
	if r.Via.Completed {
		r.Via.Host, r.Via.Completed = "", false
	}
	return r
}

// OnlyLoopback reports whether nobody but processes on the owner's machine can dial r, neither the
// owner nor the relay: those that listen have an explicit loopback host, 0.0.0.0 or ::, or a unix
// socket. A registry that others can reach refuses such a reference. A blank or completed host is
// fine, since each receiver fills in its own; and where nobody listens, nobody dials, so the answer
// is false.
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

// captive reports whether an endpoint that others were told of leads them to their own machine.
func captive(e Endpoint) bool { return e.IsLoopback() || unspecified(e.Host) }

// check tells why r cannot be written down: what it would be read back as is not r, or is refused.
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
