package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"gormi/rmi"
	generatedapi "gormi/rmi/bench/internal/generated"
	reflectedapi "gormi/rmi/bench/internal/reflected"
)

// steps of a null call, in order. Both processes run on one core, so that a step
// ends where the next begins.
var steps = []struct{ name, what string }{
	{"encode", "the caller's proxy, slot and frame"},
	{"write", "the caller's system call, loopback delivery included"},
	{"kernel", "until the owner's reader has the bytes: a switch of processes"},
	{"read", "the owner's reader takes the frame in and hands it on"},
	{"dispatch", "a handler's goroutine, the object, its skeleton"},
	{"handler", "the method"},
	{"reply", "the result's frame"},
	{"write back", "the owner's system call"},
	{"kernel back", "until the caller's reader has the bytes"},
	{"return", "the caller's reader completes the call, the caller wakes up"},
}

const (
	breakdownSuite = "breakdown"
	breakdownCalls = 2000 // a round
	clockless      = "no clocks"
)

// timed is the servant with a clock.
type timed[O object] struct {
	servant[O]
	log *spans
}

func (t *timed[O]) Null(context.Context) error {
	t.log.add(spanCall, now())
	return nil
}

// withClocks returns the system whose node and servant log what they do.
func withClocks(name string, log *spans) (System, error) {
	o := rmi.Options{Network: tapped{log}}
	switch name {
	case "gormi":
		return gormi[generatedapi.Bench, generatedapi.JDK, generatedapi.Object]{options: o, bench: func() any { return &timed[generatedapi.Object]{log: log} }}, nil
	case "gormi-reflect":
		return gormi[reflectedapi.Bench, reflectedapi.JDK, reflectedapi.Object]{options: o, bench: func() any { return &timed[reflectedapi.Object]{log: log} }}, nil
	}
	return nil, fmt.Errorf("no breakdown of system %q: there are gormi and gormi-reflect", name)
}

// breakdownServer is the owner's process: system. At the end of its standard
// input it prints what it logged.
func breakdownServer(args []string) error {
	log := new(spans)
	s, err := withClocks(args[0], log)
	if err != nil {
		return err
	}
	address, stop, err := s.Serve()
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println(address)
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(log.take())
}

// breakdown measures where the time of a null call goes: a row for each step.
func breakdown(o options) ([]row, error) {
	unpin, err := pinToOneCore()
	if err != nil {
		return nil, err
	}
	defer unpin()
	var rows []row
	found := make(map[string][][]float64) // calls of all rounds, by system: the length of each step
	plain := make(map[string][]float64)   // the same calls without clocks: the median of each round
	for round := range o.rounds {
		o.progress("breakdown, round %d of %d", round+1, o.rounds)
		for _, name := range []string{"gormi", "gormi-reflect"} {
			if !o.wantsSystem(name) {
				continue
			}
			calls, err := breakdownRound(name)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			found[name] = append(found[name], calls...)
			us, err := withoutClocks(name, o)
			if err != nil {
				return nil, err
			}
			plain[name] = append(plain[name], us)
		}
	}
	for _, name := range names(found) {
		for i, us := range typical(found[name]) {
			rows = append(rows, row{System: name, Suite: breakdownSuite, Work: steps[i].name, Callers: 1, Transport: "tcp", Pinned: true,
				P50: us, Ratio: map[string]float64{}, Note: steps[i].what})
		}
		rows = append(rows, row{System: name, Suite: breakdownSuite, Work: clockless, Callers: 1, Transport: "tcp", Pinned: true,
			P50: median(plain[name]), Ratio: map[string]float64{}, Note: "the median of calls without any clock"})
	}
	return rows, nil
}

