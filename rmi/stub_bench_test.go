package rmi_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gormi/rmi"
	"gormi/rmi/intercept"
	"gormi/rmi/internal/cases"
	"gormi/rmi/internal/guard"
	"gormi/rmi/metadata"
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

// overTCP returns a proxy of T in one node of an object in another.
func overTCP[T cases.Bench](t testing.TB) T {
	t.Helper()
	owner, err := rmi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owner.Close() })
	caller := rmi.NewNode(nil)
	t.Cleanup(func() { caller.Close() })
	return resolve[T](t, caller, export(t, owner, any(&benched{}).(T), nil))
}

// benchmarkStub calls through a proxy and a skeleton of T.
func benchmarkStub[T cases.Bench](b *testing.B, call func(context.Context, cases.Bench) error) {
	b.Helper()
	if err := proxySupported(); err != nil {
		b.Skip(err)
	}
	p := overTCP[T](b)
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

// A call through generated code allocates the context at the callee, and what
// the record's two copies are made of: their strings, and their slices.
func TestAllocationsOfACall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	if guard.Checked {
		t.Skip("the check of the order of locks allocates")
	}
	p := overTCP[cases.Bench](t)
	ctx := t.Context()
	for _, c := range []struct {
		name string
		call func(context.Context, cases.Bench) error
		most float64 // of both sides
	}{{"null", null, 1}, {"echo of 100 bytes", echo100, 1 + 2 + 2}} {
		got := testing.AllocsPerRun(2000, func() {
			if err := c.call(ctx, p); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, c.most)
		}
	}
}

// What interceptors cost that do nothing, one on each side, and metadata of one pair each way.
func BenchmarkNullIntercepted(b *testing.B) {
	pass := []intercept.Interceptor{func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error { return next(ctx) }}
	benchmarkAround(b, &rmi.Options{Interceptors: pass}, &rmi.ExportOptions{Interceptors: pass})
}

func BenchmarkNullWithMetadata(b *testing.B) {
	send := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		return next(metadata.With(ctx, "tenant", "blue"))
	}
	back := func(ctx context.Context, _ *intercept.Call, next intercept.Handler) error {
		return errors.Join(metadata.SetReply(ctx, "version", "7"), next(ctx))
	}
	benchmarkAround(b, &rmi.Options{Interceptors: []intercept.Interceptor{send}}, &rmi.ExportOptions{Interceptors: []intercept.Interceptor{back}})
}

// benchmarkAround makes null calls through generated code, with options.
func benchmarkAround(b *testing.B, o *rmi.Options, e *rmi.ExportOptions) {
	b.Helper()
	owner, err := rmi.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { owner.Close() })
	caller := rmi.NewNode(o)
	b.Cleanup(func() { caller.Close() })
	p := resolve[cases.Bench](b, caller, export[cases.Bench](b, owner, &benched{}, e))
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Null(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNullGenerated(b *testing.B)    { benchmarkStub[cases.Bench](b, null) }
func BenchmarkNullRuntime(b *testing.B)      { benchmarkStub[cases.PlainBench](b, null) }
func BenchmarkEcho100Generated(b *testing.B) { benchmarkStub[cases.Bench](b, echo100) }
func BenchmarkEcho100Runtime(b *testing.B)   { benchmarkStub[cases.PlainBench](b, echo100) }
