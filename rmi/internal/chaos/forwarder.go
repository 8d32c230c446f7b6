package chaos

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Network opens the forwarder's connections and its listener. It has the methods of
// rmi.Options.Network.
type Network interface {
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	Listen(ctx context.Context, network, address string) (net.Listener, error)
}

// TCP is the operating system's network.
type TCP struct{}

// DialContext implements Network.
func (TCP) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Listen implements Network.
func (TCP) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

// Way is a direction of a connection.
type Way int

const (
	Up   Way = iota // from the node that dialled
	Down            // to it
)

func (w Way) String() string { return [...]string{"up", "down"}[w] }

// parting is how long the two nodes may take to close a connection that was cut cleanly. Then
// it is closed for them.
const parting = 5 * time.Second

// gate sees the bytes of one direction as they come. It returns those that go on, and what is
// cut behind them. It is called by one goroutine at a time, and not after a cut. What it
// returns may alias b and is valid until the next call.
type gate func(b []byte) (on []byte, cut extent)

// extent is what a cut ends.
type extent int

const (
	nothing extent = iota
	thisWay        // the receiver reads the end; the other direction goes on
	both
)

// Forwarder passes connections on to a target. Its methods are safe for concurrent use.
type Forwarder struct {
	network  Network
	listener net.Listener
	gates    func() [2]gate // of a new connection; nil: everything goes on
	ctx      context.Context
	cancel   context.CancelFunc
	owned    sync.WaitGroup // accept, and what it starts

	cuts, opened atomic.Int64
	rate         atomic.Int64 // see Slow

	mu     sync.Mutex // guards the fields below
	target string
	links  []*link // in the order in which they were made
	closed bool
}

// Listen returns a forwarder that listens on address. It passes nothing on until To is called.
func Listen(n Network, address string) (*Forwarder, error) { return listen(n, address, nil) }

func listen(n Network, address string, gates func() [2]gate) (*Forwarder, error) {
	f := &Forwarder{network: n, gates: gates}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	var err error
	if f.listener, err = n.Listen(f.ctx, "tcp", address); err != nil {
		f.cancel()
		return nil, err
	}
	f.owned.Go(f.accept)
	return f, nil
}

// Addr is where the forwarder listens.
func (f *Forwarder) Addr() string { return f.listener.Addr().String() }

// To sets the target of the connections that are accepted from now on.
func (f *Forwarder) To(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
}

// Cuts is the number of connections that the forwarder cut.
func (f *Forwarder) Cuts() int64 { return f.cuts.Load() }

// Opened is the number of connections that it passed on.
func (f *Forwarder) Opened() int64 { return f.opened.Load() }

// Slow limits every connection, from now on, to so many bytes a second in each direction. 0
// means no limit.
func (f *Forwarder) Slow(rate int64) { f.rate.Store(rate) }

// Cut cuts all connections at once. Some bytes may be lost on their way. Both nodes read the
// end of the connection.
func (f *Forwarder) Cut() {
	for _, l := range f.all() {
		l.part()
	}
}

// Close cuts all connections, accepts no more, and waits for its goroutines.
func (f *Forwarder) Close() {
	f.cancel()
	f.listener.Close()
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	for _, l := range f.all() {
		l.abort()
	}
	f.owned.Wait()
}

func (f *Forwarder) all() []*link {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.links)
}

// accept ends with the listener.
func (f *Forwarder) accept() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.owned.Go(func() { f.pass(conn) })
	}
}

// pass passes one connection on. It ends with the connection.
func (f *Forwarder) pass(near net.Conn) {
	defer near.Close()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	ctx, cancel := context.WithTimeout(f.ctx, parting)
	defer cancel()
	far, err := f.network.DialContext(ctx, "tcp", target)
	if err != nil {
		return
	}
	defer far.Close()
	l := &link{forwarder: f, to: [2]net.Conn{Up: far, Down: near}}
	for w := range l.left {
		l.left[w].Store(unbounded)
	}
	if f.gates != nil {
		l.gates = f.gates()
	}
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return
	}
	f.links = append(f.links, l)
	f.mu.Unlock()
	f.opened.Add(1)
	var ways sync.WaitGroup
	ways.Go(func() { l.pump(Up) })
	ways.Go(func() { l.pump(Down) })
	ways.Wait()
	f.mu.Lock()
	f.links = slices.DeleteFunc(f.links, func(x *link) bool { return x == l })
	f.mu.Unlock()
}

// unbounded is a number of bytes that no connection carries.
const unbounded = 1 << 62

// link is one connection through a forwarder.
type link struct {
	forwarder *Forwarder
	to        [2]net.Conn // to[w] is where bytes of direction w go; they come from to[1-w]
	gates     [2]gate
	left      [2]atomic.Int64 // bytes that a storm lets pass; see doom
	style     atomic.Int32    // how a storm cuts it
	cut       atomic.Bool     // nothing goes on any more
	counted   sync.Once
}

// pump carries one direction until its source ends.
func (l *link) pump(w Way) {
	from, to := l.to[1-w], l.to[w]
	buf := make([]byte, 32<<10)
	for ended := false; ; {
		n, err := from.Read(buf)
		if rate := l.forwarder.rate.Load(); rate > 0 && n > 0 {
			select {
			case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
			case <-l.forwarder.ctx.Done():
			}
		}
		if n > 0 && !ended && !l.cut.Load() {
			switch l.carry(w, to, buf[:n]) {
			case thisWay:
				ended = true
				l.count()
				closeWrite(to)
			case both:
				l.part()
			}
		}
		if err != nil {
			if err != io.EOF {
				to.Close() // as abruptly as it ended here
				return
			}
			closeWrite(to)
			return
		}
	}
}

// carry passes bytes on and returns what is cut behind them.
func (l *link) carry(w Way, to net.Conn, b []byte) (cut extent) {
	if g := l.gates[w]; g != nil {
		if b, cut = g(b); cut == both {
			// From here on nothing passes the other way: no answer to these bytes.
			l.cut.Store(true)
		}
	}
	dying := false
	if left := l.left[w].Add(-int64(len(b))); left <= 0 {
		b = b[:max(0, int64(len(b))+left)]
		dying = true
	}
	if len(b) > 0 {
		if _, err := to.Write(b); err != nil {
			to.Close()
		}
	}
	if dying {
		l.die(w)
	}
	return cut
}

// part cuts the connection. Both nodes read what was passed on, and then the end. The pumps go
// on and discard what they read.
func (l *link) part() {
	l.cut.Store(true)
	l.count()
	for _, c := range l.to {
		_ = c.SetDeadline(time.Now().Add(parting)) // a peer that reads nothing does not hold it up
		closeWrite(c)
	}
}

// abort cuts the connection by a reset, if the network has one. What was passed on may be lost
// too.
func (l *link) abort() {
	l.cut.Store(true)
	l.count()
	for _, c := range l.to { // all of them first: a pump may close the second when the first ends
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
	}
	for _, c := range l.to {
		c.Close()
	}
}

func (l *link) count() { l.counted.Do(func() { l.forwarder.cuts.Add(1) }) }

func closeWrite(c net.Conn) {
	if h, ok := c.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
		return
	}
	c.Close()
}
