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

// inbound is the callee's half of a session: the peer's slots, and the calls that wait for a
// handler.
//
// A slot's call is new, then running, then done. A done call's reply is retained until the
// caller acknowledges it: by the next call in the slot, or by an ack record. A call that comes
// again while it runs joins the running one. A call that comes again when it is done gets the
// retained reply.
//
// Retained replies are never evicted. Instead, new calls are refused while the bytes of these
// replies (retained) are at Limits.Retained or above. A call that was let in before may still
// add its reply, so the bound can be overrun by as many messages as calls were let in.
//
// A call is running from when it was given to a worker, or waits for a turn, until it is
// answered. At most Limits.Handlers calls of depth 0 run. More of them wait in the queue, until
// their deadline. Nested calls never wait there.
type inbound struct {
	session *Session
	mu      guard.Mutex[lockedInbound]
}

// lockedInbound is what the lock of an inbound guards.
type lockedInbound struct {
	session  *Session
	slots    [][]inSlot // in chunks, made when first used
	retained int
	counted  int // of retained, in the account: whole portions of the small replies, and all of the others
	small    int // of retained, replies of at most ackAbove bytes
	running  int
	first    *Incoming // queue, linked by next
	last     *Incoming
	queued   int
	bytes    int         // payload bytes in the queue
	held     []*Incoming // in order of number: see order.go
	holds    int         // payload bytes of held
	listed   bool        // in workers.waiting: see workers.go
	turns    map[refs.ObjNum]*Turn
	over     bool
	replied  int64 // tick at which a reply was last made or sent again
}

const slotChunk = 16

// portion is by how many bytes small replies are counted in an account. So that what they
// cost a call is the session's own affair, as long as there are few.
const portion = 16 << 10

// count counts n bytes more of retained replies, or fewer: those of one reply. A reply of more
// than ackAbove bytes was counted in the account when it was made (Incoming.Reserve). So one
// that the session is over for is taken out there.
func (c *lockedInbound) count(n int) {
	a, t := c.session.account, c.session.transport
	large := max(n, -n) > ackAbove
	add := n
	switch {
	case c.over && n > 0 && large:
		add = -n
	case c.over:
		return
	case large && n > 0:
		c.retained, c.counted = c.retained+n, c.counted+n
		return
	case large:
		c.retained, c.counted = c.retained+n, c.counted+n
	default:
		before := c.small / portion
		c.retained, c.small = c.retained+n, c.small+n
		if add = (c.small/portion - before) * portion; add == 0 {
			return
		}
		c.counted += add
	}
	t.retained.add(int64(add))
	a.retained.add(int64(add))
}

// owes is why no call is taken while so much is retained, or nil.
func (c *lockedInbound) owes() *fault.Error {
	t := c.session.transport
	l := &t.Limits
	switch {
	case c.retained >= l.Retained:
		return fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "%d bytes of replies wait for the caller to say that it has them, as many as the limit allows (Options.Limits.Retained)", c.retained)
	case c.counted > 0 && (c.session.account.retained.now() >= l.share(l.RetainedTotal) || t.retained.now() >= int64(l.RetainedTotal)):
		return t.crowded(fault.OutcomeNotExecuted, "too many bytes of replies wait for their callers to say that they have them", "RetainedTotal", l.RetainedTotal)
	}
	return nil
}

// forget takes what is retained out of the account of a session that is over.
func (c *inbound) forget() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	st.over = true
	c.session.transport.retained.add(-int64(st.counted))
	c.session.account.retained.add(-int64(st.counted))
	st.counted = 0
}

