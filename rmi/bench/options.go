package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

type options struct {
	suites    []string
	systems   []string        // patterns
	works     []string        // patterns
	callers   []int           // instead of a suite's own
	only      func(work) bool // nil: every work
	rounds    int
	dur       time.Duration // of one measurement
	quick     bool
	pin       bool
	breakdown bool
	json      bool
	plot      string // folder for pictures
	readme    string // file for Markdown
	cpu       string // file for CPU profiles; see profileEnv
	args      []string
}

// parse reads the command line.
func parse(f *flag.FlagSet, args []string) (o options, err error) {
	o.args = args
	chosen := f.String("suite", "peers,jdk,fanout", "what to measure, separated by commas")
	systems := f.String("systems", "*", "which systems, by name, separated by commas; * stands for any letters, and net/rpc for itself")
	works := f.String("works", "*", "which works, by name, likewise: 'echo*'")
	callers := f.String("callers", "", "numbers of concurrent callers in suite peers, separated by commas, instead of 1 to 1024")
	f.IntVar(&o.rounds, "rounds", 5, "rounds; a row shows the median")
	f.DurationVar(&o.dur, "dur", 500*time.Millisecond, "how long one measurement takes")
	f.BoolVar(&o.quick, "quick", false, "one short round of everything but the longest: a look, no measurement")
	f.BoolVar(&o.pin, "pin", false, "bind both processes to one core (Linux): the latency of one caller is bimodal without")
	f.BoolVar(&o.breakdown, "breakdown", false, "show where a null call's time goes, instead of a suite (Linux)")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line instead of tables")
	f.StringVar(&o.plot, "plot", "", "draw the figures as SVG into this `folder`")
	f.StringVar(&o.readme, "readme", "", "write a section of Markdown into this `file`, between the lines that mark it, or to a new one (- is standard output); one caller is measured pinned, more are not, null and echo100 either way")
	f.StringVar(&o.cpu, "cpuprofile", "", "write CPU profiles: the publishing process of suite fanout to this `file`, others to files whose names begin so")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag; see -help", f.Arg(0))
	}
	given := make(map[string]bool)
	f.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if o.quick {
		if !given["rounds"] {
			o.rounds = 1
		}
		if !given["dur"] {
			o.dur = 15 * time.Millisecond
		}
	}
	if o.rounds < 1 || o.dur <= 0 {
		return o, errors.New("-rounds and -dur must be positive")
	}
	o.suites, o.systems, o.works = strings.Split(*chosen, ","), strings.Split(*systems, ","), strings.Split(*works, ",")
	for _, s := range o.suites {
		if !slices.ContainsFunc(suites, func(x suite) bool { return x.name == s }) {
			return o, fmt.Errorf("no suite %q: there are peers, jdk and fanout", s)
		}
	}
	for _, s := range o.systems {
		if !slices.ContainsFunc(peers, func(p peer) bool { return matches([]string{s}, p.name) }) {
			return o, fmt.Errorf("no system %q: there are %s", s, strings.Join(peerNames(), ", "))
		}
	}
	if *callers != "" {
		for text := range strings.SplitSeq(*callers, ",") {
			n, err := strconv.Atoi(text)
			if err != nil || n < 1 || n > 100_000 {
				return o, fmt.Errorf("-callers %q: want numbers of callers", text)
			}
			o.callers = append(o.callers, n)
		}
	}
	return o, nil
}

func peerNames() (all []string) {
	for _, p := range peers {
		all = append(all, p.name)
	}
	return all
}

// matches reports whether name is one of the patterns.
func matches(patterns []string, name string) bool {
	flat := strings.NewReplacer("/", "-", "[", "(", "]", ")") // path.Match treats them as its own
	for _, p := range patterns {
		if ok, _ := path.Match(flat.Replace(p), flat.Replace(name)); ok {
			return true
		}
	}
	return false
}

func (o options) wantsWork(name string) bool   { return matches(o.works, name) }
func (o options) wantsSystem(name string) bool { return matches(o.systems, name) }

// passes are the runs that make up this one. What goes into RESULTS.md is
// measured twice: one caller with both processes on one core, more on all cores, where
// the shortest calls of one caller are shown as well.
func (o options) passes() []options {
	if o.breakdown {
		return nil
	}
	if o.readme == "" {
		return []options{o}
	}
	one, more := o, o
	one.pin, one.only = true, func(w work) bool { return w.callers == 1 }
	one.suites = slices.DeleteFunc(slices.Clone(o.suites), func(s string) bool { return s == "fanout" })
	more.pin, more.only = false, func(w work) bool { return w.callers > 1 || w.name == "null" || w.name == "echo100" }
	more.suites = slices.DeleteFunc(slices.Clone(o.suites), func(s string) bool { return s == "jdk" })
	return []options{one, more}
}

// progress tells a person who waits at a terminal.
func (o options) progress(format string, args ...any) {
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
		fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...)
	}
}
