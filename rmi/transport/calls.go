package transport

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Request is a call to make. Session.Call fills in slot, sequence number,
// timeout and sizes of the header. It must stay as it is until Call returns.
type Request struct {
	Header     wire.CallHeader
	Extensions []byte
	References int    // entries of Table
	Table      []byte // see wire.AppendTable
	Body       []byte

	// Deadline is when the caller gives up. Coarse says that it is a default,
	// which the context does not know of and which the session's clock, exact
	// to half a second, looks after.
	Deadline time.Time
	Coarse   bool

	// Name tells people what is called. May be nil.
	Name fmt.Stringer

	// OneWay says that nobody waits for the reply: Call returns when the call was
	// sent, and a call that is lost with its connection is not sent again.
	OneWay bool

	// Uncounted is called, if it is not nil, once it turns out that the peer did
	// not take Table in and never will, although the call was sent. That may be
	// long after Call returned, and on the reading goroutine: it must not block.
	Uncounted func()
}

// Reply is what came back. Its parts are valid until Release.
type Reply struct {
	Failed     bool // Body is an error form
	References uint32
	Table      []byte
	Body       []byte

	// Owned says that nothing else is in the memory of Body: who decodes it may
	// keep that, and then calls Detach instead of Release.
	Owned bool

	table *callTable
	slot  *slot
}

// Release gives the reply's memory and its slot back.
func (r *Reply) Release() {
	if r.slot != nil {
		r.table.release(r.slot)
	}
}

// Detach gives the slot back and leaves the memory to whoever has it.
func (r *Reply) Detach() {
	if r.slot != nil {
		r.slot.buf = nil
		r.table.release(r.slot)
	}
}

// slot is one place for a call in flight to the peer.
type slot struct {
	num wire.Slot

	// Guarded by callTable.mu; once done was received from, the caller's.
	done      chan error // capacity 1: nil: the call in it was completed; an error: it was given up, and the slot is another's
	seq       wire.Seq
	state     slotState
	nested    bool
	oneWay    bool
	crowd     bool         // many calls were in flight when this one began
	expires   atomic.Int64 // tick at which a coarse deadline ends; 0: none; waitsLong
	req       *Request     // of a waiting call
	uncounted func()       // Request.Uncounted
	buf       []byte
	blocks    [][]byte // of a large reply, instead of buf
	payload   wire.Payload
	failed    bool
	owned     bool // buf was made for this reply
	err       error
	in        *assembly // of the reply's payload, while its fragments arrive
	last      int       // of a free slot: bytes of the last reply, whoever read it
	owed      int       // of a free slot: the same, until the peer was told that the reply arrived

	// How the call was sent. Written under the connection's outbox.mu, and where
	// that is not the caller's own doing under callTable.mu too.
	made  uint64        // counts the session's calls: the order in which slots were taken
	sent  atomic.Uint32 // the wire.Epoch of the connection on which it was sent last; 0: never
	sends int
	body  *outBody // its payload, if that travels in fragments
}

// waitsLong stands in slot.expires of a call whose caller waits for a connection
// without a coarse deadline.
const waitsLong = -1

// crowd is the number of calls under way from which on frames are left to the
// flusher.
const crowd = 4

type slotState uint8

const (
	slotFree      slotState = iota
	slotWaiting             // a caller waits for the reply
	slotAbandoned           // the caller went away, or never waited; the reply frees the slot
	slotDone                // the reply is here, the caller reads it
)

// callTable is the caller's half of a session: its slots.
//
// A slot is one call's from before it is sent until its reply was read, so
// using it again tells the peer that the reply arrived. Calls from outside
// (depth 0) may have rootMax slots and wait for one; nested calls never wait,
// because what they would wait for may be waiting for them.
type callTable struct {
	session      *Session
	rootMax, max int

	mu      sync.Mutex
	slots   []*slot
	free    []*slot // last in, first out: few slots are ever used
	roots   int     // slots in use by calls of depth 0
	busy    int     // slots not free
	made    uint64  // calls so far
	kept    bool    // some free slot has a buffer
	owed    int     // sum of the slots' owed
	large   int     // how many of these are above ackAbove
	waiting []chan struct{}
	err     error // why no call can be made any more
	away    bool  // the peer is (absence.go): no call waits for it
}

func (c *callTable) init(s *Session, max int) {
	c.session, c.max, c.rootMax = s, max, (max+3)/4
}

