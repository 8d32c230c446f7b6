package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"gormi/refs"
	"gormi/rmi/wire"
)

// TypeKind is what a value is on the wire. The numbers are wire values: new ones are only
// appended. int and uint are Int64 and Uint64. A pointer has no kind of its own: on the wire it is
// what it points to, or nil.
type TypeKind uint8

const (
	KindBool TypeKind = 1 + iota
	KindInt8
	KindInt16
	KindInt32
	KindInt64
	KindUint8
	KindUint16
	KindUint32
	KindUint64
	KindFloat32
	KindFloat64
	KindString
	KindBytes     // []byte, as binary data
	KindByteArray // [Len]byte, as binary data of that length
	KindTime      // time.Time, as msgpack's timestamp
	KindReference // refs.Ref: index into the reference table
	KindError     // error, in the error form
	KindAny       // interface that holds data: name of a registered type and value
	KindList      // slice
	KindArray     // array of Len elements
	KindMap
	KindStruct // map by field name
	KindTuple  // struct with the tag as_array: array of the fields' values
	KindRemote // remote interface or func: index into the reference table
	KindBinary // type with MarshalBinary, as binary data
	KindText   // type with MarshalText, as binary data
	KindCustom // type with EncodeMsgpack or MarshalMsgpack: any value
)

var kindNames = [...]string{KindBool: "bool", KindInt8: "int8", KindInt16: "int16", KindInt32: "int32", KindInt64: "int64",
	KindUint8: "uint8", KindUint16: "uint16", KindUint32: "uint32", KindUint64: "uint64", KindFloat32: "float32",
	KindFloat64: "float64", KindString: "string", KindBytes: "[]byte", KindByteArray: "byte array", KindTime: "time.Time",
	KindReference: "refs.Ref", KindError: "error", KindAny: "any", KindList: "list", KindArray: "array", KindMap: "map",
	KindStruct: "struct", KindTuple: "tuple", KindRemote: "remote interface", KindBinary: "binary form",
	KindText: "text form", KindCustom: "msgpack form"}

// String returns the kind in words close to Go's.
func (k TypeKind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return fmt.Sprintf("TypeKind(%d)", uint8(k))
	}
	return kindNames[k]
}

// A Description says what a remote interface looks like on the wire. Another program,
// perhaps in another language, can find out whether its own interface agrees with it
// (Accepts). Tools can show it, and call methods by it.
type Description struct {
	Name    string
	Types   []DescribedType // methods, fields and elements are indices into it
	Methods []DescribedMethod
}

// A DescribedType is one entry of a Description's table of types.
type DescribedType struct {
	Kind TypeKind
	// Name is the Go name of a struct, tuple, interface or type with its own
	// codec, or empty. It is for people: types with other names can agree.
	Name    string
	Elem    int               // of lists, arrays and maps
	Key     int               // of maps
	Len     int               // of arrays and byte arrays
	Fields  []DescribedField  // of structs and tuples
	Methods []DescribedMethod // of remote interfaces, sorted by name
}

// A DescribedField is a field of a struct or tuple, by its name on the wire.
type DescribedField struct {
	Name string
	Type int
}

// A DescribedMethod is a method without its context and its error.
type DescribedMethod struct {
	Name            string
	Variadic        bool
	Params, Results []int
	Semantics       // of the interface that is described; of one within it they mean nothing
}

// describe makes the description and the fingerprint of a compiled interface.
func (i *Interface) describe() error {
	w := describer{of: i, d: &Description{Name: i.Name}, types: map[*plan]int{}}
	w.d.Methods = w.methods(i)
	b, err := w.d.MarshalBinary()
	if err != nil {
		return err
	}
	if len(w.d.Types) > maxTypes || len(b) > maxDescription {
		return fmt.Errorf("its description takes %d bytes and %d types, more than %d bytes or %d types",
			len(b), len(w.d.Types), maxDescription, maxTypes)
	}
	i.description, i.Fingerprint = w.d, w.d.Fingerprint()
	return nil
}

// A describer numbers plans in the order in which they are first mentioned.
type describer struct {
	of    *Interface
	d     *Description
	types map[*plan]int
}

