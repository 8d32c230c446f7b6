package transport

import (
	"slices"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Over datagrams a call may arrive before others that were sent earlier. That is wanted, except
// where calls take turns. An object that is exported as PerConnection or Serial gets the calls
// of one peer in the order in which they were sent, over any carrier.
//
// So over datagrams a call has a number, its place among the calls sent on its connection
// (wire.ExtOrder). The number is in the record that completes the call: its own, or the last
// fragment of its payload. The callee holds a call that takes turns back while one with a
// smaller number has not arrived. All others begin when they arrive.
//
//	held back ⇒ it takes turns, and a number below its own is in order.missing
//
// Whatever is sent on a connection arrives, or the connection is lost. The carrier repeats a
// call until it learns that the call arrived, or until its return comes. Therefore a return
// must not come before its call. So on a new connection a callee sends a return that it has
// only when the call, or a cancel in its place, has come again. An arriving call never
// waits for a running one. So holding back cannot deadlock, and lasts as long as the carrier
// takes to repeat what was lost.
//
// When the connection is lost, calls that are held back are forgotten as if they had not
// arrived. The caller sends all of them again on the next one, in the order in which they were
// made.

// order knows which calls of a connection have not arrived. The reader owns it.
//
//	missing = the numbers below next that did not arrive, ascending
type order struct {
	next    wire.CallNum // one more than the largest that arrived; 0: none has
	missing []wire.CallNum
}

// came notes the number of a call that arrived. most is how many calls the peer may have in
// flight. No more can be missing, because each is in a slot of its own.
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

// early reports whether a call with a smaller number has not arrived.
func (o *order) early(n wire.CallNum) bool { return len(o.missing) > 0 && o.missing[0] < n }

// hold holds back a call that came early, as long as there is room.
func (s *Session) hold(in *Incoming) {
	st := s.inbound.mu.Lock()
	held := st.hold(in)
	s.inbound.mu.Unlock()
	if !held {
		limits := &s.transport.Limits
		s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
			"%d calls of this peer or %d bytes of their arguments wait already for calls that were sent before them (Options.Limits.Queue, Assembly)", limits.Queue, limits.Assembly))
	}
}

// hold reports whether there was room to hold a call back.
func (c *lockedInbound) hold(in *Incoming) bool {
	limits := &c.session.transport.Limits
	in.waited = true
	n := in.size()
	if len(c.held) >= limits.Queue || c.holds+n > limits.Assembly {
		return false
	}
	i, _ := slices.BinarySearchFunc(c.held, in.number, func(x *Incoming, n wire.CallNum) int {
		if x.number < n {
			return -1
		}
		return 1
	})
	c.held = slices.Insert(c.held, i, in)
	c.holds += n
	return true
}

// release returns the first held call if it no longer has to wait, or nil.
func (c *inbound) release(o *order) *Incoming {
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if len(st.held) == 0 || o.early(st.held[0].number) {
		return nil
	}
	in := st.held[0]
	if st.held = slices.Delete(st.held, 0, 1); len(st.held) == 0 {
		st.held = nil
	}
	st.holds -= in.size()
	return in
}

// number returns the number of the next call.
func (o *outbox) number() wire.CallNum {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	q.numbered++
	return q.numbered
}

// extensions returns a call's extensions, over datagrams with its number. They are valid until
// the next use.
func (q *lockedOutbox) extensions(ext []byte) []byte {
	if !q.of.link.lossy {
		return ext
	}
	q.numbered++
	q.ext = wire.AppendOrder(append(q.ext[:0], ext...), q.numbered)
	return q.ext
}
