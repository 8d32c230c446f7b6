package codec

import (
	"bytes"
	"gormi/rmi/wire"
	"math"
	"strings"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// What is appended here is what msgpack's encoder writes.
func TestPutAsMsgpack(t *testing.T) {
	check := func(what any, put func(*Encoder) error, theirs func(*msgpack.Encoder) error) {
		t.Helper()
		e := NewEncoder(nil, &wire.Limits{Message: 1 << 20})
		defer e.Release()
		var want bytes.Buffer
		mp := msgpack.NewEncoder(&want)
		mp.UseCompactInts(true)
		if err := theirs(mp); err != nil {
			t.Fatal(err)
		}
		if err := put(e); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Body(), want.Bytes()) {
			t.Errorf("%v: %x, msgpack writes %x", what, e.Body(), want.Bytes())
		}
		e.w.buf, e.w.limit, e.w.max = e.w.buf[:0], want.Len()-1, want.Len()-1
		if err := put(e); err != errSize || e.w.over < want.Len() {
			t.Errorf("%v with room for %d of %d bytes: %v, over by %d", what, want.Len()-1, want.Len(), err, e.w.over)
		}
	}
	var numbers []int64
	for shift := range 64 {
		for d := int64(-1); d <= 1; d++ {
			numbers = append(numbers, 1<<shift+d, -1<<shift+d)
		}
	}
	for _, n := range numbers {
		check(n, func(e *Encoder) error { return e.int(n) }, func(mp *msgpack.Encoder) error { return mp.EncodeInt(n) })
		check(uint64(n), func(e *Encoder) error { return e.uint(uint64(n)) }, func(mp *msgpack.Encoder) error { return mp.EncodeUint(uint64(n)) })
		f := float64(n) / 3
		check(f, func(e *Encoder) error { return e.float64(f) }, func(mp *msgpack.Encoder) error { return mp.EncodeFloat64(f) })
		check(float32(f), func(e *Encoder) error { return e.float32(float32(f)) }, func(mp *msgpack.Encoder) error { return mp.EncodeFloat32(float32(f)) })
	}
	for _, f := range []float64{math.NaN(), math.Inf(-1), math.Copysign(0, -1), math.SmallestNonzeroFloat64} {
		check(f, func(e *Encoder) error { return e.float64(f) }, func(mp *msgpack.Encoder) error { return mp.EncodeFloat64(f) })
	}
	for _, b := range []bool{true, false} {
		check(b, func(e *Encoder) error { return e.bool(b) }, func(mp *msgpack.Encoder) error { return mp.EncodeBool(b) })
	}
	check(nil, (*Encoder).nil, (*msgpack.Encoder).EncodeNil)
	for _, n := range []int{0, 1, 15, 16, 31, 32, 127, 128, 255, 256, 1023, 1024, 1025, 65535, 65536, 70_000} {
		check(n, func(e *Encoder) error { return e.arrayLen(n) }, func(mp *msgpack.Encoder) error { return mp.EncodeArrayLen(n) })
		check(n, func(e *Encoder) error { return e.mapLen(n) }, func(mp *msgpack.Encoder) error { return mp.EncodeMapLen(n) })
		text := strings.Repeat("x", n)
		check(n, func(e *Encoder) error { return e.string(text) }, func(mp *msgpack.Encoder) error { return mp.EncodeString(text) })
		check(n, func(e *Encoder) error { return e.bytes([]byte(text)) }, func(mp *msgpack.Encoder) error { return mp.EncodeBytes([]byte(text)) })
	}
}
