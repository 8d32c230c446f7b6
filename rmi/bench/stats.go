package main

import (
	"math"
	"slices"
)

// row is what is told of one system's work: medians of the rounds. It is a
// line of -json.
type row struct {
	System     string             `json:"system"`
	Suite      string             `json:"suite"`
	Work       string             `json:"work"`
	Callers    int                `json:"callers"`
	Transport  string             `json:"transport"`
	Pinned     bool               `json:"pinned"` // both processes on one core
	CallsPerS  float64            `json:"calls_per_s"`
	P50        float64            `json:"p50_us"`
	P99        float64            `json:"p99_us"`
	Allocs     *float64           `json:"client_allocs,omitempty"` // a call; nil: not known
	CPU        float64            `json:"client_cpu_us"`           // a call
	BytesACall float64            `json:"bytes_per_call"`          // 0: not known
	Ratio      map[string]float64 `json:"ratio"`                   // of calls a second, to each other system of the same work
	Note       string             `json:"note,omitempty"`
	latencies  histogram
	cold       bool // -quick does not wait until Java's code is compiled
}

// result is what the rounds gave of one system's work.
type result struct {
	pair                                *pair
	rates, p50, p99, allocs, cpu, bytes []float64
	latencies                           histogram
	err                                 error
}

func (r *result) add(s sample) {
	var h histogram
	h.addSparse(s.Buckets)
	r.latencies.merge(&h)
	calls := float64(s.Calls)
	r.rates = append(r.rates, calls/float64(s.Nanos)*1e9)
	r.p50 = append(r.p50, h.quantile(0.5).Seconds()*1e6)
	r.p99 = append(r.p99, h.quantile(0.99).Seconds()*1e6)
	r.cpu = append(r.cpu, float64(s.CPU)/1e3/calls)
	r.bytes = append(r.bytes, float64(max(s.bytes, 0))/calls)
	if s.Allocs >= 0 {
		r.allocs = append(r.allocs, float64(s.Allocs)/calls)
	}
}

// rowsOf makes the rows of a work, of the systems that did it.
func rowsOf(w work, o options, results []*result) []row {
	results = slices.DeleteFunc(slices.Clone(results), func(r *result) bool { return r.err != nil })
	var rows []row
	for _, r := range results {
		x := row{
			System: r.pair.name, Suite: w.suite, Work: w.name, Callers: w.callers, Transport: r.pair.transport, Pinned: o.pin,
			CallsPerS: median(r.rates), P50: median(r.p50), P99: median(r.p99), CPU: median(r.cpu), BytesACall: median(r.bytes),
			Note: w.note, latencies: r.latencies,
		}
		if w.name == "export" {
			x.Transport, x.BytesACall = "none", 0
		}
		if r.pair.command != nil && o.quick {
			x.cold = true
		}
		if w.connections {
			x.BytesACall = 0 // they are closed when it is over
		}
		if len(r.allocs) > 0 {
			n := median(r.allocs)
			x.Allocs = &n
		}
		x.Ratio = make(map[string]float64)
		for _, other := range results {
			if other != r {
				x.Ratio[other.pair.name] = ratio(r.rates, other.rates)
			}
		}
		rows = append(rows, x)
	}
	return rows
}

// rounded has four digits: more would be noise.
func rounded(x float64) float64 {
	if x == 0 || math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	unit := math.Pow(10, math.Floor(math.Log10(math.Abs(x)))-3)
	if unit < 1 {
		return math.Round(x*math.Round(1/unit)) / math.Round(1/unit)
	}
	return math.Round(x/unit) * unit
}

// ratio is the median of the rounds' ratios.
func ratio(a, b []float64) float64 {
	r := make([]float64, min(len(a), len(b)))
	for i := range r {
		r[i] = a[i] / b[i]
	}
	return median(r)
}

// median is the middle one, or the mean of the two in the middle; 0 of none.
func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
}

// rounded is the row as it is told to programs.
func (r row) rounded() row {
	r.CallsPerS, r.P50, r.P99, r.CPU, r.BytesACall = rounded(r.CallsPerS), rounded(r.P50), rounded(r.P99), rounded(r.CPU), rounded(r.BytesACall)
	if r.Allocs != nil {
		n := rounded(*r.Allocs)
		r.Allocs = &n
	}
	ratios := make(map[string]float64)
	for name, x := range r.Ratio {
		ratios[name] = rounded(x)
	}
	r.Ratio = ratios
	return r
}
