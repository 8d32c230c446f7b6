package transport

import (
	"context"
	"time"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// Incoming is a call that arrived.
type Incoming struct {
	Header     wire.CallHeader
	Extensions wire.Extensions
	Session    *Session
	ctx        *callContext
	payload    []byte // the table, then the body
	buf        []byte // memory of small payloads, kept from use to use

	deadline  time.Time
	number    wire.CallNum // on its connection, over datagrams
	perCaller bool         // the peer's calls of the object take turns; the callee has the turn
	turn      *Turn        // nil: it takes none, or has not entered
	refused   *fault.Error // why it will not be served although its payload must be taken in
	answered  bool
	uncounted bool      // the table had no room, or will never come
	asm       *assembly // of a payload that came in fragments; holds its charge
	next      *Incoming // in callee.queue
}

// Context is the context that the method gets.
func (in *Incoming) Context() context.Context { return in.ctx }

// Table is the table of references, to be parsed by wire.ParseTable.
func (in *Incoming) Table() []byte { return in.payload[:in.Header.Payload.Table] }

// join makes one piece of a payload that came in fragments.
func (in *Incoming) join() {
	if in.asm != nil && in.payload == nil {
		in.asm.blocks = [][]byte{mempool.Join(in.asm.blocks)}
		in.payload = in.asm.blocks[0]
	}
}

// Body is the encoded arguments. It is valid until Serve returns, or for as long
// as somebody has it if it is Owned.
func (in *Incoming) Body() []byte { return in.payload[in.Header.Payload.Table:] }

// Owned says that nothing else is in the memory of Body, nor will be.
func (in *Incoming) Owned() bool { return in.asm != nil }

// Reply answers the call. If it reports that the reply is kept, table and body
// must not be used again; else they may.
func (in *Incoming) Reply(references int, table, body []byte) (kept bool) {
	return in.answer(0, references, table, body)
}

// Fail answers the call with an error.
func (in *Incoming) Fail(err *fault.Error) {
	in.answer(wire.FlagError, 0, nil, codec.AppendError(nil, err))
}

// Relay answers the call with another's reply, as it came.
func (in *Incoming) Relay(failed bool, references int, table, body []byte) (kept bool) {
	var flags uint8
	if failed {
		flags = wire.FlagError
	}
	return in.answer(flags, references, table, body)
}

func (in *Incoming) answer(flags uint8, references int, table, body []byte) (kept bool) {
	if in.answered {
		return false
	}
	s := in.Session
	if n := len(table) + len(body); n > s.limits.Message {
		in.Fail(fault.New(fault.KindTooLarge, fault.OutcomeExecuted, "%d bytes of results: the caller accepts %d in one message (its Options.Limits.Message)", n, s.limits.Message))
		return false
	}
	if references > s.limits.References {
		in.Fail(fault.New(fault.KindTooLarge, fault.OutcomeExecuted, "%d references among the results: the caller accepts %d in one message (its Options.Limits.References)", references, s.limits.References))
		return false
	}
	in.answered = true
	r := reply{flags: flags, parts: [2][]byte{table, body},
		payload: wire.Payload{References: uint32(references), Table: uint32(len(table)), Body: uint32(len(body))}}
	// From here on the peer may use the slot again.
	l, many := s.callee.answered(in, &r)
	if l == nil {
		return r.kept
	}
	h := wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq, Payload: r.payload}
	if b := r.sending; b != nil {
		l.out.sendBody(b)
		if !r.kept {
			<-b.done
		}
		return r.kept
	}
	// A reply waits for room as long as the connection lives: the keepalive bounds that.
	q, err := l.out.lock(context.Background(), time.Time{})
	if err != nil {
		return r.kept
	}
	q.small = r.append(q.small, &h)
	due := q.appended(many)
	l.out.mu.Unlock()
	l.out.do(due)
	return r.kept
}

// reply is what a call is answered with.
type reply struct {
	flags   uint8
	payload wire.Payload
	parts   [2][]byte // table and body
	kept    bool      // parts are the slot's own, and no copy
	copied  []byte    // what parts are in, if that is memory of package mempool's
	sending *outBody  // of one that travels in fragments
}

