package transport

import (
	"cmp"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// slot is the place of one call in flight to the peer.
type slot struct {
	num wire.Slot

	// Guarded by outbound's lock; once done was received from, the caller's.
	done      chan error // capacity 1: nil: the call was completed; an error: it was given up, and the slot belongs to another call
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
	metadata  wire.Metadata // of the reply
	failed    bool
	owned     bool // buf was made for this reply
	err       error
	in        *assembly // of the reply's payload, while its fragments arrive
	last      int       // of a free slot: size of the last reply, whoever read it
	owed      int       // of a free slot: the same, until the peer was told that the reply arrived

	// How the call was sent. Written under the connection's outbox.mu. Whoever writes it and is
	// not the caller holds outbound's lock too.
	made  uint64        // counts the session's calls: the order in which slots were taken
	sent  atomic.Uint32 // the wire.Epoch of the connection on which it was sent last; 0: never
	sends int
	body  *outBody // its payload, if that travels in fragments
}

// waitsLong is the value of slot.expires of a call without a coarse deadline whose caller waits
// for a connection.
const waitsLong = -1

// crowd is the number of calls in flight from which the flusher writes all frames.
const crowd = 4

type slotState uint8

const (
	slotFree      slotState = iota
	slotWaiting             // a caller waits for the reply
	slotAbandoned           // the caller went away, or never waited; the reply frees the slot
	slotDone                // the reply is here, the caller reads it
)

// outbound is the caller's half of a session: its slots.
//
// A slot belongs to one call from before the call is sent until its reply was read. So using
// the slot again tells the peer that the reply arrived. Calls from outside (depth 0) may have
// rootMax slots, and wait for one. Nested calls never wait: the calls that have the slots may
// be waiting for them.
type outbound struct {
	session      *Session
	rootMax, max int

	mu guard.Mutex[lockedOutbound]
}

// lockedOutbound is what the lock of an outbound guards.
type lockedOutbound struct {
	of      *outbound
	slots   []*slot
	free    []*slot // last in, first out: few slots are ever used
	roots   int     // slots in use by calls of depth 0
	busy    int     // slots not free
	made    uint64  // calls so far
	buffers bool    // some free slot has a buffer
	owed    int     // sum of the slots' owed
	large   int     // how many of these are above ackAbove
	waiting []chan struct{}
	err     error // why no call can be made any more
	over    error // the same, for calls that were not sent
	away    bool  // the peer is away (absence.go): no call waits for it
}

func (c *outbound) init(s *Session, max int) {
	c.session, c.max, c.rootMax = s, max, (max+3)/4
	c.mu.Lock().of = c
	c.mu.Unlock()
}

// A reply of more than ackAbove bytes is acknowledged if its slot is not used again within a
// tick. All replies are acknowledged at once when together they have ackAtOnce bytes.
const (
	ackAbove  = 4 << 10
	ackAtOnce = 1 << 20
)

// acquire returns a slot for r and advances its sequence number. A call of depth 0 waits for a
// slot, at most until the end of ctx and, if it is not zero, until.
func (c *outbound) acquire(ctx context.Context, r *Request, until time.Time) (*slot, error) {
	for {
		st := c.mu.Lock()
		s, turn, err := st.enter(r)
		c.mu.Unlock()
		switch {
		case err != nil:
			return nil, err
		case s != nil:
			return s, nil
		case turn == nil:
			return nil, c.session.awayError()
		}
		if !until.IsZero() {
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, until)
			defer cancel()
			until = time.Time{}
		}
		select {
		case <-turn:
		case <-ctx.Done():
			c.mu.Lock().leaveLine(turn)
			c.mu.Unlock()
			return nil, ctx.Err()
		}
	}
}

// enter returns a slot for r, or its turn in the line for one. The turn is closed when r is to
// try again. If the peer is away, enter returns neither.
func (c *lockedOutbound) enter(r *Request) (s *slot, turn chan struct{}, err error) {
	if c.err != nil {
		return nil, nil, c.over
	}
	if c.away && c.of.session.link.Load() == nil { // if there is a connection, resend is about to end the absence
		return nil, nil, nil
	}
	nested := r.Header.Depth > 0
	if nested || c.roots < c.of.rootMax {
		if s := c.take(r, nested); s != nil {
			return s, nil, nil
		}
		if nested {
			return nil, nil, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
				"%d calls are in flight to this peer, as many as it accepts (its Options.Limits.Slots), and a nested call does not wait", c.of.max)
		}
	}
	turn = make(chan struct{})
	c.waiting = append(c.waiting, turn)
	return nil, turn, nil
}

