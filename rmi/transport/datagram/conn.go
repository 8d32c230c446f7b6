package datagram

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"gormi/rmi/wire"
)

const (
	// sendQueue is how many bytes of the ordered channel may be queued before Write waits. It
	// is small: what waits in the session can still be overtaken.
	sendQueue = 64 << 10
	// maxUnread is how many bytes may wait for Read before direct records are
	// dropped. They come again.
	maxUnread = 256 << 10

	// deadAfter and deadRepeats are for how long, and how often, this side repeats itself
	// without a datagram from the peer before it considers the peer gone. Time alone says
	// little: where round trips are slow and a third of them fails, ten seconds of silence are
	// a few tries.
	deadAfter   = 10 * time.Second
	deadRepeats = 12
	// closeTimeout is how long Close waits until the peer has everything.
	closeTimeout = time.Second
	// refusals is how often in a row the system must say that nobody has the peer's port
	// before a connection that existed is over.
	refusals = 3
)

// Conn is a connection over datagrams. Its one goroutine looks after its timers and ends with
// Close. The goroutine that reads the socket passes it the datagrams of the peer. Whatever is
// to be sent is packed under the lock (packer), and sent after it.
type Conn struct {
	connConfig
	transmit func([]byte) error // one datagram, to the peer
	release  func()             // gives the socket back; waits for its reader if it was the last user
	pumped   chan struct{}      // closed when the goroutine has ended

	mu    sync.Mutex
	state connState // guarded by mu; reached only through lock
}

// connConfig is what does not change while a connection lives.
type connConfig struct {
	id            connID
	dialler       bool // this side dialled
	local, remote net.Addr
	began         time.Time     // time 0 of the clock in datagrams
	wake          chan struct{} // capacity 1: the timers changed
}

// connState is what the lock of a connection guards. Its methods need that lock.
type connState struct {
	*connConfig
	readable sync.Cond // in, eof, err, closed or the deadline changed
	writable sync.Cond // room in send, done, err, closed or the deadline changed

	in      []byte // to be read: pieces of the handshake, then whole records
	read    int    // bytes of in that were read
	eof     bool   // the peer closed; what it sent before is in in
	err     error  // why the connection is broken
	closed  bool   // Close was called: nothing is read or written any more
	over    bool   // Close is about to return: nothing is sent any more
	writing bool   // a Write is under way; others wait, so that records do not mix

	readDeadline, writeDeadline deadline

	outgoing, incoming framer
	send               sender
	receive            receiver
	out                outCalls
	calls              inCalls
	trip               roundTrip
	congestion         congestion

	peerSent uint32    // the newest value of the peer's clock
	peerAt   time.Time // when it came; zero: nothing came
	asking   time.Time // since when this side repeats itself and hears nothing; zero: it does not
	repeated int       // datagrams since then that repeat something
	refused  int       // times that the system refused a datagram since the last one came
	armed    time.Time // until when the goroutine sleeps; zero: until woken
}

var _ net.Conn = (*Conn)(nil)

func newConn(id connID, dialler bool, local, remote net.Addr, transmit func([]byte) error, release func()) *Conn {
	c := &Conn{
		connConfig: connConfig{id: id, dialler: dialler, local: local, remote: remote, began: time.Now(), wake: make(chan struct{}, 1)},
		transmit:   transmit, release: release, pumped: make(chan struct{}),
	}
	c.state.init(c)
	go c.pump()
	return c
}

func (s *connState) init(c *Conn) {
	s.connConfig = &c.connConfig
	s.readable.L, s.writable.L = &c.mu, &c.mu
	s.outgoing, s.incoming = newFramer(c.dialler), newFramer(!c.dialler)
	s.send, s.receive = sender{limit: window}, receiver{limit: window}
	s.congestion = newCongestion()
}

// lock returns the state. The caller may use it until it unlocks mu.
func (c *Conn) lock() *connState {
	c.mu.Lock()
	return &c.state
}

// Lossy tells the session that a call may arrive again after it was answered,
// because its return was lost. The session then answers it with the retained return.
func (c *Conn) Lossy() bool { return true }

// LocalAddr returns the address of this side's socket.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *connConfig) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "udp", Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what the peer wrote. Records come whole, in the order in which they became
// available. A direct record may come before others that were written earlier. After the peer's
// Close, Read returns io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	s := c.lock()
	n, ok, err := s.takeOut(b)
	for !ok {
		s.readable.Wait()
		n, ok, err = s.takeOut(b)
	}
	wake := s.rearm()
	c.mu.Unlock()
	if wake {
		c.poke()
	}
	return n, err
}

