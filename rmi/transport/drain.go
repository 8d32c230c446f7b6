package transport

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// A node that shuts down finishes what it began: the calls that it serves, from the first byte
// of their headers on; the replies, until the callers acknowledge them; and its own calls. So a
// caller learns the outcome of its call, and the peer closes the connection behind the last
// reply.
//
// It is not enough that a reply was written. On a slow link it is in the buffers of two kernels
// for seconds, and closing the connection loses it. So a peer that was told that this node goes
// away acknowledges every reply as soon as it has it (package wire, "The other records").
// Otherwise the next use of the slot acknowledges it.
//
// The listeners stay open until all that is done, because a connection that is cut meanwhile is
// made again, as at any other time. Other peers are refused. A session without a connection is
// waited for as long as a living peer takes to come back (comeBack).

// comeBack is the longest time that a living peer takes to dial again.
const comeBack = 2 * time.Second

// settled is how long a reply may be on its way to a peer that reads. A node that shuts down
// does not wait for older replies: the peer stands still. Replies that wait in the outbox do
// not get older.
const settled = 2 * time.Second

// Unfinished is what a transport gave up when its time to shut down was over.
type Unfinished struct {
	Serving  []Call // being served, or waiting to be
	Arriving int    // calls whose arguments are not complete
	Replies  int    // made, and not acknowledged
	Calls    []Call // this node's own
	Reason   error  // why: the context's error, or that the node was closed meanwhile
}

// Call names a call in flight.
type Call struct {
	Peer   refs.NodeID
	Object refs.ObjNum
	Method wire.MethodID
	Relay  bool   // for an object of another node
	Name   string // Request.Name
}

// None reports whether nothing was given up.
func (u *Unfinished) None() bool {
	return len(u.Serving) == 0 && u.Arriving == 0 && u.Replies == 0 && len(u.Calls) == 0
}

// add adds what another has.
func (u *Unfinished) add(v *Unfinished) {
	u.Serving = append(u.Serving, v.Serving...)
	u.Arriving += v.Arriving
	u.Replies += v.Replies
	u.Calls = append(u.Calls, v.Calls...)
}

// Error implements error. It gives numbers; the node's error gives names.
func (u *Unfinished) Error() string {
	return fmt.Sprintf("shutdown: gave up %d calls being served, %d whose arguments were arriving, %d replies and %d calls of this node's own",
		len(u.Serving), u.Arriving, u.Replies, len(u.Calls))
}

// Unwrap returns Reason.
func (u *Unfinished) Unwrap() error { return u.Reason }

// signal tells those who wait that something changed. Its zero value is ready.
type signal struct{ c atomic.Pointer[chan struct{}] }

// next returns a channel that is closed at the next send.
func (s *signal) next() <-chan struct{} {
	for {
		if p := s.c.Load(); p != nil {
			return *p
		}
		c := make(chan struct{})
		if s.c.CompareAndSwap(nil, &c) {
			return c
		}
	}
}

// send wakes those who wait. It is called wherever a session has less left to do. Without
// waiters it costs one load. Locks may be held.
func (s *signal) send() {
	if s.c.Load() == nil {
		return
	}
	if p := s.c.Swap(nil); p != nil {
		close(*p)
	}
}

// goingOff reports whether Shutdown was called.
func (t *Transport) goingOff() bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	return st.leaving
}

// isClosed reports whether Close was called.
func (t *Transport) isClosed() bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	return st.closed
}

// Shutdown ends the transport in good order. There are no new sessions and calls; those in
// flight finish, at most until ctx ends. It does not wait for the call that ctx belongs to, nor
// for others of its chain. The error is an *Unfinished. Shutdown does not Close.
func (t *Transport) Shutdown(ctx context.Context) error {
	st := t.mu.Lock()
	st.leaving = true
	t.mu.Unlock()
	begun := t.now.Load()
	chain, _, inside := ChainOf(ctx)
	left := new(Unfinished)
	for again := true; again && ctx.Err() == nil; {
		again = false
		for _, s := range t.Sessions() {
			s.GoAway()
		}
		for _, s := range t.Sessions() {
			again = s.drain(ctx, left, begun, chain, inside) || again // another session may have got something to do meanwhile
		}
	}
	t.stopListening()
	for _, s := range t.Sessions() {
		s.unfinished(left, begun, chain, inside)
	}
	if left.None() {
		return nil
	}
	left.Reason = ctx.Err()
	switch {
	case left.Reason != nil:
	case t.isClosed():
		left.Reason = errClosed()
	default:
		left.Reason = fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the connection was lost and not made again")
	}
	return left
}

// drain waits until the session has nothing left to do, or nothing that waiting helps. It
// reports whether it waited. If the transport is closed meanwhile, it adds to
// left what it waited for. (A session that ends because its peer died leaves nothing that a
// caller could miss.)
func (s *Session) drain(ctx context.Context, left *Unfinished, begun int64, chain wire.ChainID, inside bool) (waited bool) {
	var last Unfinished
	for ctx.Err() == nil {
		changed := s.changed.next()
		var u Unfinished
		if !s.busy(&u, begun, chain, inside) {
			if !s.live() && s.transport.isClosed() {
				left.add(&last)
			}
			return waited
		}
		waited, last = true, u
		select {
		case <-changed:
		case <-s.done:
		case <-ctx.Done():
		}
	}
	return waited
}

