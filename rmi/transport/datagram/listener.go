package datagram

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"gormi/rmi/backoff"
)

// backlog is how many connections may wait for Accept. While so many wait, no new one begins.
const backlog = 128

// listener is a socket that accepts connections. Its goroutine reads datagrams and passes them
// to the connections. It ends when the socket is closed. That is when the listener and all its
// connections are closed.
type listener struct {
	socket  net.PacketConn
	udp     *net.UDPConn // socket, if it is a *net.UDPConn: then addresses need no memory
	cookies cookies      // the reader's
	waiting chan *Conn
	stopped chan struct{} // closed by Close
	done    chan struct{} // closed when the reader has ended

	mu    sync.Mutex
	state listenerState // guarded by mu; reached only through lock
}

// listenerState is what the lock of a listener guards.
type listenerState struct {
	conns  map[connID]*peerConn
	closed bool
}

// lock returns the state. The caller may use it until it unlocks mu.
func (l *listener) lock() *listenerState {
	l.mu.Lock()
	return &l.state
}

// peerConn is a connection and where its peer is.
type peerConn struct {
	*Conn
	from address
}

// Listen accepts connections on a socket, which it owns from then on.
// Connections outlive the listener. The socket is closed after the last one.
func Listen(socket net.PacketConn) net.Listener {
	l := &listener{
		socket: socket, waiting: make(chan *Conn, backlog),
		stopped: make(chan struct{}), done: make(chan struct{}),
		state: listenerState{conns: make(map[connID]*peerConn)},
	}
	l.udp, _ = socket.(*net.UDPConn)
	go l.serve()
	return l
}

func (l *listener) Addr() net.Addr { return l.socket.LocalAddr() }

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.stopped:
		return nil, l.errClosed("accept")
	default:
	}
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.stopped:
		return nil, l.errClosed("accept")
	}
}

func (l *listener) errClosed(op string) error {
	return &net.OpError{Op: op, Net: "udp", Addr: l.Addr(), Err: net.ErrClosed}
}

// Close stops accepting connections. It resets those that nobody accepted.
func (l *listener) Close() error {
	s := l.lock()
	again := s.closed
	s.closed = true
	l.mu.Unlock()
	if again {
		return l.errClosed("close")
	}
	close(l.stopped)
	var closing sync.WaitGroup
	for more := true; more; {
		select {
		case c := <-l.waiting:
			c.lock().fail(net.ErrClosed) // there is nothing to wait for
			c.mu.Unlock()
			closing.Go(func() { c.Close() })
		default:
			more = false
		}
	}
	closing.Wait()
	l.release(nil)
	return nil
}

// release removes a connection that is closed. The last one closes the socket and waits for its
// reader.
func (l *listener) release(c *Conn) {
	s := l.lock()
	if c != nil {
		delete(s.conns, c.id)
	}
	last := s.closed && len(s.conns) == 0
	l.mu.Unlock()
	if last {
		l.socket.Close()
		<-l.done
	}
}

// reads are the pauses after failed reads of the socket.
var reads = backoff.Policy{Min: time.Millisecond, Max: 100 * time.Millisecond}

// serve reads the socket.
func (l *listener) serve() {
	defer close(l.done)
	b := make([]byte, MaxDatagram+1)
	for failures := 0; ; {
		var from address
		var n int
		var err error
		if l.udp != nil {
			n, from.ip, err = l.udp.ReadFromUDPAddrPort(b)
			from.ip = netip.AddrPortFrom(from.ip.Addr().Unmap(), from.ip.Port())
		} else if n, from.other, err = l.socket.ReadFrom(b); err == nil {
			from = addressOf(from.other)
		}
		switch {
		case err == nil:
			failures = 0
			l.datagram(b[:n], from)
		case errors.Is(err, net.ErrClosed):
			return
		default: // on some systems the error of a datagram that was sent; or out of memory
			failures++
			time.Sleep(reads.Delay(failures))
		}
	}
}

// write sends b to a peer.
func (l *listener) write(b []byte, to address) error {
	var err error
	if l.udp != nil {
		_, err = l.udp.WriteToUDPAddrPort(b, to.ip)
	} else {
		_, err = l.socket.WriteTo(b, to.other)
	}
	return err
}

// datagram handles a datagram. The answer is not longer than the datagram.
func (l *listener) datagram(b []byte, from address) {
	id, ok := idOf(b)
	if !ok {
		return
	}
	s := l.lock()
	c, closed := s.conns[id], s.closed
	l.mu.Unlock()
	if c != nil && !c.from.equal(from) {
		return
	}
	switch b[0] {
	case typeData:
		if c == nil {
			l.answer(typeReset, id, nil, from)
			return
		}
		c.handle(b)
	case typeReset:
		if c != nil {
			c.reset()
		}
	case typeInit:
		switch now, cookie := time.Now(), b[cookieAt:cookieAt+cookieSize]; {
		case c != nil:
			l.answer(typeOpen, id, nil, from) // the first one was lost
		case closed:
			l.answer(typeReset, id, nil, from)
		case !l.cookies.knows(cookie, now, from, id):
			l.answer(typeCookie, id, l.cookies.make(now, from, id), from)
		case l.open(id, from):
			l.answer(typeOpen, id, nil, from)
		}
	}
}

// open begins a connection, if there is room for it.
func (l *listener) open(id connID, from address) bool {
	if len(l.waiting) == cap(l.waiting) {
		return false
	}
	s := l.lock()
	defer l.mu.Unlock()
	if s.closed {
		return false
	}
	var c *Conn
	c = newConn(id, false, l.Addr(), from.addr(), func(b []byte) error { return l.write(b, from) }, func() { l.release(c) })
	s.conns[id] = &peerConn{c, from}
	l.waiting <- c // there is room: nobody else sends on the channel
	return true
}

// answer sends a datagram of type, id and perhaps a cookie. If it is lost, the dialler asks
// again.
func (l *listener) answer(typ byte, id connID, cookie []byte, to address) {
	_ = l.write(append(appendShort(make([]byte, 0, cookieAt+cookieSize), typ, id), cookie...), to)
}
