package main

import (
	"runtime"
	"sync"
	"time"
)

// sample is what a client's process measured in one go, as it tells it: one
// line of JSON.
type sample struct {
	Calls   int64      `json:"calls"`
	Nanos   int64      `json:"nanos"`
	Buckets [][2]int64 `json:"buckets"` // of the histogram of latencies
	Allocs  int64      `json:"allocs"`  // heap objects of the client's process; below 0: not known
	CPU     int64      `json:"cpu"`     // nanoseconds of the client's process
	Error   string     `json:"error,omitempty"`

	bytes int64 // on the client's connections, both ways; 0: not known
}

// measure makes calls for d: each caller one, and the next when the last returned.
func measure(callers []func() error, d time.Duration) sample {
	latencies := make([]histogram, len(callers))
	errs := make([]error, len(callers))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, start := cpuTime(), time.Now()
	until := start.Add(d)
	var wg sync.WaitGroup
	for i, call := range callers {
		wg.Go(func() {
			for t := time.Now(); ; {
				if errs[i] = call(); errs[i] != nil {
					return
				}
				now := time.Now()
				latencies[i].add(now.Sub(t))
				if t = now; !t.Before(until) {
					return
				}
			}
		})
	}
	wg.Wait()
	s := sample{Nanos: int64(time.Since(start)), CPU: int64(cpuTime() - cpu)}
	runtime.ReadMemStats(&after)
	s.Allocs = int64(after.Mallocs - before.Mallocs)
	var all histogram
	for i := range callers {
		all.merge(&latencies[i])
		if errs[i] != nil {
			s.Error = errs[i].Error()
		}
	}
	s.Calls, s.Buckets = all.count(), all.sparse()
	return s
}
