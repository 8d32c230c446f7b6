package registry

import (
	"container/heap"
	"context"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

const (
	defaultLease = 20 * time.Second
	minLease     = time.Second
)

// lease is how a node holds a binding. The store's lock guards it.
type lease struct {
	origin
	length time.Duration

	expires time.Duration // in the store's time
	due     time.Duration // when the sweep looks at it next: at most expires
	at      int           // index in the heap
}

// origin is where a leased binding comes from: who claimed the name, for which
// object, and under which revision it had held the name before.
type origin struct {
	holder refs.NodeID
	object refs.ID
	held   Revision // the claim's
}

// live tells whether a binding, nil is none, is one still.
func (b *binding) live(now time.Duration) bool {
	return b != nil && (b.lease == nil || now < b.lease.expires)
}

// Acquire implements Registry.
func (s *store) Acquire(ctx context.Context, claims []Claim) ([]Grant, error) {
	if err := checkBatch(len(claims)); err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	grants := make([]Grant, len(claims))
	for i, c := range claims {
		g := &grants[i]
		if g.Revision, g.Lease, g.Refused = s.acquire(caller, c); g.Refused == nil {
			s.log.Debug("bound", "name", c.Name, "ref", c.Entry.Ref, "lease", g.Lease, "revision", g.Revision)
		}
	}
	return grants, nil
}

func (s *store) acquire(caller refs.NodeID, c Claim) (Revision, time.Duration, error) {
	if err := s.check(c.Name, c.Entry); err != nil {
		return 0, 0, err
	}
	length := c.Lease
	switch {
	case length < 0:
		return 0, 0, invalid("the lease is %v", length)
	case length == 0:
		length = defaultLease
	}
	b := &binding{
		name: c.Name, ref: c.Entry.Ref, description: c.Entry.Description,
		lease: &lease{origin: origin{caller, c.Entry.Ref.ID, c.Held}, length: min(max(length, minLease), s.MaxLease)},
	}
	may := always
	switch {
	case c.Held != 0:
		may = func(old *binding) error { return s.regain(old, c.Name, b.lease.origin) }
	case !c.Replace:
		may = s.unlessTaken(c.Name)
	}
	if err := s.put(b, may); err != nil {
		return 0, 0, err
	}
	return b.revision, b.lease.length, nil
}

// always lets a name be bound whatever is bound to it.
func always(*binding) error { return nil }

// unlessTaken lets a name be bound if it is free. One that is leased is so, too,
// if the session with its holder is cut.
func (s *store) unlessTaken(name string) func(old *binding) error {
	s.mu.RLock()
	b := s.names.get(name)
	s.mu.RUnlock()
	abandoned := b != nil && b.lease != nil && s.detached(b.lease.holder)
	return func(old *binding) error {
		if old == nil || abandoned && old == b {
			return nil
		}
		return alreadyBound(old)
	}
}

// regain tells why a name cannot be given back to who held it. mu is held.
func (s *store) regain(old *binding, name string, to origin) error {
	if old == nil {
		return s.regainUnbound(name, to)
	}
	if old.revision == to.held || old.lease != nil && s.yields(old.lease.origin, to) {
		return nil
	}
	return refused(rmi.AlreadyBound, "the name was bound to another object meanwhile, %s (revision %d)", whose(old.ref), old.revision)
}

// regainUnbound is regain for a name that is not bound.
func (s *store) regainUnbound(name string, to origin) error {
	e := s.past.last(name)
	switch {
	case e.revision < to.held, e.revision == to.held && e.how == lapsed:
	case e.how == unbound:
		return refused(rmi.NotBound, "somebody unbound the name")
	case !s.yields(e.origin, to):
		return refused(rmi.AlreadyBound, "the name was bound to another object meanwhile (revision %d), and is not any more", e.revision)
	}
	return nil
}

// yields tells of a binding that has a name, or had it until it lapsed, whether
// it does not count as somebody else's for an earlier holder of the name:
//
//   - it is what the same claim got before, and the answer did not arrive; or
//   - both held the name in a registry before this one, and the other took it
//     there from this one, which had not heard of it when it came back here first.
func (s *store) yields(has, to origin) bool {
	return to.held != 0 && (has == to || has.held != 0 && has.held < to.held && to.held <= s.first)
}

// Renew implements Registry.
func (s *store) Renew(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(b *binding, now time.Duration) { b.lease.expires = now + b.lease.length })
}

// Release implements Registry.
func (s *store) Release(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(b *binding, now time.Duration) { s.remove(b, unbound, now) })
}

// each does something with bindings that are held, under the lock, and returns
// which are not.
func (s *store) each(ctx context.Context, held []Held, do func(b *binding, now time.Duration)) ([]Lost, error) {
	if err := checkBatch(len(held)); err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	var lost []Lost
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range held {
		b := s.current(h.Name, now)
		if b != nil && b.lease != nil && b.revision == h.Revision {
			do(b, now)
			continue
		}
		l := s.lost(b, h, caller)
		l.Index = i
		lost = append(lost, l)
	}
	return lost, nil
}