// A reply of more than ackAbove bytes is acknowledged if its slot is not used
// again within a tick; all are, at once, when together they have ackAtOnce bytes.
const (
	ackAbove  = 4 << 10
	ackAtOnce = 1 << 20
)

// acquire returns a slot for r, its sequence number advanced, waiting for one if
// the call is of depth 0, at most until the end of ctx or, if it is not zero, until.
func (c *callTable) acquire(ctx context.Context, r *Request, until time.Time) (*slot, error) {
	nested := r.Header.Depth > 0
	c.mu.Lock()
	for {
		if c.err != nil {
			err := c.err
			c.mu.Unlock()
			return nil, errOver(err)
		}
		if c.away && c.session.link.Load() == nil { // else resend is about to know
			c.mu.Unlock()
			return nil, c.session.awayError()
		}
		if nested || c.roots < c.rootMax {
			if s := c.take(r, nested); s != nil {
				c.mu.Unlock()
				return s, nil
			}
			if nested {
				c.mu.Unlock()
				return nil, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
					"%d calls are in flight to this peer, as many as it accepts (its Options.Limits.Slots), and a nested call does not wait", c.max)
			}
		}
		if !until.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, until)
			defer cancel()
			until = time.Time{}
		}
		turn := make(chan struct{})
		c.waiting = append(c.waiting, turn)
		c.mu.Unlock()
		select {
		case <-turn:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			if i := slices.Index(c.waiting, turn); i >= 0 {
				c.waiting = slices.Delete(c.waiting, i, i+1)
			} else {
				c.wakeOne() // the turn was given to us: pass it on
			}
			c.mu.Unlock()
			return nil, ctx.Err()
		}
	}
}

// take returns a free or a new slot, or nil. mu is held.
func (c *callTable) take(r *Request, nested bool) *slot {
	var s *slot
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	} else if len(c.slots) < c.max {
		s = &slot{num: wire.Slot(len(c.slots)), done: make(chan error, 1)}
		c.slots = append(c.slots, s)
	} else {
		return nil
	}
	s.seq++
	c.made++
	s.made = c.made
	s.state, s.nested, s.oneWay, s.err, s.failed = slotWaiting, nested, false, nil, false
	s.payload = wire.Payload{}
	s.req, s.uncounted, s.sends, s.body = r, r.Uncounted, 0, nil
	s.sent.Store(0)
	r.Header.Slot, r.Header.Seq = s.num, s.seq
	if s.expires.Load() != 0 {
		s.expires.Store(0)
	}
	c.paid(s) // using the slot acknowledges
	c.busy++
	s.crowd = c.busy > crowd
	if !nested {
		c.roots++
	}
	return s
}

// release frees a slot whose reply was read or will never come.
func (c *callTable) release(s *slot) {
	c.mu.Lock()
	c.releaseLocked(s)
	much := c.owed > ackAtOnce || c.owed > 0 && c.session.peerOff.Load()
	c.mu.Unlock()
	if much {
		c.session.sendAcks(0)
	}
}

// paid notes that the peer hears, or will, that a slot's last reply arrived. mu is held.
func (c *callTable) paid(s *slot) {
	c.owed -= s.owed
	if s.owed > ackAbove {
		c.large--
	}
	s.owed = 0
}

func (c *callTable) releaseLocked(s *slot) {
	if s.sent.Load() == 0 {
		s.seq-- // it was never used, and last is still that of the call before
	} else {
		s.last = s.payload.Len()
	}
	if c.session.resumable {
		s.owed = s.last
		c.owed += s.owed
		if s.owed > ackAbove {
			c.large++
		}
	}
	s.state, s.req, s.uncounted, s.body, s.blocks = slotFree, nil, nil, nil, nil
	if cap(s.buf) > 64<<10 {
		s.buf = nil
	}
	c.kept = c.kept || s.buf != nil
	c.free = append(c.free, s)
	c.busy--
	if !s.nested {
		c.roots--
	}
	if c.roots < c.rootMax {
		c.wakeOne()
	}
	c.session.changed.send()
}

// owesLarge reports whether the peer keeps a large reply whose slot nobody uses.
func (c *callTable) owesLarge() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.large > 0
}

// acks appends the acknowledgements of replies above a size whose slots are
// free. mu is held.
func (c *callTable) acks(b []byte, above int) []byte {
	if c.owed == 0 {
		return b
	}
	for _, s := range c.free {
		if s.owed > above {
			b = wire.AppendAck(b, s.num, s.seq)
			c.paid(s)
		}
	}
	return b
}

