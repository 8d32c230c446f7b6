package registry

import (
	"container/heap"
	"context"
	"time"
)

// lease is how a node holds a binding. The store's lock guards it.
type lease struct {
	origin
	length time.Duration

	expires time.Duration // in the store's time
	due     time.Duration // when the sweep looks at it next: at most expires
	at      int           // index in the heap
}

// live reports whether a binding still stands. nil is no binding.
func (b *binding) live(now time.Duration) bool {
	return b != nil && (b.lease == nil || now < b.lease.expires)
}

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

// lapse is tables.lapse under the lock.
func (s *store) lapse() (swept []*binding, again time.Duration) {
	now := s.now()
	defer s.mu.Unlock()
	return s.lock().lapse(now)
}

// lapse removes some of what lapsed. It returns that, and how long to wait before the next
// call.
func (t *tables) lapse(now time.Duration) (swept []*binding, again time.Duration) {
	for range maxSweep {
		if len(t.leases) == 0 {
			return swept, time.Hour // or when there is one
		}
		b := t.leases[0]
		switch {
		case b.lease.due > now:
			return swept, b.lease.due - now
		case b.lease.expires > now: // renewed since it was looked at last
			b.lease.due = b.lease.expires
			heap.Fix(&t.leases, 0)
		default:
			t.remove(b, lapsed, now, holder{})
			swept = append(swept, b)
		}
	}
	return swept, 0
}

// leases is a heap of the bindings that are leased, the one that is due next first. A
// renewal does not touch it: the sweep finds out when it gets there. So a lease costs the
// sweep one look each time its length is over, however often it is renewed.
type leases []*binding

// add enters a binding whose lease begins. It reports whether it is due before all others.
func (h *leases) add(b *binding) (earliest bool) {
	b.lease.due = b.lease.expires
	heap.Push(h, b)
	return b.lease.at == 0
}

// remove takes a binding out if it is leased. nil is no binding.
func (h *leases) remove(b *binding) {
	if b != nil && b.lease != nil {
		heap.Remove(h, b.lease.at)
	}
}

func (h leases) Len() int           { return len(h) }
func (h leases) Less(i, j int) bool { return h[i].lease.due < h[j].lease.due }
func (h leases) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].lease.at, h[j].lease.at = i, j
}

// Push implements heap.Interface.
func (h *leases) Push(x any) {
	b := x.(*binding)
	b.lease.at = len(*h)
	*h = append(*h, b)
}

// Pop implements heap.Interface.
func (h *leases) Pop() any {
	last := len(*h) - 1
	b := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return b
}
