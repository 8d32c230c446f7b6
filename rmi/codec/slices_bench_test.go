package codec

import (
	"gormi/rmi/wire"
	"testing"
)

// What a slice of 100 numbers costs: written, checked, and read.
func BenchmarkSlices(b *testing.B) {
	bools, ints, floats := make([]bool, 100), make([]int32, 100), make([]float64, 100)
	for i := range ints {
		bools[i], ints[i], floats[i] = true, 70_000, 3.14
	}
	l := wire.Limits{}.WithDefaults()
	run := func(name string, encode func(*Encoder), decode func(*Decoder)) {
		body := func(e *Encoder) []byte {
			e.open(place{index: -1})
			encode(e)
			e.places = e.places[:0]
			if e.err != nil {
				b.Fatal(e.err)
			}
			return e.Body()
		}
		b.Run(name+"/encode", func(b *testing.B) {
			for b.Loop() {
				e := NewEncoder(nil, &l)
				body(e)
				e.Release()
			}
		})
		e := NewEncoder(nil, &l)
		defer e.Release()
		encoded := body(e)
		b.Run(name+"/scan", func(b *testing.B) {
			for b.Loop() {
				if _, err := Scan(encoded, &l); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/decode", func(b *testing.B) {
			for b.Loop() {
				d, err := NewDecoder(encoded, nil, nil, &l)
				if err != nil {
					b.Fatal(err)
				}
				d.open(place{})
				if decode(d); d.err != nil {
					b.Fatal(d.err)
				}
				d.Release()
			}
		})
	}
	run("bool", func(e *Encoder) { EncodeBools(e, bools) }, func(d *Decoder) { DecodeBools(d, new([]bool)) })
	run("int32", func(e *Encoder) { EncodeInts(e, ints) }, func(d *Decoder) { DecodeInts(d, new([]int32)) })
	run("float64", func(e *Encoder) { EncodeFloats(e, floats) }, func(d *Decoder) { DecodeFloats(d, new([]float64)) })
}
