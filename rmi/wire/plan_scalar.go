package wire

import (
	"math"
	"reflect"

	"gormi/rmi/fault"
)

// fillScalar plans bools, numbers and strings. A nil decodes to the zero value;
// a number that does not fit is an error, never cut off.
func fillScalar(p *plan) {
	switch p.typ.Kind() {
	case reflect.Bool:
		p.kind = KindBool
		p.empty = func(v reflect.Value) bool { return !v.Bool() }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeBool(v.Bool()) }
		p.dec = decodeBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		p.kind = numberKinds[p.typ.Kind()]
		p.empty = func(v reflect.Value) bool { return v.Int() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeInt(v.Int()) }
		p.dec = decodeInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		p.kind = numberKinds[p.typ.Kind()]
		p.empty = func(v reflect.Value) bool { return v.Uint() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeUint(v.Uint()) }
		p.dec = decodeUint
	case reflect.Float32:
		p.kind = KindFloat32
		p.empty = func(v reflect.Value) bool { return v.Float() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeFloat32(float32(v.Float())) }
		p.dec = decodeFloat
	case reflect.Float64:
		p.kind = KindFloat64
		p.empty = func(v reflect.Value) bool { return v.Float() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeFloat64(v.Float()) }
		p.dec = decodeFloat
	case reflect.String:
		p.kind = KindString
		p.empty = func(v reflect.Value) bool { return v.Len() == 0 }
		p.enc = func(e *Encoder, v reflect.Value) error { return e.mp.EncodeString(v.String()) }
		p.dec = decodeString
	}
}

var numberKinds = map[reflect.Kind]TypeKind{
	reflect.Int8: KindInt8, reflect.Int16: KindInt16, reflect.Int32: KindInt32, reflect.Int64: KindInt64, reflect.Int: KindInt64,
	reflect.Uint8: KindUint8, reflect.Uint16: KindUint16, reflect.Uint32: KindUint32, reflect.Uint64: KindUint64, reflect.Uint: KindUint64,
}

func decodeBool(d *Decoder, v reflect.Value) error {
	h, err := d.head()
	switch {
	case err != nil:
		return err
	case h.class == classBool:
		v.SetBool(h.n != 0)
	case h.class != classNil:
		return unexpected(h, v.Type())
	}
	return nil
}

func decodeInt(d *Decoder, v reflect.Value) error {
	h, err := d.head()
	if err != nil || h.class == classNil {
		return err
	}
	if h.class != classInt && h.class != classUint {
		return unexpected(h, v.Type())
	}
	n := int64(h.n)
	if h.class == classUint && n < 0 || v.OverflowInt(n) {
		return overflow(h, v.Type())
	}
	v.SetInt(n)
	return nil
}

func decodeUint(d *Decoder, v reflect.Value) error {
	h, err := d.head()
	if err != nil || h.class == classNil {
		return err
	}
	if h.class != classInt && h.class != classUint {
		return unexpected(h, v.Type())
	}
	if h.class == classInt || v.OverflowUint(h.n) {
		return overflow(h, v.Type())
	}
	v.SetUint(h.n)
	return nil
}

func overflow(h valueHead, t reflect.Type) error {
	if h.class == classInt {
		return refuse(fault.BadArguments, "%d does not fit into %v", int64(h.n), t)
	}
	return refuse(fault.BadArguments, "%d does not fit into %v", h.n, t)
}

// decodeFloat takes integers too, as long as they are exact: clients in
// languages without integers, or without floats of their own, send them.
func decodeFloat(d *Decoder, v reflect.Value) error {
	h, err := d.head()
	if err != nil {
		return err
	}
	var f float64
	exact := true
	switch h.class {
	case classNil:
		return nil
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
		return unexpected(h, v.Type())
	}
	if !exact || v.OverflowFloat(f) {
		return refuse(fault.BadArguments, "%v does not fit into %v", f, v.Type())
	}
	v.SetFloat(f)
	return nil
}

func decodeString(d *Decoder, v reflect.Value) error {
	h, err := d.head()
	if err != nil || h.class == classNil {
		return err
	}
	if h.class != classString {
		return unexpected(h, v.Type())
	}
	b, err := d.payload(h)
	if err == nil {
		err = d.charge(len(b), 1)
	}
	if err == nil {
		v.SetString(string(b))
	}
	return err
}