// busy reports whether to wait for the session, and tells in u what for.
func (s *Session) busy(u *Unfinished, begun int64, chain wire.ChainID, inside bool) bool {
	if !s.live() {
		return false
	}
	st := s.mu.Lock()
	detached := s.link.Load() == nil && st.epoch != 0
	absent := time.Duration(s.transport.now.Load()-st.since) * tick
	s.mu.Unlock()
	if detached && absent < comeBack {
		return true // the peer has not heard of the shutdown
	}
	s.inbound.unfinished(u, begun, chain, inside)
	s.outbound.unfinished(u, chain, inside)
	if detached { // calls can end by themselves, a reply cannot arrive
		return len(u.Serving)+len(u.Calls) > 0
	}
	if !u.None() {
		return true
	}
	l := s.link.Load()
	return l != nil && !s.resumable && !l.out.empty()
}

// unfinished adds what the session has left to do.
func (s *Session) unfinished(u *Unfinished, begun int64, chain wire.ChainID, inside bool) {
	if s.live() {
		s.inbound.unfinished(u, begun, chain, inside)
		s.outbound.unfinished(u, chain, inside)
	}
}

// unfinished adds the calls that are served, and the replies that the peer may not have. If
// inside is true, it leaves out the calls of the chain.
func (c *inbound) unfinished(u *Unfinished, begun int64, chain wire.ChainID, inside bool) {
	l, now := c.session.link.Load(), c.session.transport.now.Load()
	attached, behind := l != nil, l != nil && l.out.behind(now)
	st := c.mu.Lock()
	defer c.mu.Unlock()
	if st.over {
		return
	}
	for _, chunk := range st.slots {
		for i := range chunk {
			behind = behind || chunk[i].body != nil && !chunk[i].body.over()
		}
	}
	if behind {
		st.replied = now
	}
	fresh := time.Duration(begun-st.replied)*tick < settled
	begunOf := st.running + st.queued + len(st.held) // some of these are answered, and their replies not in the outbox
	for _, chunk := range st.slots {
		for i := range chunk {
			s := &chunk[i]
			switch {
			case s.in != nil && s.asm != nil:
				u.Arriving++
			case s.in != nil:
				begunOf--
				h := &s.in.Header
				if !inside || h.Chain != chain {
					u.Serving = append(u.Serving, Call{Peer: c.session.peer, Object: h.Object, Method: h.Method,
						Relay: s.in.Extensions.Relay && s.in.Extensions.Node != c.session.transport.node})
				}
			case !s.has || s.reply.payload.Len() == 0:
			case attached && fresh, !attached && (s.sent == 0 || s.reply.payload.Len() > ackAbove):
				u.Replies++
			}
		}
	}
	if !c.session.resumable {
		u.Replies += max(begunOf, 0)
	}
}

// unfinished adds the calls of this side that somebody waits for, and one-way calls that are
// not answered. If inside is true, it leaves out those of the chain.
func (c *outbound) unfinished(u *Unfinished, chain wire.ChainID, inside bool) {
	first := len(u.Calls)
	st := c.mu.Lock()
	names := st.unfinished(u, chain, inside)
	c.mu.Unlock()
	for i, name := range names {
		if name != nil { // code of another package, so not under the lock
			guard.NoneHeld()
			u.Calls[first+i].Name = name.String()
		}
	}
}

// unfinished adds the calls without their names, and returns the names.
func (c *lockedOutbound) unfinished(u *Unfinished, chain wire.ChainID, inside bool) (names []fmt.Stringer) {
	for _, s := range c.slots {
		call := Call{Peer: c.of.session.peer}
		var name fmt.Stringer
		switch {
		case s.state == slotWaiting:
			h := &s.req.Header
			if inside && h.Chain == chain {
				continue
			}
			call.Object, call.Method = h.Object, h.Method
			name = s.req.Name
		case s.state == slotAbandoned && s.oneWay:
		default:
			continue
		}
		u.Calls = append(u.Calls, call)
		names = append(names, name)
	}
	for range c.waiting {
		u.Calls = append(u.Calls, Call{Peer: c.of.session.peer})
	}
	return names
}

// behind reports whether something waits until the peer has read what is before it.
func (o *outbox) behind(now int64) bool {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	return q.err == nil && (len(q.bodies)+len(q.waiting) > 0 || q.since != 0 && (now > q.since || len(q.small) > 0))
}

// empty reports whether everything was written.
func (o *outbox) empty() bool {
	q := o.mu.Lock()
	defer o.mu.Unlock()
	return q.err != nil || len(q.small) == 0 && len(q.rest) == 0 && len(q.bodies) == 0 && len(q.waiting) == 0 && !q.writing
}