// takeOut is Read without the wait. If ok is false, there is nothing to read yet.
func (c *connState) takeOut(b []byte) (n int, ok bool, err error) {
	switch {
	case c.over:
		return 0, true, c.opError("read", net.ErrClosed)
	case c.readDeadline.passed:
		return 0, true, c.opError("read", os.ErrDeadlineExceeded)
	case len(b) == 0:
		return 0, true, nil
	case c.read < len(c.in):
		n := copy(b, c.in[c.read:])
		if c.read += n; c.read == len(c.in) {
			c.read = 0
			if c.in = c.in[:0]; cap(c.in) > 64<<10 {
				c.in = nil
			}
		}
		if room := c.room(); room >= window/2 && int(c.receive.limit-c.receive.next) < window/4 {
			c.receive.ackNow = true // the peer may be waiting for it
		}
		return n, true, nil
	case c.err != nil:
		return 0, true, c.opError("read", c.err)
	case c.eof:
		return 0, true, io.EOF
	}
	return 0, false, nil
}

// room is the number of segments for which there is room.
func (c *connState) room() int {
	return max(0, window-(len(c.in)-c.read+c.incoming.held())/maxSegment)
}

// Write sends b, a part of the handshake or of records. It waits while much is queued.
func (c *Conn) Write(b []byte) (int, error) { return c.write(b, true) }

// TryWrite writes as much of b as can be queued without waiting.
func (c *Conn) TryWrite(b []byte) (int, error) { return c.write(b, false) }

func (c *Conn) write(b []byte, wait bool) (n int, err error) {
	now := time.Now()
	s := c.lock()
	for (s.writing || s.closed) && s.writeError() == nil {
		if !wait {
			c.mu.Unlock()
			return 0, nil
		}
		s.writable.Wait()
	}
	if err := s.writeError(); err != nil {
		c.mu.Unlock()
		return 0, err
	}
	s.writing = true
	p := packer{c: s, now: now}
	for {
		var full bool
		m := 0
		m, full, err = s.put(&p, b[n:])
		if n += m; !full || !wait {
			break
		}
		wake := s.rearm()
		c.mu.Unlock()
		c.send(&p, wake)
		s = c.lock()
		for (s.send.queued() >= sendQueue || s.closed) && s.writeError() == nil {
			s.writable.Wait()
		}
		p.now = time.Now()
		if err = s.writeError(); err != nil {
			break
		}
	}
	s.writing = false
	s.writable.Broadcast()
	wake := s.rearm()
	c.mu.Unlock()
	c.send(&p, wake)
	return n, err
}

// put queues b, or as much of it as there is room for: then full is true. It packs what may be
// sent now.
func (c *connState) put(p *packer, b []byte) (n int, full bool, err error) {
	for n < len(b) {
		if c.send.queued() >= sendQueue {
			c.pack(p)
			if c.send.queued() >= sendQueue {
				return n, true, nil
			}
		}
		unit, m, record, err := c.outgoing.next(b[n:])
		if err != nil {
			c.fail(err)
			return n, false, c.opError("write", err)
		}
		n += m
		if record {
			c.writeRecord(p, unit)
		} else {
			c.send.queue = append(c.send.queue, unit...)
		}
	}
	c.pack(p)
	return n, false, nil
}

// writeError returns why nothing can be written.
func (c *connState) writeError() error {
	switch {
	case c.over:
		return c.opError("write", net.ErrClosed)
	case c.writeDeadline.passed:
		return c.opError("write", os.ErrDeadlineExceeded)
	case c.err != nil:
		return c.opError("write", c.err)
	case c.eof:
		return c.opError("write", syscall.EPIPE)
	}
	return nil
}