// breakdownRound returns how long each step of each call took, in microseconds.
func breakdownRound(name string) ([][]float64, error) {
	cmd, err := again("breakdown-server", name)
	if err != nil {
		return nil, err
	}
	server, err := start(cmd)
	if err != nil {
		return nil, err
	}
	theirs := ""
	defer func() {
		if theirs == "" {
			server.stop()
		}
	}()
	address, err := server.line(patience)
	if err != nil {
		return nil, err
	}
	log := new(spans)
	s, err := withClocks(name, log)
	if err != nil {
		return nil, err
	}
	c, err := s.Dial(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for i := range 2 * breakdownCalls {
		if i == breakdownCalls { // warm
			log.take()
		}
		begin := now()
		if err := c.Null(); err != nil {
			return nil, err
		}
		log.add(spanCall, begin)
	}
	ours := log.take()
	theirs = server.stop()
	var owners []span
	if err := json.Unmarshal([]byte(theirs), &owners); err != nil {
		return nil, fmt.Errorf("the server's log: %w", err)
	}
	calls := cut(ours, owners)
	if len(calls) < breakdownCalls/2 {
		return nil, fmt.Errorf("only %d of %d calls could be followed", len(calls), breakdownCalls)
	}
	return calls, nil
}

// withoutClocks returns the median latency of the same calls as programs make them.
func withoutClocks(name string, o options) (float64, error) {
	p, err := peerNamed(name)
	if err != nil {
		return 0, err
	}
	x, err := startPair(p, "")
	if err != nil {
		return 0, err
	}
	defer x.stop()
	s, err := x.measure(work{name: "null", callers: 1}, o)
	var h histogram
	h.addSparse(s.Buckets)
	return h.quantile(0.5).Seconds() * 1e6, err
}

// cut puts the logs of caller and owner together. Calls in which something else
// happened, a ping say, are left out.
func cut(callers, owners []span) (calls [][]float64) {
	in := func(all []span, kind string, from, to int64) (found []span) {
		for _, s := range all {
			if s.Kind == kind && s.End >= from && s.End <= to {
				found = append(found, s)
			}
		}
		return found
	}
	// What is logged is in order of its end, so a window moves over each log.
	window := func(all *[]span, from, to int64) []span {
		a := *all
		for len(a) > 0 && a[0].End < from {
			a = a[1:]
		}
		*all = a
		n := 0
		for n < len(a) && a[n].Begin <= to {
			n++
		}
		return a[:n]
	}
	for _, call := range in(callers, spanCall, 0, 1<<62) {
		c, o := window(&callers, call.Begin, call.End), window(&owners, call.Begin, call.End)
		write, read := in(c, spanWrite, call.Begin, call.End), in(c, spanRead, call.Begin, call.End)
		method := in(o, spanCall, call.Begin, call.End)
		if len(write) != 1 || len(read) != 1 || len(method) != 1 {
			continue
		}
		request := in(o, spanRead, call.Begin, method[0].Begin)
		reply := in(o, spanWrite, method[0].End, call.End)
		if len(request) != 1 || len(reply) != 1 {
			continue
		}
		handed := method[0].Begin // when the owner's reader went back to read
		for _, s := range o {
			if s.Kind == spanRead && s.Begin >= request[0].End {
				handed = min(handed, s.Begin)
			}
		}
		times := []int64{
			call.Begin, write[0].Begin, write[0].End, request[0].End, handed, method[0].Begin, method[0].End,
			reply[0].Begin, reply[0].End, read[0].End, call.End,
		}
		lengths := make([]float64, len(steps))
		for i := range lengths {
			times[i+1] = max(times[i+1], times[i]) // two processes may overlap by a little
			lengths[i] = float64(times[i+1]-times[i]) / 1e3
		}
		calls = append(calls, lengths)
	}
	return calls
}

// typical is the mean of each step over the middle half of the calls, by their
// whole length: such means add up to a call.
func typical(calls [][]float64) []float64 {
	sum := func(x []float64) (s float64) {
		for _, v := range x {
			s += v
		}
		return s
	}
	calls = slices.SortedFunc(slices.Values(calls), func(a, b []float64) int {
		switch d := sum(a) - sum(b); {
		case d < 0:
			return -1
		case d > 0:
			return 1
		}
		return 0
	})
	calls = calls[len(calls)/4 : len(calls)-len(calls)/4]
	mean := make([]float64, len(steps))
	for _, c := range calls {
		for i, v := range c {
			mean[i] += v / float64(len(calls))
		}
	}
	return mean
}

// breakdownTable is Markdown that reads well as it is.
func breakdownTable(rows []row) string {
	systems, us, total := breakdownColumns(rows)
	var b strings.Builder
	fmt.Fprintf(&b, "A null call by TCP, both processes on one core, in µs (means over the middle half of the calls):\n\n| %-11s |", "step")
	for _, s := range systems {
		fmt.Fprintf(&b, " %-16s |", s)
	}
	fmt.Fprintf(&b, " %-63s |\n|-------------|%s%s|\n", "what", strings.Repeat("------------------|", len(systems)), strings.Repeat("-", 65))
	line := func(name, what string, value func(system string) float64) {
		fmt.Fprintf(&b, "| %-11s |", name)
		for _, s := range systems {
			v := value(s)
			fmt.Fprintf(&b, " %8.2f  %4.0f %% |", v, 100*v/total[s])
		}
		fmt.Fprintf(&b, " %-63s |\n", what)
	}
	for _, step := range steps {
		line(step.name, step.what, func(s string) float64 { return us[s][step.name] })
	}
	line("all", "", func(s string) float64 { return total[s] })
	line(clockless, "the median of calls without any clock, for comparison", func(s string) float64 { return us[s][clockless] })
	b.WriteString("\nFor the clocks the sockets are wrapped: reads and writes are package net's, which take longer than GoRMI's own.\n")
	return b.String()
}

func breakdownColumns(rows []row) (systems []string, us map[string]map[string]float64, total map[string]float64) {
	us, total = make(map[string]map[string]float64), make(map[string]float64)
	for _, r := range rows {
		if us[r.System] == nil {
			systems = append(systems, r.System)
			us[r.System] = make(map[string]float64)
		}
		us[r.System][r.Work] = r.P50
		if r.Work != clockless {
			total[r.System] += r.P50
		}
	}
	return systems, us, total
}

func ofBreakdown(r row) bool { return r.Suite == breakdownSuite }

func plotBreakdown(rows []row) []byte {
	if len(rows) == 0 {
		return nil
	}
	systems, us, total := breakdownColumns(rows)
	colors := []string{"#9e1b32", "#0072b2", "#999999", "#e69f00", "#cc79a7", "#111111", "#d55e00", "#56b4e9", "#cccccc", "#009e73"}
	var partNames []string
	for _, s := range steps {
		partNames = append(partNames, s.name)
	}
	var bars []bar
	for _, s := range systems {
		b := bar{label: s, text: fmt.Sprintf("%.1f µs", total[s])}
		for _, step := range steps {
			b.parts = append(b.parts, us[s][step.name])
		}
		bars = append(bars, b)
	}
	return barChart("Where the time of a null call goes, TCP, both processes on one core", "µs", colors, partNames, bars, 0)
}
