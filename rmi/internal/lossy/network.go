package lossy

import (
	"context"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	firstEphemeral = 32768 // ports picked for port 0 and for those who dial
	lastPort       = 65535
	capacity       = 4096 // datagrams that a socket holds unread; more are lost
)

// Network has hosts with sockets and a bad link between them. A host exists once it is named.
// It is safe for concurrent use.
type Network struct {
	link *link

	mu      sync.Mutex // guards the fields below
	sockets map[Addr]*socket
	next    int // the port to pick
}

// New returns a network without sockets.
func New(o Options) *Network {
	return &Network{link: newLink(o), sockets: make(map[Addr]*socket), next: firstEphemeral}
}

// Set changes the quality of the link from now on. The seed stays.
func (n *Network) Set(o Options) { n.link.set(o) }

// Counts returns the counts so far.
func (n *Network) Counts() Counts { return n.link.count() }

// Addr is a host and a port.
type Addr struct {
	Host string
	Port int
}

// Network returns "udp".
func (Addr) Network() string { return "udp" }

// IsLocal says that all is in one process.
func (Addr) IsLocal() bool { return true }

// String returns "host:port".
func (a Addr) String() string { return net.JoinHostPort(a.Host, strconv.Itoa(a.Port)) }

func resolve(network, address string) (Addr, error) {
	if network != "udp" {
		return Addr{}, net.UnknownNetworkError(network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return Addr{}, err
	}
	p, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Addr{}, &net.AddrError{Err: "invalid port", Addr: address}
	}
	if host == "" {
		host = "localhost"
	}
	return Addr{host, int(p)}, nil
}

// ListenPacket returns a socket at address. Port 0 means any free port.
func (n *Network) ListenPacket(_ context.Context, network, address string) (net.PacketConn, error) {
	a, err := resolve(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "listen", Net: network, Err: err}
	}
	return n.open(a, nil)
}

// DialContext returns a socket with one peer, on a free port of the host "dialler".
func (n *Network) DialContext(_ context.Context, network, address string) (net.Conn, error) {
	peer, err := resolve(network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	return n.open(Addr{Host: "dialler"}, &peer)
}

func (n *Network) open(a Addr, peer *Addr) (*socket, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a.Port == 0 {
		for a.Port = n.next; n.sockets[a] != nil; a.Port++ {
		}
		if n.next = a.Port + 1; n.next > lastPort {
			n.next = firstEphemeral
		}
	}
	if n.sockets[a] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: a, Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	s := &socket{network: n, addr: a, peer: peer}
	s.changed.L = &s.mu
	n.sockets[a] = s
	return s, nil
}

// socket is a port of a host. If it has a peer, only the peer can reach it.
type socket struct {
	network *Network
	addr    Addr
	peer    *Addr

	mu       sync.Mutex // guards the fields below
	changed  sync.Cond
	arrived  []packet
	closed   bool
	deadline time.Time
	timer    *time.Timer
}

type packet struct {
	b    []byte
	from Addr
}

var (
	_ net.PacketConn = (*socket)(nil)
	_ net.Conn       = (*socket)(nil)
)

func (s *socket) LocalAddr() net.Addr { return s.addr }

func (s *socket) RemoteAddr() net.Addr {
	if s.peer == nil {
		return nil
	}
	return *s.peer
}

func (s *socket) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: "udp", Addr: s.addr, Err: err}
}

func (s *socket) ReadFrom(b []byte) (int, net.Addr, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return 0, nil, s.opError("read", net.ErrClosed)
		case !s.deadline.IsZero() && !time.Now().Before(s.deadline):
			return 0, nil, s.opError("read", os.ErrDeadlineExceeded)
		case len(s.arrived) > 0:
			p := s.arrived[0]
			s.arrived = slices.Delete(s.arrived, 0, 1)
			return copy(b, p.b), p.from, nil
		}
		s.changed.Wait()
	}
}

func (s *socket) Read(b []byte) (int, error) {
	n, _, err := s.ReadFrom(b)
	return n, err
}

func (s *socket) WriteTo(b []byte, a net.Addr) (int, error) {
	to, err := resolve("udp", a.String())
	if err != nil {
		return 0, s.opError("write", err)
	}
	s.mu.Lock()
	closed := s.closed
	s.mu.Unlock()
	if closed {
		return 0, s.opError("write", net.ErrClosed)
	}
	s.network.link.send(b, func(b []byte) {
		s.network.mu.Lock()
		r := s.network.sockets[to]
		s.network.mu.Unlock()
		if r != nil {
			r.arrive(b, s.addr)
		}
	})
	return len(b), nil
}

func (s *socket) Write(b []byte) (int, error) { return s.WriteTo(b, *s.peer) }

// arrive stores a copy of b, if there is room and its sender may reach the socket.
func (s *socket) arrive(b []byte, from Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.arrived) >= capacity || s.peer != nil && *s.peer != from {
		return
	}
	s.arrived = append(s.arrived, packet{slices.Clone(b), from})
	s.changed.Signal()
}

func (s *socket) Close() error {
	s.network.mu.Lock()
	if s.network.sockets[s.addr] == s {
		delete(s.network.sockets, s.addr)
	}
	s.network.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return s.opError("close", net.ErrClosed)
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	s.changed.Broadcast()
	return nil
}

func (s *socket) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.deadline = t
	if !t.IsZero() && !s.closed {
		s.timer = time.AfterFunc(time.Until(t), func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.changed.Broadcast()
		})
	}
	s.changed.Broadcast()
	return nil
}

// SetWriteDeadline does nothing: writes do not wait.
func (s *socket) SetWriteDeadline(time.Time) error { return nil }

func (s *socket) SetDeadline(t time.Time) error { return s.SetReadDeadline(t) }
