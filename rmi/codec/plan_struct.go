package codec

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/rmi/codec/fields"
	"gormi/rmi/fault"
)

// A field is one value of a struct that travels.
type field struct {
	name  string // on the wire
	key   []byte // name as a msgpack string
	goes  string // name in Go, for errors
	typ   reflect.Type
	plan  *plan
	index []int // from the struct, through the structs it embeds
	// pointers: an embedded pointer lies on the way, which may be nil.
	pointers  bool
	omitEmpty bool
}

// fillStruct plans a struct. It is a map by field name, or, with an as_array tag on a field
// `_msgpack struct{}`, a tuple of the fields' values in order.
func (c *compiler) fillStruct(p *plan) {
	l := fields.Of(reflected{}, p.typ, c.cannotField)
	for _, f := range l.Fields {
		last := f.Last()
		key, _ := msgpack.Marshal(f.Name) // of a string: cannot fail
		planned := &field{name: f.Name, key: key, goes: last.Name, typ: last.Type, pointers: f.Pointers, omitEmpty: f.OmitEmpty}
		for _, step := range f.Path {
			planned.index = append(planned.index, step.Index)
		}
		p.fields = append(p.fields, planned)
	}
	for _, f := range p.fields {
		f.plan = c.planInside("."+f.goes, f.typ)
	}
	p.empty = func(v reflect.Value) bool {
		return !slices.ContainsFunc(p.fields, func(f *field) bool { return !f.omitted(v) })
	}
	if l.Tuple {
		p.kind = KindTuple
		p.enc = p.encodeTuple
		p.dec = p.decodeTuple
		return
	}
	p.kind = KindStruct
	p.byName = make(map[string]int, len(p.fields))
	for i, f := range l.Fields {
		p.keys = append(p.keys, newKey(p.fields[i].key))
		p.byName[f.Name] = i
		if f.Alias != "" {
			p.byName[f.Alias] = i
		}
	}
	p.enc = p.encodeStruct
	p.dec = p.decodeStruct
}

// cannotField reports what is wrong with a field at a path within the struct being planned.
func (c *compiler) cannotField(path []string, problem string) {
	if len(path) == 0 {
		c.cannot("%s", problem)
		return
	}
	c.inside("."+path[0], func() { c.cannotField(path[1:], problem) })
}

// reflected tells package fields about types of package reflect.
type reflected struct{}

func (reflected) Declared(t reflect.Type) (all []fields.Declared[reflect.Type]) {
	for i := range t.NumField() {
		f := t.Field(i)
		all = append(all, fields.Declared[reflect.Type]{Index: i, Name: f.Name, Type: f.Type, Tag: f.Tag, Embedded: f.Anonymous, Exported: f.IsExported()})
	}
	return all
}

func (reflected) Pointee(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() != reflect.Pointer {
		return nil, false
	}
	return t.Elem(), true
}

func (reflected) IsStruct(t reflect.Type) bool    { return t.Kind() == reflect.Struct }
func (reflected) IsInterface(t reflect.Type) bool { return t.Kind() == reflect.Interface }
func (reflected) HasIsZero(t reflect.Type) bool   { return isZeroer(t) }
func (reflected) IsOfSync(t reflect.Type) bool    { return t.PkgPath() == "sync" }
func (reflected) Same(a, b reflect.Type) bool     { return a == b }
func (reflected) Name(t reflect.Type) string      { return typeName(t) }

func (reflected) IsWhole(t reflect.Type) bool {
	form, _ := codecOf(t)
	return form != nil || t == typeTime || t == typeRef
}

// of returns the field's value in the struct v. It returns false if an embedded pointer on the way
// is nil.
func (f *field) of(v reflect.Value) (reflect.Value, bool) {
	if len(f.index) == 1 {
		return v.Field(f.index[0]), true
	}
	for i, at := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				return v, false
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return v, true
}

func (f *field) omitted(strct reflect.Value) bool {
	v, ok := f.of(strct)
	return !ok || f.omitEmpty && f.plan.empty != nil && f.plan.empty(v)
}

func (p *plan) encodeStruct(e *Encoder, v reflect.Value) error {
	head, err := e.openStruct(p)
	if err != nil {
		return err
	}
	written := 0
	for i, f := range p.fields {
		fv, ok := f.of(v)
		if !ok || f.omitEmpty && f.plan.empty != nil && f.plan.empty(fv) {
			continue
		}
		err := e.w.put(p.keys[i].appendTo(e.w.buf))
		if err == nil {
			err = f.plan.enc(e, fv)
		}
		if err != nil {
			return withinField(err, f.goes)
		}
		written++
	}
	e.closeStruct(p, head, written)
	return nil
}

// openStruct writes the head of a map of all fields of a struct.
func (e *Encoder) openStruct(p *plan) (head int, err error) {
	n := len(p.fields)
	if err := e.enter(2 * n); err != nil {
		return 0, err
	}
	head = len(e.w.buf)
	return head, e.mapLen(n)
}

// closeStruct corrects the head of a map if some fields were not written.
func (e *Encoder) closeStruct(p *plan, head, written int) {
	if n := len(p.fields); written != n {
		// The head keeps its width. Shorter heads exist, but this one is legal.
		b := e.w.buf[head:]
		if n < 16 {
			b[0] = 0x80 | byte(written)
		} else {
			b[1], b[2] = byte(written>>8), byte(written)
		}
		e.elements -= 2 * (n - written)
	}
	e.depth--
}

