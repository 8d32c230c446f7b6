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
	holder   refs.NodeID
	prior    Revision // the claim's Held
	length   time.Duration
	replaced bool // the name was somebody's when it was taken

	expires time.Duration // in the store's time
	due     time.Duration // when the sweep looks at it next: at most expires
	at      int           // index in the heap
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
		lease: &lease{holder: caller, prior: c.Held, length: min(max(length, minLease), s.MaxLease)},
	}
	may := always
	switch {
	case c.Held != 0:
		may = func(old *binding) error { return s.regain(old, c, caller) }
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
func (s *store) regain(old *binding, c Claim, caller refs.NodeID) error {
	switch {
	case old == nil && s.unbound.after(c.Name, c.Held):
		return refused(rmi.NotBound, "somebody unbound the name")
	case old == nil, old.revision == c.Held:
		return nil
	case old.lease != nil && old.lease.holder == caller && old.lease.prior == c.Held && old.ref.ID == c.Entry.Ref.ID:
		return nil // the same claim again, whose grant did not arrive
	}
	return replacedBy(old.revision)
}

func replacedBy(r Revision) error {
	return refused(rmi.AlreadyBound, "the name was bound to another object meanwhile (revision %d)", r)
}

// Renew implements Registry.
func (s *store) Renew(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(held, func(b *binding, now time.Duration) { b.lease.expires = now + b.lease.length })
}

// Release implements Registry.
func (s *store) Release(ctx context.Context, held []Held) ([]Lost, error) {
	caller := callerOf(ctx)
	return s.each(held, func(b *binding, _ time.Duration) { s.depart(b, caller) })
}

// each does something with bindings that are held, under the lock, and returns
// which are not.
func (s *store) each(held []Held, do func(b *binding, now time.Duration)) ([]Lost, error) {
	if err := checkBatch(len(held)); err != nil {
		return nil, err
	}
	var lost []Lost
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range held {
		b := s.names.get(h.Name)
		switch {
		case !b.live(now):
			lost = append(lost, Lost{Index: i, Unbound: s.unbound.after(h.Name, h.Revision)})
		case b.lease == nil || b.revision != h.Revision:
			lost = append(lost, Lost{Index: i, Now: b.revision})
		default:
			do(b, now)
		}
	}
	return lost, nil
}

func checkBatch(n int) error {
	if n > MaxBatch {
		return refused(rmi.TooLarge, "%d names in one call: the registry takes %d, a fixed limit", n, MaxBatch)
	}
	return nil
}

// depart removes a binding that is unbound by a node. What a holder that is away
// must not bind again is remembered: what it did not unbind itself, and what had
// been taken from another. mu is held.
func (s *store) depart(b *binding, by refs.NodeID) {
	s.remove(b)
	if b.lease != nil && (b.lease.holder != by || b.lease.replaced) {
		s.unbound.add(b.name, b.revision, s.now())
	}
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
		lapsed, wait := s.lapse()
		for _, b := range lapsed {
			s.log.Debug("lapsed", "name", b.name, "ref", b.ref, "revision", b.revision)
		}
		timer.Reset(wait)
	}
}

// lapse removes some of what lapsed, and returns it, and when to come again.
func (s *store) lapse() (lapsed []*binding, again time.Duration) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for range maxSweep {
		if len(s.leases) == 0 {
			return lapsed, time.Hour // or when there is one
		}
		b := s.leases[0]
		switch {
		case b.lease.due > now:
			return lapsed, b.lease.due - now
		case b.lease.expires > now: // renewed since it was looked at last
			b.lease.due = b.lease.expires
			heap.Fix(&s.leases, 0)
		default:
			s.remove(b)
			lapsed = append(lapsed, b)
		}
	}
	return lapsed, 0
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
	departedFor = 5 * time.Minute
	maxDeparted = 4096
)

// departed remembers names that were unbound, and the revisions that they had,
// for some time: at least departedFor if there are at most maxDeparted of them in
// that time. It has two generations, of which the older one is dropped as a
// whole. The zero value is empty.
type departed struct {
	young, old map[string]Revision
	since      time.Duration // when young began
}

func (d *departed) add(name string, r Revision, now time.Duration) {
	if d.young == nil || len(d.young) >= maxDeparted || now-d.since > departedFor {
		if now-d.since > 2*departedFor {
			d.young = nil
		}
		d.young, d.old, d.since = make(map[string]Revision), d.young, now
	}
	d.young[name] = r
}

// after tells whether the name was unbound with this revision, or one after it.
func (d *departed) after(name string, r Revision) bool {
	return r != 0 && max(d.young[name], d.old[name]) >= r
}

func (d *departed) forget(name string) {
	delete(d.young, name)
	delete(d.old, name)
}
