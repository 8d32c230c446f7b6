package codec

import (
	"encoding/binary"
	"math"
	"reflect"

	"gormi/rmi/fault"
)

// fillScalar plans bools, numbers and strings. A nil decodes to the zero value.
// A number that does not fit is an error. It is never truncated.
func fillScalar(p *plan) {
	switch p.typ.Kind() {
	case reflect.Bool:
		p.kind = KindBool
		p.empty = func(v reflect.Value) bool { return !v.Bool() }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.bool(v.Bool()) }
		p.dec = decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind = numberKinds[p.typ.Kind()]
		p.empty = func(v reflect.Value) bool { return v.Int() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.int(v.Int()) }
		p.dec = decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.kind = numberKinds[p.typ.Kind()]
		p.empty = func(v reflect.Value) bool { return v.Uint() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.uint(v.Uint()) }
		p.dec = decodeUint
	case reflect.Float32:
		p.kind = KindFloat32
		p.empty = func(v reflect.Value) bool { return v.Float() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.float32(float32(v.Float())) }
		p.dec = decodeFloat
	case reflect.Float64:
		p.kind = KindFloat64
		p.empty = func(v reflect.Value) bool { return v.Float() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.float64(v.Float()) }
		p.dec = decodeFloat
	case reflect.String:
		p.kind = KindString
		p.empty = func(v reflect.Value) bool { return v.Len() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.string(v.String()) }
		p.dec = decodeString
	}
}

var numberKinds = map[reflect.Kind]TypeKind{
	reflect.Int8: KindInt8, reflect.Int16: KindInt16, reflect.Int32: KindInt32, reflect.Int64: KindInt64, reflect.Int: KindInt64,
	reflect.Uint8: KindUint8, reflect.Uint16: KindUint16, reflect.Uint32: KindUint32, reflect.Uint64: KindUint64, reflect.Uint: KindUint64,
}

func decodeBool(d *Decoder, v reflect.Value) error {
	b, err := d.bool(v.Type())
	v.SetBool(b)
	return err
}

func (d *Decoder) bool(t reflect.Type) (bool, error) {
	h, err := d.head()
	if err == nil && h.class != classBool && h.class != classNil {
		err = unexpected(h, t)
	}
	return err == nil && h.n != 0, err
}

func decodeInt(d *Decoder, v reflect.Value) error {
	n, err := d.int(v.Type(), v.Type().Bits())
	v.SetInt(n)
	return err
}

// int reads a number of a width in bits. t is for errors.
func (d *Decoder) int(t reflect.Type, bits int) (int64, error) {
	if n, size := quickUint(d.r.b[d.r.pos:]); n < 1<<(bits-1) && size > 0 {
		d.r.pos += size
		return int64(n), nil
	}
	h, err := d.head()
	if err != nil || h.class == classNil {
		return 0, err
	}
	if h.class != classInt && h.class != classUint {
		return 0, unexpected(h, t)
	}
	n := int64(h.n)
	if h.class == classUint && n < 0 || n<<(64-bits)>>(64-bits) != n {
		return 0, overflow(h, t)
	}
	return n, nil
}

func decodeUint(d *Decoder, v reflect.Value) error {
	n, err := d.uint(v.Type(), v.Type().Bits())
	v.SetUint(n)
	return err
}

func (d *Decoder) uint(t reflect.Type, bits int) (uint64, error) {
	if n, size := quickUint(d.r.b[d.r.pos:]); size > 0 && n<<(64-bits)>>(64-bits) == n {
		d.r.pos += size
		return n, nil
	}
	h, err := d.head()
	if err != nil || h.class == classNil {
		return 0, err
	}
	if h.class != classInt && h.class != classUint {
		return 0, unexpected(h, t)
	}
	if h.class == classInt || h.n<<(64-bits)>>(64-bits) != h.n {
		return 0, overflow(h, t)
	}
	return h.n, nil
}

func overflow(h valueHead, t reflect.Type) error {
	if h.class == classInt {
		return refuse(fault.KindBadArguments, "%d does not fit into %v", int64(h.n), t)
	}
	return refuse(fault.KindBadArguments, "%d does not fit into %v", h.n, t)
}

func decodeFloat(d *Decoder, v reflect.Value) error {
	f, err := d.float(v.Type())
	v.SetFloat(f)
	return err
}

// float accepts integers too, as long as they are exact. Clients in languages without integers, or
// without floats of their own, send them.
func (d *Decoder) float(t reflect.Type) (f float64, err error) {
	if b := d.r.b[d.r.pos:]; len(b) >= 9 && b[0] == 0xcb && t.Kind() == reflect.Float64 {
		d.r.pos += 9
		return math.Float64frombits(binary.BigEndian.Uint64(b[1:])), nil
	}
	h, err := d.head()
	if err != nil {
		return 0, err
	}
	exact := true
	switch h.class {
	case classNil:
		return 0, nil
	case classFloat32:
		f = float64(math.Float32frombits(uint32(h.n)))
	case classFloat64:
		f = math.Float64frombits(h.n)
	case classInt:
		f = float64(int64(h.n))
		exact = math.Abs(f) <= 1<<53
	case classUint:
		f = float64(h.n)
		exact = f <= 1<<53
	default:
		return 0, unexpected(h, t)
	}
	if !exact || t.OverflowFloat(f) {
		return 0, refuse(fault.KindBadArguments, "%v does not fit into %v", f, t)
	}
	return f, nil
}

func decodeString(d *Decoder, v reflect.Value) error {
	s, err := d.string(v.Type())
	v.SetString(s)
	return err
}

func (d *Decoder) string(t reflect.Type) (string, error) {
	h, err := d.head()
	if err != nil || h.class == classNil {
		return "", err
	}
	if h.class != classString {
		return "", unexpected(h, t)
	}
	b, err := d.payload(h)
	if err == nil {
		err = d.charge(len(b), 1)
	}
	if err != nil {
		return "", err
	}
	if len(b) == 0 || len(b) > maxShared {
		return string(b), nil
	}
	if d.text.Cap()-d.text.Len() < len(b) {
		d.text.Reset()
		d.text.Grow(max(len(b), min(len(d.r.b)-d.r.pos+len(b), textBlock)))
	}
	from := d.text.Len()
	d.text.Write(b)
	return d.text.String()[from:], nil
}

// Strings of up to maxShared bytes are cut out of blocks of up to textBlock bytes. So there is one
// allocation for many, and a string that stays in use keeps little else.
const (
	maxShared = 64
	textBlock = 512
)