// leaveLine gives a turn up. If the turn has come already, the next in line gets it.
func (c *lockedOutbound) leaveLine(turn chan struct{}) {
	if i := slices.Index(c.waiting, turn); i >= 0 {
		c.waiting = slices.Delete(c.waiting, i, i+1)
	} else {
		c.wakeOne()
	}
}

// take returns a free or a new slot, or nil.
func (c *lockedOutbound) take(r *Request, nested bool) *slot {
	var s *slot
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	} else if len(c.slots) < c.of.max {
		s = &slot{num: wire.Slot(len(c.slots)), done: make(chan error, 1)}
		c.slots = append(c.slots, s)
	} else {
		return nil
	}
	s.seq++
	c.made++
	s.made = c.made
	s.state, s.nested, s.oneWay, s.err, s.failed = slotWaiting, nested, false, nil, false
	s.payload, s.metadata = wire.Payload{}, ""
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

// release frees a slot, and acknowledges the replies if much is owed.
func (c *outbound) release(s *slot) {
	st := c.mu.Lock()
	st.release(s)
	much := st.owed > ackAtOnce || st.owed > 0 && c.session.peerOff.Load()
	c.mu.Unlock()
	if much {
		c.session.sendAcks(0)
	}
}

// paid notes that the peer has been told, or will be, that a slot's last reply arrived.
func (c *lockedOutbound) paid(s *slot) {
	c.owed -= s.owed
	if s.owed > ackAbove {
		c.large--
	}
	s.owed = 0
}

// release frees a slot whose reply was read or will never come.
func (c *lockedOutbound) release(s *slot) {
	if s.sent.Load() == 0 {
		s.seq-- // it was never used: last still belongs to the call before
	} else {
		s.last = s.payload.Len() + len(s.metadata)
	}
	s.metadata = ""
	if c.of.session.resumable {
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
	c.buffers = c.buffers || s.buf != nil
	c.free = append(c.free, s)
	c.busy--
	if !s.nested {
		c.roots--
	}
	if c.roots < c.of.rootMax {
		c.wakeOne()
	}
	c.of.session.changed.send()
}

// owesLarge reports whether the peer retains a large reply whose slot is free.
func (c *outbound) owesLarge() bool {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	return st.large > 0
}

// acks appends the acknowledgements of the replies of more than above bytes whose slots are
// free.
func (c *lockedOutbound) acks(b []byte, above int) []byte {
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

func (c *lockedOutbound) wakeOne() {
	if len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}

// abandon gives up the call that waits on done. left is false if the call was completed
// meanwhile. sent tells whether the peer may know the call; if not, the slot is free again.
// body is the sending of the payload that the caller has aborted, and begun whether any of it
// was sent. If the payload was sent again meanwhile, again is true and nothing was done.
func (c *outbound) abandon(s *slot, done chan error, body *outBody, begun bool) (left, sent, again bool) {
	st := c.mu.Lock()
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
		st.release(s)
		return true, false, false
	}
	s.state, s.oneWay, s.req, s.body = slotAbandoned, s.req.OneWay, nil, nil
	c.session.changed.send()
	return true, true, false
}

// bodyOf returns the outBody of the call's payload, if it travels in fragments.
func (c *outbound) bodyOf(s *slot) *outBody {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.body
}

// sentOneWay gives up the wait for a one-way call, once it was sent.
func (c *outbound) sentOneWay(s *slot) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if s.state == slotWaiting {
		s.state, s.oneWay, s.req, s.body = slotAbandoned, true, nil, nil
		return
	}
	<-s.done // completed already
	st.release(s)
}

// complete wakes the slot's caller: the reply is in the slot.
func (c *lockedOutbound) complete(s *slot) {
	s.state = slotDone
	s.done <- nil
	c.of.session.changed.send()
}

