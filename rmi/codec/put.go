package codec

import (
	"encoding/binary"
	"math"
)

// Heads and scalars are appended here and not by msgpack's encoder. The bytes are the same
// (TestPutAsMsgpack). The encoder takes one or two writes through an interface for each: an array
// of numbers took three times as long.

// put makes b the buffer. b is the buffer and a few bytes more.
func (w *bodyWriter) put(b []byte) error {
	if len(b) > w.limit {
		return w.putAbove(b)
	}
	w.buf = b
	return nil
}

// putAbove does what put does, for a b above the limit.
//
//go:noinline
func (w *bodyWriter) putAbove(b []byte) error {
	err := w.raise(len(b), 2*len(b))
	if err == nil {
		w.buf = b
	}
	return err
}

func (e *Encoder) nil() error           { return e.w.put(append(e.w.buf, 0xc0)) }
func (e *Encoder) int(v int64) error    { return e.w.put(appendInt(e.w.buf, v)) }
func (e *Encoder) uint(v uint64) error  { return e.w.put(appendUint(e.w.buf, v)) }
func (e *Encoder) arrayLen(n int) error { return e.w.put(appendLen(e.w.buf, n, 0x90, 16, 0xdc-1)) }
func (e *Encoder) mapLen(n int) error   { return e.w.put(appendLen(e.w.buf, n, 0x80, 16, 0xde-1)) }
func (e *Encoder) bytesLen(n int) error { return e.w.put(appendLen(e.w.buf, n, 0, 0, 0xc4)) }

func (e *Encoder) bool(v bool) error {
	return e.w.put(appendBool(e.w.buf, v))
}

func (e *Encoder) float32(v float32) error {
	return e.w.put(appendFloat32(e.w.buf, v))
}

func (e *Encoder) float64(v float64) error {
	return e.w.put(appendFloat64(e.w.buf, v))
}

func (e *Encoder) string(v string) error {
	b := appendLen(e.w.buf, len(v), 0xa0, 32, 0xd9)
	if len(v) <= 1<<10 {
		return e.w.put(append(b, v...))
	}
	if err := e.w.put(b); err != nil {
		return err
	}
	return write(&e.w, v)
}

// appendLen appends a length. If it is below fits, it goes into code fixed. Else it follows in 1, 2
// or 4 bytes, after code sized, the next code, or the one after that. Arrays and maps have no
// length of 1 byte.
func appendLen(b []byte, n int, fixed byte, fits int, sized byte) []byte {
	switch {
	case n < fits:
		return append(b, fixed|byte(n))
	case n < 1<<8 && fits != 16:
		return append(b, sized, byte(n))
	case n < 1<<16:
		return append(b, sized+1, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint32(append(b, sized+2), uint32(n))
}

// appendInt appends an integer in as few bytes as possible.
func appendInt(b []byte, v int64) []byte {
	switch {
	case v >= 0:
		return appendUint(b, uint64(v))
	case v >= -1<<5:
		return append(b, byte(v))
	case v >= math.MinInt8:
		return append(b, 0xd0, byte(v))
	case v >= math.MinInt16:
		return append(b, 0xd1, byte(v>>8), byte(v))
	case v >= math.MinInt32:
		return append(b, 0xd2, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
}

func appendUint(b []byte, v uint64) []byte {
	switch {
	case v < 1<<7:
		return append(b, byte(v))
	case v < 1<<8:
		return append(b, 0xcc, byte(v))
	case v < 1<<16:
		return append(b, 0xcd, byte(v>>8), byte(v))
	case v < 1<<32:
		return append(b, 0xce, byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
	}
	return binary.BigEndian.AppendUint64(append(b, 0xcf), v)
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

func appendFloat32(b []byte, v float32) []byte {
	x := math.Float32bits(v)
	return append(b, 0xca, byte(x>>24), byte(x>>16), byte(x>>8), byte(x))
}

func appendFloat64(b []byte, v float64) []byte {
	x := math.Float64bits(v)
	return append(b, 0xcb, byte(x>>56), byte(x>>48), byte(x>>40), byte(x>>32), byte(x>>24), byte(x>>16), byte(x>>8), byte(x))
}
