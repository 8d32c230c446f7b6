package codec

import (
	"reflect"
	"strconv"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
)

// OpenArgs begins to read the arguments of a typed call.
func (d *Decoder) OpenArgs(m *Method) {
	d.openTyped(m, "argument", len(m.in), fault.KindBadArguments, fault.OutcomeNotExecuted)
}

// CloseArgs ends the arguments. Errors are those of Method.DecodeArgs.
func (d *Decoder) CloseArgs(m *Method) error {
	return d.closeValues(m, "argument", fault.KindBadArguments, fault.OutcomeNotExecuted)
}

// OpenResults begins to read the results of a typed call.
func (d *Decoder) OpenResults(m *Method) {
	d.openTyped(m, "result", len(m.out), fault.KindMismatch, fault.OutcomeExecuted)
}

// CloseResults ends the results. Errors are those of Method.DecodeResults.
func (d *Decoder) CloseResults(m *Method) error {
	return d.closeValues(m, "result", fault.KindMismatch, fault.OutcomeExecuted)
}

func (d *Decoder) openTyped(m *Method, what string, n int, kind fault.Kind, outcome fault.Outcome) {
	d.open(place{})
	if err := d.openValues(m, what, n, kind, outcome); err != nil {
		d.err = err
	}
}

func (d *Decoder) closeValues(m *Method, what string, kind fault.Kind, outcome fault.Outcome) error {
	at := d.places[0].index
	d.places = d.places[:0]
	switch err := d.err.(type) {
	case nil:
		return nil
	case *fault.Error:
		return m.fault(err)
	default:
		return m.fault(valueFailure(err, what, at, kind, outcome))
	}
}

// Null reports whether a nil comes next, and consumes it. The value is the zero value
// then. It reports true after an error too. For a field behind an embedded
// pointer it is called once more, before that. If the pointer is nil, no field of
// a struct is sent, and those of a tuple are nil.
func (d *Decoder) Null() bool {
	if d.err != nil {
		return true
	}
	if p := d.top(); p.behind {
		p.behind = false
		return false
	}
	return d.null()
}

// Struct begins to read a struct and returns the number of the first field that
// was sent, or -1. Next returns the others.
//
//	for i := d.Struct(s); i >= 0; i = d.Next() {
//		switch i {
func (d *Decoder) Struct(s *Struct) int {
	if d.Null() {
		return -1
	}
	p, err := s.fields()
	n := 0
	if err == nil {
		class := classMap
		if p.kind == KindTuple {
			class = classArray
		}
		n, err = d.length(class, p.typ)
	}
	if err != nil {
		d.fail(err)
		return -1
	}
	d.open(place{s: p, index: -1, count: n})
	return d.Next()
}

// Next returns the number of the next field, element or entry of what was
// begun last. It returns -1 at its end, or after an error.
func (d *Decoder) Next() int {
	p := d.top()
	for d.err == nil && p.count > 0 {
		p.count--
		switch {
		case p.s == nil:
			p.index++
			p.valued = false
			return p.index
		case p.s.kind == KindStruct:
			next := p.index + 1
			p.index = -1
			i, err := d.field(p.s, next, &p.seen)
			if i >= 0 {
				p.index, p.behind = i, p.s.fields[i].pointers
				return i
			}
			d.fail(err)
			p.index = next - 1
		case p.index+1 < len(p.s.fields):
			p.index++
			return p.index
		default: // of a later version
			_, _, err := d.raw()
			d.fail(err)
		}
	}
	d.pop()
	return -1
}

// Slice begins to read a slice of type t whose elements have a size in memory. It
// returns how many elements follow, or -1 for a nil. The limits permit that many. Next returns
// their numbers.
func (d *Decoder) Slice(t reflect.Type, size uintptr) int {
	if d.Null() {
		return -1
	}
	n, err := d.sliceLength(t, size)
	return d.begun(n, err, false)
}

// Map begins to read a map of type t whose keys and values have a size in memory
// together, as Slice does. Each entry is a key, Keyed, and a value.
func (d *Decoder) Map(t reflect.Type, size uintptr) int {
	if d.Null() {
		return -1
	}
	n, err := d.mapLength(t, size)
	return d.begun(n, err, true)
}

var typeList = reflect.TypeFor[[]any]() // stands for arrays of all types

func (d *Decoder) begun(n int, err error, isMap bool) int {
	if err != nil {
		d.fail(err)
		return -1
	}
	d.open(place{index: -1, isMap: isMap, count: n})
	return n
}

// Array begins to read an array of n elements. It returns what Next returns.
func (d *Decoder) Array(n int) int {
	if d.Null() {
		return -1
	}
	if d.begun(n, d.arrayLength(typeList, n), false) < 0 {
		return -1
	}
	return d.Next()
}

// Keyed notes that the key of a map's entry was read and its value comes next.
func (d *Decoder) Keyed() {
	if d.err == nil {
		d.top().valued = true
	}
}

// Entered ends an entry of a map that has size entries now. It reports false
// after an error, and if the map has an entry too few because a key came twice. AtKey then
// adds where it happened.
func (d *Decoder) Entered(size int) bool {
	if d.err == nil && size != d.top().index+1 {
		d.fail(errTwice())
	}
	return d.err == nil
}

