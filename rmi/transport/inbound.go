package transport

import (
	"context"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// inbound is the served half of a session: the peer's slots, and the calls that
// wait for a handler.
//
// A slot's call is new, then running, then done. A done call's reply is retained until the
// caller acknowledges it: by the next call in the slot, or by an ack record. A call that
// comes again while it runs joins the running one. A call that comes again when it is done
// gets the retained reply.
//
// Retained replies are never evicted. Instead, new calls are refused while the bytes of these
// replies (retained) are at Limits.Retained or above. A call that was let in before may still
// add its reply, so the bound can be overrun by as many messages as calls were let in.
//
// A call is running from when it was given to a worker, or waits for a turn, until it is
// answered. At most Limits.Handlers calls of depth 0 run. More of them wait in the queue,
// until their deadline. Nested calls never wait there.
type inbound struct {
	session *Session
	mu      guard.Mutex[lockedInbound]
}

// lockedInbound is what the lock of an inbound guards.
type lockedInbound struct {
	session  *Session
	slots    [][]inSlot // in chunks, made when first used
	retained int
	running  int
	first    *Incoming // queue, linked by next
	last     *Incoming
	queued   int
	bytes    int         // payload bytes in the queue
	held     []*Incoming // in order of number: see order.go
	holds    int         // payload bytes of held
	listed   bool        // in workers.waiting: see there
	turns    map[refs.ObjNum]*Turn
	over     bool
	replied  int64 // tick at which a reply was made, or sent again, last
}

const slotChunk = 16

// inSlot is the callee's side of one slot of the peer's.
type inSlot struct {
	seq    wire.Seq
	done   bool       // the call was answered
	has    bool       // reply is that of the call, which is done
	came   wire.Epoch // connection on which the call arrived last
	sent   wire.Epoch // connection on which its reply was sent last; 0: none
	in     *Incoming  // being taken in or served; nil if done, and before the first
	asm    *assembly  // its payload, while fragments arrive
	again  *assembly  // the payload of the call when it comes again, to be thrown away
	reply  reply
	body   *outBody // the last sending of a reply that is kept and travels in fragments
	memory []byte   // of small replies, kept from use to use
}

func (c *inbound) init(s *Session) {
	c.session = s
	c.mu.Lock().session = s
	c.mu.Unlock()
}

// slot returns the state of a slot, or nil if the number is over the limit.
func (c *lockedInbound) slot(n wire.Slot, limit int) *inSlot {
	if int64(n) >= int64(limit) {
		return nil
	}
	chunk := int(n / slotChunk)
	for len(c.slots) <= chunk {
		c.slots = append(c.slots, nil)
	}
	if c.slots[chunk] == nil {
		c.slots[chunk] = make([]inSlot, slotChunk)
	}
	return &c.slots[chunk][n%slotChunk]
}

// slotOf returns the slot of a call that has one.
func (c *lockedInbound) slotOf(in *Incoming) *inSlot {
	return &c.slots[in.Header.Slot/slotChunk][in.Header.Slot%slotChunk]
}

// arrival is what occupy finds a call to be.
type arrival uint8

const (
	isNew     arrival = iota
	isRunning         // it came again, and will be answered when it is done
	isDone            // it came again, and was sent its reply again
)

// occupy puts an arriving call in its slot, if it is new. a is the assembly of
// its payload, if that comes in fragments. It runs on the reading goroutine.
func (c *inbound) occupy(in *Incoming, l *Link, limit int, a *assembly) (arrival, error) {
	st := c.mu.Lock()
	was, again, err := st.occupy(in, l, limit, a)
	c.mu.Unlock()
	if again != nil {
		err = c.sendAgain(l, again)
	}
	return was, err
}

// occupy is inbound.occupy, but for the reply that is to be sent again, if any.
func (c *lockedInbound) occupy(in *Incoming, l *Link, limit int, a *assembly) (arrival, *sentAgain, error) {
	h := &in.Header
	s := c.slot(h.Slot, limit)
	switch {
	case s == nil:
		return isNew, nil, wire.ProtocolError("W-53: call in slot %d: the announced limit is %d", h.Slot, limit)
	case s.in == nil && h.Seq == s.seq+1:
		c.acknowledge(s)
		s.seq, s.came, s.in, s.asm = h.Seq, l.epoch, in, a
		if c.retained >= c.session.transport.Limits.Retained && in.refused == nil {
			in.refused = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "%d bytes of replies wait for the caller to say that it has them, as many as the limit allows (Options.Limits.Retained)", c.retained)
		}
		return isNew, nil, nil
	case h.Seq == s.seq && s.again == nil && s.asm == nil && (s.in != nil || s.done) && (l.lossy || s.came != l.epoch):
		s.came, s.again = l.epoch, a
		if s.in != nil {
			c.session.transport.duplicatesRunning.Add(1)
			return isRunning, nil, nil
		}
		return isDone, c.replyAgain(s, l, h.Slot), nil
	case l.lossy && int32(h.Seq-s.seq) <= 0 && a == nil:
		return isDone, nil, nil // late: the caller has its reply
	}
	return isNew, nil, wire.ProtocolError("W-54: call %d in slot %d, whose last was %d (in flight: %v)", h.Seq, h.Slot, s.seq, s.in != nil)
}

