package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// The section of a file that this program writes is between these lines.
const (
	sectionBegins = "<!-- rmi/bench wrote this: begin -->\n"
	sectionEnds   = "<!-- rmi/bench wrote this: end -->\n"
)

// writeSection puts text in the place of what the file's section was. A new file
// has nothing else.
func writeSection(name, text string) error {
	text = sectionBegins + "\n" + text + "\n" + sectionEnds
	old, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(name, []byte(text), 0o666)
	} else if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), sectionBegins)
	_, after, ends := strings.Cut(rest, sectionEnds)
	if !begins || !ends {
		return fmt.Errorf("%s has no lines %q and %q to write between", name, sectionBegins, sectionEnds)
	}
	return os.WriteFile(name, []byte(before+text+after), 0o666)
}

// markdown is the rows as a section for RESULTS.md.
func (o options) markdown(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s%s, %s. Medians of %d interleaved rounds of %v; client and server in separate processes on\nthis machine; ratios, **in bold, say how many times as many calls GoRMI makes** (with stubs) and are medians of the rounds'. To repeat it:\n\n    cd rmi/bench && go run . %s\n",
		machine(), runtime.Version(), javaVersion(rows), time.Now().UTC().Format("2006-01-02"), o.rounds, o.dur, o.command())
	for _, suite := range suites {
		for _, on := range []bool{true, false} {
			part := where(rows, func(r row) bool { return r.Suite == suite.name && r.Pinned == on })
			if len(part) > 0 {
				fmt.Fprintf(&b, "\n%s, %s:\n\n%s", titles[suite.name], pinned(on), markdownTable(part))
			}
		}
	}
	if steps := where(rows, ofBreakdown); len(steps) > 0 {
		b.WriteString("\n" + breakdownTable(steps))
	}
	return b.String()
}

var titles = map[string]string{
	"peers":  "Calls a second, and in parentheses the median and the 99th percentile of the latency in µs",
	"jdk":    "The cases of OpenJDK's RMI benchmark over TCP, one caller, calls a second",
	"fanout": "Event fan-out, deliveries a second",
}

// markdownTable has a line for each work and a column for each system.
func markdownTable(rows []row) string {
	var systems, works []string
	cells := make(map[[2]string]row)
	for _, r := range rows {
		work := fmt.Sprintf("%s, %s", r.Work, callers(r.Callers))
		switch {
		case r.Suite == "jdk":
			work = r.Work
		case r.Suite == "fanout":
			work = r.Work
		case r.Work == connections:
			work = fmt.Sprintf("null, %d connections", r.Callers)
		case r.Work == "export":
			work = "export and unexport"
		}
		if r.Note != "" && r.Note != "deliveries" {
			work += " (" + r.Note + ")"
		}
		if !slices.Contains(systems, r.System) {
			systems = append(systems, r.System)
		}
		if !slices.Contains(works, work) {
			works = append(works, work)
		}
		cells[[2]string{work, r.System}] = r
	}
	slices.SortStableFunc(systems, func(a, b string) int { return rank(a) - rank(b) })
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|%s\n", strings.Join(systems, " | "), strings.Repeat("---|", len(systems)+1))
	for _, w := range works {
		fmt.Fprintf(&b, "| %s |", w)
		for _, s := range systems {
			b.WriteString(" " + markdownCell(cells[[2]string{w, s}]) + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// markdownCell is a row's calls a second, with latencies in suite peers, and
// with how GoRMI compares.
func markdownCell(r row) string {
	switch {
	case r.System == "":
		return "–"
	case r.CallsPerS == 0:
		return fmt.Sprintf("p99 %s µs", short(r.P99))
	}
	text := short(r.CallsPerS)
	if r.Suite == "peers" {
		text += fmt.Sprintf(" (%s, %s)", short(r.P50), short(r.P99))
	}
	if is := gormiIs(r); is != "-" && !strings.HasPrefix(r.System, "gormi") {
		text += " **" + is + "**"
	}
	if r.cold {
		text += " not warm"
	}
	return text
}

// command is the line that was given, as one would type it.
func (o options) command() string {
	var out []string
	for _, a := range o.args {
		if strings.ContainsAny(a, " *?[") {
			a = "'" + a + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}

// rank puts GoRMI first.
func rank(system string) int {
	switch system {
	case "gormi":
		return -3
	case "gormi-reflect":
		return -2
	case "gormi-unix":
		return -1
	}
	return slices.Index(peerNames(), system)
}

// javaVersion is what Java RMI ran on, if it ran.
func javaVersion(rows []row) string {
	if len(where(rows, func(r row) bool { return r.System == "java-rmi" })) == 0 {
		return ""
	}
	out, _ := exec.Command("java", "-version").CombinedOutput()
	first, _, _ := strings.Cut(string(out), "\n")
	return ", " + strings.ReplaceAll(strings.TrimSpace(first), `"`, "")
}
