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

// latest returns the export that stands in e's place now. Table.mu is held.
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

// Table is what a node exports. Its methods are safe for concurrent use. Get does not lock, and its
// cost does not grow with the number of exports.
//
// An export is in the table while
//
//	handles not closed + holders > 0
//
// where holders are those that hold references to the object (holders.go).
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

// NewTable returns a table for at most limit exports. It calls unheld with exports that somebody
// held and that nobody holds any more, whether or not they are still in the table.
func NewTable(limit int, unheld func([]*Export)) *Table {
	return &Table{limit: limit, byValue: make(map[valueKey]*Export), unheld: unheld}
}

// Get returns the export with a number, or nil.
func (t *Table) Get(n refs.ObjNum) *Export {
	e, _ := t.byNum.Load(n)
	x, _ := e.(*Export)
	return x
}

// Len returns the number of exports.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Again is called when an object is exported that is exported already, as old. known says that
// somebody may have called it. The export that Again returns takes old's place, under old's number
// or its own well-known one. If Again returns nil, old stays. If it returns an error, the new
// export is refused.
type Again func(old *Export, known bool) (*Export, error)

// Pin exports v as interface i for a handle, or finds its export. A pointer has one export per
// interface. A func, or another value, gets a new one each time. num is 0, or a well-known number.
// Pin calls fill for a new export before others can see it. It calls again, if that is not nil, for
// an export that it found. Both run under the table's lock. The caller must Unpin the export.
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

// PinNum pins the export with a number, as Pin does. It returns nil if there is none.
func (t *Table) PinNum(n refs.ObjNum) *Export {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.Get(n)
	if e != nil {
		e.handles++
	}
	return e
}

// Unpin ends a handle's pin.
func (t *Table) Unpin(e *Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e = e.latest()
	e.handles--
	t.settle(e)
}

// Known returns the export that stands in e's place now, and notes that a reference to it exists.
func (t *Table) Known(e *Export) *Export {
	t.mu.Lock()
	defer t.mu.Unlock()
	e = e.latest()
	e.known = true
	return e
}

// Revoke removes an export from the table, whoever keeps it there. From then on its number means
// nothing. Its value can be exported again, under another number.
func (t *Table) Revoke(e *Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(e.latest())
}

// System exports an object of the node itself under a well-known number, until Clear. It is not
// counted.
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

// put finds or makes an export, without pinning it. mu is held.
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

// settle removes e from the table if nothing keeps it there. mu is held.
func (t *Table) settle(e *Export) {
	if e.handles > 0 || e.system || t.grants.Held(e.Num) {
		return
	}
	t.remove(e)
}

// remove removes e from the table, if it is there. mu is held.
func (t *Table) remove(e *Export) {
	if t.byNum.CompareAndDelete(e.Num, e) {
		t.count--
	}
	if e.key != (valueKey{}) && t.byValue[e.key] == e {
		delete(t.byValue, e.key)
	}
}

// concrete returns the value inside interfaces.
func concrete(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}
