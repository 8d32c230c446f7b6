// Command bench compares GoRMI with other systems, side by side in one run.
//
//	cd rmi/bench && go run . -suite fanout
//
// Systems run in turn, round by round, client and server in separate processes
// on this machine, so that a figure is a ratio of things measured at about the
// same time; a row shows medians of the rounds. It is a module of its own, so
// that what it compares with stays out of the dependencies of package rmi.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime/pprof"
	"slices"
	"strings"
)

// suites are what -suite chooses from.
var suites = map[string]func(options) ([]row, error){"fanout": fanout}

// roles are what a process that this program starts does instead.
var roles = map[string]func(args []string) error{"fanout-subscriber": fanoutSubscriber}

type options struct {
	rounds int
	quick  bool
	works  string // only works that contain it
	system string // only this one; empty: all
	cpu    string // file for a CPU profile of the publisher's process
}

// row is one system's result for one piece of work, the median of the rounds.
type row struct {
	System string             `json:"system"`
	Suite  string             `json:"suite"`
	Work   string             `json:"work"`
	Values map[string]float64 `json:"values"`
	Ratio  map[string]float64 `json:"ratio,omitempty"` // of the first value, to each other system of the same work
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-role" {
		role, ok := roles[os.Args[2]]
		if !ok {
			fmt.Fprintln(os.Stderr, "bench: no role", os.Args[2])
			os.Exit(2)
		}
		if err := role(os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	suite := flag.String("suite", "fanout", "what to measure: "+strings.Join(names(suites), ", "))
	rounds := flag.Int("rounds", 5, "rounds; a row shows the median")
	quick := flag.Bool("quick", false, "one short round of everything")
	asJSON := flag.Bool("json", false, "print one JSON object a line instead of a table")
	works := flag.String("works", "", "only the works whose name contains this")
	system := flag.String("system", "", "only this system, without ratios")
	cpu := flag.String("cpuprofile", "", "write a CPU profile of the publishing process to this file")
	flag.Parse()
	run, ok := suites[*suite]
	if !ok || *rounds < 1 || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	o := options{rounds: *rounds, quick: *quick, works: *works, system: *system, cpu: *cpu}
	if o.quick {
		o.rounds = 1
	}
	stop, err := profile(o.cpu)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	rows, err := run(o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	for _, r := range rows {
		if *asJSON {
			b, err := json.Marshal(r)
			if err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
				os.Exit(1)
			}
			fmt.Println(string(b))
			continue
		}
		fmt.Printf("%-34s %-8s", r.Work, r.System)
		for _, k := range names(r.Values) {
			fmt.Printf("  %s %s", k, short(r.Values[k]))
		}
		for _, k := range names(r.Ratio) {
			fmt.Printf("  = %.2f × %s", r.Ratio[k], k)
		}
		fmt.Println()
	}
}

// profile begins a CPU profile if path is not empty.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

func names[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// short prints a figure with three digits or so.
func short(x float64) string {
	switch {
	case x >= 10e6:
		return fmt.Sprintf("%.1fM", x/1e6)
	case x >= 10e3:
		return fmt.Sprintf("%.0fk", x/1e3)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}

// ratio is the median of the rounds' ratios.
func ratio(a, b []float64) float64 {
	r := make([]float64, len(a))
	for i := range a {
		r[i] = a[i] / b[i]
	}
	return median(r)
}

func median(x []float64) float64 {
	if len(x) == 0 {
		return 0
	}
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}
