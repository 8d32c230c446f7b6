package transport

import (
	"slices"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Over datagrams a call may come before others that were sent earlier. That is
// what they are for, except where calls take turns: an object that is exported as
// PerConnection or Serial gets the calls of one peer in the order in which they
// were sent, whatever carries them.
//
// So a call has a number there, its place among the calls sent on its connection
// (wire.ExtOrder), in the record that completes it: its own, or the last fragment of
// its payload. The callee holds a call that takes turns back while one with a
// smaller number has not come. All others begin when they come.
//
//	held back ⇒ it takes turns, and a number below its own is in order.missing
//
// Whatever is sent on a connection arrives, or the connection is lost: the carrier
// repeats a call until it hears that it is there, or its return. Therefore a return
// must not come before its call: on a new connection a callee sends one that it has
// only when the call, or a cancel in its place, has come again. Arriving never waits
// for a call that runs, so holding back cannot lock up, and lasts as long as the
// carrier takes to repeat what was lost.
//
// When the connection is lost, what is held back is forgotten as if it had not come:
// the caller sends all of it again on the next one, in the order in which it was made.

// order tells which calls of a connection have not come. It is the reader's.
//
//	missing = the numbers below next that did not come, ascending
type order struct {
	next    wire.CallNum // one more than the largest that came; 0: none came
	missing []wire.CallNum
}

// came takes a number in. most is how many calls the peer may have in flight: more
// cannot be missing, for each is in a slot of its own.
func (o *order) came(n wire.CallNum, most int) error {
	o.next = max(o.next, 1)
	if n < o.next {
		if i, ok := slices.BinarySearch(o.missing, n); ok {
			o.missing = slices.Delete(o.missing, i, i+1)
		}
		return nil
	}
	if n-o.next > wire.CallNum(most-len(o.missing)) {
		return wire.ProtocolError("W-63: call %d on this connection, after %d: more are missing than may be in flight", n, o.next-1)
	}
	for ; o.next < n; o.next++ {
		o.missing = append(o.missing, o.next)
	}
	o.next++
	if len(o.missing) == 0 {
		o.missing = nil
	}
	return nil
}

// early reports whether a call with a smaller number has not come.
func (o *order) early(n wire.CallNum) bool { return len(o.missing) > 0 && o.missing[0] < n }

// came takes in that a call is here in full: in, or nil if the call came before. It
// runs on the reading goroutine.
func (l *Link) came(n wire.CallNum, in *Incoming) error {
	s := l.session
	if l.lossy {
		if err := l.order.came(n, s.transport.Limits.Slots); err != nil {
			return err
		}
	}
	if in != nil {
		s.arrive(l, in)
	}
	if l.lossy {
		for next := s.callee.release(&l.order); next != nil; next = s.callee.release(&l.order) {
			s.let(next)
		}
	}
	return nil
}

// hold holds a call back that came early, as long as there is room.
func (s *Session) hold(in *Incoming) {
	t, c := s.transport, &s.callee
	c.mu.Lock()
	if n := in.Header.Payload.Len(); len(c.held) < t.Limits.Queue && c.holds+n <= t.Limits.Assembly {
		i, _ := slices.BinarySearchFunc(c.held, in.number, func(x *Incoming, n wire.CallNum) int {
			if x.number < n {
				return -1
			}
			return 1
		})
		c.held = slices.Insert(c.held, i, in)
		c.holds += n
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
		"%d calls of this peer or %d bytes of their arguments wait already for calls that were sent before them (Options.Limits.Queue, Assembly)", t.Limits.Queue, t.Limits.Assembly))
}

// release returns the first call that is held back and need not be any more, or nil.
func (c *callee) release(o *order) *Incoming {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) == 0 || o.early(c.held[0].number) {
		return nil
	}
	in := c.held[0]
	if c.held = slices.Delete(c.held, 0, 1); len(c.held) == 0 {
		c.held = nil
	}
	c.holds -= in.Header.Payload.Len()
	return in
}

// number is the next call's. o.mu is held by neither side.
func (o *outbox) number() wire.CallNum {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.numbered++
	return o.numbered
}

// extensions are a call's, with its place over datagrams. They are valid until the
// next call. o.mu is held.
func (o *outbox) extensions(ext []byte) []byte {
	if !o.link.lossy {
		return ext
	}
	o.numbered++
	o.ext = wire.AppendOrder(append(o.ext[:0], ext...), o.numbered)
	return o.ext
}
