package codec

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// A field is one value of a struct that travels.
type field struct {
	name  string // on the wire
	key   []byte // name as a msgpack string
	alias string // a second name that decoding accepts, or empty
	goes  string // name in Go, for errors
	typ   reflect.Type
	plan  *plan
	index []int // from the struct, through the structs it embeds
	// pointers: an embedded pointer lies on the way, which may be nil.
	pointers  bool
	omitEmpty bool
}

// fieldTag is what msgpack's struct tag says: `msgpack:"name,option,alias:x"`.
type fieldTag struct {
	name, alias                  string
	omitEmpty, noInline, asArray bool
}

func parseTag(s string) (fieldTag, error) {
	var t fieldTag
	if strings.ContainsAny(s, `'\`) {
		return t, fmt.Errorf("quotes in the tag %q are not supported", s)
	}
	for i, part := range strings.Split(s, ",") {
		key, value, pair := strings.Cut(strings.TrimSpace(part), ":")
		switch {
		case key == "alias" && pair:
			t.alias = strings.TrimSpace(value)
		case i == 0 && !pair:
			t.name = key
		case key == "omitempty":
			t.omitEmpty = true
		case key == "noinline":
			t.noInline = true
		case key == "as_array", key == "asArray":
			t.asArray = true
		}
	}
	return t, nil
}

// fillStruct plans a struct: a map by field name, or, with an as_array tag on a
// field `_msgpack struct{}`, a tuple: the fields' values in order.
func (c *compiler) fillStruct(p *plan) {
	l := layout{c: c, open: []reflect.Type{p.typ}}
	p.fields = l.fields(p.typ)
	if len(p.fields) == 0 && !l.exported && p.typ.NumField() > 0 {
		c.cannot("%s", nothingExported(p.typ))
	}
	byName := make(map[string]int, len(p.fields))
	for i, f := range p.fields {
		for _, name := range []string{f.name, f.alias} {
			if j, taken := byName[name]; taken && name != "" && j != i {
				c.cannot("fields %s and %s both travel as %q; give one of them another name by a tag, or, if it is that of an embedded struct, keep that whole by the tag `msgpack:\",noinline\"`",
					p.fields[j].path(p.typ), f.path(p.typ), name)
			}
			byName[name] = i
		}
		delete(byName, "")
		if len(f.name) > wire.MaxName {
			c.cannot("the name of field %s is longer than %d bytes", f.goes, wire.MaxName)
		}
		f.plan = c.planInside("."+f.goes, f.typ)
	}
	p.empty = func(v reflect.Value) bool {
		return !slices.ContainsFunc(p.fields, func(f *field) bool { return !f.omitted(v) })
	}
	if l.asArray {
		p.kind = KindTuple
		p.enc = p.encodeTuple
		p.dec = p.decodeTuple
		return
	}
	p.kind = KindStruct
	p.byName = byName
	for _, f := range p.fields {
		p.keys = append(p.keys, newKey(f.key))
	}
	p.enc = p.encodeStruct
	p.dec = p.decodeStruct
}

// A layout collects the fields of a struct as msgpack's tags order them.
type layout struct {
	c        *compiler
	open     []reflect.Type // structs being inlined into each other
	asArray  bool
	exported bool // a field was exported, travelling or not
}