func (w *describer) methods(i *Interface) []DescribedMethod {
	out := make([]DescribedMethod, len(i.Methods))
	for at, m := range i.Methods {
		out[at] = DescribedMethod{Name: m.Name, Variadic: m.Variadic, Params: w.all(m.in), Results: w.all(m.out)}
		if i == w.of {
			out[at].Semantics = m.Semantics
		}
	}
	return out
}

func (w *describer) all(plans []*plan) []int {
	out := make([]int, len(plans))
	for i, p := range plans {
		out[i] = w.typ(p)
	}
	return out
}

func (w *describer) typ(p *plan) int {
	for p.kind == kindPointer {
		p = p.elem
	}
	if at, ok := w.types[p]; ok {
		return at
	}
	at := len(w.d.Types)
	w.types[p] = at
	t := DescribedType{Kind: p.kind}
	w.d.Types = append(w.d.Types, t)
	switch p.kind {
	case KindList:
		t.Elem = w.typ(p.elem)
	case KindArray:
		t.Elem, t.Len = w.typ(p.elem), p.typ.Len()
	case KindByteArray:
		t.Len = p.typ.Len()
	case KindMap:
		t.Key, t.Elem = w.typ(p.key), w.typ(p.elem)
	case KindStruct, KindTuple:
		t.Fields = make([]DescribedField, len(p.fields))
		for i, f := range p.fields {
			t.Fields[i] = DescribedField{Name: f.name, Type: w.typ(f.plan)}
		}
	case KindRemote:
		t.Methods = w.methods(p.iface)
	}
	switch p.kind {
	case KindStruct, KindTuple, KindRemote, KindAny, KindBinary, KindText, KindCustom:
		if p.typ.Name() != "" {
			t.Name = cut(typeName(p.typ))
		}
	}
	w.d.Types[at] = t
	return at
}

// fingerprintRounds is how deep two types are compared. No value can nest
// deeper than the default limit of nesting.
const fingerprintRounds = wire.DefaultNesting

// Fingerprint returns a number that is equal for interfaces that look alike on
// the wire: the first 16 bytes of a SHA-256. Go type names, pointers, the
// order of struct fields, variadics and the layout of the table of types make
// no difference. Method names, arity, kinds, field names and semantics do.
//
// Types may contain themselves. So each gets a hash in rounds, as when a
// finite automaton is minimized. Hash 0 of a type is that of its kind. Hash n+1 is that of
// its kind and of the hashes n of its parts. Types with equal hashes
// after fingerprintRounds are the same as far as any value can reach.
func (d *Description) Fingerprint() refs.Fingerprint {
	type hash = [sha256.Size]byte
	now, next := make([]hash, len(d.Types)), make([]hash, len(d.Types))
	for i, t := range d.Types {
		now[i] = sha256.Sum256([]byte{byte(t.Kind)})
	}
	var b []byte
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	list := func(types []int) {
		b = binary.AppendUvarint(b, uint64(len(types)))
		for _, t := range types {
			b = append(b, now[t][:]...)
		}
	}
	methods := func(all []DescribedMethod) {
		b = binary.AppendUvarint(b, uint64(len(all)))
		for _, m := range all {
			str(m.Name)
			list(m.Params)
			list(m.Results)
		}
	}
	for range fingerprintRounds {
		for i, t := range d.Types {
			b = binary.AppendUvarint(append(b[:0], byte(t.Kind)), uint64(t.Len))
			switch t.Kind {
			case KindList, KindArray:
				list([]int{t.Elem})
			case KindMap:
				list([]int{t.Key, t.Elem})
			case KindStruct, KindTuple:
				fields := t.Fields
				if t.Kind == KindStruct {
					fields = slices.SortedFunc(slices.Values(fields), func(a, b DescribedField) int { return strings.Compare(a.Name, b.Name) })
				}
				b = binary.AppendUvarint(b, uint64(len(fields)))
				for _, f := range fields {
					str(f.Name)
					b = append(b, now[f.Type][:]...)
				}
			case KindRemote:
				methods(t.Methods)
			}
			next[i] = sha256.Sum256(b)
		}
		now, next = next, now
	}
	b = b[:0]
	methods(d.Methods)
	sum := sha256.Sum256(b)
	f := refs.Fingerprint(sum[:16])
	if d.special() {
		return d.withSemantics(f)
	}
	return f
}
