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

// packer packs frames into datagrams while a connection is locked. They are sent after the lock
// (Conn.send).
type packer struct {
	c    *connState
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

// directCall packs a call. If the call was cancelled, the cancel follows it in the same
// datagram, so that it does not arrive first. If both do not fit, the cancel goes once the peer
// has acknowledged the call.
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

// send sends what was packed, and wakes the goroutine if wake is true. c is not locked.
func (c *Conn) send(p *packer, wake bool) {
	if wake {
		c.poke()
	}
	for i, b := range p.full {
		if err := c.transmit(b.b[:b.n]); err != nil {
			c.trouble(err)
		}
		buffers.Put(b)
		p.full[i] = nil
	}
	p.full = p.full[:0]
}

// rearm reports whether the goroutine must wake up earlier than planned. It is called before
// each unlock.
func (c *connState) rearm() (wake bool) {
	due := c.due()
	if due.IsZero() || !c.armed.IsZero() && !due.Before(c.armed) {
		return false
	}
	c.armed = due
	return true
}

func (c *connConfig) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// inFlight is the number of datagrams in flight, for the congestion window.
func (c *connState) inFlight() int { return c.send.out + len(c.out.flight) }

// pack packs what is to be sent now, except what timers cause.
func (c *connState) pack(p *packer) {
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

// onTime does what is due.
func (c *connState) onTime(p *packer) {
	now := p.now
	again := 0
	for len(c.out.flight) > 0 && !c.out.flight[0].due.After(now) {
		o := c.out.flight[0]
		if again++; again <= int(c.congestion.window) { // the others get their turn later
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
		c.repeated += again
		if c.asking.IsZero() {
			c.asking = now
		} else if now.Sub(c.asking) >= deadAfter && c.repeated >= deadRepeats {
			c.fail(syscall.ETIMEDOUT)
		}
	}
}

// due is when the goroutine has to act next; zero: when it is woken.
func (c *connState) due() time.Time {
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
		now := time.Now()
		s := c.lock()
		if s.over || s.err != nil {
			c.mu.Unlock()
			return
		}
		p := packer{c: s, now: now}
		s.onTime(&p)
		s.pack(&p)
		due := s.due()
		s.armed = due
		c.mu.Unlock()
		c.send(&p, false)
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

// handle handles a data datagram of this connection.
func (c *Conn) handle(b []byte) {
	if !wellFormed(b[dataHeader:]) {
		return
	}
	now := time.Now()
	s := c.lock()
	p := packer{c: s, now: now}
	s.handle(&p, b)
	wake := s.rearm()
	c.mu.Unlock()
	c.send(&p, wake)
}

// handle handles a data datagram that is well-formed.
func (c *connState) handle(p *packer, b []byte) {
	if c.over || c.err != nil {
		return
	}
	h, b := parseData(b), b[dataHeader:]
	c.asking, c.repeated, c.refused = time.Time{}, 0, 0
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
	c.pack(p)
}

// frame handles one frame.
func (c *connState) frame(f *frame, now time.Time) {
	switch f.kind {
	case frameDirect:
		// A record that overtook the end of the handshake comes again. So does one for which
		// there is no room.
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

// pass reports whether a direct record is for the session.
func (c *connState) pass(f *frame, now time.Time) bool {
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

// ordered handles bytes of the ordered channel.
func (c *connState) ordered(b []byte) error {
	for len(b) > 0 {
		unit, n, record, err := c.incoming.next(b)
		if err != nil {
			return err
		}
		b = b[n:]
		if c.closed { // nobody reads it; acknowledging it only says that it arrived
			continue
		}
		if c.in = append(c.in, unit...); !record {
			continue
		}
		p, _ := wire.ParsePrefix(unit) // the framer has checked it
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

// header returns the header of a datagram that is sent now.
func (c *connState) header(now time.Time) data {
	h := data{id: c.id, sent: c.clock(now)}
	if !c.peerAt.IsZero() {
		h.echo = max(1, c.peerSent+uint32(now.Sub(c.peerAt)/time.Microsecond)) // 0 would say that none came
	}
	return h
}

// clock is this side's time as datagrams have it.
func (c *connConfig) clock(now time.Time) uint32 { return uint32(now.Sub(c.began) / time.Microsecond) }

// reset is called when the peer does not know the connection.
func (c *Conn) reset() {
	s := c.lock()
	if !s.eof {
		s.fail(syscall.ECONNRESET)
	}
	c.mu.Unlock()
	c.poke()
}

// trouble handles an error of the socket. Most mean that a datagram was lost.
func (c *Conn) trouble(err error) {
	s := c.lock()
	s.trouble(err)
	c.mu.Unlock()
	c.poke()
}

func (c *connState) trouble(err error) {
	switch {
	case errors.Is(err, net.ErrClosed):
		c.fail(net.ErrClosed)
	case refused(err):
		// The peer's system said so. But anybody can forge that in its name, so it is believed
		// only when it happens again.
		if c.refused++; c.refused >= refusals {
			c.fail(syscall.ECONNRESET)
		}
	}
}
