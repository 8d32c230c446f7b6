package codec

import (
	"encoding/binary"
	"math"
	"slices"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

const (
	descriptionVersion = 1
	maxDescription     = 64 << 10 // bytes
	maxTypes           = 4096
	maxIndices         = 8192
	maxTimeout         = 30 * time.Minute // of a method's semantics
)

// MarshalBinary returns the wire form, which is msgpack:
//
//	description: [1, name, [type...], [method...]]
//	type:        [kind, name, elem, key, len, [[field name, type]...], [method...]]
//	method:      [name, variadic, [type of each parameter...], [type of each result...],
//	              [flags, timeout]]
//
// The last part of a method, its semantics, is left out if all of it is 0.
// A type is an index into the list of types. A type's array may be shorter.
// What is left out at its end is 0 or empty. So a bool is [1].
func (d *Description) MarshalBinary() ([]byte, error) {
	b := appendArray(nil, 4)
	b = append(b, descriptionVersion)
	b = appendString(b, d.Name)
	b = appendArray(b, len(d.Types))
	for _, t := range d.Types {
		n := 7
		for empty := (DescribedType{}); n > 1 && t.same(empty, n-1); n-- {
		}
		b = appendArray(b, n)
		for part := range n {
			switch part {
			case 0:
				b = appendNumber(b, int(t.Kind))
			case 1:
				b = appendString(b, t.Name)
			case 2:
				b = appendNumber(b, t.Elem)
			case 3:
				b = appendNumber(b, t.Key)
			case 4:
				b = appendNumber(b, t.Len)
			case 5:
				b = appendArray(b, len(t.Fields))
				for _, f := range t.Fields {
					b = appendNumber(appendString(appendArray(b, 2), f.Name), f.Type)
				}
			case 6:
				b = appendMethods(b, t.Methods)
			}
		}
	}
	return appendMethods(b, d.Methods), nil
}

// same reports whether element number part of t's array equals that of o's.
func (t *DescribedType) same(o DescribedType, part int) bool {
	switch part {
	case 1:
		return t.Name == o.Name
	case 2:
		return t.Elem == o.Elem
	case 3:
		return t.Key == o.Key
	case 4:
		return t.Len == o.Len
	case 5:
		return len(t.Fields) == len(o.Fields)
	case 6:
		return len(t.Methods) == len(o.Methods)
	}
	return false
}

func appendMethods(b []byte, methods []DescribedMethod) []byte {
	b = appendArray(b, len(methods))
	for _, m := range methods {
		n := 4
		if m.Semantics != (Semantics{}) {
			n = 5
		}
		b = appendString(appendArray(b, n), m.Name)
		if m.Variadic {
			b = append(b, 0xc3)
		} else {
			b = append(b, 0xc2)
		}
		for _, list := range [][]int{m.Params, m.Results} {
			b = appendArray(b, len(list))
			for _, t := range list {
				b = appendNumber(b, t)
			}
		}
		if n == 5 {
			b = appendNumber(appendArray(b, 2), int(m.Semantics.flags()))
			b = appendNumber(b, int(min(m.Timeout, maxTimeout).Microseconds()))
		}
	}
	return b
}

func appendArray(b []byte, n int) []byte {
	if n < 16 {
		return append(b, 0x90|byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

func appendNumber(b []byte, n int) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), uint64(n))
}

func appendString(b []byte, s string) []byte {
	switch {
	case len(s) < 32:
		b = append(b, 0xa0|byte(len(s)))
	case len(s) < 256:
		b = append(b, 0xd9, byte(len(s)))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(s)))
	}
	return append(b, s...)
}

// descriptionLimits bound a description from a peer.
var descriptionLimits = wire.Limits{Message: maxDescription, Depth: 8, Elements: maxDescription}

// UnmarshalBinary is ParseDescription into d.
func (d *Description) UnmarshalBinary(b []byte) error {
	out, err := ParseDescription(b)
	if err == nil {
		*d = *out
	}
	return err
}

// ParseDescription reads what MarshalBinary wrote, from a peer that is not
// trusted. It checks every length, name and index. The error is a *fault.Error
// of kind Protocol or TooLarge.
func ParseDescription(b []byte) (*Description, error) {
	d, err := NewDecoder(b, nil, nil, &descriptionLimits)
	if err != nil {
		kind := fault.KindProtocol
		if fault.KindOf(err) == fault.KindTooLarge {
			kind = fault.KindTooLarge
		}
		return nil, fault.New(kind, fault.OutcomeUnknown, "W-141: description: %w", err)
	}
	defer d.Release()
	p := descriptionParser{parts: parts{d: d}}
	out := p.description()
	if p.err != nil {
		return nil, fault.New(fault.KindProtocol, fault.OutcomeUnknown, "W-141: description: %w", p.err)
	}
	return out, nil
}

// parts reads the scanned parts of a form. After an error it reads zeros.
type parts struct {
	d   *Decoder
	err error
}

func (p *parts) fail(format string, a ...any) {
	if p.err == nil {
		p.err = refuse(fault.KindProtocol, format, a...)
	}
}