// AtKey says in which entry of a map an error happened.
func (d *Decoder) AtKey(key any) {
	if d.top().valued {
		d.atKey(key)
	}
}

// Charge counts a value of a size against the memory that the decoded values may
// take, before it is allocated.
func (d *Decoder) Charge(size uintptr) {
	if d.err == nil {
		d.fail(d.charge(1, size))
	}
}

// Bool reads a bool.
func (d *Decoder) Bool(p *bool) {
	if d.err == nil {
		v, err := d.bool(typeBool)
		*p = v
		d.fail(err)
	}
}

// signed reads an integer of the width of T.
func signed[T int | int8 | int16 | int32 | int64](d *Decoder, p *T, bits int) {
	if d.err == nil {
		v, err := d.int(reflect.TypeFor[T](), bits)
		*p = T(v)
		d.fail(err)
	}
}

func unsigned[T uint | uint8 | uint16 | uint32 | uint64](d *Decoder, p *T, bits int) {
	if d.err == nil {
		v, err := d.uint(reflect.TypeFor[T](), bits)
		*p = T(v)
		d.fail(err)
	}
}

// Int reads an integer; one that does not fit is an error.
func (d *Decoder) Int(p *int) { signed(d, p, strconv.IntSize) }

// Int8 reads an integer; one that does not fit is an error.
func (d *Decoder) Int8(p *int8) { signed(d, p, 8) }

// Int16 reads an integer; one that does not fit is an error.
func (d *Decoder) Int16(p *int16) { signed(d, p, 16) }

// Int32 reads an integer; one that does not fit is an error.
func (d *Decoder) Int32(p *int32) { signed(d, p, 32) }

// Int64 reads an integer; one that does not fit is an error.
func (d *Decoder) Int64(p *int64) { signed(d, p, 64) }

// Uint reads an integer; one that does not fit is an error.
func (d *Decoder) Uint(p *uint) { unsigned(d, p, strconv.IntSize) }

// Uint8 reads an integer; one that does not fit is an error.
func (d *Decoder) Uint8(p *uint8) { unsigned(d, p, 8) }

// Uint16 reads an integer; one that does not fit is an error.
func (d *Decoder) Uint16(p *uint16) { unsigned(d, p, 16) }

// Uint32 reads an integer; one that does not fit is an error.
func (d *Decoder) Uint32(p *uint32) { unsigned(d, p, 32) }

// Uint64 reads an integer; one that does not fit is an error.
func (d *Decoder) Uint64(p *uint64) { unsigned(d, p, 64) }

// Float32 reads a float, or an integer that a float32 represents exactly.
func (d *Decoder) Float32(p *float32) {
	if d.err == nil {
		v, err := d.float(typeFloat32)
		*p = float32(v)
		d.fail(err)
	}
}

// Float64 reads a float, or an integer that a float64 represents exactly.
func (d *Decoder) Float64(p *float64) {
	if d.err == nil {
		v, err := d.float(typeFloat64)
		*p = v
		d.fail(err)
	}
}

// String reads a string, as a copy.
func (d *Decoder) String(p *string) {
	if d.err == nil {
		v, err := d.string(typeString)
		*p = v
		d.fail(err)
	}
}

// Bytes reads a slice of bytes, as a copy.
func (d *Decoder) Bytes(p *[]byte) {
	if d.err == nil {
		v, err := d.ownBytes(typeBytes)
		*p = v
		d.fail(err)
	}
}

// ByteArray fills the bytes of an array.
func (d *Decoder) ByteArray(to []byte) {
	if d.err == nil {
		d.fail(d.intoBytes(to))
	}
}

// Time reads a time.
func (d *Decoder) Time(p *time.Time) {
	if d.err == nil {
		v, err := d.time()
		*p = v
		d.fail(err)
	}
}

// Error reads an error that is an argument or result, or part of one.
func (d *Decoder) Error(p *error) {
	if d.err == nil {
		v, err := d.error()
		*p = v
		d.fail(err)
	}
}

// Ref reads a reference that is data.
func (d *Decoder) Ref(p *refs.Ref) {
	if d.Null() {
		return
	}
	v, err := d.ref(typeRef)
	*p = v
	d.fail(err)
}

// Remote reads a remote interface's value, or a func. ok is false if it is nil,
// or after an error.
func (d *Decoder) Remote(r *Remote) (v reflect.Value, ok bool) {
	if d.Null() {
		return v, false
	}
	i, err := r.methods()
	if err == nil {
		v, err = d.imported(i)
	}
	d.fail(err)
	return v, err == nil
}

// Other reads a value by reflection into v, which is zero and addressable. It is for types
// with a codec of their own, and for data in interfaces.
func (d *Decoder) Other(v reflect.Value) {
	if d.err != nil {
		return
	}
	p, err := planOf(v.Type())
	if err != nil {
		d.fail(refuse(fault.KindBadArguments, "%v", err))
		return
	}
	d.fail(p.dec(d, v))
}

var (
	typeBool    = reflect.TypeFor[bool]()
	typeFloat32 = reflect.TypeFor[float32]()
	typeFloat64 = reflect.TypeFor[float64]()
	typeString  = reflect.TypeFor[string]()
)
