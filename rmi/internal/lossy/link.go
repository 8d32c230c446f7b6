package lossy

import (
	"bytes"
	"math/rand/v2"
	"net"
	"slices"
	"sort"
	"sync"
	"time"
)

// Options say how bad a link is. Probabilities are from 0 to 1, for one datagram.
type Options struct {
	Seed    uint64
	Loss    float64 // it never arrives
	Dup     float64 // it arrives twice
	Reorder float64 // it, or its duplicate, arrives up to Late later than it would

	Delay time.Duration // of every datagram
	Late  time.Duration // zero: 5 ms
}

// Counts are the datagrams that passed.
type Counts struct {
	Sent int // by those who use the link
	Lost int
	Dup  int // how many more arrived than were sent
	Late int
}

// link decides what happens to datagrams. It is safe for concurrent use.
type link struct {
	mu      sync.Mutex // guards the fields below
	opts    Options
	dice    *rand.Rand
	counts  Counts
	late    []delivery // in the order in which they are due
	running bool       // a timer, or the function that it called, delivers late
	timer   *time.Timer
	closed  bool
}

// delivery is a datagram that is on its way.
type delivery struct {
	due time.Time
	b   []byte
	to  func([]byte)
}

func newLink(o Options) *link {
	l := &link{dice: rand.New(rand.NewPCG(o.Seed, 1))}
	l.set(o)
	return l
}

func (l *link) set(o Options) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o.Late <= 0 {
		o.Late = 5 * time.Millisecond
	}
	l.opts = o
}

// send delivers b as the random decision says: now, on the caller's goroutine, or later, or not
// at all. It does not keep b. Nothing is delivered after close.
func (l *link) send(b []byte, to func([]byte)) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	l.counts.Sent++
	o := &l.opts
	copies := 1
	if l.dice.Float64() < o.Loss {
		l.counts.Lost++
		copies = 0
	} else if l.dice.Float64() < o.Dup {
		l.counts.Dup++
		copies = 2
	}
	now := 0
	for range copies {
		delay := o.Delay
		if l.dice.Float64() < o.Reorder {
			l.counts.Late++
			delay += time.Duration(l.dice.Int64N(int64(o.Late)) + 1)
		}
		if delay == 0 {
			now++
			continue
		}
		d := delivery{time.Now().Add(delay), bytes.Clone(b), to}
		i := sort.Search(len(l.late), func(i int) bool { return l.late[i].due.After(d.due) })
		l.late = slices.Insert(l.late, i, d)
		if !l.running {
			l.running = true
			l.timer = time.AfterFunc(delay, l.run)
		} else if i == 0 && l.timer != nil && l.timer.Stop() { // if it does not stop, run does it
			l.timer = time.AfterFunc(delay, l.run)
		}
	}
	l.mu.Unlock()
	for range now {
		to(b)
	}
}

// run delivers what is due, in order, and sets the timer for the rest.
func (l *link) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = nil
	for len(l.late) > 0 && !l.closed {
		d := l.late[0]
		if wait := time.Until(d.due); wait > 0 {
			l.timer = time.AfterFunc(wait, l.run)
			return
		}
		l.late = slices.Delete(l.late, 0, 1)
		l.mu.Unlock()
		d.to(d.b)
		l.mu.Lock()
	}
	l.running = false
}

func (l *link) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed, l.late = true, nil
	if l.timer != nil {
		l.timer.Stop()
	}
}

func (l *link) count() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts
}

// PacketConn is a socket with a bad sending side.
type PacketConn struct {
	net.PacketConn
	link *link
}

// Wrap returns socket with a bad link for what it sends. What it receives is not affected.
func Wrap(socket net.PacketConn, o Options) *PacketConn { return &PacketConn{socket, newLink(o)} }

// WriteTo sends b to a, or not. An error says nothing about the datagram.
func (c *PacketConn) WriteTo(b []byte, a net.Addr) (int, error) {
	c.link.send(b, func(b []byte) { _, _ = c.PacketConn.WriteTo(b, a) })
	return len(b), nil
}

// Close closes the socket. Delayed datagrams are lost.
func (c *PacketConn) Close() error {
	c.link.close()
	return c.PacketConn.Close()
}

// Counts returns the counts so far.
func (c *PacketConn) Counts() Counts { return c.link.count() }

// Conn is a socket with one peer and a bad sending side.
type Conn struct {
	net.Conn
	link *link
}

// Write sends b, or not. An error says nothing about the datagram.
func (c *Conn) Write(b []byte) (int, error) {
	c.link.send(b, func(b []byte) { _, _ = c.Conn.Write(b) })
	return len(b), nil
}

// Close closes the socket. Delayed datagrams are lost.
func (c *Conn) Close() error {
	c.link.close()
	return c.Conn.Close()
}

// Counts returns the counts so far.
func (c *Conn) Counts() Counts { return c.link.count() }
