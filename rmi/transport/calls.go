package transport

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Request is a call to make. Session.Call fills in slot, sequence number,
// timeout and sizes of the header.
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
}

// Reply is what came back. Its parts are valid until Release.
type Reply struct {
	Failed     bool // Body is an error form
	References uint32
	Table      []byte
	Body       []byte

	table *callTable
	slot  *slot
}

// Release gives the reply's memory and its slot back.
func (r *Reply) Release() {
	r.table.release(r.slot)
}

// slot is one place for a call in flight to the peer.
type slot struct {
	num wire.Slot

	// Guarded by callTable.mu; once done was received from, the caller's.
	done    chan struct{} // capacity 1: the call in it was completed; closed: it expired
	seq     wire.Seq
	state   slotState
	nested  bool
	crowd   bool         // many calls were in flight when this one began
	expires atomic.Int64 // tick at which a coarse deadline ends; 0: none. Set once the call was sent
	buf     []byte
	payload wire.Payload
	failed  bool
	err     error
	in      *assembly // of the reply's payload, while its fragments arrive
}

// crowd is the number of calls under way from which on frames are left to the
// flusher.
const crowd = 4

type slotState uint8

const (
	slotFree      slotState = iota
	slotWaiting             // a caller waits for the reply
	slotAbandoned           // the caller went away; the reply frees the slot
	slotDone                // the reply is here, the caller reads it
)

// callTable is the caller's half of a session: its slots.
//
// A slot is one call's from before it is sent until its reply was read, so
// using it again tells the peer that the reply arrived. Calls from outside
// (depth 0) may have rootMax slots and wait for one; nested calls never wait,
// because what they would wait for may be waiting for them.
type callTable struct {
	rootMax, max int

	mu      sync.Mutex
	slots   []*slot
	free    []*slot // last in, first out: few slots are ever used
	roots   int     // slots in use by calls of depth 0
	busy    int     // slots not free
	kept    bool    // some free slot has a buffer
	waiting []chan struct{}
	err     error         // why no call can be made any more
	idle    chan struct{} // closed when busy is 0; nil if nobody waits for it
}

func (c *callTable) init(max int) {
	c.max, c.rootMax = max, (max+3)/4
}

// acquire returns a slot, its sequence number advanced, waiting for one if the
// call is of depth 0, at most until the end of ctx or, if it is not zero, until.
func (c *callTable) acquire(ctx context.Context, nested bool, until time.Time) (*slot, error) {
	c.mu.Lock()
	for {
		if c.err != nil {
			err := c.err
			c.mu.Unlock()
			return nil, err
		}
		if nested || c.roots < c.rootMax {
			if s := c.take(nested); s != nil {
				c.mu.Unlock()
				return s, nil
			}
			if nested {
				c.mu.Unlock()
				return nil, fault.New(fault.Overloaded, fault.NotExecuted,
					"%d calls are in flight to this peer, as many as it accepts, and a nested call does not wait", c.max)
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
func (c *callTable) take(nested bool) *slot {
	var s *slot
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	} else if len(c.slots) < c.max {
		s = &slot{num: wire.Slot(len(c.slots)), done: make(chan struct{}, 1)}
		c.slots = append(c.slots, s)
	} else {
		return nil
	}
	s.seq++
	s.state, s.nested, s.err, s.failed = slotWaiting, nested, nil, false
	s.expires.Store(0)
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
	c.mu.Unlock()
}

func (c *callTable) releaseLocked(s *slot) {
	s.state = slotFree
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
	if c.busy == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// unsent frees the abandoned slot of a call that never left: its sequence
// number was not used. (fail frees abandoned slots too.)
func (c *callTable) unsent(s *slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		s.seq--
		c.releaseLocked(s)
	}
}

func (c *callTable) wakeOne() {
	if len(c.waiting) > 0 {
		close(c.waiting[0])
		c.waiting = slices.Delete(c.waiting, 0, 1)
	}
}

// abandon leaves the call that waits on done to its fate. It reports false if
// the call was completed meanwhile.
func (c *callTable) abandon(s *slot, done chan struct{}) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.done != done || s.state != slotWaiting {
		return false
	}
	s.state = slotAbandoned
	return true
}

// complete hands the slot to its caller. mu is held.
func (c *callTable) complete(s *slot) {
	s.state = slotDone
	s.done <- struct{}{}
}

// returned takes a return record in. It runs on the reading goroutine.
func (c *callTable) returned(s *Session, p wire.Prefix, h *wire.ReturnHeader, rest []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(h.Slot) >= len(c.slots) {
		return wire.ProtocolError("return for slot %d, which was never used", h.Slot)
	}
	sl := c.slots[h.Slot]
	if sl.seq != h.Seq || (sl.state != slotWaiting && sl.state != slotAbandoned) || sl.in != nil {
		return wire.ProtocolError("return for call %d of slot %d, which is not in flight", h.Seq, h.Slot)
	}
	sl.payload, sl.failed = h.Payload, p.Flags&wire.FlagError != 0
	if p.Flags&wire.FlagFragmented != 0 {
		a, err := s.assemble(h.Payload, sl.state == slotAbandoned)
		sl.in = a
		return err
	}
	if sl.state == slotAbandoned {
		c.releaseLocked(sl)
		return nil
	}
	sl.buf = append(sl.buf[:0], rest...)
	c.complete(sl)
	return nil
}

// fragment returns where the next n bytes of a reply's payload go.
func (c *callTable) fragment(num wire.Slot, seq wire.Seq) (*assembly, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(num) >= len(c.slots) || c.slots[num].in == nil || c.slots[num].seq != seq {
		return nil, wire.ProtocolError("fragment of a return for call %d of slot %d, which has none under way", seq, num)
	}
	return c.slots[num].in, nil
}

// assembled completes the call whose reply's last fragment is here.
func (c *callTable) assembled(num wire.Slot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	sl := c.slots[num]
	a := sl.in
	sl.in = nil
	buf, refused := a.buf, a.refused
	a.release()
	if c.err != nil { // fail has completed the call
		return
	}
	if sl.state == slotAbandoned {
		c.releaseLocked(sl)
		return
	}
	if refused {
		sl.err = fault.New(fault.Overloaded, fault.Executed,
			"the reply of %d bytes had no room: this node holds as many bytes under assembly as its limits allow", a.size)
	} else {
		sl.buf = buf
	}
	c.complete(sl)
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
			s.err = err
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

// drop releases the replies under assembly of a session that is over.
func (c *callTable) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.slots {
		if s.in != nil {
			s.in.release()
			s.in = nil
		}
	}
}

// expire abandons the calls whose coarse deadline has come, tells their
// callers, and returns the cancel records that the peer is owed.
func (c *callTable) expire(now int64) (cancels []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.busy == 0 {
		return nil
	}
	for _, s := range c.slots {
		if e := s.expires.Load(); s.state == slotWaiting && e != 0 && e <= now {
			s.state = slotAbandoned
			close(s.done)
			s.done = make(chan struct{}, 1) // for the next call
			cancels = wire.AppendCancel(cancels, s.num, s.seq)
		}
	}
	return cancels
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

// quiet returns a channel that is closed when no call is in flight.
func (c *callTable) quiet() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
		if c.busy == 0 {
			idle := c.idle
			c.idle = nil
			close(idle)
			return idle
		}
	}
	return c.idle
}
