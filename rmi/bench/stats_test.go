package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestHistogram(t *testing.T) {
	last := -1
	for d := time.Duration(0); d < time.Hour; d += d/100 + 1 {
		b := bucketOf(d)
		if b < last {
			t.Fatalf("%v is in bucket %d, shorter ones in %d", d, b, last)
		}
		last = b
		if m := middle(b); b < len(histogram{})-1 && (m < d-d/25 || m > d+d/25) {
			t.Fatalf("%v is told as %v", d, m)
		}
	}
	var h histogram
	for i := range 1000 {
		h.add(time.Duration(i+1) * time.Microsecond)
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 501, 0.99: 991, 1: 1000} {
		want *= time.Microsecond
		if got := h.quantile(q); got < want*96/100 || got > want*104/100 {
			t.Errorf("quantile %v is %v, want about %v", q, got, want)
		}
	}
	var twice histogram
	twice.addSparse(h.sparse())
	twice.merge(&h)
	if twice.count() != 2000 || twice.quantile(0.5) != h.quantile(0.5) {
		t.Errorf("%d calls, median %v", twice.count(), twice.quantile(0.5))
	}
	twice.addSparse([][2]int64{{-1, 1}, {1 << 40, 1}}) // from another process: not trusted
	if twice.count() != 2000 {
		t.Error("buckets that do not exist were counted")
	}
}

func TestMedianAndRatio(t *testing.T) {
	for _, c := range []struct {
		x    []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 5}, 5}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := median(c.x); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.x, got, c.want)
		}
	}
	// The machine was slow in the second round: that is no difference between the two.
	if got := ratio([]float64{100, 10, 120}, []float64{50, 5, 40}); got != 2 {
		t.Errorf("ratio is %v, want 2, the median of the rounds' ratios", got)
	}
	for x, want := range map[float64]float64{0: 0, 1.23456: 1.235, 123456: 123500, 0.00123456: 0.001235} {
		if got := rounded(x); got != want {
			t.Errorf("rounded(%v) is %v, want %v", x, got, want)
		}
	}
}

// example is the result of rounds with given rates.
func example(system string, allocs int64, rates ...int64) *result {
	p, err := peerNamed(system)
	if err != nil {
		panic(err)
	}
	r := &result{pair: &pair{peer: p}}
	for _, calls := range rates {
		var h histogram
		for range calls {
			h.add(20 * time.Microsecond)
		}
		r.add(sample{Calls: calls, Nanos: 1e9, Buckets: h.sparse(), Allocs: allocs * calls, CPU: 5000 * calls, bytes: 96 * calls})
	}
	return r
}

func TestRows(t *testing.T) {
	broken := example("grpc", 1, 1)
	broken.err = errors.New("broken")
	rows := rowsOf(work{name: "null", callers: 1, suite: "peers"}, options{pin: true},
		[]*result{example("gormi", 2, 300, 100, 200), example("net/rpc", 3, 100, 50, 100), example("java-rmi", -1, 10, 10, 10), broken})
	if len(rows) != 3 {
		t.Fatalf("%d rows, want 3: what failed has none", len(rows))
	}
	g := rows[0]
	if g.CallsPerS != 200 || *g.Allocs != 2 || g.CPU != 5 || g.BytesACall != 96 || !g.Pinned || g.Ratio["net/rpc"] != 2 || len(g.Ratio) != 2 {
		t.Errorf("%+v", g)
	}
	if g.P50 < 19 || g.P50 > 21 {
		t.Errorf("p50 is %v µs, want 20", g.P50)
	}
	if rows[2].Allocs != nil {
		t.Error("allocations of Java")
	}

	var out bytes.Buffer
	if err := writeJSON(&out, rows); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 3 {
		t.Fatalf("%d lines of JSON, want 3", len(lines))
	}
	for i, line := range lines {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		want := []string{"bytes_per_call", "callers", "calls_per_s", "client_allocs", "client_cpu_us", "p50_us", "p99_us",
			"pinned", "ratio", "suite", "system", "transport", "work"}
		if i == 2 {
			want = slices.Delete(want, 3, 4)
		}
		if got := names(m); !slices.Equal(got, want) {
			t.Errorf("line %d has %q, want %q", i, got, want)
		}
		if _, ok := m["ratio"].(map[string]any); !ok {
			t.Errorf("ratio is %v, want an object", m["ratio"])
		}
	}
}

func TestCut(t *testing.T) {
	// One call from 0 to 100 ns, another in which the owner also wrote a ping.
	caller := []span{{spanWrite, 10, 20}, {spanRead, -50, 80}, {spanCall, 0, 100},
		{spanWrite, 1010, 1020}, {spanRead, 95, 1080}, {spanCall, 1000, 1100}}
	owner := []span{{spanRead, -50, 30}, {spanCall, 40, 45}, {spanWrite, 50, 70},
		{spanRead, 33, 1030}, {spanCall, 1040, 1045}, {spanWrite, 1046, 1047}, {spanWrite, 1050, 1070}}
	calls := cut(caller, owner)
	if len(calls) != 1 {
		t.Fatalf("%d calls, want the one that nothing disturbed", len(calls))
	}
	want := []float64{0.010, 0.010, 0.010, 0.003, 0.007, 0.005, 0.005, 0.020, 0.010, 0.020}
	if !slices.Equal(calls[0], want) {
		t.Errorf("steps take %v, want %v", calls[0], want)
	}
	mean := typical([][]float64{want, want, want, want})
	if !slices.EqualFunc(mean, want, func(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }) {
		t.Errorf("of equal calls the typical is %v, want %v", mean, want)
	}
}

// The clocks see every step of the calls of a real node, whatever its
// transport makes of its connections.
func TestBreakdown(t *testing.T) {
	calls, err := breakdownRound("gormi-reflect")
	if err != nil {
		t.Fatal(err)
	}
	mean := typical(calls)
	for i, us := range mean {
		if us < 0 || us == 0 && (steps[i].name == "encode" || steps[i].name == "write" || steps[i].name == "reply") {
			t.Errorf("%s takes %v µs", steps[i].name, us)
		}
	}
}
