package registry

import (
	"time"

	"gormi/refs"
	"gormi/rmi"
)

// This file decides who may have a name: whether a claim is granted, and what a former holder is
// told.

// origin is where a leased binding comes from: who claimed the name, for which object, and
// under which revision it had held the name before.
type origin struct {
	holder refs.NodeID
	object refs.ID
	held   Revision // the claim's
}

// allow returns why a name cannot be bound. old is what is bound to it, nil if nothing is. It is
// called with the tables locked.
type allow func(t *tables, old *binding) error

// always allows a name to be bound, whatever is bound to it.
func always(*tables, *binding) error { return nil }

// regained allows an earlier holder to have its name again.
func regained(name string, to origin) allow {
	return func(t *tables, old *binding) error { return t.regain(old, name, to) }
}

// onlyFree allows a name to be bound if it is free, or if abandoned is what is bound to it.
// abandoned may be nil.
func onlyFree(abandoned *binding) allow {
	return func(_ *tables, old *binding) error {
		if old == nil || old == abandoned {
			return nil
		}
		return alreadyBound(old)
	}
}

// regain returns why a name cannot be given back to an earlier holder. old is what is bound
// to it, nil if nothing is.
func (t *tables) regain(old *binding, name string, to origin) error {
	if old == nil {
		return t.regainUnbound(name, to)
	}
	if old.revision == to.held || old.lease != nil && t.yields(old.lease.origin, to) {
		return nil
	}
	return refused(rmi.KindAlreadyBound, "the name was bound to another object meanwhile, %s (revision %d)", whose(old.ref), old.revision)
}

// regainUnbound is regain for a name that is not bound.
func (t *tables) regainUnbound(name string, to origin) error {
	e := t.past.last(name)
	switch {
	case e.revision < to.held, e.revision == to.held && e.how == lapsed:
	case e.how == unbound:
		return refused(rmi.KindNotBound, "somebody unbound the name")
	case !t.yields(e.origin, to):
		return refused(rmi.KindAlreadyBound, "the name was bound to another object meanwhile (revision %d), and is not any more", e.revision)
	}
	return nil
}

// yields reports whether a binding gives way to a claim by an earlier holder of its name. has is
// the binding's origin, to that of the claim. The binding has the name, or had it until it lapsed.
// It gives way in two cases:
//
//   - The same claim got it before, and the answer did not arrive.
//   - Both held the name in a registry before this one, and to took the name from has there. has
//     came back here first, and had not learned of that.
func (t *tables) yields(has, to origin) bool {
	return to.held != 0 && (has == to || has.held != 0 && has.held < to.held && to.held <= t.first)
}

// lost says what became of a name that caller does not hold in the way that h says. b is what is
// bound to it, nil if nothing is.
func (t *tables) lost(b *binding, h Held, caller refs.NodeID) Lost {
	if b != nil {
		if b.lease != nil && t.yields(b.lease.origin, origin{caller, b.lease.object, h.Revision}) {
			return Lost{} // whether the object is the same is seen when it is claimed
		}
		return Lost{Now: b.revision, By: whose(b.ref)}
	}
	e := t.past.last(h.Name)
	switch {
	case h.Revision == 0, e.revision < h.Revision, e.revision == h.Revision && e.how == lapsed:
		return Lost{}
	case e.revision == h.Revision:
		return Lost{Unbound: true}
	case e.how == lapsed && t.yields(e.origin, origin{caller, e.object, h.Revision}):
		return Lost{}
	}
	return Lost{Now: e.revision, Unbound: e.how == unbound}
}

// each calls do for each binding that caller holds as an entry of held says. It returns the entries
// for which caller holds none.
func (t *tables) each(caller refs.NodeID, held []Held, now time.Duration, do func(b *binding)) (lost []Lost) {
	for i, h := range held {
		b := t.current(h.Name, now)
		if b != nil && b.lease != nil && b.revision == h.Revision {
			do(b)
			continue
		}
		l := t.lost(b, h, caller)
		l.Index = i
		lost = append(lost, l)
	}
	return lost
}