// returned handles a return record. It runs on the reading goroutine. If uncounted is not nil,
// it must be called. table is that of a reply that nobody reads: its references must be
// counted.
func (c *outbound) returned(l *Link, p wire.Prefix, h *wire.ReturnHeader, rest []byte) (uncounted func(), table []byte, err error) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if int(h.Slot) >= len(st.slots) {
		return nil, nil, wire.ProtocolError("W-54: return for slot %d, which was never used", h.Slot)
	}
	sl := st.slots[h.Slot]
	if sl.seq != h.Seq || (sl.state != slotWaiting && sl.state != slotAbandoned) || sl.in != nil || sl.sent.Load() == 0 {
		return nil, nil, wire.ProtocolError("W-54: return for call %d of slot %d, which is not in flight", h.Seq, h.Slot)
	}
	sl.payload, sl.metadata, sl.failed = h.Payload, h.Metadata, p.Flags&wire.FlagError != 0
	if p.Flags&wire.FlagUncounted != 0 {
		uncounted, sl.uncounted = sl.uncounted, nil
	}
	if p.Flags&wire.FlagFragmented != 0 {
		a, err := l.assemble(h.Payload, sl.state == slotAbandoned)
		sl.in = a
		return uncounted, nil, err
	}
	if sl.state == slotAbandoned {
		st.release(sl)
		return uncounted, rest[:h.Payload.Table], nil
	}
	sl.buf, sl.owned = append(sl.buf[:0], rest...), false
	st.complete(sl)
	return uncounted, nil, nil
}

// fragment returns where the next n bytes of a reply's payload go.
func (c *outbound) fragment(num wire.Slot, seq wire.Seq) (*assembly, error) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if int(num) >= len(st.slots) || st.slots[num].in == nil || st.slots[num].seq != seq {
		return nil, wire.ProtocolError("W-65: fragment of a return for call %d of slot %d, which has none under way", seq, num)
	}
	return st.slots[num].in, nil
}

// assembled completes a call when the last fragment of its reply is here. It returns the table
// of a reply that nobody reads.
func (c *outbound) assembled(num wire.Slot) (references uint32, table []byte) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	sl := st.slots[num]
	a := sl.in
	sl.in = nil
	blocks, refused := a.blocks, a.refused
	if sl.state == slotAbandoned || refused {
		references = sl.payload.References
		table, _ = a.counted()
	}
	a.release()
	if st.err != nil { // fail has completed the call
		return 0, nil
	}
	if sl.state == slotAbandoned {
		st.release(sl)
		return references, table
	}
	if refused {
		sl.err = fault.New(fault.KindOverloaded, fault.OutcomeExecuted,
			"the reply of %d bytes had no room: this node holds as many bytes under assembly as its limits allow (Options.Limits.AssemblyTotal, a quarter of it for one peer)", a.size)
	} else {
		sl.blocks, sl.owned = blocks, true
	}
	st.complete(sl)
	return references, table
}

// fail ends every call in flight with err. Later calls get err at once.
func (c *outbound) fail(err error) {
	over := errOver(err)
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.err != nil {
		return
	}
	st.err, st.over = err, over
	for _, s := range st.slots {
		switch s.state {
		case slotWaiting:
			if s.err = err; s.sent.Load() == 0 {
				s.err = over
			}
			st.complete(s)
		case slotAbandoned:
			st.release(s)
		}
	}
	for _, w := range st.waiting {
		close(w)
	}
	st.waiting = nil
}

// cut forgets the replies under assembly on a connection that is lost.
func (c *outbound) cut() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range st.slots {
		if s.in != nil {
			s.in.release()
			s.in = nil
		}
	}
}