// append appends the return record of a reply that needs no fragments.
func (r *reply) append(b []byte, h *wire.ReturnHeader) []byte {
	b = wire.AppendReturn(b, h, r.flags, nil)
	return append(append(b, r.parts[0]...), r.parts[1]...)
}

// copyTo copies the parts, which are then in what it returns.
func (r *reply) copyTo(b []byte) []byte {
	b = append(append(b, r.parts[0]...), r.parts[1]...)
	t := r.payload.Table
	r.parts = [2][]byte{b[:t:t], b[t:]}
	return b
}

// body is a large reply as the outbox takes it.
func (r *reply) body(h *wire.ReturnHeader) *outBody {
	return &outBody{header: wire.AppendReturn(nil, h, r.flags|wire.FlagFragmented, nil),
		parts: r.parts, slot: h.Slot, seq: h.Seq, ofReturn: true, done: make(chan struct{})}
}

// callee is the served half of a session: the peer's slots, and the calls that
// wait for a handler.
//
// A slot's call is new, running, done (its reply is kept) or acknowledged: by the
// next call in the slot, or by an ack record. A call that comes again while it
// runs attaches to it; one that is done gets the kept reply. Kept replies are
// never evicted:
//
//	kept = bytes of the replies that are done and not acknowledged
//
// and while kept is at Limits.Kept or above, new calls are refused. So a reply
// that is finished may overrun the bound, by as many messages as calls were let in.
//
// running = calls handed to a worker or waiting for a turn, and not answered;
// at most limits.Handlers of them are of depth 0 when they begin. Calls of
// depth 0 past that wait in queue, until their deadline; nested ones never do.
type callee struct {
	session *Session
	mu      guard.Mutex[lockedCallee]
}