// lost tells what became of a name that is not held as h says. b is what is
// bound to it, nil if nothing is. mu is held.
func (s *store) lost(b *binding, h Held, caller refs.NodeID) Lost {
	if b != nil {
		if b.lease != nil && s.yields(b.lease.origin, origin{caller, b.lease.object, h.Revision}) {
			return Lost{} // whether the object is the same is seen when it is claimed
		}
		return Lost{Now: b.revision, By: whose(b.ref)}
	}
	e := s.past.last(h.Name)
	switch {
	case h.Revision == 0, e.revision < h.Revision, e.revision == h.Revision && e.how == lapsed:
		return Lost{}
	case e.revision == h.Revision:
		return Lost{Unbound: true}
	case e.how == lapsed && s.yields(e.origin, origin{caller, e.object, h.Revision}):
		return Lost{}
	}
	return Lost{Now: e.revision, Unbound: e.how == unbound}
}

func checkBatch(n int) error {
	if n > MaxBatch {
		return refused(rmi.TooLarge, "%d names in one call: the registry takes %d, a fixed limit", n, MaxBatch)
	}
	return nil
}

// hold enters a lease into the heap. mu is held.
func (s *store) hold(b *binding) {
	b.lease.due = b.lease.expires
	heap.Push(&s.leases, b)
	if b.lease.at == 0 {
		select {
		case s.earlier <- struct{}{}:
		default:
		}
	}
}

// maxSweep is how many leases the sweep looks at while it holds the lock.
const maxSweep = 512

// sweep removes what lapsed until ctx ends.
func (s *store) sweep(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.earlier:
		}
		swept, wait := s.lapse()
		for _, b := range swept {
			s.log.Debug("lapsed", "name", b.name, "ref", b.ref, "revision", b.revision)
		}
		timer.Reset(wait)
	}
}

// lapse removes some of what lapsed, and returns it, and when to come again.
func (s *store) lapse() (swept []*binding, again time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for range maxSweep {
		if len(s.leases) == 0 {
			return swept, time.Hour // or when there is one
		}
		b := s.leases[0]
		switch {
		case b.lease.due > now:
			return swept, b.lease.due - now
		case b.lease.expires > now: // renewed since it was looked at last
			b.lease.due = b.lease.expires
			heap.Fix(&s.leases, 0)
		default:
			s.remove(b, lapsed, now)
			swept = append(swept, b)
		}
	}
	return swept, 0
}

// leaseHeap has the bindings that are leased, the one that is due next first. A
// renewal leaves it alone: the sweep finds out when it gets there, so that a
// lease costs it one look each time its length is over, however often it is
// renewed.
type leaseHeap []*binding

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].lease.due < h[j].lease.due }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].lease.at, h[j].lease.at = i, j
}

// Push implements heap.Interface.
func (h *leaseHeap) Push(x any) {
	b := x.(*binding)
	b.lease.at = len(*h)
	*h = append(*h, b)
}

// Pop implements heap.Interface.
func (h *leaseHeap) Pop() any {
	last := len(*h) - 1
	b := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return b
}

// remove takes a binding out, if there is one and it is leased.
func (h *leaseHeap) remove(b *binding) {
	if b != nil && b.lease != nil {
		heap.Remove(h, b.lease.at)
	}
}

const (
	pastFor = 5 * time.Minute
	maxPast = 1 << 16
)

// ending is how a binding ended, if it was not replaced by another.
type ending bool

const (
	lapsed  ending = false // its lease was not renewed
	unbound ending = true
)

// end is the end of the last binding that a name had.
type end struct {
	revision Revision
	how      ending
	origin   // zero of a permanent one
}

// past remembers names that are not bound any more for some time: at least for
// pastFor if at most maxPast of them end in that time. It has two generations, of
// which the older one is dropped as a whole. Whoever unbound a name, and however
// long it was bound: an earlier holder must not bind it again. The zero value is
// empty.
type past struct {
	young, old map[string]end
	since      time.Duration // when young began
}

func (p *past) add(name string, e end, now time.Duration) {
	if p.young == nil || len(p.young) >= maxPast || now-p.since > pastFor {
		if now-p.since > 2*pastFor {
			p.young = nil
		}
		p.young, p.old, p.since = make(map[string]end), p.young, now
	}
	p.young[name] = e
}

// last returns the end of a name's last binding; its revision is 0 if none is
// remembered.
func (p *past) last(name string) end {
	if e, ok := p.young[name]; ok {
		return e
	}
	return p.old[name]
}

func (p *past) forget(name string) {
	delete(p.young, name)
	delete(p.old, name)
}
