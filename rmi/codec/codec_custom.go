package codec

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// A codecForm is one way in which a type can bring its own codec.
type codecForm struct {
	kind     TypeKind
	enc, dec reflect.Type
	methods  [2]string
	encode   func(*Encoder, any) error
	decode   func(*Decoder, any) error
}

// codecForms are tried in this order, which is msgpack's.
var codecForms = [...]codecForm{
	{KindCustom, reflect.TypeFor[msgpack.CustomEncoder](), reflect.TypeFor[msgpack.CustomDecoder](),
		[2]string{"EncodeMsgpack", "DecodeMsgpack"},
		func(e *Encoder, v any) error { return v.(msgpack.CustomEncoder).EncodeMsgpack(e.mp) },
		func(d *Decoder, v any) error { return v.(msgpack.CustomDecoder).DecodeMsgpack(d.mp) }},
	{KindCustom, reflect.TypeFor[msgpack.Marshaler](), reflect.TypeFor[msgpack.Unmarshaler](),
		[2]string{"MarshalMsgpack", "UnmarshalMsgpack"},
		func(e *Encoder, v any) error {
			b, err := v.(msgpack.Marshaler).MarshalMsgpack()
			if err == nil {
				_, err = e.w.Write(b)
			}
			return err
		},
		func(d *Decoder, v any) error {
			b, _, err := d.raw()
			if err != nil {
				return err
			}
			return v.(msgpack.Unmarshaler).UnmarshalMsgpack(slices.Clone(b))
		}},
	{KindBinary, reflect.TypeFor[encoding.BinaryMarshaler](), reflect.TypeFor[encoding.BinaryUnmarshaler](),
		[2]string{"MarshalBinary", "UnmarshalBinary"},
		func(e *Encoder, v any) error {
			b, err := v.(encoding.BinaryMarshaler).MarshalBinary()
			if err != nil {
				return err
			}
			return e.bytes(b)
		},
		func(d *Decoder, v any) error { return d.octets(v.(encoding.BinaryUnmarshaler).UnmarshalBinary) }},
	{KindText, reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
		[2]string{"MarshalText", "UnmarshalText"},
		func(e *Encoder, v any) error {
			b, err := v.(encoding.TextMarshaler).MarshalText()
			if err != nil {
				return err
			}
			return e.bytes(b)
		},
		func(d *Decoder, v any) error { return d.octets(v.(encoding.TextUnmarshaler).UnmarshalText) }},
}

// octets hands a copy of binary data, or of a string, to a type's own codec.
func (d *Decoder) octets(unmarshal func([]byte) error) error {
	h, err := d.head()
	if err != nil {
		return err
	}
	if h.class != classBinary && h.class != classString {
		return refuse(fault.KindBadArguments, "got %v, want binary data", h.class)
	}
	b, err := d.payload(h)
	if err != nil {
		return err
	}
	return unmarshal(slices.Clone(b))
}

// codecOf returns the first form that t itself has in both directions. If t has
// one in one direction only, codecOf also returns what is missing. Methods promoted from an
// embedded field do not count: they write that field and lose the others.
func codecOf(t reflect.Type) (form *codecForm, missing string) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Interface {
		return nil, ""
	}
	ptr := reflect.PointerTo(t)
	for i := range codecForms {
		f := &codecForms[i]
		enc := ptr.Implements(f.enc) && declares(t, f.methods[0])
		dec := ptr.Implements(f.dec) && declares(t, f.methods[1])
		switch {
		case enc && dec:
			return f, ""
		case enc && form == nil:
			form, missing = f, fmt.Sprintf("%s has %s, but no %s", typeName(t), f.methods[0], f.methods[1])
		case dec && form == nil:
			form, missing = f, fmt.Sprintf("%s has %s, but no %s", typeName(t), f.methods[1], f.methods[0])
		}
	}
	return form, missing
}

// customElement is what a value of a type with its own codec counts as
// in memory, for each element that it announces, in bytes. What it allocates is not known.
const customElement = 64

// fillCodec plans a type with its own codec. Such codecs are users' code that
// sees a peer's bytes. They can read only their own bytes, a panic becomes an error,
// and what they write is scanned.
func (c *compiler) fillCodec(p *plan) bool {
	if isFace(p.typ) {
		c.cannot("%s is a proxy, which stands for an object and is not data: use the remote interface itself, or refs.Ref", typeName(p.typ))
		return true
	}
	form, missing := codecOf(p.typ)
	if form == nil {
		return false
	}
	if missing != "" {
		c.cannot("%s; a codec needs both", missing)
		return true
	}
	p.kind = form.kind
	nilable := p.typ.Kind() == reflect.Map || p.typ.Kind() == reflect.Slice
	switch p.typ.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array:
		p.empty = emptyByLength
	case reflect.Struct, reflect.Chan, reflect.UnsafePointer:
	default:
		var bare plan
		bare.typ = p.typ
		fillScalar(&bare)
		p.empty = bare.empty
	}
	p.enc = func(e *Encoder, v reflect.Value) error {
		if nilable && v.IsNil() {
			return e.nil()
		}
		if !v.CanAddr() {
			v = addressable(v)
		}
		start := len(e.w.buf)
		err := guard(func() error { return form.encode(e, v.Addr().Interface()) })
		if err != nil {
			e.tainted = true
			return err
		}
		if form.kind != KindCustom {
			return nil
		}
		e.mp.Reset(&e.w) // it may have set modes of its own
		e.mp.UseCompactInts(true)
		return e.checkOwn(start, p.typ)
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		start, body := d.r.pos, d.r.b
		own, shape, err := d.raw()
		if err == nil {
			err = d.charge(len(own)+customElement*shape.Elements, 1)
		}
		if err != nil {
			return err
		}
		end := d.r.pos
		d.r = bodyReader{b: body[:end], pos: start}
		err = guard(func() error { return form.decode(d, v.Addr().Interface()) })
		got := d.r.pos
		d.r = bodyReader{b: body, pos: end}
		if err != nil {
			d.tainted = true
			return err
		}
		if form.kind == KindCustom {
			d.mp.Reset(&d.r)
			if got != end {
				return refuse(fault.KindBadArguments, "%s read %d of the %d bytes of a %s",
					form.methods[1], got-start, end-start, typeName(p.typ))
			}
		}
		return nil
	}
	return true
}

// checkOwn scans what a type's own codec wrote behind start. So a mistake in
// it is reported here and not by the peer.
func (e *Encoder) checkOwn(start int, t reflect.Type) error {
	lim := *e.limits
	lim.Depth -= e.depth
	lim.Elements -= e.elements
	var stack [wire.MaxNesting]uint32
	shape, end, err := scanValue(e.w.buf[start:], &lim, stack[:])
	if err != nil {
		return refuse(fault.KindInvalid, "what %s wrote with its own codec cannot travel: %v", typeName(t), err)
	}
	if end != len(e.w.buf)-start {
		return refuse(fault.KindInvalid, "%s wrote more than one value with its own codec", typeName(t))
	}
	e.elements += shape.Elements
	return nil
}

// guard runs a user's codec and turns its panic into an error.
func guard(codec func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = refuse(0, "the type's own codec panicked: %v", r)
		}
	}()
	return codec()
}
