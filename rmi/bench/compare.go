package main

import (
	"errors"
	"fmt"
	"os"
)

// suitePeers compares the systems in what they can all do, and in what some can.
func suitePeers(o options) ([]row, error) {
	quick := func(few, all []int) []int {
		if o.quick {
			return few
		}
		return all
	}
	many := quick([]int{1, 64}, []int{1, 16, 64, 1024})
	one, some := []int{1}, quick([]int{1}, []int{1, 4, 16})
	var works []work
	for _, w := range []struct {
		name    string
		callers []int
	}{
		{"null", many}, {"echo100", many}, {"echo1k", some}, {"echo64k", some}, {"echo1m", some},
		{"callback", quick(one, []int{1, 64})}, {"reference", one}, {"export", one},
	} {
		if len(o.callers) > 0 {
			w.callers = o.callers
		}
		for _, n := range w.callers {
			works = append(works, work{name: w.name, callers: n, suite: "peers"})
		}
	}
	clients := 1000
	if o.quick {
		clients = 200
	}
	works = append(works, work{name: connections, callers: clients, suite: "peers", connections: true})
	return compare(o, works)
}

// jdkWorks are the cases of OpenJDK's RMI benchmark (test/jdk/java/rmi/
// reliability/benchmark) that have a meaning outside of Java.
var jdkWorks = []string{
	"null", "boolean", "byte", "char", "short", "int", "long", "float", "double",
	"boolean[]", "byte[]", "char[]", "short[]", "int[]", "long[]", "float[]", "double[]",
	"small tree", "mixed tree", "mixed nodes", "references", "exception", "export",
}

var jdkNotes = map[string]string{
	"small tree":  "depth 4, no parent pointers",
	"mixed tree":  "depth 4, no parent pointers",
	"mixed nodes": "100 nodes",
	"references":  "100 remote references",
	"exception":   "thrown by the method",
	"export":      "and unexport, without a call",
}

// suiteJDK compares with Java RMI, one call after the other. Every call gives
// back what it gets.
func suiteJDK(o options) ([]row, error) {
	var works []work
	for _, name := range jdkWorks {
		note := jdkNotes[name]
		if name[len(name)-1] == ']' {
			note = fmt.Sprintf("%d elements", jdkLength)
		}
		works = append(works, work{name: name, callers: 1, suite: "jdk", note: note})
	}
	return compare(o, works)
}

// compare measures works, of each system that can do them, in turn: one after
// the other within a work, and all of it round by round.
func compare(o options, works []work) ([]row, error) {
	pairs, err := startPairs(o, works[0].suite)
	defer func() {
		for _, p := range pairs {
			p.stop()
		}
	}()
	var (
		results = make(map[string][]*result) // by work
		failed  = err                        // some systems do not start: the others are compared
	)
	for round := range o.rounds {
		o.progress("suite %s, round %d of %d", works[0].suite, round+1, o.rounds)
		for _, w := range works {
			if !o.wantsWork(w.name) || o.only != nil && !o.only(w) {
				continue
			}
			if round == 0 {
				for _, p := range pairs {
					if p.can(w) {
						results[w.String()] = append(results[w.String()], &result{pair: p})
					}
				}
			}
			for _, r := range results[w.String()] {
				if r.err != nil {
					continue
				}
				s, err := r.pair.measure(w, o)
				if err != nil {
					r.err = fmt.Errorf("%s, %v: %w", r.pair.name, w, err)
					fmt.Fprintln(os.Stderr, "bench:", r.err)
					failed = errors.Join(failed, r.err)
					continue
				}
				r.add(s)
			}
		}
	}
	var rows []row
	for _, w := range works {
		rows = append(rows, rowsOf(w, o, results[w.String()])...)
	}
	return rows, failed
}

func startPairs(o options, suite string) (pairs []*pair, err error) {
	for _, p := range peers {
		if !o.wantsSystem(p.name) || suite == "jdk" && !p.jdk {
			continue
		}
		if p.missing != nil {
			if why := p.missing(); why != "" {
				fmt.Fprintf(os.Stderr, "bench: %s is left out: %s\n", p.name, why)
				continue
			}
		}
		x, e := startPair(p, o.cpu)
		if e != nil {
			fmt.Fprintln(os.Stderr, "bench:", e)
			err = errors.Join(err, e)
			continue
		}
		pairs = append(pairs, x)
	}
	return pairs, err
}
