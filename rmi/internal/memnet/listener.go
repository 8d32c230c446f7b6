package memnet

import (
	"net"
)

// listener is a host's port on which connections arrive.
type listener struct {
	network *Network
	addr    Addr
	net     string

	// Guarded by network.mu.
	waiting []*conn // connected, not yet accepted; at most backlog
	closed  bool
	changed notice // waiting or closed changed
}

var _ net.Listener = (*listener)(nil)

func (l *listener) Accept() (net.Conn, error) {
	n := l.network
	for {
		n.mu.Lock()
		if l.closed {
			n.mu.Unlock()
			return nil, l.errClosed("accept")
		}
		if len(l.waiting) > 0 {
			c := l.waiting[0]
			l.waiting = l.waiting[1:]
			l.changed.broadcast()
			n.mu.Unlock()
			return c, nil
		}
		changed := l.changed.wait()
		n.mu.Unlock()
		<-changed
	}
}

// Close frees the port and resets the connections that nobody accepted, as a
// kernel does.
func (l *listener) Close() error {
	n := l.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if l.closed {
		return l.errClosed("close")
	}
	l.closed = true
	delete(n.listeners, l.addr)
	for _, c := range l.waiting {
		c.in.cut()
		c.out.cut()
		delete(n.conns, c.pair)
	}
	l.waiting = nil
	l.changed.broadcast()
	return nil
}

func (l *listener) Addr() net.Addr { return l.addr }

func (l *listener) errClosed(op string) error {
	return &net.OpError{Op: op, Net: l.net, Addr: l.addr, Err: net.ErrClosed}
}
