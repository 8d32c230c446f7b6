package skeleton

import (
	"reflect"
	"sync"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
)

// Export is one object in the table.
type Export struct {
	*Skeleton
	Num   refs.ObjNum
	Since time.Time
	Extra any // what the node keeps with it: how calls take turns, limits

	key    valueKey // zero if the value can be exported many times
	system bool     // of the node itself: not counted, never collected

	// Guarded by Table.mu.
	handles int     // not closed
	known   bool    // somebody may know the number: a reference was made, or it is well known
	next    *Export // stands in the table in place of this one; see Pin
}

// latest is what stands for e now. Table.mu is held.
func (e *Export) latest() *Export {
	for e.next != nil {
		e = e.next
	}
	return e
}

// valueKey finds the export of a pointer as an interface.
type valueKey struct {
	typ   reflect.Type
	value any
}

// Table is what a node exports. Methods are safe for concurrent use; Get does
// not lock, and its cost does not grow with the number of exports.
//
// An export is in the table while
//
//	handles not closed + holders > 0
//
// where holders are those that hold references to it (holders.go).
type Table struct {
	byNum sync.Map // refs.ObjNum → *Export

	mu      sync.Mutex // guards the fields below
	limit   int
	count   int
	byValue map[valueKey]*Export
	grants  lease.Grants[Holder]

	// unheld is called, without locks, for exports whose last holder is gone.
	unheld func([]*Export)
}

// NewTable returns a table for at most limit exports. unheld is told of exports
// that somebody held and that nobody holds any more, be they in the table or not.
func NewTable(limit int, unheld func([]*Export)) *Table {
	return &Table{limit: limit, byValue: make(map[valueKey]*Export), unheld: unheld}
}

// Get returns the export of a number, or nil.
func (t *Table) Get(n refs.ObjNum) *Export {
	e, _ := t.byNum.Load(n)
	x, _ := e.(*Export)
	return x
}

// Len is the number of exports.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Again is asked when an object is exported that is exported already, which old
// is. known says that somebody may have called it. What Again returns stands in old's
// place from now on, under its number, or its own well-known one; nil leaves old there. An
// error refuses.
type Again func(old *Export, known bool) (*Export, error)

// Pin exports v as interface i for a handle, or finds its export: a pointer has
// one per interface, a func or another value a new one each time. num is 0, or
// a well-known number. fill is called for a new export before it can be seen,
// again, if it is not nil, for one that is found; both under the table's lock. The
// caller must Unpin it.
func (t *Table) Pin(i *codec.Interface, v reflect.Value, num refs.ObjNum, fill func(*Export), again Again) (*Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, found, err := t.put(i, v, num, fill)
	if err != nil {
		return nil, err
	}
	if found && again != nil {
		x, err := again(e, e.known)
		if err != nil {
			return nil, err
		}
		if x != nil {
			known := e.known
			switch x.Num {
			case 0, e.Num:
				x.Num = e.Num
			default:
				if t.Get(x.Num) != nil {
					return nil, taken(x.Num)
				}
				t.byNum.Delete(e.Num)
				known = true
			}
			x.Since, x.key, x.handles, x.known = e.Since, e.key, e.handles, known
			t.byNum.Store(x.Num, x)
			t.byValue[x.key] = x
			e.next = x
			e = x
		}
	}
	e.handles++
	return e, nil
}

// PinNum pins the export of a number, as Pin does, or returns nil if there is none.
func (t *Table) PinNum(n refs.ObjNum) *Export {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.Get(n)
	if e != nil {
		e.handles++
	}
	return e
}

// Unpin takes a handle's pin back.
func (t *Table) Unpin(e *Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e = e.latest()
	e.handles--
	t.settle(e)
}

// Known returns what stands for e now, and notes that a reference to it is made.
func (t *Table) Known(e *Export) *Export {
	t.mu.Lock()
	defer t.mu.Unlock()
	e = e.latest()
	e.known = true
	return e
}

// Revoke takes an export out of the table whoever keeps it there. Its number means
// nothing from now on, and its value can be exported anew, under another one.
func (t *Table) Revoke(e *Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(e.latest())
}

// System exports an object of the node itself under a well-known number, until
// Clear. It counts for nothing.
func (t *Table) System(i *codec.Interface, v reflect.Value, num refs.ObjNum, extra any) {
	t.byNum.Store(num, &Export{Skeleton: New(i, v), Num: num, Since: time.Now(), Extra: extra, system: true})
}

// Clear empties the table.
func (t *Table) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byNum.Clear()
	clear(t.byValue)
	t.grants = lease.Grants[Holder]{}
	t.count = 0
}

// put finds or makes an export, without a pin. mu is held.
func (t *Table) put(i *codec.Interface, v reflect.Value, num refs.ObjNum, fill func(*Export)) (e *Export, found bool, err error) {
	var key valueKey
	if c := concrete(v); c.Kind() == reflect.Pointer {
		key = valueKey{i.Type, c.Interface()}
		if e := t.byValue[key]; e != nil { // whatever the number: again tells
			return e, true, nil
		}
	}
	if t.count >= t.limit {
		return nil, false, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "this node exports %d objects, its limit (Options.MaxExports)", t.limit)
	}
	if num == 0 {
		num = refs.NewObjNum()
	} else if t.Get(num) != nil {
		return nil, false, taken(num)
	}
	e = &Export{Skeleton: New(i, v), Num: num, Since: time.Now(), key: key, known: num < refs.ReservedObjects}
	fill(e)
	if key != (valueKey{}) {
		t.byValue[key] = e
	}
	t.byNum.Store(num, e)
	t.count++
	return e, false, nil
}

func taken(num refs.ObjNum) error {
	return fault.New(fault.KindAlreadyBound, fault.OutcomeNotExecuted, "another object of this node has the well-known number %d", uint64(num))
}

// settle takes e out of the table if nothing keeps it there. mu is held.
func (t *Table) settle(e *Export) {
	if e.handles > 0 || e.system || t.grants.Held(e.Num) {
		return
	}
	t.remove(e)
}

// remove takes e out of the table, if it is there. mu is held.
func (t *Table) remove(e *Export) {
	if t.byNum.CompareAndDelete(e.Num, e) {
		t.count--
	}
	if e.key != (valueKey{}) && t.byValue[e.key] == e {
		delete(t.byValue, e.key)
	}
}

// concrete is the value inside interfaces.
func concrete(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}