// inSlot is the callee's side of one slot of the peer's.
type inSlot struct {
	seq    wire.Seq
	done   bool       // the call was answered
	has    bool       // reply is the retained reply of the call, which is done
	came   wire.Epoch // connection on which the call arrived last
	sent   wire.Epoch // connection on which its reply was sent last; 0: none
	in     *Incoming  // its payload is arriving, or it is being served; nil if done, and before the first
	asm    *assembly  // its payload, while fragments arrive
	again  *assembly  // the payload of the call when it comes again, which is discarded
	reply  reply
	body   *outBody // the last sending of a retained reply that travels in fragments
	memory []byte   // of small retained replies, reused
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

// arrival says whether a call that arrived is new.
type arrival uint8

const (
	isNew     arrival = iota
	isRunning         // it came again, and will be answered when it is done
	isDone            // it came again, and its reply was sent again
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

// occupy is inbound.occupy without the sending: it returns the reply that is to be sent again,
// if there is one.
func (c *lockedInbound) occupy(in *Incoming, l *Link, limit int, a *assembly) (arrival, *sentAgain, error) {
	h := &in.Header
	s := c.slot(h.Slot, limit)
	switch {
	case s == nil:
		return isNew, nil, wire.ProtocolError("W-53: call in slot %d: the announced limit is %d", h.Slot, limit)
	case s.in == nil && h.Seq == s.seq+1:
		c.acknowledge(s)
		s.seq, s.came, s.in, s.asm = h.Seq, l.epoch, in, a
		if in.refused == nil {
			in.refused = c.owes()
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
		return isDone, nil, nil // a late duplicate: the caller has its reply
	}
	return isNew, nil, wire.ProtocolError("W-54: call %d in slot %d, whose last was %d (in flight: %v)", h.Seq, h.Slot, s.seq, s.in != nil)
}

// sentAgain is a retained reply that is to be sent again. One of the fields is set.
type sentAgain struct {
	record []byte
	body   *outBody
}

// replyAgain returns the retained reply of a call that is done, to be sent again. It returns
// nil if the reply is on its way already.
func (c *lockedInbound) replyAgain(s *inSlot, l *Link, num wire.Slot) *sentAgain {
	r := s.reply
	small := r.payload.Len() <= wire.MaxInline // a large one travels in fragments, which are not lost
	if !s.has || s.sent == l.epoch && !(l.lossy && small) {
		return nil
	}
	s.sent = l.epoch
	c.replied = c.session.transport.now.Load()
	h := wire.ReturnHeader{Slot: num, Seq: s.seq, Payload: r.payload}
	if small {
		return &sentAgain{record: r.append(nil, &h)} // a copy: the reply's memory is reused with the slot
	}
	s.body = r.body(&h)
	return &sentAgain{body: s.body}
}

// sendAgain sends a retained reply again. It runs on the reading goroutine.
func (c *inbound) sendAgain(l *Link, again *sentAgain) error {
	c.session.transport.duplicatesRetained.Add(1)
	if again.body != nil {
		l.out.sendBody(again.body)
		return nil
	}
	return l.out.fromReader(func(b []byte) []byte { return append(b, again.record...) })
}

// acknowledge drops a slot's retained reply.
func (c *lockedInbound) acknowledge(s *inSlot) {
	if s.has {
		c.count(-s.reply.size())
		c.session.changed.send()
		mempool.Put(s.reply.copied)
		if b := s.body; b != nil && b.over() { // not if the reply is still being sent, although the peer acknowledges it
			mempool.Put(s.reply.parts[1])
		}
		s.body = nil
	}
	s.done, s.has, s.reply = false, false, reply{}
}

// acked handles an ack record.
func (c *inbound) acked(num wire.Slot, seq wire.Seq, limit int) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if s := st.slot(num, limit); s != nil && s.seq == seq && s.has {
		st.acknowledge(s)
		s.done, s.memory = true, nil
	}
}

// answered empties the slot of an answered call, retains its reply, and ends its context. It
// returns the connection on which the reply is to be sent, if there is one, and whether many
// calls are being served.
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

// retain retains the reply of a slot's call. It returns the connection on which the reply is to
// be sent, or nil.
func (c *lockedInbound) retain(s *inSlot, r *reply) *Link {
	s.done = true
	c.replied = c.session.transport.now.Load()
	if c.session.resumable {
		n := r.payload.Len()
		s.has, s.reply = true, *r
		switch {
		case n <= ackAbove:
			s.memory = s.reply.copyTo(s.memory[:0])
		case n <= wire.MaxInline: // a copy costs less than an encoder without its memory
			s.reply.copied = s.reply.copyTo(mempool.Get(n))
		default:
			r.retained = true
		}
		size := r.size()
		if size > ackAbove && !r.reserved { // a long error text
			c.session.account.retained.add(int64(size))
			c.session.transport.retained.add(int64(size))
		}
		c.count(size)
	}
	l := c.session.link.Load()
	s.sent = 0
	if l != nil && l.lossy && s.came != l.epoch {
		return nil // the call is about to come on this connection, and that requests the reply: see order.go
	}
	if l != nil {
		s.sent = l.epoch
	}
	return l
}

// retained counts the retained replies and their bytes.
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

// complete notes that the payload of the call in a slot is complete.
func (c *inbound) complete(num wire.Slot) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	s := &st.slots[num/slotChunk][num%slotChunk]
	s.asm, s.again = nil, nil
}

// cancel handles a cancel record. If the call's payload was under assembly and will never be
// complete now, in and a are the call's, which must be refused. It runs on the reading
// goroutine.
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
// complete. Or it returns the reply that is to be sent again.
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
		s.came = l.epoch // the cancel stands for the call
	}
	if s.again != nil { // no more of it will come
		s.again.end()
		s.again.release()
		s.again = nil
	}
	switch {
	case s.in == nil && s.done && s.sent != l.epoch: // if it was sent on this connection, the two crossed
		return nil, nil, c.replyAgain(s, l, num)
	case s.in == nil:
		return nil, nil, nil
	}
	in, a = s.in, s.asm
	s.asm = nil
	return in, a, nil
}

// cut forgets the calls under assembly on a connection that is lost, and those that are held
// back there, as if they had never arrived.
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
	for _, in := range st.held { // they wait for calls that did not arrive; all are sent again, in order
		s := st.slotOf(in)
		s.in = nil
		s.seq--
		in.recycle()
	}
	st.held, st.holds = nil, 0
}

// cancelAll ends the contexts of all calls when the session ends.
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

// drop drops the calls in the queue of a session that is over. No worker will take them. The
// reader has ended.
func (c *inbound) drop() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for in := st.pop(); in != nil; in = st.pop() {
		in.recycle()
	}
}

// push appends to the queue.
func (c *lockedInbound) push(in *Incoming) {
	in.waited = true
	if c.last == nil {
		c.first = in
	} else {
		c.last.next = in
	}
	c.last = in
	c.queued++
	c.bytes += in.size()
}

// pop removes the first call from the queue.
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

// expire answers the queued calls whose deadline has passed.
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

// takeLate removes the calls from the queue whose contexts have ended. It returns the first.
// The others follow as next.
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

// turnOf returns the turn that this session's calls to an object take. The call must enter it
// before the lock is released: a turn that nobody is in may be forgotten.
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