func (c *callTable) wakeOne() {
	if len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}

// abandon leaves the call that waits on done to its fate. left is false if the
// call was completed meanwhile. sent tells whether the peer may know the call; if
// not, the slot is free again. body is what the caller has taken back of the
// payload's sending, and begun whether any of it was sent; if the payload was
// sent anew meanwhile, again is true and nothing was done.
func (c *callTable) abandon(s *slot, done chan error, body *outBody, begun bool) (left, sent, again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.done != done || s.state != slotWaiting {
		return false, false, false
	}
	if s.body != body {
		return false, false, true
	}
	if body != nil && !begun && s.sends == 1 && s.sent.Load() == uint32(body.out.link.epoch) { // nor was it settled
		s.sent.Store(0)
	}
	if s.sent.Load() == 0 {
		c.releaseLocked(s)
		return true, false, false
	}
	s.state, s.oneWay, s.req, s.body = slotAbandoned, s.req.OneWay, nil, nil
	c.session.changed.send()
	return true, true, false
}

// bodyOf is the sending of the call's payload, if that travels in fragments.
func (c *callTable) bodyOf(s *slot) *outBody {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.body
}

// sentOneWay leaves a one-way call that was sent.
func (c *callTable) sentOneWay(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.state == slotWaiting {
		s.state, s.oneWay, s.req, s.body = slotAbandoned, true, nil, nil
		return
	}
	<-s.done // completed already
	c.releaseLocked(s)
}

// complete hands the slot to its caller. mu is held.
func (c *callTable) complete(s *slot) {
	s.state = slotDone
	s.done <- nil
	c.session.changed.send()
}

// returned takes a return record in. It runs on the reading goroutine. uncounted,
// if it is not nil, is to be called, and table, of a reply that nobody reads,
// to be counted.
func (c *callTable) returned(l *Link, p wire.Prefix, h *wire.ReturnHeader, rest []byte) (uncounted func(), table []byte, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(h.Slot) >= len(c.slots) {
		return nil, nil, wire.ProtocolError("W-54: return for slot %d, which was never used", h.Slot)
	}
	sl := c.slots[h.Slot]
	if sl.seq != h.Seq || (sl.state != slotWaiting && sl.state != slotAbandoned) || sl.in != nil || sl.sent.Load() == 0 {
		return nil, nil, wire.ProtocolError("W-54: return for call %d of slot %d, which is not in flight", h.Seq, h.Slot)
	}
	sl.payload, sl.failed = h.Payload, p.Flags&wire.FlagError != 0
	if p.Flags&wire.FlagUncounted != 0 {
		uncounted, sl.uncounted = sl.uncounted, nil
	}
	if p.Flags&wire.FlagFragmented != 0 {
		a, err := l.assemble(h.Payload, sl.state == slotAbandoned)
		sl.in = a
		return uncounted, nil, err
	}
	if sl.state == slotAbandoned {
		c.releaseLocked(sl)
		return uncounted, rest[:h.Payload.Table], nil
	}
	sl.buf, sl.owned = append(sl.buf[:0], rest...), false
	c.complete(sl)
	return uncounted, nil, nil
}

// fragment returns where the next n bytes of a reply's payload go.
func (c *callTable) fragment(num wire.Slot, seq wire.Seq) (*assembly, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(num) >= len(c.slots) || c.slots[num].in == nil || c.slots[num].seq != seq {
		return nil, wire.ProtocolError("W-65: fragment of a return for call %d of slot %d, which has none under way", seq, num)
	}
	return c.slots[num].in, nil
}

// assembled completes the call whose reply's last fragment is here. It returns
// the table of a reply that nobody reads.
func (c *callTable) assembled(num wire.Slot) (references uint32, table []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sl := c.slots[num]
	a := sl.in
	sl.in = nil
	blocks, refused := a.blocks, a.refused
	if sl.state == slotAbandoned || refused {
		references = sl.payload.References
		table, _ = a.counted()
	}
	a.release()
	if c.err != nil { // fail has completed the call
		return 0, nil
	}
	if sl.state == slotAbandoned {
		c.releaseLocked(sl)
		return references, table
	}
	if refused {
		sl.err = fault.New(fault.KindOverloaded, fault.OutcomeExecuted,
			"the reply of %d bytes had no room: this node holds as many bytes under assembly as its limits allow (Options.Limits.AssemblyTotal, a quarter of it for one peer)", a.size)
	} else {
		sl.blocks, sl.owned = blocks, true
	}
	c.complete(sl)
	return references, table
}

