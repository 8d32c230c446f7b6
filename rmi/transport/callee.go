package transport

import (
	"context"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
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

	deadline time.Time
	turn     *Turn
	refused  *fault.Error // why it will not be served although its payload must be taken in
	answered bool
	asm      *assembly // of a payload that came in fragments; holds its charge
	next     *Incoming // in callee.queue
}

// Context is the context that the method gets.
func (in *Incoming) Context() context.Context { return in.ctx }

// Table is the table of references, to be parsed by wire.ParseTable.
func (in *Incoming) Table() []byte { return in.payload[:in.Header.Payload.Table] }

// Body is the encoded arguments. It is valid until Serve returns.
func (in *Incoming) Body() []byte { return in.payload[in.Header.Payload.Table:] }

// Reply answers the call. table and body may be used again when it returns.
func (in *Incoming) Reply(references int, table, body []byte) {
	in.answer(0, references, table, body)
}

// Fail answers the call with an error.
func (in *Incoming) Fail(err *fault.Error) {
	in.answer(wire.FlagError, 0, nil, wire.AppendError(nil, err))
}

func (in *Incoming) answer(flags uint8, references int, table, body []byte) {
	if in.answered {
		return
	}
	in.answered = true
	s := in.Session
	if n := len(table) + len(body); n > s.limits.Message {
		in.answered = false
		in.Fail(fault.New(fault.TooLarge, fault.Executed, "%d bytes of results: the caller accepts %d in one message", n, s.limits.Message))
		return
	}
	if references > s.limits.References {
		in.answered = false
		in.Fail(fault.New(fault.TooLarge, fault.Executed, "%d references among the results: the caller accepts %d in one message", references, s.limits.References))
		return
	}
	// From here on the peer may use the slot again.
	many := s.callee.free(in)
	h := wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq,
		Payload: wire.Payload{References: uint32(references), Table: uint32(len(table)), Body: uint32(len(body))}}
	if h.Payload.Len() <= wire.MaxInline {
		// A reply waits for room as long as the session lives: the keepalive bounds that.
		if s.out.lock(context.Background(), time.Time{}) != nil {
			return
		}
		s.out.small = wire.AppendReturn(s.out.small, &h, flags, nil)
		s.out.small = append(append(s.out.small, table...), body...)
		s.out.unlock(many)
		return
	}
	b := &outBody{header: wire.AppendReturn(nil, &h, flags|wire.FlagFragmented, nil),
		parts: [2][]byte{table, body}, slot: h.Slot, seq: h.Seq, ofReturn: true}
	if s.out.sendBody(b) == nil {
		<-b.done
	}
}

// callee is the served half of a session: the peer's slots, and the calls that
// wait for a handler.
//
// running = calls handed to a worker or waiting for a turn, and not answered;
// at most limits.Handlers of them are of depth 0 when they begin. Calls of
// depth 0 past that wait in queue, until their deadline; nested ones never do.
type callee struct {
	mu      sync.Mutex
	slots   [][]inSlot // in chunks, made when first used
	running int
	first   *Incoming // queue, linked by next
	last    *Incoming
	queued  int
	bytes   int  // payload bytes in the queue
	listed  bool // in workers.waiting: see there
	turns   map[refs.ObjNum]*Turn
	over    bool
	idle    chan struct{} // closed when running and queued are 0; nil if nobody waits
}

const slotChunk = 64

// inSlot is the callee's side of one slot of the peer's.
type inSlot struct {
	seq wire.Seq
	in  *Incoming // being taken in or served; nil: free
	asm *assembly // its payload, while fragments arrive
}

// slot returns the state of a slot, or nil if the number is over the limit. mu is held.
func (c *callee) slot(n wire.Slot, limit int) *inSlot {
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

// occupy puts an arriving call in its slot.
func (c *callee) occupy(in *Incoming, limit int, asm *assembly) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &in.Header
	s := c.slot(h.Slot, limit)
	if s == nil {
		return wire.ProtocolError("call in slot %d: the announced limit is %d", h.Slot, limit)
	}
	if s.in != nil || h.Seq != s.seq+1 {
		return wire.ProtocolError("call %d in slot %d, whose last was %d (in flight: %v)", h.Seq, h.Slot, s.seq, s.in != nil)
	}
	s.seq, s.in, s.asm = h.Seq, in, asm
	return nil
}

