package stub

import (
	"fmt"
	"reflect"
	"unsafe"

	"gormi/rmi/codec"
)

// Encoder writes arguments and results.
type Encoder = codec.Encoder

// Decoder reads arguments and results.
type Decoder = codec.Decoder

// Struct says how the fields of a struct type travel.
type Struct = codec.Struct

// RemoteType is a remote interface, or a func type, that travels by reference.
type RemoteType = codec.Remote

// StructOf returns how structs of type T travel. It panics if that is not as layout says, because
// the file that calls it is stale.
func StructOf[T any](layout string) *Struct {
	s, err := codec.StructOf(reflect.TypeFor[T](), layout)
	if err != nil {
		stale(fmt.Sprintf("%v; the file was made for %s", err, layout))
	}
	return s
}

// Plain panics if values of T do not travel as layout says. T is no struct. It got a codec of its
// own after the file that calls Plain was generated.
func Plain[T any](layout string) struct{} {
	t := reflect.TypeFor[T]()
	if is := codec.Layout(t); is != layout {
		stale(fmt.Sprintf("%v travels as %s, the file was made for %s", t, is, layout))
	}
	return struct{}{}
}

// RemoteOf returns the remote interface, or func, that T is.
func RemoteOf[T any]() *RemoteType { return codec.RemoteOf(reflect.TypeFor[T]()) }

// IsZero calls a value's own IsZero. If that panics, IsZero returns false: the value travels.
func IsZero[T interface{ IsZero() bool }](v T) (zero bool) {
	defer func() {
		if recover() != nil {
			zero = false
		}
	}()
	return v.IsZero()
}

// Slice makes the slice that comes next, within the limits. It returns the number of the first
// element, or -1. Decoder.Next returns the next ones.
//
//	for i := stub.Slice(d, &v); i >= 0; i = d.Next() {
//		d.String(&v[i])
//	}
func Slice[S ~[]E, E any](d *Decoder, p *S) int {
	n := d.Slice(reflect.TypeFor[S](), unsafe.Sizeof(*new(E)))
	if n < 0 {
		return -1
	}
	*p = make(S, n)
	return d.Next()
}

// EncodeInts writes a slice of signed integers, or nil.
func EncodeInts[S ~[]E, E codec.Signed](e *Encoder, v S) { codec.EncodeInts(e, v) }

// EncodeUints writes a slice of unsigned integers other than bytes, or nil.
func EncodeUints[S ~[]E, E codec.Unsigned](e *Encoder, v S) { codec.EncodeUints(e, v) }

// EncodeFloats writes a slice of floats, or nil.
func EncodeFloats[S ~[]E, E codec.Float](e *Encoder, v S) { codec.EncodeFloats(e, v) }

// EncodeBools writes a slice of bools, or nil.
func EncodeBools[S ~[]E, E ~bool](e *Encoder, v S) { codec.EncodeBools(e, v) }

// DecodeInts reads a slice of signed integers.
func DecodeInts[S ~[]E, E codec.Signed](d *Decoder, p *S) { codec.DecodeInts(d, p) }

// DecodeUints reads a slice of unsigned integers other than bytes.
func DecodeUints[S ~[]E, E codec.Unsigned](d *Decoder, p *S) { codec.DecodeUints(d, p) }

// DecodeFloats reads a slice of floats.
func DecodeFloats[S ~[]E, E codec.Float](d *Decoder, p *S) { codec.DecodeFloats(d, p) }

// DecodeBools reads a slice of bools.
func DecodeBools[S ~[]E, E ~bool](d *Decoder, p *S) { codec.DecodeBools(d, p) }

// Map makes the map that comes next, as Slice does.
//
//	for i := stub.Map(d, &v); i >= 0; i = d.Next() {
//		var key string
//		d.String(&key)
//		d.Keyed()
//		var elem int64
//		d.Int64(&elem)
//		stub.Put(d, v, key, elem)
//	}
func Map[M ~map[K]V, K comparable, V any](d *Decoder, p *M) int {
	n := d.Map(reflect.TypeFor[M](), unsafe.Sizeof(*new(K))+unsafe.Sizeof(*new(V)))
	if n < 0 {
		return -1
	}
	*p = make(M, n)
	return d.Next()
}

// Put sets the entry of a map that was read.
func Put[M ~map[K]V, K comparable, V any](d *Decoder, m M, key K, elem V) {
	if d.Ok() {
		m[key] = elem
	}
	if !d.Entered(len(m)) {
		d.AtKey(key)
	}
}

// New makes a pointer point to a new value, within the limits.
func New[P ~*T, T any](d *Decoder, p *P) {
	d.Charge(unsafe.Sizeof(*new(T)))
	*p = new(T)
}

// elemsBlock is the size in bytes of the block of elements that NewElem makes at once.
const elemsBlock = 512

// NewElem makes an element of a slice of pointers point to a new value, within the limits. If a nil
// comes next, it does not, and returns false. Small values are made in blocks, so one that stays in
// use keeps at most elemsBlock bytes.
func NewElem[S ~[]P, P ~*T, T any](d *Decoder, v S, i int) bool {
	if d.Null() {
		v[i] = nil
		return false
	}
	if v[i] == nil {
		size := unsafe.Sizeof(*new(T))
		n := min(len(v)-i, elemsBlock/int(max(size, 1)))
		if n < 2 {
			New(d, &v[i])
			return true
		}
		d.Charge(uintptr(n) * size)
		if !d.Ok() {
			return false
		}
		block := make([]T, n)
		for j := range block {
			v[i+j] = &block[j]
		}
	}
	return true
}

// Remote reads a value of a remote interface or func type.
func Remote[T any](d *Decoder, r *RemoteType, p *T) {
	got, ok := d.Remote(r)
	if !ok {
		return
	}
	if v, ok := got.Interface().(T); ok {
		*p = v
		return
	}
	var v T // a func of another name
	reflect.ValueOf(&v).Elem().Set(got)
	*p = v
}

// EncodeOther writes a value of any type by reflection.
func EncodeOther[T any](e *Encoder, p *T) { e.Other(reflect.ValueOf(p).Elem()) }

// DecodeOther reads a value of any type by reflection.
func DecodeOther[T any](d *Decoder, p *T) { d.Other(reflect.ValueOf(p).Elem()) }
