package datagram

import (
	"container/heap"
	"time"

	"gormi/rmi/wire"
)

// outCall is a direct call of this side that is not answered.
type outCall struct {
	call
	record    []byte // the call
	cancel    []byte // the cancel record; nil if it was not cancelled
	tries     int
	due       time.Time // when to send it again
	heapIndex int       // -1: not in flight
}

// flying reports whether this side does not know yet that the peer has the call.
func (c *outCall) flying() bool { return c.heapIndex >= 0 }

// outCalls are this side's direct calls. Those in the heap are in flight: the peer has neither
// answered nor acknowledged them.
type outCalls struct {
	bySlot map[wire.Slot]*outCall
	flight callHeap
	spare  []*outCall // for the next calls; few
}

// add stores a call until it is answered.
func (o *outCalls) add(id call, record []byte, due time.Time) {
	var c *outCall
	if n := len(o.spare); n > 0 {
		c, o.spare = o.spare[n-1], o.spare[:n-1]
	} else {
		c = new(outCall)
	}
	*c = outCall{call: id, record: append(c.record[:0], record...), due: due}
	if o.bySlot == nil {
		o.bySlot = make(map[wire.Slot]*outCall)
	}
	if old := o.bySlot[id.slot]; old != nil { // a session reuses a slot only after the answer; if it did not, nothing leaks
		o.answered(old.call)
	}
	o.bySlot[id.slot] = c
	heap.Push(&o.flight, c)
}

// find returns the call if it is not answered, or nil.
func (o *outCalls) find(id call) *outCall {
	if c := o.bySlot[id.slot]; c != nil && c.seq == id.seq {
		return c
	}
	return nil
}

// landed notes that the peer has a call: it is no longer in flight.
func (o *outCalls) landed(c *outCall) {
	heap.Remove(&o.flight, c.heapIndex)
	c.heapIndex = -1
}

// answered removes a call. It reports whether the call was waiting for an answer, and whether
// it was in flight.
func (o *outCalls) answered(id call) (waiting, flying bool) {
	c := o.find(id)
	if c == nil {
		return false, false
	}
	if flying = c.flying(); flying {
		o.landed(c)
	}
	delete(o.bySlot, id.slot)
	if len(o.spare) < 16 {
		o.spare = append(o.spare, c)
	}
	return true, flying
}

// callHeap orders calls by when they are due.
type callHeap []*outCall

func (h callHeap) Len() int           { return len(h) }
func (h callHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h callHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}
func (h *callHeap) Push(x any) {
	c := x.(*outCall)
	c.heapIndex = len(*h)
	*h = append(*h, c)
}
func (h *callHeap) Pop() any {
	n := len(*h) - 1
	c := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return c
}

// inState is the state of a call of the peer.
type inState uint8

const (
	inOrdered  inState = iota // it came by the ordered channel, and so goes its return
	inRunning                 // it came directly, a moment ago
	inCharge                  // it came directly, and the peer was told not to repeat it: its return goes by the ordered channel
	inAnswered                // it came directly, and so went its return
)

type inCall struct {
	seq   wire.Seq
	state inState
}

// inCalls are the newest calls of the peer's slots. Their number is bounded: the session
// accepts no slot beyond its limit, and only calls that it has not read yet come on top.
type inCalls struct {
	bySlot map[wire.Slot]inCall
	fresh  []freshCall // perhaps running, in the order in which they are due
	gots   []call      // to be acknowledged by a GOT
}

type freshCall struct {
	call
	due time.Time
}

func (i *inCalls) set(id call, s inState) {
	if i.bySlot == nil {
		i.bySlot = make(map[wire.Slot]inCall)
	}
	i.bySlot[id.slot] = inCall{id.seq, s}
}

// arrived notes a call that came directly. It reports whether the session must see it. It must
// if the call is new, or if the answer was lost: then the session gives the answer again.
func (i *inCalls) arrived(id call, now time.Time) bool {
	c, ok := i.bySlot[id.slot]
	switch {
	case !ok || int32(id.seq-c.seq) > 0:
		i.set(id, inRunning)
		i.fresh = append(i.fresh, freshCall{id, now.Add(ackDelay)})
		return true
	case c.seq != id.seq: // the slot was reused, so its return arrived
		return false
	case c.state == inAnswered:
		return true
	case c.state == inCharge:
		i.got(id)
	}
	return false
}

// cancelled reports whether a cancel that came directly belongs to a call that runs.
func (i *inCalls) cancelled(id call) bool {
	c, ok := i.bySlot[id.slot]
	return ok && c.seq == id.seq && (c.state == inRunning || c.state == inCharge)
}

// way is how a return travels.
type way uint8

const (
	inOrder way = iota
	directly
	nowhere
)

// answer returns how a return travels. fits says whether it fits a datagram.
func (i *inCalls) answer(id call, fits bool) way {
	c, ok := i.bySlot[id.slot]
	switch {
	case !ok || c.seq == id.seq && (c.state == inOrdered || c.state == inCharge):
		return inOrder
	case int32(id.seq-c.seq) < 0:
		return nowhere // given again, but the slot was reused: the first one arrived
	case c.seq != id.seq:
		return inOrder
	case !fits: // in order, where it is repeated: the call must not come again
		if c.state == inRunning {
			i.set(id, inCharge)
			i.got(id)
		}
		return inOrder
	}
	i.set(id, inAnswered)
	return directly
}

// got tells the peer, by the next GOT, that a call need not be sent again.
func (i *inCalls) got(id call) {
	if len(i.gots) < maxGots {
		i.gots = append(i.gots, id)
	}
}

// takeCharge tells the peer the same of the calls that have run for a while.
func (i *inCalls) takeCharge(now time.Time) {
	n := 0
	for ; n < len(i.fresh) && !i.fresh[n].due.After(now) && len(i.gots) < maxGots; n++ {
		id := i.fresh[n].call
		if c := i.bySlot[id.slot]; c.seq == id.seq && c.state == inRunning {
			i.set(id, inCharge)
			i.gots = append(i.gots, id)
		}
	}
	if i.fresh = i.fresh[n:]; len(i.fresh) == 0 {
		i.fresh = nil
	}
}