func (p *parts) head(class valueClass) valueHead {
	if p.err != nil {
		return valueHead{}
	}
	h, err := p.d.head()
	if err == nil && h.class != class {
		p.fail("got %v, want %v", h.class, class)
	}
	if p.err == nil {
		p.err = err
	}
	if p.err != nil {
		return valueHead{}
	}
	return h
}

func (p *parts) array() int { return int(p.head(classArray).n) }
func (p *parts) flag() bool { return p.head(classBool).n != 0 }
func (p *parts) uint() int  { return p.below(math.MaxInt32) }
func (p *parts) skip(n int) {
	for ; n > 0 && p.err == nil; n-- {
		_, _, p.err = p.d.raw()
	}
}

func (p *parts) below(limit int) int {
	n := p.head(classUint).n
	if p.err == nil && n >= uint64(limit) {
		p.fail("got the number %d, want one below %d", n, limit)
		return 0
	}
	return int(n)
}

// payload reads a string or binary data, which belong to the body.
func (p *parts) payload(class valueClass) []byte {
	h := p.head(class)
	if p.err != nil {
		return nil
	}
	b, err := p.d.payload(h)
	p.err = err
	return b
}

// name reads a name that may be shown to people.
func (p *parts) name() string {
	s := string(p.payload(classString))
	if p.err == nil && (len(s) > wire.MaxName || !printableName(s)) {
		p.fail("a name of %d bytes is too long or not printable", len(s))
	}
	if p.err != nil {
		return ""
	}
	return s
}

type descriptionParser struct {
	parts
	indexed int // indices read so far
	types   int // how many types there are, which bounds indices
}

func (p *descriptionParser) description() *Description {
	n := p.array()
	if v := p.uint(); p.err == nil && (v != descriptionVersion || n < 4) {
		p.fail("version %d with %d parts is unknown", v, n)
	}
	d := &Description{Name: p.name()}
	if p.types = p.array(); p.types > maxTypes {
		p.fail("%d types, more than %d", p.types, maxTypes)
	}
	for i := 0; i < p.types && p.err == nil; i++ {
		d.Types = append(d.Types, p.describedType())
	}
	d.Methods = p.methods()
	p.skip(n - 4)
	return d
}

func (p *descriptionParser) describedType() (t DescribedType) {
	n := p.array()
	if n < 1 {
		p.fail("a type without a kind")
	}
	// Kinds of later versions are kept. They match themselves only.
	t.Kind = TypeKind(p.below(math.MaxUint8 + 1))
	if p.err == nil && t.Kind == 0 {
		p.fail("a type of kind 0")
	}
	for part := 1; part < n && p.err == nil; part++ {
		switch part {
		case 1:
			t.Name = p.name()
		case 2:
			t.Elem = p.index()
		case 3:
			t.Key = p.index()
		case 4:
			t.Len = p.uint()
		case 5:
			t.Fields = p.fields()
		case 6:
			t.Methods = p.methods()
		default:
			p.skip(1)
		}
	}
	return t
}

// index reads an index into the table of types. The number of indices bounds the work of a
// fingerprint.
func (p *descriptionParser) index() int {
	if p.indexed++; p.indexed > maxIndices {
		p.fail("more than %d types of parameters, results, fields and elements", maxIndices)
		return 0
	}
	return p.below(p.types)
}

func (p *descriptionParser) fields() (out []DescribedField) {
	seen := map[string]bool{}
	for n := p.array(); n > 0 && p.err == nil; n-- {
		parts := p.array() // a later version may add some
		if parts < 2 {
			p.fail("a field of %d parts", parts)
		}
		f := DescribedField{Name: p.name(), Type: p.index()}
		p.skip(parts - 2)
		if seen[f.Name] {
			p.fail("the field %q comes twice", f.Name)
		}
		seen[f.Name] = true
		out = append(out, f)
	}
	return out
}

func (p *descriptionParser) methods() (out []DescribedMethod) {
	n := p.array()
	if n > maxMethods {
		p.fail("%d methods, more than %d", n, maxMethods)
	}
	for ; n > 0 && p.err == nil; n-- {
		parts := p.array() // a later version may add some
		if parts < 4 {
			p.fail("a method of %d parts", parts)
		}
		m := DescribedMethod{Name: p.name(), Variadic: p.flag(), Params: p.indices(), Results: p.indices()}
		if parts > 4 {
			m.Semantics = p.semantics()
			p.skip(parts - 5)
		}
		if len(out) > 0 && out[len(out)-1].Name >= m.Name {
			p.fail("the method %q comes twice or out of order", m.Name)
		}
		out = append(out, m)
	}
	return out
}

func (p *descriptionParser) indices() []int {
	n := p.array()
	if n > maxParams {
		p.fail("%d parameters or results, more than %d", n, maxParams)
	}
	out := make([]int, 0, min(n, maxParams))
	for ; n > 0 && p.err == nil; n-- {
		out = append(out, p.index())
	}
	return slices.Clip(out)
}
