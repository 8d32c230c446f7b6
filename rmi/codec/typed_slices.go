package codec

import (
	"encoding/binary"
	"math"
	"reflect"
	"slices"
)

// Slices of numbers and bools are written and read as a whole. For a single element, most of the
// cost would be to note which one it is.

// The kinds of numbers. Slices of bytes have a form of their own: see Encoder.Bytes.
type (
	Signed interface {
		~int | ~int8 | ~int16 | ~int32 | ~int64
	}
	Unsigned interface {
		~uint | ~uint16 | ~uint32 | ~uint64
	}
	Float interface{ ~float32 | ~float64 }
)

// openSlice begins a slice of n numbers and returns the buffer to append them to,
// with room for n bytes. ok is false after an error, or if the slice is nil.
func (e *Encoder) openSlice(n int, null bool) (b []byte, ok bool) {
	if null {
		e.Nil()
		return nil, false
	}
	if !e.Array(n) {
		return nil, false
	}
	return slices.Grow(e.w.buf, min(n, keepBuffer)), true
}

// closeSlice takes the buffer back. i is the element at which the body became too large, if there
// is one.
func (e *Encoder) closeSlice(b []byte, i int) {
	e.top().index = i
	e.fail(e.w.put(b))
	e.End()
}

// EncodeInts writes a slice of signed integers, or nil.
func EncodeInts[S ~[]E, E Signed](e *Encoder, v S) {
	b, ok := e.openSlice(len(v), v == nil)
	if !ok {
		return
	}
	i := 0
	for ; i < len(v) && len(b) <= e.w.max; i++ {
		if x := int64(v[i]); x >= 0 {
			b = appendUint(b, uint64(x))
		} else {
			b = appendInt(b, x)
		}
	}
	e.closeSlice(b, i-1)
}

// EncodeUints writes a slice of unsigned integers, or nil.
func EncodeUints[S ~[]E, E Unsigned](e *Encoder, v S) {
	b, ok := e.openSlice(len(v), v == nil)
	if !ok {
		return
	}
	i := 0
	for ; i < len(v) && len(b) <= e.w.max; i++ {
		if x := uint64(v[i]); x < 1<<7 {
			b = append(b, byte(x))
		} else {
			b = appendUint(b, x)
		}
	}
	e.closeSlice(b, i-1)
}

// EncodeFloats writes a slice of floats, or nil.
func EncodeFloats[S ~[]E, E Float](e *Encoder, v S) {
	b, ok := e.openSlice(len(v), v == nil)
	if !ok {
		return
	}
	i := 0
	if reflect.TypeFor[E]().Kind() == reflect.Float32 {
		for ; i < len(v) && len(b) <= e.w.max; i++ {
			b = appendFloat32(b, float32(v[i]))
		}
	} else {
		for ; i < len(v) && len(b) <= e.w.max; i++ {
			b = appendFloat64(b, float64(v[i]))
		}
	}
	e.closeSlice(b, i-1)
}

// EncodeBools writes a slice of bools, or nil.
func EncodeBools[S ~[]E, E ~bool](e *Encoder, v S) {
	b, ok := e.openSlice(len(v), v == nil)
	if !ok {
		return
	}
	i := 0
	for ; i < len(v) && len(b) <= e.w.max; i++ {
		b = appendBool(b, bool(v[i]))
	}
	e.closeSlice(b, i-1)
}

// decodeSlice makes the slice that comes next and reads it. quick reads elements in their usual
// forms from the start of a body. It returns how many they were and how long. one reads an element
// at which quick stops.
func decodeSlice[S ~[]E, E any](d *Decoder, p *S, quick func(b []byte, v []E) (n, size int), one func(*Decoder, *E) error) {
	n := d.Slice(reflect.TypeFor[S](), reflect.TypeFor[E]().Size())
	if n < 0 {
		return
	}
	v := make(S, n)
	*p = v
	for i := 0; i < n; {
		some, size := quick(d.r.b[d.r.pos:], v[i:])
		d.r.pos += size
		if i += some; i == n {
			break
		}
		if err := one(d, &v[i]); err != nil {
			d.top().index = i
			d.fail(err)
			break
		}
		i++
	}
	d.pop()
}

