package skeleton

import (
	"reflect"
	"sync"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Export is one object in the table.
type Export struct {
	*Skeleton
	Num   refs.ObjNum
	Extra any // what the node keeps with it: how calls take turns, limits

	key  valueKey // zero if the value can be exported many times
	pins int      // guarded by Table.mu: handles + holders
}

// valueKey finds the export of a pointer as an interface.
type valueKey struct {
	typ   reflect.Type
	value any
}

// Holder is whoever a reference was given to: a session.
type Holder any

// Table is what a node exports. Methods are safe for concurrent use; Get does
// not lock, and its cost does not grow with the number of exports.
//
// An export is in the table while pins > 0, where
//
//	pins = handles not closed + holders that got its reference and are not gone
type Table struct {
	byNum sync.Map // refs.ObjNum → *Export

	mu      sync.Mutex // guards the fields below
	limit   int
	count   int
	byValue map[valueKey]*Export
	held    map[Holder]map[*Export]struct{}
}

// NewTable returns a table for at most limit exports.
func NewTable(limit int) *Table {
	return &Table{limit: limit, byValue: make(map[valueKey]*Export), held: make(map[Holder]map[*Export]struct{})}
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

// Pin exports v as interface i for a handle, or finds its export: a pointer has
// one per interface, a func or another value a new one each time. num is 0, or
// a well-known number. make is called for a new export before it can be seen.
// The caller must Unpin it.
func (t *Table) Pin(i *wire.Interface, v reflect.Value, num refs.ObjNum, make func(*Export)) (*Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.put(i, v, num, make)
	if err != nil {
		return nil, err
	}
	e.pins++
	return e, nil
}

// Unpin takes a handle's pin back.
func (t *Table) Unpin(e *Export) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drop(e)
}

// Hold exports v as interface i, or finds its export, because a reference to it
// is given to holder.
func (t *Table) Hold(i *wire.Interface, v reflect.Value, holder Holder, make func(*Export)) (*Export, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, err := t.put(i, v, 0, make)
	if err != nil {
		return nil, err
	}
	t.hold(e, holder)
	return e, nil
}

// HoldExport notes that a reference to e is given to holder. It reports false
// if e is not in the table any more.
func (t *Table) HoldExport(e *Export, holder Holder) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.pins == 0 {
		return false
	}
	t.hold(e, holder)
	return true
}

// Gone takes all pins of a holder back.
func (t *Table) Gone(holder Holder) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e := range t.held[holder] {
		t.drop(e)
	}
	delete(t.held, holder)
}

// Clear empties the table.
func (t *Table) Clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byNum.Clear()
	clear(t.byValue)
	clear(t.held)
	t.count = 0
}

// put finds or makes an export, without a pin. mu is held.
func (t *Table) put(i *wire.Interface, v reflect.Value, num refs.ObjNum, make func(*Export)) (*Export, error) {
	var key valueKey
	if c := concrete(v); c.Kind() == reflect.Pointer {
		key = valueKey{i.Type, c.Interface()}
		if e := t.byValue[key]; e != nil && (num == 0 || num == e.Num) {
			return e, nil
		}
	}
	if t.count >= t.limit {
		return nil, fault.New(fault.Overloaded, fault.NotExecuted, "this node exports %d objects, its limit", t.limit)
	}
	if num == 0 {
		num = refs.NewObjNum()
	} else if t.Get(num) != nil {
		return nil, fault.New(fault.AlreadyBound, fault.NotExecuted, "another object of this node has the well-known number %d", uint64(num))
	}
	e := &Export{Skeleton: New(i, v), Num: num, key: key}
	make(e)
	if key != (valueKey{}) {
		t.byValue[key] = e
	}
	t.byNum.Store(num, e)
	t.count++
	return e, nil
}

// hold pins e for holder, once. mu is held.
func (t *Table) hold(e *Export, holder Holder) {
	set := t.held[holder]
	if set == nil {
		set = make(map[*Export]struct{})
		t.held[holder] = set
	}
	if _, ok := set[e]; !ok {
		set[e] = struct{}{}
		e.pins++
	}
}

// drop takes one pin, and the export out with its last. mu is held.
func (t *Table) drop(e *Export) {
	if e.pins--; e.pins > 0 {
		return
	}
	if _, ok := t.byNum.LoadAndDelete(e.Num); ok {
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