func (p *plan) decodeStruct(d *Decoder, v reflect.Value) error {
	if d.null() {
		return nil
	}
	n, err := d.length(classMap, p.typ)
	if err != nil {
		return err
	}
	var seen fieldSet
	next := 0 // senders of the same type keep to the order
	for range n {
		i, err := d.field(p, next, &seen)
		if err != nil {
			return err
		}
		if i < 0 {
			continue
		}
		if err := p.fields[i].decode(d, v); err != nil {
			return withinField(err, p.fields[i].goes)
		}
		next = i + 1
	}
	return nil
}

// field reads the key of one entry of a struct's map and returns the number of the field. If it
// knows none, it skips the entry and returns -1. next is the field that is expected.
func (d *Decoder) field(p *plan, next int, seen *fieldSet) (int, error) {
	start := d.r.pos
	if next < len(p.fields) {
		if key := &p.keys[next]; key.begins(d.r.b[start:]) {
			d.r.pos += len(key.all)
			if seen.add(next, len(p.fields)) {
				return -1, errFieldTwice(p, next)
			}
			return next, nil
		}
	}
	h, err := d.head()
	if err != nil {
		return -1, err
	}
	i, known := -1, false
	if h.class == classString {
		name, err := d.payload(h)
		if err != nil {
			return -1, err
		}
		i, known = p.byName[string(name)]
	} else {
		d.r.pos = start
		if _, _, err := d.raw(); err != nil {
			return -1, err
		}
	}
	if !known {
		_, _, err := d.raw()
		return -1, err
	}
	if seen.add(i, len(p.fields)) {
		return -1, errFieldTwice(p, i)
	}
	return i, nil
}

func errFieldTwice(p *plan, i int) error {
	return withinField(refuse(fault.KindBadArguments, "the field comes twice"), p.fields[i].goes)
}

// key is a field's name as a msgpack string. A key of up to 8 bytes is copied and compared as a
// number.
type key struct {
	all        []byte
	word, mask uint64 // its bytes, little-endian, and which bits they are; 0 of a longer one
}

func newKey(b []byte) key {
	k := key{all: b}
	if len(b) <= 8 {
		var word, mask [8]byte
		copy(word[:], b)
		for i := range b {
			mask[i] = 0xff
		}
		k.word, k.mask = binary.LittleEndian.Uint64(word[:]), binary.LittleEndian.Uint64(mask[:])
	}
	return k
}

func (k *key) appendTo(b []byte) []byte {
	if k.mask == 0 {
		return append(b, k.all...)
	}
	return binary.LittleEndian.AppendUint64(b, k.word)[:len(b)+len(k.all)]
}

// begins reports whether b begins with k.
func (k *key) begins(b []byte) bool {
	if k.mask != 0 && len(b) >= 8 {
		return binary.LittleEndian.Uint64(b)&k.mask == k.word
	}
	return bytes.HasPrefix(b, k.all)
}

// fieldSet is a set of field numbers. Small structs need no allocation.
type fieldSet struct {
	first uint64
	rest  []uint64
}

// add puts i into the set of numbers below size. It reports whether i was there.
func (s *fieldSet) add(i, size int) (was bool) {
	word := &s.first
	if i >= 64 {
		if s.rest == nil {
			s.rest = make([]uint64, size/64)
		}
		word = &s.rest[i/64-1]
	}
	bit := uint64(1) << (i % 64)
	was = *word&bit != 0
	*word |= bit
	return was
}

// decode fills the field in. It makes the embedded structs of pointers on the way: if such a
// pointer is nil, none of its fields is sent.
func (f *field) decode(d *Decoder, v reflect.Value) error {
	if !f.pointers {
		fv, _ := f.of(v)
		return f.plan.dec(d, fv)
	}
	for i, at := range f.index {
		if i > 0 && v.Kind() == reflect.Pointer {
			if v.IsNil() {
				if err := d.charge(1, v.Type().Elem().Size()); err != nil {
					return err
				}
				v.Set(reflect.New(v.Type().Elem()))
			}
			v = v.Elem()
		}
		v = v.Field(at)
	}
	return f.plan.dec(d, v)
}

func (p *plan) encodeTuple(e *Encoder, v reflect.Value) error {
	if err := e.array(len(p.fields)); err != nil {
		return err
	}
	for _, f := range p.fields {
		fv, ok := f.of(v)
		if !ok {
			if err := e.nil(); err != nil {
				return err
			}
			continue
		}
		if err := f.plan.enc(e, fv); err != nil {
			return withinField(err, f.goes)
		}
	}
	e.depth--
	return nil
}

// decodeTuple accepts tuples of other lengths too, because later versions append fields.
func (p *plan) decodeTuple(d *Decoder, v reflect.Value) error {
	if d.null() {
		return nil
	}
	n, err := d.length(classArray, p.typ)
	if err != nil {
		return err
	}
	for i := range n {
		if i >= len(p.fields) {
			if _, _, err := d.raw(); err != nil {
				return err
			}
			continue
		}
		if p.fields[i].pointers && d.null() { // the embedded pointer was nil
			continue
		}
		if err := p.fields[i].decode(d, v); err != nil {
			return withinField(err, p.fields[i].goes)
		}
	}
	return nil
}
