package registry

import (
	"strings"
	"time"

	"gormi/refs"
	"gormi/registry/policy"
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

// replaced allows a peer to bind a name that is free, that is its own, or that it may take.
func replaced(who *rights) allow {
	return func(_ *tables, old *binding) error {
		switch {
		case old == nil && !who.hold:
			return who.denied(policy.Bind)
		case old == nil || who.take || who.hold && who.owns(old):
			return nil
		case !who.hold && !who.see: // such a peer does not learn that it is bound
			return who.denied(policy.Bind)
		}
		return refused(kindDenied, "the name is somebody else's%s, and the registry's policy does not let this node rebind it", old.shown(who))
	}
}

// regained allows an earlier holder to have its name again.
func regained(name string, to origin, who *rights) allow {
	return func(t *tables, old *binding) error {
		if !who.hold {
			return who.denied(policy.Bind)
		}
		return t.regain(old, name, to, who)
	}
}

// onlyFree allows a peer to bind a name if nothing is bound to it but abandoned, nil if that is
// nothing either, and if the peer might replace that.
func onlyFree(abandoned *binding, who *rights) allow {
	return func(_ *tables, old *binding) error {
		switch {
		case !who.hold:
			return who.denied(policy.Bind)
		case old == nil || old == abandoned && who.knows(old):
			return nil
		}
		return alreadyBound(old, who)
	}
}

// regain returns why a name cannot be given back to an earlier holder. old is what is bound
// to it, nil if nothing is.
//
// That a peer states the revision proves nothing. It gets a name that is bound if it holds it,
// or may take it from anybody.
func (t *tables) regain(old *binding, name string, to origin, who *rights) error {
	if old == nil {
		return t.regainUnbound(name, to, who)
	}
	if who.knows(old) && (old.revision == to.held || old.lease != nil && t.yields(old.lease.origin, to)) {
		return nil
	}
	return refused(rmi.KindAlreadyBound, "the name was bound to another object meanwhile%s", old.shown(who))
}

// regainUnbound is regain for a name that is not bound.
func (t *tables) regainUnbound(name string, to origin, who *rights) error {
	e := t.past.last(name)
	switch {
	case e.revision < to.held, e.revision == to.held && e.how == lapsed:
	case e.how == unbound:
		return refused(rmi.KindNotBound, "%s", Lost{Unbound: true, By: e.shown(who)}.what())
	case !t.yields(e.origin, to):
		return refused(rmi.KindAlreadyBound, "the name was bound to another object meanwhile, and is not any more")
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

// lost says what became of a name that a peer does not hold in the way that h says. b is what is
// bound to it, nil if nothing is.
func (t *tables) lost(b *binding, h Held, who *rights) Lost {
	if !who.hold && !who.see {
		return Lost{} // such a peer learns nothing
	}
	if b != nil {
		if b.lease != nil && t.yields(b.lease.origin, origin{who.node, b.lease.object, h.Revision}) {
			return Lost{} // whether the object is the same is seen when it is claimed
		}
		return Lost{Now: b.revisionFor(who), By: strings.TrimPrefix(b.shown(who), ", ")}
	}
	e := t.past.last(h.Name)
	switch {
	case h.Revision == 0, e.revision < h.Revision, e.revision == h.Revision && e.how == lapsed:
		return Lost{}
	case e.revision == h.Revision:
		return Lost{Unbound: true, By: e.shown(who)}
	case e.how == lapsed && t.yields(e.origin, origin{who.node, e.object, h.Revision}):
		return Lost{}
	}
	l := Lost{Now: e.revision, Unbound: e.how == unbound}
	if !who.take {
		l.Now = later
	}
	if l.Unbound {
		l.By = e.shown(who)
	}
	return l
}

// later stands for a revision that is none of the peer's business.
const later Revision = 1

// revisionFor is the revision of a binding, as a peer is told it.
func (b *binding) revisionFor(who *rights) Revision {
	if who.knows(b) {
		return b.revision
	}
	return later
}

// shown tells a peer what is bound, where, and by whom, with a comma before it. It is "" for a peer
// that may not look the name up and had not the name before.
func (b *binding) shown(who *rights) string {
	if !who.see && !who.knows(b) && who.node != b.instead {
		return ""
	}
	return ", " + whose(b.ref) + ", bound by " + b.by.String()
}

// shown tells a peer who unbound a name. It is "" for a peer that may not look the name up and was
// not its holder.
func (e end) shown(who *rights) string {
	if !who.see && !who.take && who.node != e.of {
		return ""
	}
	return e.by.String()
}

// each calls do for each binding that caller holds as an entry of held says. It returns the entries
// for which caller holds none. who returns the rights of the peer for a name. A node holds what it
// has bound itself: another one of the same principal has no lease on it.
func (t *tables) each(caller refs.NodeID, held []Held, who func(name string) *rights, now time.Duration, do func(b *binding)) (lost []Lost) {
	for i, h := range held {
		b := t.current(h.Name, now)
		if b != nil && b.lease != nil && b.revision == h.Revision && b.lease.holder == caller {
			do(b)
			continue
		}
		l := t.lost(b, h, who(h.Name))
		l.Index = i
		lost = append(lost, l)
	}
	return lost
}
