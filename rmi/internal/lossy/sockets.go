package lossy

import (
	"context"
	"net"
	"sync"
)

// Sockets are real UDP sockets with bad sending sides. It is safe for concurrent use.
type Sockets struct {
	opts Options

	mu    sync.Mutex // guards links
	links []*link
}

// NewSockets returns a source of sockets. Each makes its own random decisions.
func NewSockets(o Options) *Sockets { return &Sockets{opts: o} }

func (s *Sockets) link() *link {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.opts
	o.Seed += uint64(len(s.links))
	l := newLink(o)
	s.links = append(s.links, l)
	return l
}

// DialContext returns a socket with one peer.
func (s *Sockets) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &Conn{c, s.link()}, nil
}

// ListenPacket returns a socket at address.
func (s *Sockets) ListenPacket(ctx context.Context, network, address string) (net.PacketConn, error) {
	c, err := new(net.ListenConfig).ListenPacket(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &PacketConn{c, s.link()}, nil
}

// Counts returns the counts so far of all the sockets together.
func (s *Sockets) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	var sum Counts
	for _, l := range s.links {
		c := l.count()
		sum.Sent += c.Sent
		sum.Lost += c.Lost
		sum.Dup += c.Dup
		sum.Late += c.Late
	}
	return sum
}