// resend appends to a new connection's frames what the peer may not know: the calls in flight,
// in the order in which they were made, cancels for the calls that were given up, and
// acknowledgements of large replies.
func (c *outbound) resend(q *lockedOutbox) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	st.away = false
	epoch := uint32(q.of.link.epoch)
	inOrder := slices.Clone(st.slots)
	slices.SortFunc(inOrder, func(a, b *slot) int { return cmp.Compare(a.made, b.made) })
	for _, s := range inOrder {
		switch {
		case s.sent.Load() == epoch:
		case s.state == slotWaiting && !s.req.OneWay:
			q.send(s, s.req, true)
		case s.state == slotWaiting && s.sent.Load() == 0: // its caller is about to send it
		case s.state == slotWaiting, s.state == slotAbandoned && s.oneWay:
			s.sent.Store(epoch)
			q.small = wire.AppendSettle(q.small, s.num, s.seq)
		case s.state == slotAbandoned:
			s.sent.Store(epoch)
			q.small = wire.AppendCancel(q.small, s.num, s.seq)
		}
	}
	above := ackAbove
	if c.session.peerOff.Load() {
		above = 0
	}
	for _, s := range st.free { // an acknowledgement may have been lost
		if s.last > above {
			q.small = wire.AppendAck(q.small, s.num, s.seq)
			st.paid(s)
		}
	}
}

// abandoned reports whether a call that the peer may know was given up and has no reply yet.
func (c *outbound) abandoned(num wire.Slot, seq wire.Seq) bool {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	s := st.slots[num]
	return s.seq == seq && s.state == slotAbandoned
}

// callID names a call of a session.
type callID struct {
	slot wire.Slot
	seq  wire.Seq
}

// expire abandons the calls whose coarse deadline has passed, wakes their callers, and returns
// the calls that the peer must be told of.
func (c *outbound) expire(now int64) []callID {
	st := c.mu.Lock()
	late := st.anyLate(now)
	c.mu.Unlock()
	if !late {
		return nil
	}
	// Their texts contain errors of other packages, so they are made before the lock.
	unreached, expired := c.session.unreached(), c.session.expired()
	st = c.mu.Lock()
	defer c.mu.Unlock()
	return st.expire(now, unreached, expired)
}

// late reports whether the coarse deadline of the call in s has passed.
func (s *slot) late(now int64) bool {
	e := s.expires.Load()
	return s.state == slotWaiting && e != 0 && e != waitsLong && e <= now
}

// anyLate reports whether there is anything to expire.
func (c *lockedOutbound) anyLate(now int64) bool {
	return c.busy > 0 && slices.ContainsFunc(c.slots, func(s *slot) bool { return s.late(now) })
}

// expire abandons the calls that are late and returns those that the peer must be told of.
// unreached is the error of a call that was not sent, expired of one that was.
func (c *lockedOutbound) expire(now int64, unreached, expired error) (late []callID) {
	for _, s := range c.slots {
		switch {
		case !s.late(now):
		case s.sent.Load() == 0: // there is no connection
			s.err = unreached
			c.complete(s)
		default:
			c.giveUp(s, expired)
			late = append(late, callID{s.num, s.seq})
		}
	}
	return late
}

// giveUp ends the wait of the caller of a call that was sent.
func (c *lockedOutbound) giveUp(s *slot, err error) {
	s.state, s.req, s.body = slotAbandoned, nil, nil
	c.of.session.changed.send()
	s.done <- err
	s.done = make(chan error, 1) // for the next call
}

// peerAway ends all waits for the peer. The callers get an error with the outcome that is true
// of their call. It does nothing if there is a connection.
func (c *outbound) peerAway(unknown, notExecuted error) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.away || st.err != nil || c.session.link.Load() != nil { // the link comes before resend, which ends the absence
		return
	}
	st.away = true
	for _, s := range st.slots {
		switch {
		case s.state != slotWaiting, s.req.OneWay: // callers of one-way calls wait in waitLink
		case s.sent.Load() != 0:
			st.giveUp(s, unknown)
		case s.expires.Load() != 0: // if it is 0, its caller is about to look
			s.err = notExecuted
			st.complete(s)
		}
	}
	for _, w := range st.waiting {
		close(w)
	}
	st.waiting = nil
}

// isAway reports whether the peer is away.
func (c *outbound) isAway() bool {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	return st.away && c.session.link.Load() == nil
}

// trim drops the buffers of free slots, which an idle session does not need.
func (c *outbound) trim() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.buffers {
		for _, s := range st.free {
			s.buf = nil
		}
		st.buffers = false
	}
}
