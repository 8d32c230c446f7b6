package backoff_test

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/backoff"
)

const ms = time.Millisecond

func TestDelaysDoubleUpToTheirBound(t *testing.T) {
	for _, test := range []struct {
		p    backoff.Policy
		want []time.Duration // after 0, 1, 2, ... failures
	}{
		{backoff.Policy{Min: 5 * ms, Max: 30 * ms}, []time.Duration{0, 5 * ms, 10 * ms, 20 * ms, 30 * ms, 30 * ms}},
		{backoff.Policy{Min: 5 * ms, Max: 20 * ms}, []time.Duration{0, 5 * ms, 10 * ms, 20 * ms, 20 * ms}},
		{backoff.Policy{Min: 5 * ms, Max: 5 * ms}, []time.Duration{0, 5 * ms, 5 * ms}},
		{backoff.Policy{Min: 5 * ms, Max: 3 * ms}, []time.Duration{0, 3 * ms, 3 * ms}},
		{backoff.Policy{Min: math.MaxInt64 / 3, Max: math.MaxInt64}, []time.Duration{0, math.MaxInt64 / 3, math.MaxInt64 / 3 * 2, math.MaxInt64, math.MaxInt64}},
		{backoff.Policy{}, []time.Duration{0, 0, 0}},
	} {
		for failures, want := range test.want {
			if got := test.p.Delay(failures); got != want {
				t.Errorf("%+v after %d failures: %v, want %v", test.p, failures, got, want)
			}
		}
		if got := test.p.Delay(math.MaxInt); got != test.p.Max {
			t.Errorf("%+v after ever so many failures: %v", test.p, got)
		}
		if got := test.p.Delay(-1); got != 0 {
			t.Errorf("%+v after -1 failures: %v", test.p, got)
		}
	}
}

func TestJitterTakesAtMostItsPart(t *testing.T) {
	for _, part := range []float64{0, 0.2, 1.0 / 3, 0.5, 1} {
		p := backoff.Policy{Min: 10 * ms, Max: 40 * ms, Jitter: part}
		least, most := 40*ms, time.Duration(0)
		for range 1000 {
			d := p.Delay(3)
			least, most = min(least, d), max(most, d)
		}
		bound := 40*ms - time.Duration(part*float64(40*ms))
		if least < bound || most > 40*ms {
			t.Errorf("with a jitter of %v: %v to %v, want at least %v and at most 40ms", part, least, most, bound)
		}
		if spread := 40*ms - bound; most-least < spread*9/10 {
			t.Errorf("with a jitter of %v: only %v to %v in 1000 delays", part, least, most)
		}
	}
}

func TestSleepEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if !backoff.Sleep(ctx, 2*time.Second) || time.Since(start) != 2*time.Second {
			t.Errorf("it slept %v, want 2s", time.Since(start))
		}
		if backoff.Sleep(ctx, 2*time.Second) || time.Since(start) != 3*time.Second {
			t.Errorf("it slept %v in all, want 3s: its context ended", time.Since(start))
		}
	})
}

func TestDelaysCostNoMemory(t *testing.T) {
	p := backoff.Policy{Min: ms, Max: time.Second, Jitter: 0.5}
	if n := testing.AllocsPerRun(100, func() { p.Delay(5) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
