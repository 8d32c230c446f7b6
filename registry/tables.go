package registry

import (
	"time"

	"gormi/refs"
	"gormi/rmi"
)

// tables is what a registry knows: the names and what they are bound to, the leases, and how names
// ended. Its methods keep these consistent. They need the store's lock. Whoever has the tables
// holds it.
type tables struct {
	limits ServeOptions // without zeros; not changed
	// first is the highest revision that a registry before this one may have given. Not changed.
	first Revision

	names    names
	bytes    int      // sum of size() of all names
	revision Revision // the last one that was given
	leases   leases
	past     past
}

// current returns the binding of a name, nil if there is none. It removes one that lapsed
// and that the sweep has not reached yet.
func (t *tables) current(name string, now time.Duration) *binding {
	b := t.names.get(name)
	if b != nil && !b.live(now) {
		t.remove(b, lapsed, now)
		return nil
	}
	return b
}

// put binds b.name at the next revision. It first calls allow with the current binding, nil
// if there is none, and returns its error. It reports whether b's lease ends before all
// others.
func (t *tables) put(b *binding, now time.Duration, allow allow) (earliest bool, err error) {
	old := t.current(b.name, now)
	if err := allow(t, old); err != nil {
		return false, err
	}
	bytes, err := t.room(b, old)
	if err != nil {
		return false, err
	}
	t.revision++
	b.revision = t.revision
	t.leases.remove(old)
	t.names.put(b)
	t.bytes = bytes
	t.past.forget(b.name)
	if b.lease == nil {
		return false, nil
	}
	b.lease.expires = now + b.lease.length
	return t.leases.add(b), nil
}

// unbind unbinds a name. If only is not zero, the name must be bound to that object.
func (t *tables) unbind(name string, only refs.Ref, now time.Duration) error {
	b := t.current(name, now)
	if b == nil {
		return notBound()
	}
	if !only.IsZero() && only.ID != b.ref.ID {
		return refused(rmi.KindNotBound, "the name is bound to another object by now, %s", whose(b.ref))
	}
	t.remove(b, unbound, now)
	return nil
}

// remove takes a binding out, and remembers how it ended.
func (t *tables) remove(b *binding, how ending, now time.Duration) {
	t.leases.remove(b)
	t.names.remove(b.name)
	t.bytes -= b.size()
	e := end{revision: b.revision, how: how}
	if b.lease != nil {
		e.origin = b.lease.origin
	}
	t.past.add(b.name, e, now)
}
