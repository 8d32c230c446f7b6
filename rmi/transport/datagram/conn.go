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
	// sendQueue is how many bytes of the ordered channel wait before Write does.
	// It is small: what waits in the session instead can be overtaken.
	sendQueue = 64 << 10
	// maxUnread is how many bytes may wait for Read before direct records are
	// dropped, which come again.
	maxUnread = 256 << 10

	// deadAfter is how long this side repeats itself without a datagram from the
	// peer before it takes it for gone.
	deadAfter = 10 * time.Second
	// closeTimeout is how long Close waits for the peer to have everything.
	closeTimeout = time.Second
	// refusals in a row are how often the system has to say that nobody listens
	// there until a connection that stood is over.
	refusals = 3
)

// Conn is a connection over datagrams. It has one goroutine, which looks after
// its timers and ends with Close; datagrams are handed to it by the goroutine
// that reads the socket, and sent by whoever finds that they are due.
//
// mu guards the fields below it. Nothing is sent while it is held: what is to be
// sent is packed into datagrams (packer) and goes out after it was released.
type Conn struct {
	id            connID
	dialler       bool               // this side is
	transmit      func([]byte) error // one datagram, to the peer
	release       func()             // gives the socket back; waits for its reader if it was the last user
	local, remote net.Addr
	began         time.Time     // 0 of the clock in datagrams
	wake          chan struct{} // capacity 1: the timers changed
	pumped        chan struct{} // closed when the goroutine is over

	mu       sync.Mutex
	readable sync.Cond // in, eof, err, closed or the deadline changed
	writable sync.Cond // room in send, done, err, closed or the deadline changed

	in      []byte // to be read: pieces of the handshake, then whole records
	read    int    // bytes of in that were
	eof     bool   // the peer closed; what it sent before is in in
	err     error  // why the connection is broken
	closed  bool   // Close was called: nothing is read or written any more
	over    bool   // and is about to return: nothing is sent any more
	writing bool   // a Write is under way; others wait, so that records do not mix

	readDeadline, writeDeadline deadline

	outgoing, incoming framer
	send               sender
	receive            receiver
	out                outCalls
	calls              inCalls
	trip               roundTrip
	congestion         congestion

	peerSent uint32    // the newest of the peer's clock
	peerAt   time.Time // when it came; zero: nothing came
	asking   time.Time // since when this side repeats itself and hears nothing; zero: it does not
	refused  int       // times that the system said so since the last datagram
	armed    time.Time // until when the goroutine sleeps; zero: until woken
}

var _ net.Conn = (*Conn)(nil)

func newConn(id connID, dialler bool, local, remote net.Addr, transmit func([]byte) error, release func()) *Conn {
	c := &Conn{
		id: id, dialler: dialler, transmit: transmit, release: release, local: local, remote: remote, began: time.Now(),
		wake: make(chan struct{}, 1), pumped: make(chan struct{}),
		outgoing: newFramer(dialler), incoming: newFramer(!dialler),
		send: sender{limit: window}, receive: receiver{limit: window}, congestion: newCongestion(),
	}
	c.readable.L, c.writable.L = &c.mu, &c.mu
	go c.pump()
	return c
}

// Lossy tells the session that a call may arrive again after it was answered,
// because its return was lost: the session then answers it again with the
// return that it kept.
func (c *Conn) Lossy() bool { return true }

// LocalAddr returns the address of this side's socket.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr returns the peer's address.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: "udp", Source: c.local, Addr: c.remote, Err: err}
}

// Read reads what the peer wrote, whole records of it in the order in which they
// became available: a direct one may come before others that were written
// earlier. After the peer's Close it returns io.EOF.
func (c *Conn) Read(b []byte) (int, error) {
	var p packer
	c.mu.Lock()
	defer func() { c.unlock(&p) }()
	for {
		switch {
		case c.over:
			return 0, c.opError("read", net.ErrClosed)
		case c.readDeadline.passed:
			return 0, c.opError("read", os.ErrDeadlineExceeded)
		case len(b) == 0:
			return 0, nil
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
			return n, nil
		case c.err != nil:
			return 0, c.opError("read", c.err)
		case c.eof:
			return 0, io.EOF
		}
		c.readable.Wait()
	}
}

// room is how many segments there is room for. mu is held.
func (c *Conn) room() int {
	return max(0, window-(len(c.in)-c.read+c.incoming.held())/maxSegment)
}

// Write sends b, part of the handshake or of records. It waits while much is
// queued.
func (c *Conn) Write(b []byte) (int, error) { return c.write(b, true) }

