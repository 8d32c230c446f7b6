package registry

import (
	"time"

	"gormi/refs"
	"gormi/registry/policy"
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
	bytes    int                 // sum of size() of all names
	held     map[refs.NodeID]int // how many names a node holds
	shares   map[party]share     // of the names
	revision Revision            // the last one that was given
	leases   leases
	past     past
}

// current returns the binding of a name, nil if there is none. It removes one that lapsed
// and that the sweep has not reached yet.
func (t *tables) current(name string, now time.Duration) *binding {
	b := t.names.get(name)
	if b != nil && !b.live(now) {
		t.remove(b, lapsed, now, holder{})
		return nil
	}
	return b
}

// put binds b.name at the next revision. It first calls allow with the current binding, nil
// if there is none, and returns its error. It returns the binding that b replaced, and reports
// whether b's lease ends before all others.
func (t *tables) put(b *binding, now time.Duration, allow allow) (old *binding, earliest bool, err error) {
	old = t.current(b.name, now)
	if err := allow(t, old); err != nil {
		return nil, false, err
	}
	bytes, err := t.room(b, old)
	if err != nil {
		return nil, false, err
	}
	if old != nil {
		b.instead = old.by.node
		t.let(old)
	}
	t.held[b.by.node]++
	t.count(b, 1)
	t.revision++
	b.revision = t.revision
	t.leases.remove(old)
	t.names.put(b)
	t.bytes = bytes
	t.past.forget(b.name)
	if b.lease == nil {
		return old, false, nil
	}
	b.lease.expires = now + b.lease.length
	return old, t.leases.add(b), nil
}

// let notes that a node holds a name less.
func (t *tables) let(b *binding) {
	t.count(b, -1)
	if t.held[b.by.node]--; t.held[b.by.node] == 0 {
		delete(t.held, b.by.node)
	}
}

// unbind unbinds a name for a peer, unless only says that it must be bound to another object. It
// returns what was bound.
func (t *tables) unbind(name string, only refs.Ref, who rights, now time.Duration) (*binding, error) {
	b := t.current(name, now)
	may := who.unbind || who.owns(b)
	switch {
	case !may && !who.hold && !who.see: // such a peer does not learn whether it is bound
		return nil, who.denied(policy.Unbind)
	case b == nil:
		return nil, notBound()
	case !only.IsZero() && only.ID != b.ref.ID:
		return nil, refused(rmi.KindNotBound, "the name is bound to another object by now%s", b.shown(&who))
	case !may:
		return nil, refused(kindDenied, "the name is somebody else's%s, and the registry's policy does not let this node unbind it", b.shown(&who))
	}
	t.remove(b, unbound, now, who.holder)
	return b, nil
}

// remove takes a binding out, and remembers how it ended. by is who unbound it.
func (t *tables) remove(b *binding, how ending, now time.Duration, by holder) {
	t.leases.remove(b)
	t.let(b)
	t.names.remove(b.name)
	t.bytes -= b.size()
	e := end{revision: b.revision, how: how, of: b.by.node, held: b.by.party(), by: by}
	if b.lease != nil {
		e.origin = b.lease.origin
	}
	t.past.add(b.name, e, now)
}
