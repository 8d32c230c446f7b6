package rmi

import (
	"context"

	"gormi/refs"
	"gormi/rmi/transport"
)

// PeerInfo tells who is at the other end of a session.
type PeerInfo struct {
	// Principal is who the peer has proved to be:
	//
	//	spiffe://bank/teller   the first URI in its certificate
	//	teller.bank.example    or else the first DNS name in it
	//	teller                 or else its common name
	//	uid:1000               the user of the process at the other end of a unix socket,
	//	                       on Linux and macOS
	//	anonymous              none of these
	//
	// A certificate counts if TLS verified it: at the end that was called, that takes
	// ClientAuth in Options.TLS (TLSFromEnv sets it). A peer whose connection was lost comes
	// back as the same principal, or not at all.
	Principal string

	// Address is where the peer's newest connection came from, or was dialled:
	// "host:port", or the path of a unix socket, which may be empty.
	Address string

	// Node is the peer's node. Whoever has the key of a node is that node.
	Node refs.NodeID

	// Local says that the peer is on this machine: its newest connection is over loopback or a
	// unix socket. What listens here and passes connections on (a tunnel, a load balancer) makes
	// peers of other machines look local. If the call was relayed, Local is false. Nodes of a
	// network in memory (package rmitest) are local.
	Local bool
}

// PeerFrom tells who made the call that ctx belongs to, be it a call of a method or of a callback.
// If the call was relayed (registry.BindOptions.Relayed), that is the relay, which has let the
// caller in. ok is false if ctx is not of a remote call.
func PeerFrom(ctx context.Context) (p PeerInfo, ok bool) {
	s := transport.SessionOf(ctx)
	if s == nil {
		return PeerInfo{}, false
	}
	p = infoOf(s)
	p.Local = p.Local && !transport.Relayed(ctx)
	return p, true
}

// infoOf tells who is at the other end of a session.
func infoOf(s *transport.Session) PeerInfo {
	p := PeerInfo{Principal: s.Principal(), Node: s.Peer(), Local: s.Local()}
	if a := s.RemoteAddr(); a != nil {
		p.Address = a.String()
	}
	return p
}