// DecodeInts reads a slice of signed integers.
func DecodeInts[S ~[]E, E Signed](d *Decoder, p *S) {
	decodeSlice(d, p, func(b []byte, v []E) (i, at int) {
		for ; i < len(v); i++ {
			if len(b)-at >= 5 && b[at] == 0xce { // saves a call
				if n := binary.BigEndian.Uint32(b[at+1:]); E(n) >= 0 && uint32(E(n)) == n {
					v[i] = E(n)
					at += 5
					continue
				}
			}
			n, size := quickUint(b[at:])
			x := E(n)
			if size == 0 || x < 0 || uint64(x) != n {
				break
			}
			v[i] = x
			at += size
		}
		return i, at
	}, func(d *Decoder, x *E) error {
		t := reflect.TypeFor[E]()
		n, err := d.int(t, t.Bits())
		*x = E(n)
		return err
	})
}

// DecodeUints reads a slice of unsigned integers.
func DecodeUints[S ~[]E, E Unsigned](d *Decoder, p *S) {
	decodeSlice(d, p, func(b []byte, v []E) (i, at int) {
		for ; i < len(v); i++ {
			n, size := quickUint(b[at:])
			x := E(n)
			if size == 0 || uint64(x) != n {
				break
			}
			v[i] = x
			at += size
		}
		return i, at
	}, func(d *Decoder, x *E) error {
		t := reflect.TypeFor[E]()
		n, err := d.uint(t, t.Bits())
		*x = E(n)
		return err
	})
}

// DecodeFloats reads a slice of floats.
func DecodeFloats[S ~[]E, E Float](d *Decoder, p *S) {
	quick := func(b []byte, v []E) (i, at int) {
		for ; i < len(v) && len(b)-at >= 9 && b[at] == 0xcb; i++ {
			v[i] = E(math.Float64frombits(binary.BigEndian.Uint64(b[at+1:])))
			at += 9
		}
		return i, at
	}
	if reflect.TypeFor[E]().Kind() == reflect.Float32 {
		quick = func(b []byte, v []E) (i, at int) {
			for ; i < len(v) && len(b)-at >= 5 && b[at] == 0xca; i++ {
				v[i] = E(math.Float32frombits(binary.BigEndian.Uint32(b[at+1:])))
				at += 5
			}
			return i, at
		}
	}
	decodeSlice(d, p, quick, func(d *Decoder, x *E) error {
		f, err := d.float(reflect.TypeFor[E]())
		*x = E(f)
		return err
	})
}

// DecodeBools reads a slice of bools.
func DecodeBools[S ~[]E, E ~bool](d *Decoder, p *S) {
	decodeSlice(d, p, func(b []byte, v []E) (i, at int) {
		for i < len(v) && i < len(b) && b[i]&^1 == 0xc2 {
			v[i] = b[i] == 0xc3
			i++
		}
		return i, i
	}, func(d *Decoder, x *E) error {
		v, err := d.bool(reflect.TypeFor[E]())
		*x = E(v)
		return err
	})
}

// quickUint reads an unsigned integer from the start of b. Its size is 0 if there is something
// else.
func quickUint(b []byte) (n uint64, size int) {
	switch {
	case len(b) == 0:
	case b[0] < 0x80:
		return uint64(b[0]), 1
	case b[0] == 0xcc && len(b) >= 2:
		return uint64(b[1]), 2
	case b[0] == 0xcd && len(b) >= 3:
		return uint64(binary.BigEndian.Uint16(b[1:])), 3
	case b[0] == 0xce && len(b) >= 5:
		return uint64(binary.BigEndian.Uint32(b[1:])), 5
	case b[0] == 0xcf && len(b) >= 9:
		return binary.BigEndian.Uint64(b[1:]), 9
	}
	return 0, 0
}
