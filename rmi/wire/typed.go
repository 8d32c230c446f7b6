package wire

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gormi/rmi/fault"
)

// Typed calls write and read values without reflection: generated code makes
// them. They lead to the same bytes as the plans, by the same primitives. An
// error sticks: what follows it does nothing, and the call that closes the
// arguments or results returns it, with the place where it happened.

// track is where a typed Encoder or Decoder is in the value, and its error.
type track struct {
	places []place // outermost first: the values, then what is open within one of them
	err    error   // *valueError, or a *fault.Error that says all
}

// place is an array, map, struct or tuple that is open.
type place struct {
	s     *Struct // nil for arrays and maps
	index int     // of the value, element or field; -1: none yet
	isMap bool
	count int // of elements or fields; of a struct that is written, of those written

	head   int      // encoding: where a struct's map begins
	valued bool     // decoding: the key of a map's entry was read
	seen   fieldSet // decoding: the fields of a struct that came
}

func (t *track) reset() track {
	if cap(t.places) > maxDepth {
		return track{}
	}
	clear(t.places)
	return track{places: t.places[:0]}
}

func (t *track) open(p place) { t.places = append(t.places, p) }

func (t *track) top() *place { return &t.places[len(t.places)-1] }

func (t *track) pop() { t.places = t.places[:len(t.places)-1] }

// fail notes the first error and its place. The path ends at the value itself,
// which place 0 counts.
func (t *track) fail(err error) {
	if err == nil || t.err != nil {
		return
	}
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
		return "." + p.s.plan.fields[p.index].goes
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

// A Struct says how the fields of a struct type travel.
type Struct struct{ plan *plan }

// StructOf returns how structs of type t travel. layout is what the caller's
// code takes the fields to be, as in Layout. The error says how it differs.
func StructOf(t reflect.Type, layout string) (*Struct, error) {
	p, err := planOf(t)
	if err != nil {
		return nil, fault.New(fault.Invalid, fault.NotExecuted, "%w", err)
	}
	if is := p.layout(); is != layout {
		return nil, fault.New(fault.Invalid, fault.NotExecuted, "%s is %s", typeName(t), is)
	}
	return &Struct{p}, nil
}

// Layout returns in one line how values of type t travel: their kind and, of
// structs, the fields in order, each as "Go.Path", "*" in front if an embedded
// pointer lies on the way, "=name" behind if it has another name on the wire,
// and "?" if it may be left out ("?0" if a method IsZero decides).
func Layout(t reflect.Type) (string, error) {
	p, err := planOf(t)
	if err != nil {
		return "", fault.New(fault.Invalid, fault.NotExecuted, "%w", err)
	}
	return p.layout(), nil
}

func (p *plan) layout() string {
	if p.kind != KindStruct && p.kind != KindTuple {
		return p.kind.String()
	}
	var b strings.Builder
	b.WriteString(p.kind.String() + "{")
	for i, f := range p.fields {
		if i > 0 {
			b.WriteString(" ")
		}
		if f.pointers {
			b.WriteString("*")
		}
		goes := f.path(p.typ)
		b.WriteString(goes)
		if goes != f.name {
			b.WriteString("=" + f.name)
		}
		if f.omitEmpty {
			b.WriteString("?")
			if f.typ.Implements(typeIsZeroer) && f.typ.Kind() != reflect.Interface {
				b.WriteString("0")
			}
		}
	}
	return b.String() + "}"
}

// path writes the names on the way from a struct to the field: "Inner.C".
func (f *field) path(t reflect.Type) string {
	var names []string
	for _, at := range f.index {
		if t.Kind() == reflect.Pointer {
			t = t.Elem()
		}
		step := t.Field(at)
		names, t = append(names, step.Name), step.Type
	}
	return strings.Join(names, ".")
}
