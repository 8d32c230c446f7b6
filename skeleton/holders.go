package skeleton

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/codec"
)

// Holder is who got a reference: a session. It is comparable.
type Holder any

// maxRegistered is how many objects one holder may register that it holds.
const maxRegistered = 1_000_000

// Hold counts a reference that is given to holder, to v as interface i. It exports v, or finds its
// export.
func (t *Table) Hold(i *codec.Interface, v reflect.Value, holder Holder, fill func(*Export)) (*Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, _, err := t.put(i, v, 0, fill)
	if err != nil {
		return nil, err
	}
	e.known = true
	t.grants.Give(holder, e.Num, time.Now())
	return e, nil
}

// Give counts a reference that is given to holder, whether or not the object is exported.
func (t *Table) Give(n refs.ObjNum, holder Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grants.Give(holder, n, time.Now())
}

// Register counts a reference for holder to each of the objects. Others handed holder references to
// them. Register returns the indices of those that are not exported.
func (t *Table) Register(holder Holder, objects []refs.ObjNum) (missing []uint32) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i, n := range objects {
		if e := t.Get(n); e == nil || e.system || t.grants.Len(holder) >= maxRegistered {
			missing = append(missing, uint32(i))
			continue
		}
		t.grants.Give(holder, n, now)
	}
	return missing
}

// Take takes references back that holder had.
func (t *Table) Take(holder Holder, counts ...lease.Count) {
	t.release(func() (last []refs.ObjNum) {
		for _, c := range counts {
			if t.grants.Take(holder, c.Object, c.N) {
				last = append(last, c.Object)
			}
		}
		return last
	})
}

// Linger keeps objects for a while after holder is gone; see Gone.
func (t *Table) Linger(holder Holder, objects []refs.ObjNum) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.grants.Linger(holder, objects)
}

// Gone takes all references of a holder back. Those that linger are kept until the time given.
func (t *Table) Gone(holder Holder, until time.Time) {
	t.release(func() []refs.ObjNum { return t.grants.Gone(holder, until) })
}

// Expire ends the lingering that is due. It reports whether something still lingers.
func (t *Table) Expire(now time.Time) (more bool) {
	t.release(func() (last []refs.ObjNum) {
		if t.grants.Lingering() {
			last = t.grants.Expire(now)
		}
		more = t.grants.Lingering()
		return last
	})
	return more
}

// release changes the grants by take, under the lock. take returns the objects that nobody holds
// any more. Those that nothing else keeps are removed. After the lock, release tells unheld.
func (t *Table) release(take func() []refs.ObjNum) {
	if unheld := t.released(take); unheld != nil {
		t.unheld(unheld)
	}
}

// released is release under the lock.
func (t *Table) released(take func() []refs.ObjNum) (unheld []*Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range take() {
		if e := t.Get(n); e != nil {
			t.settle(e)
			unheld = append(unheld, e)
		}
	}
	return unheld
}

// Exported describes an export.
type Exported struct {
	*Export
	Handles int
	Holders []lease.Grant[Holder]
}

// All lists the exports with their holders, the oldest export first.
func (t *Table) All() []Exported {
	t.mu.Lock()
	defer t.mu.Unlock()
	by := make(map[refs.ObjNum][]lease.Grant[Holder])
	for _, g := range t.grants.All() {
		by[g.Object] = append(by[g.Object], g)
	}
	all := make([]Exported, 0, t.count)
	t.byNum.Range(func(_, v any) bool {
		if e := v.(*Export); !e.system {
			all = append(all, Exported{e, e.handles, by[e.Num]})
		}
		return true
	})
	slices.SortFunc(all, func(a, b Exported) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Num, b.Num))
	})
	return all
}
