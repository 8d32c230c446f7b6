package codec

import (
	"reflect"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
)

// OpenArgs begins the arguments of a typed call: one array of len(m.In) values.
func (e *Encoder) OpenArgs(m *Method) { e.openValues(len(m.in)) }

// CloseArgs ends the arguments. Errors are those of Method.EncodeArgs.
func (e *Encoder) CloseArgs(m *Method) error {
	return e.closeValues(m, "argument", fault.OutcomeNotExecuted)
}

// OpenResults begins the results of a typed call: one array of len(m.Out) values.
func (e *Encoder) OpenResults(m *Method) { e.openValues(len(m.out)) }

// CloseResults ends the results. Errors are those of Method.EncodeResults.
func (e *Encoder) CloseResults(m *Method) error {
	return e.closeValues(m, "result", fault.OutcomeExecuted)
}

func (e *Encoder) openValues(n int) {
	e.open(place{index: -1})
	e.fail(e.array(n))
}

func (e *Encoder) closeValues(m *Method, what string, outcome fault.Outcome) error {
	at := e.places[0].index
	e.places = e.places[:0]
	if e.err == nil {
		e.depth--
		return nil
	}
	where := what + "s"
	if at >= 0 {
		where = numbered(what, at)
	}
	return m.fault(failure(e.sized(e.err), where, fault.KindInvalid, outcome))
}

// Nil writes nil, for a nil pointer, slice, map, func or interface.
func (e *Encoder) Nil() {
	if e.err == nil {
		e.fail(e.nil())
	}
}

// Struct begins a struct. For each field, Field and its value follow, and then End.
// If it reports false, because of an error, they must not follow. That ends the recursion of a
// value that contains itself.
func (e *Encoder) Struct(s *Struct) bool {
	if e.err != nil {
		return false
	}
	head := 0
	p, err := s.fields()
	switch {
	case err != nil:
	case p.kind == KindTuple:
		err = e.array(len(p.fields))
	default:
		head, err = e.openStruct(p)
	}
	return e.begun(err, place{s: p, index: -1, head: head})
}

func (e *Encoder) begun(err error, p place) bool {
	if err != nil {
		e.fail(err)
		return false
	}
	e.open(p)
	return true
}

// Field says which field comes next. Fields come in order, without those that are left out.
func (e *Encoder) Field(i int) {
	p := e.top()
	if e.err != nil {
		return
	}
	p.index = i
	p.count++
	if p.s.kind == KindStruct {
		e.fail(e.w.put(p.s.keys[i].appendTo(e.w.buf)))
	}
}

// Array begins an array of n elements. Elem and a value follow n times, and then End,
// unless it reports false. A slice that is not nil has the same form.
func (e *Encoder) Array(n int) bool {
	return e.err == nil && e.begun(e.array(n), place{index: -1})
}

// Elem says which element of an array comes next. It reports false after an error.
func (e *Encoder) Elem(i int) bool {
	if e.err == nil {
		e.top().index = i
	}
	return e.err == nil
}

// Map begins a map of n entries. A key, a value and Entry follow n times, and then End,
// unless it reports false.
func (e *Encoder) Map(n int) bool {
	if e.err != nil {
		return false
	}
	err := e.enter(2 * n)
	if err == nil {
		err = e.mapLen(n)
	}
	return e.begun(err, place{isMap: true, count: n})
}

// Entry ends an entry of a map. Ok must be called after it. If that reports false,
// AtKey and End follow.
func (e *Encoder) Entry() { e.top().count-- }

// AtKey says in which entry of a map an error happened.
func (e *Encoder) AtKey(key any) { e.atKey(key) }

// End ends the innermost struct, array or map.
func (e *Encoder) End() {
	p := e.top()
	switch {
	case e.err != nil:
	case p.s != nil && p.s.kind == KindStruct:
		e.closeStruct(p.s, p.head, p.count)
	case p.isMap && p.count != 0:
		p.index = -1
		e.fail(errChanged())
	default:
		e.depth--
	}
	e.pop()
}

// Bool writes a bool.
func (e *Encoder) Bool(v bool) {
	if e.err == nil {
		e.fail(e.bool(v))
	}
}

// Int writes a signed integer of any width.
func (e *Encoder) Int(v int64) {
	if e.err == nil {
		e.fail(e.int(v))
	}
}

// Uint writes an unsigned integer of any width.
func (e *Encoder) Uint(v uint64) {
	if e.err == nil {
		e.fail(e.uint(v))
	}
}

// Float32 writes a float32.
func (e *Encoder) Float32(v float32) {
	if e.err == nil {
		e.fail(e.float32(v))
	}
}

// Float64 writes a float64.
func (e *Encoder) Float64(v float64) {
	if e.err == nil {
		e.fail(e.float64(v))
	}
}

// String writes a string.
func (e *Encoder) String(v string) {
	if e.err == nil {
		e.fail(e.string(v))
	}
}

// Bytes writes a slice of bytes, or nil.
func (e *Encoder) Bytes(v []byte) {
	if v == nil {
		e.Nil()
	} else {
		e.ByteArray(v)
	}
}

// ByteArray writes the bytes of an array.
func (e *Encoder) ByteArray(v []byte) {
	if e.err == nil {
		e.fail(e.bytes(v))
	}
}

// Time writes a time.
func (e *Encoder) Time(v time.Time) {
	if e.err == nil {
		e.fail(e.mp.EncodeTime(v))
	}
}

// Error writes an error that is an argument or result, or part of one.
func (e *Encoder) Error(v error) {
	if e.err == nil {
		e.fail(e.error(v))
	}
}

// Ref writes a reference that is data.
func (e *Encoder) Ref(v refs.Ref) {
	if e.err == nil {
		e.fail(e.ref(v))
	}
}

// Remote writes a remote interface's value, or a func, that is not nil.
func (e *Encoder) Remote(r *Remote, v any) {
	if e.err != nil {
		return
	}
	i, err := r.methods()
	if err == nil {
		err = e.export(reflect.ValueOf(v), i)
	}
	e.fail(err)
}

// Other writes a value by reflection. It is for types with a codec of their own, and for
// data in interfaces.
func (e *Encoder) Other(v reflect.Value) {
	if e.err != nil {
		return
	}
	p, err := planOf(v.Type())
	if err != nil {
		e.fail(refuse(fault.KindInvalid, "%v", err))
		return
	}
	e.fail(p.enc(e, v))
}