// sentAgain is a kept reply that is to be sent again: one of the two.
type sentAgain struct {
	record []byte
	body   *outBody
}

// replyAgain returns the kept reply of a call that is done, to be sent again, or nil if
// it is on its way already.
func (c *lockedInbound) replyAgain(s *inSlot, l *Link, num wire.Slot) *sentAgain {
	r := s.reply
	small := r.payload.Len() <= wire.MaxInline // else it is in fragments, which are not lost
	if !s.has || s.sent == l.epoch && !(l.lossy && small) {
		return nil
	}
	s.sent = l.epoch
	c.replied = c.session.transport.now.Load()
	h := wire.ReturnHeader{Slot: num, Seq: s.seq, Payload: r.payload}
	if small {
		return &sentAgain{record: r.append(nil, &h)} // its memory is used again once the slot is
	}
	s.body = r.body(&h)
	return &sentAgain{body: s.body}
}

// sendAgain sends a kept reply again. It runs on the reading goroutine.
func (c *inbound) sendAgain(l *Link, again *sentAgain) error {
	c.session.transport.duplicatesRetained.Add(1)
	if again.body != nil {
		l.out.sendBody(again.body)
		return nil
	}
	return l.out.fromReader(func(b []byte) []byte { return append(b, again.record...) })
}

// acknowledge lets go of a slot's reply.
func (c *lockedInbound) acknowledge(s *inSlot) {
	if s.has {
		c.retained -= s.reply.size()
		c.session.changed.send()
		mempool.Put(s.reply.copied)
		if b := s.body; b != nil && b.over() { // else the peer says that it has what is still being sent
			mempool.Put(s.reply.parts[1])
		}
		s.body = nil
	}
	s.done, s.has, s.reply = false, false, reply{}
}

// acked takes an ack record in.
func (c *inbound) acked(num wire.Slot, seq wire.Seq, limit int) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if s := st.slot(num, limit); s != nil && s.seq == seq && s.has {
		st.acknowledge(s)
		s.done, s.memory = true, nil
	}
}

// answered empties the slot of an answered call, keeps its reply, and ends its
// context. It returns the connection on which the reply is to be sent, if there
// is one, and whether many calls are being served.
func (c *inbound) answered(in *Incoming, r *reply) (l *Link, many bool) {
	st := c.mu.Lock()
	many = st.running > crowd
	s := st.slotOf(in)
	s.in, s.asm = nil, nil
	if l = st.retain(s, r); l != nil && r.payload.Len() > wire.MaxInline {
		r.sending = r.body(&wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq, Payload: r.payload})
		if r.retained {
			s.body = r.sending
		}
	}
	c.mu.Unlock()
	if in.ctx != nil {
		in.ctx.leave()
	}
	return l, many
}