// fail ends every call in flight with err; those made later get it at once.
func (c *callTable) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = err
	for _, s := range c.slots {
		switch s.state {
		case slotWaiting:
			if s.err = err; s.sent.Load() == 0 {
				s.err = errOver(err)
			}
			c.complete(s)
		case slotAbandoned:
			c.releaseLocked(s)
		}
	}
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
}

// cut forgets the replies under assembly on a connection that is lost.
func (c *callTable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.slots {
		if s.in != nil {
			s.in.release()
			s.in = nil
		}
	}
}

// resend appends to a new connection's frames what the peer may not have heard
// of: the calls in flight, in the order in which they were made, that those whose
// callers left are given up, and that large replies arrived. l.out.mu is held.
func (c *callTable) resend(l *Link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = false
	inOrder := slices.Clone(c.slots)
	slices.SortFunc(inOrder, func(a, b *slot) int { return cmp.Compare(a.made, b.made) })
	for _, s := range inOrder {
		switch {
		case s.sent.Load() == uint32(l.epoch):
		case s.state == slotWaiting && !s.req.OneWay:
			l.send(s, s.req, true)
		case s.state == slotWaiting && s.sent.Load() == 0: // its caller is about to send it
		case s.state == slotWaiting, s.state == slotAbandoned && s.oneWay:
			s.sent.Store(uint32(l.epoch))
			l.out.small = wire.AppendSettle(l.out.small, s.num, s.seq)
		case s.state == slotAbandoned:
			s.sent.Store(uint32(l.epoch))
			l.out.small = wire.AppendCancel(l.out.small, s.num, s.seq)
		}
	}
	above := ackAbove
	if c.session.peerOff.Load() {
		above = 0
	}
	for _, s := range c.free { // an acknowledgement may have been lost
		if s.last > above {
			l.out.small = wire.AppendAck(l.out.small, s.num, s.seq)
			c.paid(s)
		}
	}
}

// abandoned reports whether a call was sent on a connection, or settled there, and is
// abandoned: no reply came, and nobody waits for one.
func (c *callTable) abandoned(num wire.Slot, seq wire.Seq, on wire.Epoch) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slots[num]
	return s.seq == seq && s.state == slotAbandoned && s.sent.Load() == uint32(on)
}

// callID names a call of a session.
type callID struct {
	slot wire.Slot
	seq  wire.Seq
}

// expire abandons the calls whose coarse deadline has come, tells their
// callers, and returns the calls of which the peer is to be told.
func (c *callTable) expire(now int64) (late []callID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == 0 {
		return nil
	}
	for _, s := range c.slots {
		e := s.expires.Load()
		switch {
		case s.state != slotWaiting || e == 0 || e == waitsLong || e > now:
		case s.sent.Load() == 0: // there is no connection
			s.err = c.session.unreached()
			c.complete(s)
		default:
			c.giveUp(s, c.session.expired())
			late = append(late, callID{s.num, s.seq})
		}
	}
	return late
}

// giveUp tells the caller of a call that was sent to wait no longer. mu is held.
func (c *callTable) giveUp(s *slot, err error) {
	s.state, s.req, s.body = slotAbandoned, nil, nil
	c.session.changed.send()
	s.done <- err
	s.done = make(chan error, 1) // for the next call
}

// peerAway has nobody wait for the peer any more: those who do get an error, of
// the outcome that is true of their call. It does nothing if there is a connection.
func (c *callTable) peerAway(unknown, notExecuted error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.away || c.err != nil || c.session.link.Load() != nil { // resend, which comes after the link, ends it
		return
	}
	c.away = true
	for _, s := range c.slots {
		switch {
		case s.state != slotWaiting, s.req.OneWay: // of these, who waits does so in waitLink
		case s.sent.Load() != 0:
			c.giveUp(s, unknown)
		case s.expires.Load() != 0: // else its caller is about to look
			s.err = notExecuted
			c.complete(s)
		}
	}
	for _, w := range c.waiting {
		close(w)
	}
	c.waiting = nil
}

// isAway reports whether the peer is away.
func (c *callTable) isAway() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.away && c.session.link.Load() == nil
}

// trim drops the buffers of free slots, which an idle session does not need.
func (c *callTable) trim() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept {
		for _, s := range c.free {
			s.buf = nil
		}
		c.kept = false
	}
}