// free empties the slot of an answered call and ends its context. It reports
// whether many calls are being served.
func (c *callee) free(in *Incoming) (many bool) {
	c.mu.Lock()
	many = c.running > crowd
	s := &c.slots[in.Header.Slot/slotChunk][in.Header.Slot%slotChunk]
	s.in, s.asm = nil, nil
	c.mu.Unlock()
	if in.ctx != nil {
		in.ctx.cancel(context.Canceled)
	}
	return many
}

// assembling returns the assembly of the call in a slot.
func (c *callee) assembling(num wire.Slot, seq wire.Seq, limit int) (*Incoming, *assembly, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.slot(num, limit)
	if s == nil || s.asm == nil || s.seq != seq {
		return nil, nil, wire.ProtocolError("fragment of call %d in slot %d, which has none under way", seq, num)
	}
	return s.in, s.asm, nil
}

// complete notes that a call's payload is here in full.
func (c *callee) complete(in *Incoming) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.slots[in.Header.Slot/slotChunk][in.Header.Slot%slotChunk].asm = nil
}

// cancelled finds the call that a cancel record is for. asm is not nil if its
// payload will now never be complete. Both are nil if the call was answered.
func (c *callee) cancelled(num wire.Slot, seq wire.Seq, limit int) (*Incoming, *assembly) {
	c.mu.Lock()
	s := c.slot(num, limit)
	if s == nil || s.in == nil || s.seq != seq {
		c.mu.Unlock()
		return nil, nil
	}
	in, asm := s.in, s.asm
	s.asm = nil
	var ctx *callContext
	if asm == nil {
		ctx = in.ctx
	}
	c.mu.Unlock()
	if ctx != nil {
		ctx.cancel(context.Canceled)
	}
	return in, asm
}

// cancelAll ends the contexts of all calls in the session's last moment.
func (c *callee) cancelAll() {
	c.mu.Lock()
	c.over = true
	var live []*callContext
	for _, chunk := range c.slots {
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

// drop lets go of the calls of a session that is over which no worker will
// ever see: those under assembly and those in the queue. The reader has ended.
func (c *callee) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, chunk := range c.slots {
		for i := range chunk {
			if asm := chunk[i].asm; asm != nil {
				asm.release()
				chunk[i].asm = nil
			}
		}
	}
	for in := c.pop(); in != nil; in = c.pop() {
		in.recycle()
	}
	c.checkIdle()
}

// push appends to the queue. mu is held.
func (c *callee) push(in *Incoming) {
	if c.last == nil {
		c.first = in
	} else {
		c.last.next = in
	}
	c.last = in
	c.queued++
	c.bytes += len(in.payload)
}

// pop takes the first call out of the queue. mu is held.
func (c *callee) pop() *Incoming {
	in := c.first
	if in == nil {
		return nil
	}
	c.first, in.next = in.next, nil
	if c.first == nil {
		c.last = nil
	}
	c.queued--
	c.bytes -= len(in.payload)
	return in
}

// expire answers the queued calls whose deadline has come.
func (c *callee) expire(s *Session) {
	c.mu.Lock()
	if c.queued == 0 {
		c.mu.Unlock()
		return
	}
	now := time.Now()
	var late, keep *Incoming
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
		c.bytes += len(in.payload)
	}
	c.checkIdle()
	c.mu.Unlock()
	for late != nil {
		in := late
		late, in.next = in.next, nil
		if now.Before(in.deadline) {
			s.refuse(in, notSent(context.Canceled))
		} else {
			s.refuse(in, fault.New(fault.Overloaded, fault.NotExecuted, "no handler became free before the call's deadline"))
		}
	}
}

// turnOf returns the turn that the calls of this connection to an object take.
func (c *callee) turnOf(obj refs.ObjNum) *Turn {
	c.mu.Lock()
	defer c.mu.Unlock()
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

// quiet returns a channel that is closed when no call is being served.
func (c *callee) quiet() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	c.checkIdle()
	return idle
}

// checkIdle tells those who wait that nothing is served any more. mu is held.
func (c *callee) checkIdle() {
	if c.idle != nil && c.running == 0 && c.queued == 0 {
		close(c.idle)
		c.idle = nil
	}
}

// Relay answers the call with another's reply, as it came.
func (in *Incoming) Relay(failed bool, references int, table, body []byte) {
	var flags uint8
	if failed {
		flags = wire.FlagError
	}
	in.answer(flags, references, table, body)
}