func (l *layout) fields(t reflect.Type) []*field {
	type entry struct {
		reflect.StructField
		fieldTag
		embedded reflect.Type // struct to inline, or nil
	}
	var entries []entry
	omitAll := false
	for i := range t.NumField() {
		f := t.Field(i)
		tag, err := parseTag(f.Tag.Get("msgpack"))
		if err != nil {
			l.cannot(f, "%v", err)
		}
		if f.Name == "_msgpack" {
			omitAll = tag.omitEmpty
			if len(l.open) == 1 {
				l.asArray = tag.asArray
			}
		}
		l.exported = l.exported || f.IsExported()
		if tag.name == "-" {
			continue
		}
		e := entry{StructField: f, fieldTag: tag}
		if f.Anonymous && !tag.noInline {
			e.embedded = l.inlinable(f.Type)
		}
		if e.embedded == nil && !f.IsExported() {
			if f.Anonymous && !plainField(f.Type) {
				l.cannot(f, "the embedded %s is unexported, so nothing of it would travel; embed an exported type, give it a name, or leave it out with the tag `msgpack:\"-\"`", typeName(f.Type))
				l.exported = true // enough was said
			}
			continue
		}
		if e.name == "" {
			e.name = f.Name
		}
		entries = append(entries, e)
	}
	var out []*field
	for _, e := range entries {
		if e.embedded != nil {
			for _, f := range l.inline(e.StructField, e.embedded) {
				f.omitEmpty = f.omitEmpty || omitAll && !f.pointers
				out = append(out, f)
			}
			continue
		}
		key, _ := msgpack.Marshal(e.name) // of a string: cannot fail
		out = append(out, &field{name: e.name, key: key, alias: e.alias, goes: e.Name, typ: e.Type, index: e.Index,
			omitEmpty: e.omitEmpty || omitAll})
	}
	return out
}

func (l *layout) cannot(f reflect.StructField, format string, a ...any) {
	l.c.inside("."+f.Name, func() { l.c.cannot(format, a...) })
}

// plainField reports whether an embedded field of an unexported type t is like
// any other unexported field, of which everybody knows that it does not travel:
// it has no fields and no codec that seem to be those of the struct.
func plainField(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	form, _ := codecOf(t)
	return form == nil && t.Kind() != reflect.Struct && t.Kind() != reflect.Interface
}

// inlinable returns the struct whose fields an embedded field of type t offers.
func (l *layout) inlinable(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == typeTime || t == typeRef || slices.Contains(l.open, t) {
		return nil
	}
	if form, _ := codecOf(t); form != nil {
		return nil
	}
	return t
}

// inline returns the fields of an embedded struct, which travel as if they were
// the outer struct's own. None of them may have the name of another: which one a
// value is for would change with the types' versions. (In msgpack an outer field
// hides the inner one, or keeps the whole embedded struct from being inlined.)
func (l *layout) inline(f reflect.StructField, t reflect.Type) []*field {
	outer := l.exported
	l.exported = false
	l.open = append(l.open, t)
	var inner []*field
	l.c.inside("."+f.Name, func() { inner = l.fields(t) })
	l.open = l.open[:len(l.open)-1]
	pointer := f.Type.Kind() == reflect.Pointer
	switch {
	case pointer && !f.IsExported() && len(inner) > 0:
		l.cannot(f, "an embedded pointer to an unexported struct cannot be filled in; embed the struct itself")
	case f.IsExported() && !l.exported && t.NumField() > 0 && t.PkgPath() != "sync":
		l.cannot(f, "%s", nothingExported(t))
	}
	l.exported = outer || l.exported
	for _, in := range inner {
		in.index = slices.Concat(f.Index, in.index)
		if pointer {
			// What is written tells that the pointer is not nil.
			in.pointers, in.omitEmpty = true, false
		}
	}
	return inner
}

func nothingExported(t reflect.Type) string {
	return typeName(t) + " has no exported fields, so nothing of it would travel; export them, give it MarshalBinary and UnmarshalBinary, or leave it out with the tag `msgpack:\"-\"`"
}

// of returns the field's value in the struct v; false when an embedded
// pointer on the way is nil.
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

// closeStruct corrects the head of a map of which not all fields were written.
func (e *Encoder) closeStruct(p *plan, head, written int) {
	if n := len(p.fields); written != n {
		// The head keeps its width; shorter ones exist, but this is legal.
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

// field reads the key of one entry of a struct's map and returns the number of
// the field, or skips the entry and returns -1. next is the field that is
// expected.
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

// key is a field's name as a msgpack string. One of up to 8 bytes is copied and
// compared as a number.
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

// fieldSet is a set of field numbers; small structs need no allocation.
type fieldSet struct {
	first uint64
	rest  []uint64
}

// add puts i into the set of numbers below size and tells whether it was there.
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

// decode fills the field in, making the embedded structs that pointers on the
// way lack: where one is nil, none of its fields is sent.
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

// decodeTuple takes tuples of other lengths too: later versions append fields.
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
