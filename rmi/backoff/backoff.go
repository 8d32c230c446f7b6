// Package backoff says how long to wait before an operation that failed is retried.
//
// The delays grow from one failure to the next, so that a peer that is overloaded or away is not
// asked too often. They are partly random where many may wait for the same peer. Callers count
// their failures in a row, and begin again at zero when one attempt succeeds.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Policy says how delays grow.
type Policy struct {
	Min    time.Duration // the delay after the first failure; it doubles with each that follows
	Max    time.Duration // the delay grows no further
	Jitter float64       // the part of each delay that is random, from 0 to 1; see Jitter
}

// Delay returns how long to wait after so many failures in a row. After none it is 0.
func (p Policy) Delay(failures int) time.Duration {
	if failures <= 0 {
		return 0
	}
	d := min(p.Min, p.Max)
	for ; failures > 1 && d < p.Max; failures-- {
		if d > p.Max/2 {
			d = p.Max
		} else {
			d *= 2
		}
	}
	return Jitter(d, p.Jitter)
}

// Jitter returns d less a random part of it. part is the largest share that it takes off, from 0 to
// 1. So callers that failed together do not retry together.
func Jitter(d time.Duration, part float64) time.Duration {
	if part <= 0 {
		return d
	}
	return d - time.Duration(part*rand.Float64()*float64(d))
}

// Sleep waits for d and reports true. If ctx ends first, it reports false.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
