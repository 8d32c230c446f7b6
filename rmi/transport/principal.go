package transport

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"gormi/refs"
	"gormi/rmi/fault"
)

// Anonymous is the principal of a peer of which only the node id is proved.
const Anonymous = "anonymous"

// peerPrincipal says who is at the other end of a connection: the name in a certificate that
// was verified, or the user of a process of this machine. So a principal is proved before the
// first byte of the protocol is read. It is the session's too: a connection of another
// principal cannot resume the session.
func (c *carrier) peerPrincipal() string {
	switch {
	case c.tls != nil:
		if chains := c.tls.ConnectionState().VerifiedChains; len(chains) > 0 {
			return nameIn(chains[0][0])
		}
	case c.unix != nil:
		if uid, ok := userOf(c.unix); ok {
			return fmt.Sprintf("uid:%d", uid)
		}
	}
	return Anonymous
}

// userOf is the user of the process that made the connection, or listens.
func userOf(c *net.UnixConn) (uid uint32, ok bool) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, false
	}
	err = raw.Control(func(fd uintptr) { uid, ok = userOfSocket(int(fd)) })
	return uid, ok && err == nil
}

// nameIn is the principal of a certificate: the first URI, or else the first DNS name, or else
// the common name. A name that reads like a principal of another kind does not count.
func nameIn(c *x509.Certificate) string {
	switch {
	case len(c.URIs) > 0:
		if s := c.URIs[0].String(); c.URIs[0].Scheme != "" && c.URIs[0].Scheme != "uid" {
			return s
		}
	case len(c.DNSNames) > 0:
		if s := c.DNSNames[0]; s != "" && s != Anonymous && !strings.Contains(s, ":") {
			return s
		}
	default:
		if s := c.Subject.CommonName; s != "" && s != Anonymous && !strings.Contains(s, ":") {
			return s
		}
	}
	return Anonymous
}

// identify fails if this node requires a principal and the peer has none. It is called when the
// TLS handshake is over.
func (h *handshake) identify() error {
	if h.t.RequirePrincipal && h.principal == Anonymous {
		return fault.New(fault.KindDenied, fault.OutcomeNotExecuted,
			"this node wants to know who its peers are (its Options.RequirePrincipal), and nothing proves it: use TLS with a certificate of an authority that it trusts, or a unix socket")
	}
	return nil
}

// same fails if the peer's principal is not the one with which the session began.
func (h *handshake) same(s *Session) error {
	switch {
	case h.principal == s.principal:
		return nil
	case h.dialler:
		return fault.New(fault.KindStaleReference, fault.OutcomeNotExecuted, "the session was begun with %q, and %q answers now", s.principal, h.principal)
	default:
		return fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "the session was begun by another than %q", h.principal)
	}
}

// Principal says who the peer is: see peerPrincipal.
func (s *Session) Principal() string { return s.principal }

// Local reports whether the peer is on this machine, by its newest connection: see carrier.local.
func (s *Session) Local() bool { return s.local.Load() }

// Remote reports whether the peer is on another machine, as far as the newest connection tells. It
// is not if it is Local, or if the two ends of the connection have the same address.
func (s *Session) Remote() bool {
	far, l := s.RemoteAddr(), s.link.Load()
	if far == nil || s.Local() {
		return far == nil
	}
	at, err := netip.ParseAddrPort(far.String())
	if err != nil {
		return false // a path, or a name in memory
	}
	if l == nil {
		return true
	}
	near, err := netip.ParseAddrPort(l.raw.LocalAddr().String())
	return err != nil || near.Addr().Unmap() != at.Addr().Unmap()
}

// ChosenBy is who chose the address that was dialled, if this node dialled.
func (s *Session) ChosenBy() refs.Origin { return s.chosenBy }

// RemoteAddr is the address from which the peer came, or that was dialled, for the newest
// connection. It is nil before the first.
func (s *Session) RemoteAddr() net.Addr {
	if a := s.remote.Load(); a != nil {
		return *a
	}
	return nil
}
