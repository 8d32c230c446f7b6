package rmi_test

import (
	"context"
	"strings"
	"testing"

	"gormi/rmi"
	"gormi/rmi/internal/cases"
)

// These benchmarks compare generated code with reflection: caller and callee in
// one process, over loopback TCP, one caller. Allocations are those of both.

type benched struct{}

func (benched) Null(context.Context) error { return nil }
func (benched) Echo(_ context.Context, r cases.Record) (cases.Record, error) {
	return r, nil
}

// record100 is a record of four fields and about 100 bytes.
var record100 = cases.Record{ID: 42, Name: strings.Repeat("n", 32), Tags: []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}, Value: 3.14}

// benchmarkStub calls through a proxy and a skeleton of T.
func benchmarkStub[T cases.Bench](b *testing.B, call func(context.Context, cases.Bench) error) {
	b.Helper()
	owner, err := rmi.Listen("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer owner.Close()
	caller := rmi.NewNode(nil)
	defer caller.Close()
	h, err := rmi.Export(owner, any(&benched{}).(T), nil)
	if err != nil {
		b.Fatal(err)
	}
	if err := proxySupported(); err != nil {
		b.Skip(err)
	}
	p, err := rmi.Resolve[T](caller, h.Ref(), nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := call(context.Background(), p); err != nil {
			b.Fatal(err)
		}
	}
}

func null(ctx context.Context, p cases.Bench) error { return p.Null(ctx) }

func echo100(ctx context.Context, p cases.Bench) error {
	_, err := p.Echo(ctx, record100)
	return err
}

func BenchmarkNullGenerated(b *testing.B)    { benchmarkStub[cases.Bench](b, null) }
func BenchmarkNullRuntime(b *testing.B)      { benchmarkStub[cases.PlainBench](b, null) }
func BenchmarkEcho100Generated(b *testing.B) { benchmarkStub[cases.Bench](b, echo100) }
func BenchmarkEcho100Runtime(b *testing.B)   { benchmarkStub[cases.PlainBench](b, echo100) }
