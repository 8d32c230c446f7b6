package codec

import (
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"

	"gormi/rmi/codec/fields"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Typed calls write and read values without reflection. Generated code makes them. They lead to the
// same bytes as the plans, by the same primitives. After an error, further calls do nothing. The
// call that closes the arguments or results returns the error, with the place where it happened.

// track is where a typed Encoder or Decoder is in the value, and its error.
type track struct {
	places []place // outermost first: the values, then what is open within one of them
	err    error   // *valueError, or a *fault.Error that says all
}

// place is an open array, map, struct or tuple.
type place struct {
	s     *plan // of a struct or tuple; nil for arrays and maps
	index int   // of the value, element or field; -1: none yet
	isMap bool
	count int // of elements or fields; of a struct that is written, of those written

	head   int      // encoding: where a struct's map begins
	valued bool     // decoding: the key of a map's entry was read
	behind bool     // decoding: the field is behind an embedded pointer, which is not nil
	seen   fieldSet // decoding: the fields of a struct that came
}

func (t *track) reset() track {
	if cap(t.places) > wire.MaxNesting {
		return track{}
	}
	clear(t.places)
	return track{places: t.places[:0]}
}

func (t *track) open(p place) { t.places = append(t.places, p) }

func (t *track) top() *place { return &t.places[len(t.places)-1] }

func (t *track) pop() { t.places = t.places[:len(t.places)-1] }

// fail notes the first error and its place. The path ends at the value itself, which place 0
// counts.
func (t *track) fail(err error) {
	if err != nil && t.err == nil {
		t.failed(err)
	}
}

func (t *track) failed(err error) {
	v := placed(err)
	for _, p := range slices.Backward(t.places[min(1, len(t.places)):]) {
		v.path = append(v.path, p.step())
	}
	t.err = v
}

func (p *place) step() string {
	switch {
	case p.index < 0:
		return ""
	case p.s != nil:
		return "." + p.s.fields[p.index].goes
	case p.isMap:
		return "[key]"
	}
	return fmt.Sprintf("[%d]", p.index)
}

// Ok reports whether no error happened yet.
func (t *track) Ok() bool { return t.err == nil }

// Value says which argument or result comes next, counted from 0.
func (t *track) Value(i int) {
	if t.err == nil {
		t.places[0].index = i
	}
}

// atKey says which entry of the innermost open map an error happened in.
func (t *track) atKey(key any) {
	v, ok := t.err.(*valueError)
	if level := len(t.places) - 1; ok && level > 0 && level <= len(v.path) {
		v.path[len(v.path)-level] = keyStep(reflect.ValueOf(key))
	}
}

// A Struct says how the fields of a struct type travel. A Remote says what a remote interface or
// func is. Both are found out when they are first needed, because the variables that hold them are
// made early: the interfaces that a type mentions must be declared before (Declare).
type (
	Struct struct {
		typ  reflect.Type
		plan atomic.Pointer[plan]
	}
	Remote struct {
		typ   reflect.Type
		iface atomic.Pointer[Interface]
	}
)

// StructOf returns how structs of type t travel. layout is what the caller's code expects, in the
// form of Layout. The error says how it differs.
func StructOf(t reflect.Type, layout string) (*Struct, error) {
	if is := Layout(t); is != layout {
		return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s travels as %s", typeName(t), is)
	}
	return &Struct{typ: t}, nil
}

func (s *Struct) fields() (*plan, error) {
	if p := s.plan.Load(); p != nil {
		return p, nil
	}
	p, err := planOf(s.typ)
	if err != nil {
		return nil, refuse(fault.KindInvalid, "%v", err)
	}
	s.plan.Store(p)
	return p, nil
}

// RemoteOf returns the remote interface or func that t is.
func RemoteOf(t reflect.Type) *Remote { return &Remote{typ: t} }

func (r *Remote) methods() (*Interface, error) {
	if i := r.iface.Load(); i != nil {
		return i, nil
	}
	i, err := InterfaceOf(r.typ)
	if err != nil {
		return nil, err
	}
	r.iface.Store(i)
	return i, nil
}

// Layout returns in one line how values of type t travel. t is neither an interface nor a
// func. The line has the kind and, of structs, what fields.Layout tells of their fields. Layout
// does not look into elements and fields.
func Layout(t reflect.Type) string {
	switch t {
	case typeRef:
		return KindReference.String()
	case typeTime:
		return KindTime.String()
	}
	if form, _ := codecOf(t); form != nil {
		return form.kind.String()
	}
	octets := (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) && t.Elem().Kind() == reflect.Uint8
	switch {
	case t.Kind() == reflect.Slice && octets:
		return KindBytes.String()
	case t.Kind() == reflect.Slice:
		return KindList.String()
	case octets:
		return KindByteArray.String()
	case t.Kind() == reflect.Array:
		return KindArray.String()
	case t.Kind() == reflect.Map:
		return KindMap.String()
	case t.Kind() == reflect.Struct:
		return fields.Of(reflected{}, t, func([]string, string) {}).String()
	}
	p := plan{typ: t}
	fillScalar(&p)
	return p.kind.String()
}
