package cases_test

import (
	"context"
	"reflect"
	"strings"
	"testing"

	"gormi/rmi/codec"
	"gormi/rmi/internal/cases"
	"gormi/skeleton"
)

type benched struct{ cases.Bench }

func (benched) Echo(_ context.Context, r cases.Record) (cases.Record, error) { return r, nil }

// benchmarkServe measures a skeleton alone: a record of 100 bytes is decoded and encoded.
func benchmarkServe[T any](b *testing.B) {
	i := interfaceOf[T](b)
	s := skeleton.New(i, reflect.ValueOf(&benched{}))
	m := i.ByName("Echo")
	r := cases.Record{ID: 42, Name: strings.Repeat("n", 32), Tags: []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}, Value: 3.14}
	e := codec.NewEncoder(nil, nil)
	if err := m.EncodeArgs(e, []reflect.Value{reflect.ValueOf(r)}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := codec.NewDecoder(e.Body(), nil, nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		out := codec.NewEncoder(nil, nil)
		if err := s.Serve(context.Background(), m, d, out); err != nil {
			b.Fatal(err)
		}
		out.Release()
		d.Release()
	}
}

func BenchmarkServeGenerated(b *testing.B)  { benchmarkServe[cases.Bench](b) }
func BenchmarkServeReflective(b *testing.B) { benchmarkServe[cases.PlainBench](b) }