// retain keeps the reply of a slot's call. It returns the connection on which it
// is to be sent, or nil.
func (c *lockedInbound) retain(s *inSlot, r *reply) *Link {
	s.done = true
	c.replied = c.session.transport.now.Load()
	if c.session.resumable {
		n := r.payload.Len()
		s.has, s.reply = true, *r
		switch {
		case n <= ackAbove:
			s.memory = s.reply.copyTo(s.memory[:0])
		case n <= wire.MaxInline: // the encoder's memory is worth more than the copy
			s.reply.copied = s.reply.copyTo(mempool.Get(n))
		default:
			r.retained = true
		}
		c.retained += r.size()
	}
	l := c.session.link.Load()
	s.sent = 0
	if l != nil && l.lossy && s.came != l.epoch {
		return nil // the call is about to come on this connection, and asks for it: see order.go
	}
	if l != nil {
		s.sent = l.epoch
	}
	return l
}

// retained counts the replies that are kept.
func (c *inbound) retained() (n, bytes int64) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range st.slots {
		for i := range chunk {
			if chunk[i].has {
				n++
			}
		}
	}
	return n, int64(st.retained)
}

// assembling returns the assembly of the call in a slot. in is nil if the call
// came again.
func (c *inbound) assembling(num wire.Slot, seq wire.Seq, limit int) (in *Incoming, a *assembly, err error) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	s := st.slot(num, limit)
	switch {
	case s != nil && s.asm != nil && s.seq == seq:
		return s.in, s.asm, nil
	case s != nil && s.again != nil && s.seq == seq:
		return nil, s.again, nil
	}
	return nil, nil, wire.ProtocolError("W-65: fragment of call %d in slot %d, which has none under way", seq, num)
}

// complete notes that the payload of the call in a slot is here in full.
func (c *inbound) complete(num wire.Slot) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	s := &st.slots[num/slotChunk][num%slotChunk]
	s.asm, s.again = nil, nil
}

// cancel takes a cancel record in. If the call's payload was under assembly and
// will now never be complete, in and a are the call's, which is to be refused. It
// runs on the reading goroutine.
func (c *inbound) cancel(l *Link, num wire.Slot, seq wire.Seq, limit int, settle bool) (in *Incoming, a *assembly, err error) {
	st := c.mu.Lock()
	in, a, again := st.cancel(l, num, seq, limit)
	var ctx *callContext
	if in != nil && a == nil && !settle {
		ctx = in.ctx // before it is answered, and used again
	}
	c.mu.Unlock()
	if ctx != nil {
		ctx.cancel(context.Canceled)
	}
	if again != nil {
		err = c.sendAgain(l, again)
	}
	return in, a, err
}

// cancel returns the call that is to end, and its assembly if its payload will never be
// complete; or the reply that is to be sent again.
func (c *lockedInbound) cancel(l *Link, num wire.Slot, seq wire.Seq, limit int) (in *Incoming, a *assembly, again *sentAgain) {
	s := c.slot(num, limit)
	switch {
	case s == nil || seq != s.seq && (seq != s.seq+1 || s.in != nil || !c.session.resumable):
		return nil, nil, nil
	case seq != s.seq: // the call was lost, or is late: it will not run
		c.acknowledge(s)
		s.seq, s.came = seq, l.epoch
		r := refused(fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "the call was lost with its connection, and given up"), true)
		c.retain(s, &r)
		s.sent = 0
		return nil, nil, c.replyAgain(s, l, num)
	}
	if l.lossy {
		s.came = l.epoch // in the place of the call
	}
	if s.again != nil { // no more of it will come
		s.again.end()
		s.again.release()
		s.again = nil
	}
	switch {
	case s.in == nil && s.done && s.sent != l.epoch: // else it crossed its reply on this connection
		return nil, nil, c.replyAgain(s, l, num)
	case s.in == nil:
		return nil, nil, nil
	}
	in, a = s.in, s.asm
	s.asm = nil
	return in, a, nil
}

