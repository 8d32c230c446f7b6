package lease

import (
	"cmp"
	"math"
	"slices"
	"time"

	"gormi/refs"
)

// Grants are the references that an owner gave out to its objects, and who holds them. S names a
// session. Grants are not safe for concurrent use: the table of exports guards them. The zero value
// is empty.
//
// An object is held while holders > 0, where
//
//	holders = sessions with a count + lingering
type Grants[S comparable] struct {
	to        map[S]*grantee
	holders   map[refs.ObjNum]int
	lingering []lingerer
}

// grantee is what one session was given.
type grantee struct {
	counts map[refs.ObjNum]grant
	linger map[refs.ObjNum]struct{} // to be kept for a while when the session is over
}

type grant struct {
	n     uint32
	since time.Time
}

// lingerer keeps an object of a session that is over.
type lingerer struct {
	object refs.ObjNum
	until  time.Time
}

// Give counts one reference to an object that s was given. It counts whether or not the object is
// exported.
func (g *Grants[S]) Give(s S, n refs.ObjNum, now time.Time) {
	if g.to == nil {
		g.to, g.holders = make(map[S]*grantee), make(map[refs.ObjNum]int)
	}
	to := g.to[s]
	if to == nil {
		to = &grantee{counts: make(map[refs.ObjNum]grant)}
		g.to[s] = to
	}
	c, held := to.counts[n]
	if !held {
		c.since = now
		g.holders[n]++
	}
	if c.n < math.MaxUint32 {
		c.n++
	}
	to.counts[n] = c
}

// Take takes count references to an object back from s, or as many as s has. It reports whether
// that was the last that anybody held. A count that reached its maximum is not exact any more. It
// stays until the session is over.
func (g *Grants[S]) Take(s S, n refs.ObjNum, count uint32) (last bool) {
	to := g.to[s]
	if to == nil {
		return false
	}
	c, held := to.counts[n]
	switch {
	case !held || c.n == math.MaxUint32:
		return false
	case c.n > count:
		c.n -= count
		to.counts[n] = c
		return false
	}
	delete(to.counts, n)
	delete(to.linger, n)
	if len(to.counts) == 0 {
		delete(g.to, s)
	}
	return g.release(n)
}

// release subtracts one holder.
func (g *Grants[S]) release(n refs.ObjNum) (last bool) {
	if g.holders[n]--; g.holders[n] > 0 {
		return false
	}
	delete(g.holders, n)
	return true
}

// Held reports whether anybody holds an object.
func (g *Grants[S]) Held(n refs.ObjNum) bool { return g.holders[n] > 0 }

// Len is the number of objects that s holds.
func (g *Grants[S]) Len(s S) int {
	if to := g.to[s]; to != nil {
		return len(to.counts)
	}
	return 0
}

// Linger keeps objects that s holds after the end of s, until the time that is given to Gone.
func (g *Grants[S]) Linger(s S, objects []refs.ObjNum) {
	to := g.to[s]
	if to == nil {
		return
	}
	for _, n := range objects {
		if _, held := to.counts[n]; held {
			if to.linger == nil {
				to.linger = make(map[refs.ObjNum]struct{})
			}
			to.linger[n] = struct{}{}
		}
	}
}

// Gone takes everything back from a session that is over for good, except what lingers. It returns
// the objects that nobody holds any more.
func (g *Grants[S]) Gone(s S, until time.Time) (last []refs.ObjNum) {
	to := g.to[s]
	if to == nil {
		return nil
	}
	delete(g.to, s)
	for n := range to.counts {
		if _, ok := to.linger[n]; ok {
			g.lingering = append(g.lingering, lingerer{n, until})
		} else if g.release(n) {
			last = append(last, n)
		}
	}
	return last
}

// Expire ends the lingering that is due. It returns the objects that nobody holds any more.
func (g *Grants[S]) Expire(now time.Time) (last []refs.ObjNum) {
	g.lingering = slices.DeleteFunc(g.lingering, func(l lingerer) bool {
		if l.until.After(now) {
			return false
		}
		if g.release(l.object) {
			last = append(last, l.object)
		}
		return true
	})
	return last
}

// Lingering reports whether something lingers, so that Expire has to be called.
func (g *Grants[S]) Lingering() bool { return len(g.lingering) > 0 }

// Grant is what one session holds of one object.
type Grant[S comparable] struct {
	Object refs.ObjNum
	To     S
	Count  uint32
	Since  time.Time

	// Until is not zero for a holder that closed: its references are kept for others until then,
	// and To is zero.
	Until time.Time
}

// All lists what was given, by object. For one object the oldest comes first.
func (g *Grants[S]) All() []Grant[S] {
	var all []Grant[S]
	for s, to := range g.to {
		for n, c := range to.counts {
			all = append(all, Grant[S]{Object: n, To: s, Count: c.n, Since: c.since})
		}
	}
	for _, l := range g.lingering {
		all = append(all, Grant[S]{Object: l.object, Count: 1, Until: l.until})
	}
	slices.SortFunc(all, func(a, b Grant[S]) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), a.Since.Compare(b.Since))
	})
	return all
}
