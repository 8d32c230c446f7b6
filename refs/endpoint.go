package refs

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Endpoint is where a node listens. It is a host and a TCP or UDP port, or a unix socket. For a
// unix socket, Host is its path ("/run/x.sock") or abstract name ("@x"), and Port is 0. The zero
// Endpoint is that of a node that does not listen. A blank Host with a port means "on the machine
// that sent this reference"; see [Ref.Complete].
type Endpoint struct {
	Host string
	Port uint16
	UDP  bool // the port is of UDP: the node speaks in datagrams there
}

// ParseEndpoint reads "host:port", "[IPv6 address]:port" or ":port", any of them with "udp:" in
// front. For a unix socket it reads "unix:/path", "unix:@name", or either without "unix:". It also
// accepts port 0, with which a listener asks for any free port; no reference can carry it.
// "udp:7000" is port 7000 of a host called udp.
func ParseEndpoint(s string) (Endpoint, error) {
	if sock := strings.TrimPrefix(s, "unix:"); isSocket(sock) {
		if err := validSocket(sock); err != nil {
			return Endpoint{}, err
		}
		return Endpoint{Host: sock}, nil
	}
	if rest, ok := strings.CutPrefix(s, "udp:"); ok && strings.Contains(rest, ":") {
		e, err := ParseEndpoint(rest)
		switch {
		case err != nil:
			return Endpoint{}, err
		case e.UDP || e.IsUnix():
			return Endpoint{}, fmt.Errorf("refs: the address %s has udp: before more than host and port", quote(s))
		}
		e.UDP = true
		return e, nil
	}
	if len(s) > MaxHost+len("[]:65535") {
		return Endpoint{}, fmt.Errorf("refs: the address %s is too long", quote(s))
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return Endpoint{}, fmt.Errorf("refs: the address %s has no port: want host:port", quote(s))
	}
	host, digits := s[:i], s[i+1:]
	port, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || strconv.FormatUint(port, 10) != digits {
		return Endpoint{}, fmt.Errorf("refs: the address %s has no port from 0 to 65535 at its end: want host:port", quote(s))
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return Endpoint{}, fmt.Errorf("refs: the address %s has brackets around something else than an IPv6 address", quote(s))
		}
		host = inner
	} else if strings.Contains(host, ":") {
		return Endpoint{}, fmt.Errorf("refs: the address %s has an IPv6 address without brackets: want [host]:port", quote(s))
	}
	if host != "" {
		if isSocket(host) {
			return Endpoint{}, fmt.Errorf("refs: the unix socket %s has a port", quote(s))
		}
		if err := ValidHost(host); err != nil {
			return Endpoint{}, err
		}
	}
	return Endpoint{Host: host, Port: uint16(port)}, nil
}

// IsZero reports whether the node does not listen at all.
func (e Endpoint) IsZero() bool { return e == Endpoint{} }

// IsUnix reports whether this is a unix socket.
func (e Endpoint) IsUnix() bool { return isSocket(e.Host) }

// IsBlank reports whether the receiver has to fill in the host.
func (e Endpoint) IsBlank() bool { return e.Host == "" && e.Port != 0 }

// Listens reports whether there is something to dial here, once a blank host is filled in.
func (e Endpoint) Listens() bool { return e.Port != 0 || e.IsUnix() }

// IsLoopback reports whether the host is given and can be reached from its own machine only. Such
// hosts are loopback addresses, "localhost" and unix sockets. For a blank host and 0.0.0.0 it is
// false, because a listener there is open to others.
func (e Endpoint) IsLoopback() bool { return e.IsUnix() || loopback(e.Host) }

// loopback is IsLoopback for hosts that are not unix sockets.
func loopback(host string) bool {
	if name := strings.TrimSuffix(host, "."); strings.EqualFold(name, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback()
}

// unspecified reports whether host is 0.0.0.0 or ::. Whoever dials these reaches his own machine.
func unspecified(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().WithZone("").IsUnspecified()
}

// Network returns the first argument for net.Dial and net.Listen: "unix", "udp" or "tcp".
func (e Endpoint) Network() string {
	switch {
	case e.IsUnix():
		return "unix"
	case e.UDP:
		return "udp"
	}
	return "tcp"
}

// Address returns the second argument for net.Dial and net.Listen.
func (e Endpoint) Address() string {
	if e.IsUnix() {
		return e.Host
	}
	return net.JoinHostPort(e.Host, strconv.Itoa(int(e.Port)))
}

// String returns the endpoint as [ParseEndpoint] reads it. For the zero Endpoint, which
// ParseEndpoint refuses, it returns "".
func (e Endpoint) String() string {
	switch {
	case e.IsZero():
		return ""
	case e.IsUnix():
		return "unix:" + e.Host
	case e.UDP:
		return "udp:" + e.Address()
	}
	return e.Address()
}

// check returns why e cannot stand in a reference.
func (e Endpoint) check() error {
	if e.UDP && (e.Port == 0 || e.IsUnix()) {
		return errors.New("refs: UDP without a port")
	}
	if e.Host == "" {
		return nil
	}
	if err := ValidHost(e.Host); err != nil {
		return err
	}
	switch {
	case e.IsUnix() && e.Port != 0:
		return errors.New("refs: a unix socket has no port")
	case !e.IsUnix() && e.Port == 0:
		return fmt.Errorf("refs: the host %s has port 0", quote(e.Host))
	}
	return nil
}