// TryWrite is Write for as much of b as can be queued without waiting.
func (c *Conn) TryWrite(b []byte) (int, error) { return c.write(b, false) }

func (c *Conn) write(b []byte, wait bool) (int, error) {
	p := packer{c: c, now: time.Now()}
	c.mu.Lock()
	defer func() { c.unlock(&p) }()
	for (c.writing || c.closed) && c.writeError() == nil {
		if !wait {
			return 0, nil
		}
		c.writable.Wait()
	}
	if err := c.writeError(); err != nil {
		return 0, err
	}
	c.writing = true
	defer func() {
		c.writing = false
		c.writable.Broadcast()
	}()
	for n := 0; ; {
		if n == len(b) {
			c.pack(&p)
			return n, nil
		}
		if c.send.queued() >= sendQueue {
			c.pack(&p)
			if c.send.queued() >= sendQueue {
				if !wait {
					return n, nil
				}
				c.unlock(&p)
				c.mu.Lock()
				p = packer{c: c, now: time.Now()}
				for (c.send.queued() >= sendQueue || c.closed) && c.writeError() == nil {
					c.writable.Wait()
				}
				p.now = time.Now()
				if err := c.writeError(); err != nil {
					return n, err
				}
			}
		}
		unit, m, record, err := c.outgoing.next(b[n:])
		if err != nil {
			c.fail(err)
			return n, c.opError("write", err)
		}
		n += m
		if record {
			c.writeRecord(&p, unit)
		} else {
			c.send.queue = append(c.send.queue, unit...)
		}
	}
}

// writeError tells why nothing can be written. mu is held.
func (c *Conn) writeError() error {
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

// writeRecord chooses how a record travels. mu is held.
func (c *Conn) writeRecord(p *packer, rec []byte) {
	prefix, _ := wire.ParsePrefix(rec) // the framer did
	if direct(prefix) {
		id := callOf(rec[wire.PrefixSize:])
		fits := len(rec) <= maxDirect
		switch prefix.Kind {
		case wire.FrameCall:
			// The window holds for direct calls alone, too: they need not wait behind
			// what is under way in order, and there are never twice as many datagrams.
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

// fail breaks the connection. mu is held.
func (c *Conn) fail(err error) {
	if c.err == nil {
		c.err = err
		c.readable.Broadcast()
		c.writable.Broadcast()
	}
}

// Close ends the connection. If the peer is there, Close waits for it to have what
// was written, for a second at most. Reads and writes that are under way
// return when Close is about to.
func (c *Conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return c.opError("close", net.ErrClosed)
	}
	now := time.Now()
	c.closed, c.send.ending = true, true
	c.in, c.read = nil, 0
	late := !c.dialler && c.peerAt.IsZero() || !c.asking.IsZero() && now.Sub(c.asking) > closeTimeout
	p := packer{c: c, now: now}
	if c.err == nil {
		c.pack(&p)
	}
	c.unlock(&p)

	timer := time.AfterFunc(closeTimeout, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.writable.Broadcast()
	})
	c.mu.Lock()
	for !late && !c.eof && c.err == nil && !c.send.done() {
		c.writable.Wait()
	}
	timer.Stop()
	c.readDeadline.stop()
	c.writeDeadline.stop()
	p = packer{c: c, now: time.Now()}
	if c.receive.unacked > 0 && c.err == nil {
		c.receive.ackNow = true
		c.pack(&p)
	}
	reset := !c.send.done() && !errors.Is(c.err, syscall.ECONNRESET)
	c.over = true
	c.readable.Broadcast()
	c.writable.Broadcast()
	c.unlock(&p)
	if reset {
		_ = c.transmit(appendShort(nil, typeReset, c.id))
	}
	c.poke()
	<-c.pumped
	c.release()
	return nil
}

// deadline is one of the two of a connection.
type deadline struct {
	passed bool
	timer  *time.Timer
	set    int // counts, so that a timer that was stopped too late does nothing
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.set++
}

// setDeadline sets d, whose passing wakes those who wait on cond.
func (c *Conn) setDeadline(d *deadline, cond *sync.Cond, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return c.opError("set", net.ErrClosed)
	}
	d.stop()
	left := time.Until(t)
	d.passed = !t.IsZero() && left <= 0
	if d.passed {
		cond.Broadcast()
	} else if !t.IsZero() {
		set := d.set
		d.timer = time.AfterFunc(left, func() {
			c.mu.Lock()
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

// SetReadDeadline sets when Read stops to wait; zero: never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.setDeadline(&c.readDeadline, &c.readable, t)
}

// SetWriteDeadline sets when Write stops to wait; zero: never.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadline(&c.writeDeadline, &c.writable, t)
}