// lockedCallee is the state of a callee.
type lockedCallee struct {
	session *Session
	slots   [][]inSlot // in chunks, made when first used
	kept    int
	running int
	first   *Incoming // queue, linked by next
	last    *Incoming
	queued  int
	bytes   int         // payload bytes in the queue
	held    []*Incoming // in order of number: see order.go
	holds   int         // payload bytes of held
	listed  bool        // in workers.waiting: see there
	turns   map[refs.ObjNum]*Turn
	over    bool
	replied int64 // tick at which a reply was made, or sent again, last
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

func (c *callee) init(s *Session) {
	c.session = s
	c.mu.Lock().session = s
	c.mu.Unlock()
}

// slot returns the state of a slot, or nil if the number is over the limit.
func (c *lockedCallee) slot(n wire.Slot, limit int) *inSlot {
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
func (c *lockedCallee) slotOf(in *Incoming) *inSlot {
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
func (c *callee) occupy(in *Incoming, l *Link, limit int, a *assembly) (arrival, error) {
	st := c.mu.Lock()
	was, again, err := st.occupy(in, l, limit, a)
	c.mu.Unlock()
	if again != nil {
		err = c.sendAgain(l, again)
	}
	return was, err
}

// occupy is callee.occupy, but for the reply that is to be sent again, if any.
func (c *lockedCallee) occupy(in *Incoming, l *Link, limit int, a *assembly) (arrival, *sentAgain, error) {
	h := &in.Header
	s := c.slot(h.Slot, limit)
	switch {
	case s == nil:
		return isNew, nil, wire.ProtocolError("W-53: call in slot %d: the announced limit is %d", h.Slot, limit)
	case s.in == nil && h.Seq == s.seq+1:
		c.acknowledge(s)
		s.seq, s.came, s.in, s.asm = h.Seq, l.epoch, in, a
		if c.kept >= c.session.transport.Limits.Kept && in.refused == nil {
			in.refused = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "%d bytes of replies wait for the caller to say that it has them, as many as the limit allows (Options.Limits.Kept)", c.kept)
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
func (c *lockedCallee) replyAgain(s *inSlot, l *Link, num wire.Slot) *sentAgain {
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
func (c *callee) sendAgain(l *Link, again *sentAgain) error {
	c.session.transport.duplicatesKept.Add(1)
	if again.body != nil {
		l.out.sendBody(again.body)
		return nil
	}
	return l.out.fromReader(func(b []byte) []byte { return append(b, again.record...) })
}

// acknowledge lets go of a slot's reply.
func (c *lockedCallee) acknowledge(s *inSlot) {
	if s.has {
		c.kept -= s.reply.payload.Len()
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
func (c *callee) acked(num wire.Slot, seq wire.Seq, limit int) {
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
func (c *callee) answered(in *Incoming, r *reply) (l *Link, many bool) {
	st := c.mu.Lock()
	many = st.running > crowd
	s := st.slotOf(in)
	s.in, s.asm = nil, nil
	if l = st.keep(s, r); l != nil && r.payload.Len() > wire.MaxInline {
		r.sending = r.body(&wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq, Payload: r.payload})
		if r.kept {
			s.body = r.sending
		}
	}
	c.mu.Unlock()
	if in.ctx != nil {
		in.ctx.leave()
	}
	return l, many
}

// keep keeps the reply of a slot's call. It returns the connection on which it
// is to be sent, or nil.
func (c *lockedCallee) keep(s *inSlot, r *reply) *Link {
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
			r.kept = true
		}
		c.kept += n
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

// keeps counts the replies that are kept.
func (c *callee) keeps() (n, bytes int64) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range st.slots {
		for i := range chunk {
			if chunk[i].has {
				n++
			}
		}
	}
	return n, int64(st.kept)
}

// assembling returns the assembly of the call in a slot. in is nil if the call
// came again.
func (c *callee) assembling(num wire.Slot, seq wire.Seq, limit int) (in *Incoming, a *assembly, err error) {
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
func (c *callee) complete(num wire.Slot) {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	s := &st.slots[num/slotChunk][num%slotChunk]
	s.asm, s.again = nil, nil
}

// cancel takes a cancel record in. If the call's payload was under assembly and
// will now never be complete, in and a are the call's, which is to be refused. It
// runs on the reading goroutine.
func (c *callee) cancel(l *Link, num wire.Slot, seq wire.Seq, limit int, settle bool) (in *Incoming, a *assembly, err error) {
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
func (c *lockedCallee) cancel(l *Link, num wire.Slot, seq wire.Seq, limit int) (in *Incoming, a *assembly, again *sentAgain) {
	s := c.slot(num, limit)
	switch {
	case s == nil || seq != s.seq && (seq != s.seq+1 || s.in != nil || !c.session.resumable):
		return nil, nil, nil
	case seq != s.seq: // the call was lost, or is late: it will not run
		c.acknowledge(s)
		s.seq, s.came = seq, l.epoch
		r := refused(fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "the call was lost with its connection, and given up"), true)
		c.keep(s, &r)
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

// refused is the reply of a call that was not served.
func refused(why *fault.Error, uncounted bool) reply {
	r := reply{flags: wire.FlagError}
	if uncounted {
		r.flags |= wire.FlagUncounted
	}
	r.parts[1] = codec.AppendError(nil, why)
	r.payload.Body = uint32(len(r.parts[1]))
	return r
}

// cut forgets the calls under assembly on a connection that is lost, and those
// that are held back there, as if they had never begun to come.
func (c *callee) cut() {
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
func (c *callee) cancelAll() {
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
func (c *callee) drop() {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	for in := st.pop(); in != nil; in = st.pop() {
		in.recycle()
	}
}

// push appends to the queue.
func (c *lockedCallee) push(in *Incoming) {
	if c.last == nil {
		c.first = in
	} else {
		c.last.next = in
	}
	c.last = in
	c.queued++
	c.bytes += in.Header.Payload.Len()
}

// pop takes the first call out of the queue.
func (c *lockedCallee) pop() *Incoming {
	in := c.first
	if in == nil {
		return nil
	}
	c.first, in.next = in.next, nil
	if c.first == nil {
		c.last = nil
	}
	c.queued--
	c.bytes -= in.Header.Payload.Len()
	return in
}

// expire answers the queued calls whose deadline has come.
func (c *callee) expire(s *Session) {
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
func (c *lockedCallee) takeLate(now time.Time) (late *Incoming) {
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
		c.bytes += in.Header.Payload.Len()
	}
	return late
}

// turnOf returns the turn that the calls of this session to an object take. The
// call that it is for must enter it before the lock is released: a turn that nobody is in
// may be forgotten.
func (c *lockedCallee) turnOf(obj refs.ObjNum) *Turn {
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
