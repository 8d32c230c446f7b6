package rmi_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gormi/rmi"
)

// pairOverTCP returns a servant's proxy over loopback TCP, in one process.
func pairOverTCP(b *testing.B, o *rmi.Options) (owner, caller *rmi.Node, w Bench) {
	b.Helper()
	if err := proxySupported(); err != nil {
		b.Skip(err)
	}
	owner, caller = rmi.NewNode(o), rmi.NewNode(o)
	b.Cleanup(func() { caller.Close(); owner.Close() })
	if _, err := owner.Listen(b.Context(), "127.0.0.1:0"); err != nil {
		b.Fatal(err)
	}
	h, err := rmi.Export[Bench](owner, &bench{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if w, err = rmi.Resolve[Bench](caller, h.Ref(), nil); err != nil {
		b.Fatal(err)
	}
	return owner, caller, w
}

func callNull(b *testing.B, w Bench) {
	b.Helper()
	if err := w.Null(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// What a null call costs does not grow with what else the owner exports.
func BenchmarkNullBesideExports(b *testing.B) {
	for _, n := range []int{1, 1000, 999_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			owner, _, w := pairOverTCP(b, nil)
			for range n - 1 {
				if _, err := rmi.Export[Bench](owner, new(struct {
					bench
					_ byte // of a size, so that each has an address of its own
				}), nil); err != nil {
					b.Fatal(err)
				}
			}
			callNull(b, w)
			for b.Loop() {
				callNull(b, w)
			}
		})
	}
}

// Nor with the sessions that the owner has.
func BenchmarkNullBesideSessions(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			_, _, w := pairOverTCP(b, nil)
			r, _ := rmi.RefOf(w)
			others := make([]*rmi.Node, n-1)
			for i := range others {
				others[i] = rmi.NewNode(nil)
				other, err := rmi.Resolve[Bench](others[i], r, nil)
				if err != nil {
					b.Fatal(err)
				}
				callNull(b, other)
			}
			b.Cleanup(func() {
				var wg sync.WaitGroup
				for _, o := range others {
					wg.Go(func() { o.Close() })
				}
				wg.Wait()
			})
			callNull(b, w)
			for b.Loop() {
				callNull(b, w)
			}
		})
	}
}

// Small calls beside one endless transfer of 64 MiB on the same session, and on
// an idle one: a call each millisecond, for a while, and how long each took.
func BenchmarkSmallCallsBesideBulk(b *testing.B) {
	limits := rmi.Limits{Assembly: 128 << 20, AssemblyTotal: 1 << 30, Retained: 256 << 20}
	limits.Message = 65 << 20
	_, _, w := pairOverTCP(b, &rmi.Options{Limits: limits})
	callNull(b, w)
	var idle, busy []time.Duration
	measure := func(took *[]time.Duration) {
		for range 1000 {
			start := time.Now()
			callNull(b, w)
			*took = append(*took, time.Since(start))
			time.Sleep(time.Millisecond)
		}
	}
	for b.Loop() {
		measure(&idle)
		ctx, cancel := context.WithCancel(b.Context())
		var bulk sync.WaitGroup
		bulk.Go(func() {
			large := make([]byte, 64<<20)
			for ctx.Err() == nil {
				_, _ = w.EchoBytes(ctx, large)
			}
		})
		measure(&busy)
		cancel()
		bulk.Wait()
	}
	report := func(name string, took []time.Duration) {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), name+"-p50-µs")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), name+"-p99-µs")
	}
	report("idle", idle)
	report("busy", busy)
}
