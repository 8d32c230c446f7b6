package datagram

import (
	"container/heap"
	"encoding/binary"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"gormi/rmi/wire"
)

// buffer is a datagram that is being packed.
type buffer struct {
	n int
	b [MaxDatagram]byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// packer packs frames into datagrams while c.mu is held; they are sent when it
// was released.
type packer struct {
	c    *Conn
	now  time.Time
	full []*buffer // the last may have room
}

// frame returns n bytes of a datagram for a frame of kind, without its kind.
func (p *packer) frame(kind frameKind, n int) []byte {
	if len(p.full) == 0 || p.room() < 1+n {
		b := buffers.Get().(*buffer)
		p.c.header(p.now).put(b.b[:])
		b.n = dataHeader
		p.full = append(p.full, b)
	}
	b := p.full[len(p.full)-1]
	b.b[b.n] = byte(kind)
	f := b.b[b.n+1 : b.n+1+n]
	b.n += 1 + n
	return f
}

// room is how many bytes the last datagram has left.
func (p *packer) room() int {
	if len(p.full) == 0 {
		return 0
	}
	return MaxDatagram - p.full[len(p.full)-1].n
}

func (p *packer) direct(rec []byte) { copy(p.frame(frameDirect, len(rec)), rec) }

// directCall packs a call and, if it was cancelled, the cancel behind it in the
// same datagram, so that it does not arrive before. If both do not fit, the
// cancel goes when the peer said that it has the call.
func (p *packer) directCall(o *outCall) {
	n := len(o.record)
	if o.cancel == nil || n+1+len(o.cancel) > maxDirect {
		p.direct(o.record)
		return
	}
	f := p.frame(frameDirect, n+1+len(o.cancel))
	copy(f, o.record)
	f[n] = byte(frameDirect)
	copy(f[n+1:], o.cancel)
}

func (p *packer) segment(g *segment) {
	if len(g.data) == 0 {
		binary.BigEndian.PutUint64(p.frame(frameEnd, 8), uint64(g.num))
		return
	}
	f := p.frame(frameSegment, segmentHeader-1+len(g.data))
	binary.BigEndian.PutUint64(f, uint64(g.num))
	binary.BigEndian.PutUint16(f[8:], uint16(len(g.data)))
	copy(f[10:], g.data)
}

// ack packs an acknowledgement and announces the window.
func (p *packer) ack() {
	r := &p.c.receive
	r.limit = max(r.limit, r.next+segNum(p.c.room()))
	r.unacked, r.ackNow = 0, false
	var ranges [2 * maxRanges]byte
	list, n := r.ranges(ranges[:0])
	f := p.frame(frameAck, 8+2+1+len(list))
	binary.BigEndian.PutUint64(f, uint64(r.next))
	binary.BigEndian.PutUint16(f[8:], uint16(r.limit-r.next))
	f[10] = byte(n)
	copy(f[11:], list)
}

// send sends the datagrams. c.mu is not held.
func (p *packer) send() {
	for i, b := range p.full {
		if err := p.c.transmit(b.b[:b.n]); err != nil {
			p.c.trouble(err)
		}
		buffers.Put(b)
		p.full[i] = nil
	}
	p.full = p.full[:0]
}

// unlock releases mu, wakes the goroutine if it sleeps too long, and sends what
// was packed.
func (c *Conn) unlock(p *packer) {
	due := c.due()
	if !due.IsZero() && (c.armed.IsZero() || due.Before(c.armed)) {
		c.armed = due
		c.poke()
	}
	c.mu.Unlock()
	p.send()
}

func (c *Conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// inFlight is the number of datagrams' worth under way. mu is held.
func (c *Conn) inFlight() int { return c.send.out + len(c.out.flight) }

// pack packs what is to be sent now, timers aside. mu is held.
func (c *Conn) pack(p *packer) {
	r := &c.receive
	if r.ackNow || r.unacked > 0 && !r.ackDue.After(p.now) {
		p.ack()
	}
	c.calls.takeCharge(p.now)
	if n := len(c.calls.gots); n > 0 {
		f := p.frame(frameGot, 1+8*n)
		f[0] = byte(n)
		for i, id := range c.calls.gots {
			binary.BigEndian.PutUint32(f[1+8*i:], uint32(id.slot))
			binary.BigEndian.PutUint32(f[5+8*i:], uint32(id.seq))
		}
		c.calls.gots = c.calls.gots[:0]
	}
	before := c.send.queued()
	for c.send.ready() && c.congestion.allows(c.inFlight()) {
		p.segment(c.send.take(p.now))
	}
	if before >= sendQueue && c.send.queued() < sendQueue {
		c.writable.Broadcast()
	}
	if r.unacked > 0 && p.room() >= 1+8+2+1+2*maxRanges {
		p.ack()
	}
}

// onTime does what the timers ask for. mu is held.
func (c *Conn) onTime(p *packer) {
	now := p.now
	again := 0
	for len(c.out.flight) > 0 && !c.out.flight[0].due.After(now) {
		o := c.out.flight[0]
		if again++; again <= int(c.congestion.window) { // else it gets its turn
			o.tries++
			p.directCall(o)
		}
		o.due = now.Add(jitter(c.trip.timeout(o.tries)))
		heap.Fix(&c.out.flight, 0)
	}
	if again > 0 {
		c.congestion.lost(now, c.trip.mean)
	}
	if due := c.send.due(&c.trip); !due.IsZero() && !due.After(now) {
		again++
		if c.send.out > 0 {
			if c.send.timedOut(now) {
				c.congestion.timedOut(now)
			}
		} else {
			c.send.backoff++
			c.send.asked = now
			p.frame(frameAsk, 0)
		}
	}
	if again > 0 {
		if c.asking.IsZero() {
			c.asking = now
		} else if now.Sub(c.asking) >= deadAfter {
			c.fail(syscall.ETIMEDOUT)
		}
	}
}

// due is when the goroutine has to act next; zero: when it is woken. mu is held.
func (c *Conn) due() time.Time {
	var due time.Time
	sooner := func(t time.Time) {
		if due.IsZero() || t.Before(due) {
			due = t
		}
	}
	if len(c.out.flight) > 0 {
		sooner(c.out.flight[0].due)
	}
	if t := c.send.due(&c.trip); !t.IsZero() {
		sooner(t)
	}
	if len(c.calls.fresh) > 0 {
		sooner(c.calls.fresh[0].due)
	}
	switch {
	case c.receive.ackNow || len(c.calls.gots) > 0:
		sooner(c.began)
	case c.receive.unacked > 0:
		sooner(c.receive.ackDue)
	}
	return due
}

// pump is the connection's goroutine; Close ends it, and so does a failure.
func (c *Conn) pump() {
	defer close(c.pumped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		p := packer{c: c, now: time.Now()}
		c.mu.Lock()
		if c.over || c.err != nil {
			c.mu.Unlock()
			return
		}
		c.onTime(&p)
		c.pack(&p)
		due := c.due()
		c.armed = due
		c.mu.Unlock()
		p.send()
		var late <-chan time.Time // never, if nothing is due
		if !due.IsZero() {
			timer.Reset(time.Until(due))
			late = timer.C
		}
		select {
		case <-late:
		case <-c.wake:
		}
	}
}

// handle takes in a data datagram of this connection.
func (c *Conn) handle(b []byte) {
	h, b := parseData(b), b[dataHeader:]
	if !wellFormed(b) {
		return
	}
	p := packer{c: c, now: time.Now()}
	c.mu.Lock()
	defer func() { c.unlock(&p) }()
	if c.over || c.err != nil {
		return
	}
	c.asking, c.refused = time.Time{}, 0
	if c.peerAt.IsZero() || int32(h.sent-c.peerSent) > 0 {
		c.peerSent, c.peerAt = h.sent, p.now
	}
	if h.echo != 0 {
		c.trip.measure(time.Duration(c.clock(p.now)-h.echo) * time.Microsecond)
	}
	unread := len(c.in)
	for len(b) > 0 && c.err == nil {
		var f frame
		f, b, _ = nextFrame(b)
		c.frame(&f, p.now)
	}
	if len(c.in) > unread || c.eof {
		c.readable.Broadcast()
	}
	if c.send.done() || c.eof {
		c.writable.Broadcast()
	}
	c.pack(&p)
}

// frame takes in one frame. mu is held.
func (c *Conn) frame(f *frame, now time.Time) {
	switch f.kind {
	case frameDirect:
		// What overtook the end of the handshake comes again, and so does a call
		// that finds no room.
		if c.incoming.state == inRecords && len(c.in)-c.read <= maxUnread && c.pass(f, now) && !c.closed {
			c.in = append(c.in, f.data...)
		}
	case frameSegment, frameEnd:
		var parts [8][]byte
		for _, part := range c.receive.take(f.num, f.data, now, parts[:0]) {
			if len(part) == 0 {
				c.eof = true
			} else if err := c.ordered(part); err != nil {
				c.fail(err)
				return
			}
		}
	case frameAck:
		before := c.inFlight()
		news, lost := c.send.arrived(f, now, c.trip.mean)
		c.congestion.arrived(news, before)
		if lost {
			c.congestion.lost(now, c.trip.mean)
		}
	case frameGot:
		for l := f.list; len(l) > 0; l = l[8:] {
			o := c.out.find(callOf(l))
			if o == nil || !o.flying() {
				continue
			}
			c.congestion.arrived(1, c.inFlight())
			c.out.landed(o)
			if o.cancel != nil {
				c.send.queue = append(c.send.queue, o.cancel...)
			}
		}
	case frameAsk:
		c.receive.ackNow = true
	}
}

// pass reports whether a direct record is for the session. mu is held.
func (c *Conn) pass(f *frame, now time.Time) bool {
	switch f.record {
	case wire.FrameCall:
		return c.calls.arrived(f.call, now)
	case wire.FrameReturn:
		before := c.inFlight()
		waiting, flying := c.out.answered(f.call)
		if flying {
			c.congestion.arrived(1, before)
		}
		return waiting
	}
	return c.calls.cancelled(f.call)
}

// ordered takes in bytes of the ordered channel. mu is held.
func (c *Conn) ordered(b []byte) error {
	for len(b) > 0 {
		unit, n, record, err := c.incoming.next(b)
		if err != nil {
			return err
		}
		b = b[n:]
		if c.closed { // nobody reads it; what is acknowledged is what arrived
			continue
		}
		if c.in = append(c.in, unit...); !record {
			continue
		}
		p, _ := wire.ParsePrefix(unit) // the framer did
		if p.Length < wire.CancelSize {
			continue
		}
		switch p.Kind {
		case wire.FrameCall:
			c.calls.set(callOf(unit[wire.PrefixSize:]), inOrdered)
		case wire.FrameReturn:
			c.out.answered(callOf(unit[wire.PrefixSize:]))
		}
	}
	return nil
}

// header returns the header of a datagram that is sent now. mu is held.
func (c *Conn) header(now time.Time) data {
	h := data{id: c.id, sent: c.clock(now)}
	if !c.peerAt.IsZero() {
		h.echo = max(1, c.peerSent+uint32(now.Sub(c.peerAt)/time.Microsecond)) // 0 says that there is none
	}
	return h
}

// clock is this side's time as it stands in datagrams.
func (c *Conn) clock(now time.Time) uint32 { return uint32(now.Sub(c.began) / time.Microsecond) }

// reset takes in that the peer does not know the connection.
func (c *Conn) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.eof {
		c.fail(syscall.ECONNRESET)
	}
	c.poke()
}

// trouble takes in an error of the socket. Most mean that a datagram was lost.
func (c *Conn) trouble(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, net.ErrClosed):
		c.fail(net.ErrClosed)
	case refused(err):
		// The system was told so by the peer's; anybody may have written that in its
		// name, so it is believed when it happens again.
		if c.refused++; c.refused >= refusals {
			c.fail(syscall.ECONNRESET)
		}
	}
	c.poke()
}