// writeRecord chooses how a record travels.
func (c *connState) writeRecord(p *packer, rec []byte) {
	prefix, _ := wire.ParsePrefix(rec) // the framer has checked it
	if direct(prefix) {
		id := callOf(rec[wire.PrefixSize:])
		fits := len(rec) <= maxDirect
		switch prefix.Kind {
		case wire.FrameCall:
			// The window bounds direct calls on their own. So they need not wait behind what is
			// under way in order, and there are never more than twice as many datagrams.
			if fits && c.congestion.allows(len(c.out.flight)) {
				c.out.add(id, rec, p.now.Add(jitter(c.trip.timeout(0))))
				p.direct(rec)
				return
			}
		case wire.FrameReturn:
			switch c.calls.answer(id, fits) {
			case directly:
				p.direct(rec)
				return
			case nowhere:
				return
			}
		case wire.FrameCancel:
			if o := c.out.find(id); o != nil && o.flying() {
				o.cancel = append(o.cancel[:0], rec...)
				p.directCall(o)
				return
			}
		}
	} else if prefix.Kind == wire.FrameReturn && prefix.Length >= wire.ReturnHeaderSize {
		c.calls.answer(callOf(rec[wire.PrefixSize:]), false)
	}
	c.send.queue = append(c.send.queue, rec...)
}

// fail breaks the connection.
func (c *connState) fail(err error) {
	if c.err == nil {
		c.err = err
		c.readable.Broadcast()
		c.writable.Broadcast()
	}
}

// Close ends the connection. If the peer is there, Close waits until it has received what
// was written, for a second at most. Reads and writes that wait return when Close is about to
// return.
func (c *Conn) Close() error {
	now := time.Now()
	s := c.lock()
	if s.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	p := packer{c: s, now: now}
	late := s.beginClose(&p)
	wake := s.rearm()
	c.mu.Unlock()
	c.send(&p, wake)

	timer := time.AfterFunc(closeTimeout, func() {
		s := c.lock()
		defer c.mu.Unlock()
		late = true
		s.writable.Broadcast()
	})
	s = c.lock()
	for !late && !s.eof && s.err == nil && !s.send.done() {
		s.writable.Wait()
	}
	timer.Stop()
	p.now = time.Now()
	reset := s.endClose(&p)
	wake = s.rearm()
	c.mu.Unlock()
	c.send(&p, wake)
	if reset {
		_ = c.transmit(appendShort(nil, typeReset, c.id))
	}
	c.poke()
	<-c.pumped
	c.release()
	return nil
}

// beginClose queues the END behind what was written. late says that it is too late to wait: the
// peer is not known to be there, or has not been heard for long.
func (c *connState) beginClose(p *packer) (late bool) {
	c.closed, c.send.ending = true, true
	c.in, c.read = nil, 0
	if c.err == nil {
		c.pack(p)
	}
	return !c.dialler && c.peerAt.IsZero() || !c.asking.IsZero() && p.now.Sub(c.asking) > closeTimeout
}

// endClose ends the connection. reset says that the peer must be reset, because it did not get
// all of it.
func (c *connState) endClose(p *packer) (reset bool) {
	c.readDeadline.stop()
	c.writeDeadline.stop()
	if c.receive.unacked > 0 && c.err == nil {
		c.receive.ackNow = true
		c.pack(p)
	}
	c.over = true
	c.readable.Broadcast()
	c.writable.Broadcast()
	return !c.send.done() && !errors.Is(c.err, syscall.ECONNRESET)
}

// deadline is the read or the write deadline of a connection.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    int // counts, so that a timer that was stopped too late has no effect
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
}

// setDeadline sets the deadline that of returns. When it passes, those who wait on cond wake
// up.
func (c *Conn) setDeadline(of func(*connState) (d *deadline, cond *sync.Cond), t time.Time) error {
	s := c.lock()
	defer c.mu.Unlock()
	if s.closed {
		return c.opError("set", net.ErrClosed)
	}
	d, cond := of(s)
	d.stop()
	left := time.Until(t)
	d.passed = !t.IsZero() && left <= 0
	if d.passed {
		cond.Broadcast()
	} else if !t.IsZero() {
		set := d.set
		d.timer = time.AfterFunc(left, func() {
			c.lock()
			defer c.mu.Unlock()
			if d.set == set {
				d.passed = true
				cond.Broadcast()
			}
		})
	}
	return nil
}

// SetDeadline sets both deadlines.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline sets when Read stops waiting. Zero means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(func(s *connState) (*deadline, *sync.Cond) { return &s.readDeadline, &s.readable }, t)
}

// SetWriteDeadline sets when Write stops waiting. Zero means never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(func(s *connState) (*deadline, *sync.Cond) { return &s.writeDeadline, &s.writable }, t)
}