// cut forgets the calls under assembly on a connection that is lost, and those
// that are held back there, as if they had never begun to come.
func (c *inbound) cut() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range st.slots {
		for i := range chunk {
			s := &chunk[i]
			if s.again != nil {
				s.again.release()
				s.again = nil
			}
			if s.asm != nil {
				in := s.in
				s.in, s.asm = nil, nil
				s.seq--
				in.recycle() // releases the assembly
			}
		}
	}
	for _, in := range st.held { // they wait for calls that did not come; all come again, in order
		s := st.slotOf(in)
		s.in = nil
		s.seq--
		in.recycle()
	}
	st.held, st.holds = nil, 0
}

// cancelAll ends the contexts of all calls in the session's last moment.
func (c *inbound) cancelAll() {
	st := c.mu.Lock()
	st.over = true
	var live []*callContext
	for _, chunk := range st.slots {
		for i := range chunk {
			if in := chunk[i].in; in != nil && in.ctx != nil {
				live = append(live, in.ctx)
			}
		}
	}
	c.mu.Unlock()
	for _, ctx := range live {
		ctx.cancel(context.Canceled)
	}
}

// drop lets go of the calls in the queue of a session that is over, which no
// worker will ever see. The reader has ended.
func (c *inbound) drop() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for in := st.pop(); in != nil; in = st.pop() {
		in.recycle()
	}
}

// push appends to the queue.
func (c *lockedInbound) push(in *Incoming) {
	if c.last == nil {
		c.first = in
	} else {
		c.last.next = in
	}
	c.last = in
	c.queued++
	c.bytes += in.size()
}

// pop takes the first call out of the queue.
func (c *lockedInbound) pop() *Incoming {
	in := c.first
	if in == nil {
		return nil
	}
	c.first, in.next = in.next, nil
	if c.first == nil {
		c.last = nil
	}
	c.queued--
	c.bytes -= in.size()
	return in
}

// expire answers the queued calls whose deadline has come.
func (c *inbound) expire(s *Session) {
	now := time.Now()
	st := c.mu.Lock()
	late := st.takeLate(now)
	c.mu.Unlock()
	for late != nil {
		in := late
		late, in.next = in.next, nil
		if now.Before(in.deadline) {
			s.refuse(in, notSent(context.Canceled))
		} else {
			s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "no handler became free before the call's deadline (Options.Limits.Handlers, HandlersTotal)"))
		}
	}
}

// takeLate takes the calls out of the queue whose contexts have ended. It returns the
// first; the others follow as next.
func (c *lockedInbound) takeLate(now time.Time) (late *Incoming) {
	if c.queued == 0 {
		return nil
	}
	var keep *Incoming
	for in := c.pop(); in != nil; in = c.pop() {
		if now.Before(in.deadline) && in.ctx.Err() == nil {
			in.next, keep = keep, in
		} else {
			in.next, late = late, in
		}
	}
	for keep != nil { // keep is reversed: back in order
		in := keep
		keep = in.next
		in.next = c.first
		c.first = in
		if c.last == nil {
			c.last = in
		}
		c.queued++
		c.bytes += in.size()
	}
	return late
}

// turnOf returns the turn that the calls of this session to an object take. The
// call that it is for must enter it before the lock is released: a turn that nobody is in
// may be forgotten.
func (c *lockedInbound) turnOf(obj refs.ObjNum) *Turn {
	if c.turns == nil {
		c.turns = make(map[refs.ObjNum]*Turn)
	}
	t := c.turns[obj]
	if t == nil {
		if len(c.turns) >= 1024 { // forget those that nobody uses
			for k, v := range c.turns {
				if v.idle() {
					delete(c.turns, k)
				}
			}
		}
		t = new(Turn)
		c.turns[obj] = t
	}
	return t
}
