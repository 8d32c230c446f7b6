package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// plot draws what the rows have: latency distributions, throughput against
// callers, bulk, the cases of Java RMI, and the breakdown.
func plot(dir string, rows []row) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for name, draw := range map[string]func([]row) []byte{
		"latency-null.svg":       func(r []row) []byte { return plotLatency("null", r) },
		"latency-echo100.svg":    func(r []row) []byte { return plotLatency("echo100", r) },
		"throughput-null.svg":    func(r []row) []byte { return plotThroughput("null", r) },
		"throughput-echo100.svg": func(r []row) []byte { return plotThroughput("echo100", r) },
		"bulk.svg":               plotBulk,
		"jdk.svg":                plotJDK,
		"breakdown.svg":          func(r []row) []byte { return plotBreakdown(where(r, ofBreakdown)) },
	} {
		picture := draw(rows)
		if picture == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), picture, 0o666); err != nil {
			return err
		}
	}
	return nil
}

func where(rows []row, keep func(row) bool) (out []row) {
	for _, r := range rows {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// plotLatency draws the latencies of the fewest callers.
func plotLatency(work string, rows []row) []byte {
	rows = where(rows, func(r row) bool { return r.Suite == "peers" && r.Work == work })
	if len(rows) == 0 {
		return nil
	}
	first := slices.MinFunc(rows, func(a, b row) int { return a.Callers - b.Callers })
	var (
		all    []series
		values []float64
	)
	for _, r := range where(rows, func(r row) bool { return r.Callers == first.Callers && r.Pinned == first.Pinned }) {
		s := series{name: r.System}
		n := float64(r.latencies.count())
		// To the last quantile that at least ten calls lie beyond.
		for x := 0.0; x <= min(4, math.Log10(n/10)); x += 0.05 {
			q := 1 - math.Pow(10, -x)
			v := max(r.latencies.quantile(q).Seconds()*1e6, 1e-3)
			s.points = append(s.points, point{q, v})
			values = append(values, v)
		}
		if len(s.points) > 0 {
			all = append(all, s)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return lineChart(fmt.Sprintf("Latency of %s, %s, %s", work, callers(first.Callers), pinned(first.Pinned)),
		tailAxis("of all calls take at most"), logAxis("µs (log scale)", values), all)
}

func callers(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}

func plotThroughput(work string, rows []row) []byte {
	rows = where(rows, func(r row) bool { return r.Suite == "peers" && r.Work == work })
	return plotAgainst(rows, fmt.Sprintf("Throughput of %s, one connection", work), "concurrent callers", "calls/s (log scale)",
		func(r row) (tick, float64) { return tick{float64(r.Callers), fmt.Sprint(r.Callers)}, r.CallsPerS })
}

func plotBulk(rows []row) []byte {
	size := make(map[string]int)
	for _, s := range sizes {
		size[s.work] = s.bytes
	}
	rows = where(rows, func(r row) bool { return size[r.Work] > 0 })
	if len(rows) == 0 {
		return nil
	}
	fewest := slices.MinFunc(rows, func(a, b row) int { return a.Callers - b.Callers })
	rows = where(rows, func(r row) bool { return r.Callers == fewest.Callers })
	return plotAgainst(rows, "Bulk: bytes echoed, "+callers(fewest.Callers), "size", "MB/s each way (log scale)",
		func(r row) (tick, float64) {
			n := float64(size[r.Work])
			return tick{n, kib(n)}, n * r.CallsPerS / 1e6
		})
}

func kib(n float64) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%g MiB", n/(1<<20))
	}
	return fmt.Sprintf("%g KiB", n/(1<<10))
}

// plotAgainst draws a line for each system, a dot if it has one row only. Of rows
// measured on one core and on all, it takes those that are more.
func plotAgainst(rows []row, title, xLabel, yLabel string, of func(row) (tick, float64)) []byte {
	one := where(rows, func(r row) bool { return r.Pinned })
	onOne := 2*len(one) > len(rows)
	if rows = where(rows, func(r row) bool { return r.Pinned == onOne }); len(rows) == 0 {
		return nil
	}
	var (
		marks  []tick
		values []float64
		all    []series
	)
	for _, p := range peers {
		s := series{name: p.name}
		for _, r := range where(rows, func(r row) bool { return r.System == p.name }) {
			x, y := of(r)
			s.points = append(s.points, point{x.at, y})
			values = append(values, y)
			if !slices.Contains(marks, x) {
				marks = append(marks, x)
			}
		}
		if len(s.points) > 0 {
			all = append(all, s)
		}
	}
	if len(marks) < 2 {
		return nil
	}
	return lineChart(title+", "+pinned(onOne), marksAxis(xLabel, marks), logAxis(yLabel, values), all)
}

// plotJDK draws how many times as many calls a second as Java RMI.
func plotJDK(rows []row) []byte {
	for _, system := range []string{"gormi", "gormi-reflect"} {
		var bars []bar
		on := false
		for _, r := range where(rows, func(r row) bool { return r.Suite == "jdk" && r.System == system }) {
			if x, ok := r.Ratio["java-rmi"]; ok {
				bars = append(bars, bar{r.Work, []float64{x}, fmt.Sprintf("%.2f", x)})
				on = r.Pinned
			}
		}
		if len(bars) > 0 {
			color, _, _ := look(system)
			return barChart("The cases of OpenJDK's RMI benchmark, TCP, "+pinned(on), fmt.Sprintf("calls/s of %s ÷ calls/s of Java RMI: above 1 is faster", system),
				[]string{color}, nil, bars, 1)
		}
	}
	return nil
}
