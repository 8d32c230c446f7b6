package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
)

// write tells what was measured, in the forms that were asked for.
func (o options) write(rows []row) error {
	var errs []error
	switch {
	case o.json:
		errs = append(errs, writeJSON(os.Stdout, rows))
	case o.readme != "-":
		errs = append(errs, writeTables(os.Stdout, rows))
	}
	if o.plot != "" {
		errs = append(errs, plot(o.plot, rows))
	}
	switch o.readme {
	case "":
	case "-":
		_, err := io.WriteString(os.Stdout, o.markdown(rows))
		errs = append(errs, err)
	default:
		errs = append(errs, writeSection(o.readme, o.markdown(rows)))
	}
	return errors.Join(errs...)
}

func writeJSON(w io.Writer, rows []row) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	for _, r := range rows {
		r = r.rounded()
		if err := e.Encode(r); err != nil {
			return err
		}
	}
	return nil
}

// writeTables prints a table for each suite. The last column compares GoRMI (its
// stubs, or else its run-time proxies) with the system of the line.
func writeTables(w io.Writer, rows []row) error {
	const columns = "%-20s %7s  %-13s %8s %8s %8s %7s %8s %8s %8s  %s\n"
	var b bytes.Buffer
	if steps := where(rows, ofBreakdown); len(steps) > 0 {
		b.WriteString(breakdownTable(steps))
		rows = slices.DeleteFunc(slices.Clone(rows), ofBreakdown)
	}
	suite, work := "", ""
	for _, r := range rows {
		if title := fmt.Sprintf("suite %s, TCP on loopback, unix sockets where the name says so, %s", r.Suite, pinned(r.Pinned)); title != suite {
			fmt.Fprintf(&b, "\n%s\n"+columns, title, "work", "callers", "system", "calls/s", "p50 µs", "p99 µs", "allocs", "CPU µs", "bytes", "GoRMI is", "")
			suite, work = title, ""
		}
		if this := fmt.Sprint(r.Work, r.Callers); this != work {
			if work != "" {
				b.WriteByte('\n')
			}
			work = this
		}
		allocs := "-"
		if r.Allocs != nil {
			allocs = fmt.Sprintf("%.1f", *r.Allocs)
		}
		fmt.Fprintf(&b, columns, r.Work, strconv.Itoa(r.Callers), r.System, short(r.CallsPerS),
			short(r.P50), short(r.P99), allocs, short(r.CPU), short(r.BytesACall), gormiIs(r), r.note())
	}
	_, err := w.Write(b.Bytes())
	return err
}

func pinned(is bool) string {
	if is {
		return "both processes on one core"
	}
	return "all cores"
}

func (r row) note() string {
	switch {
	case r.cold && r.Note != "":
		return r.Note + ", not warm"
	case r.cold:
		return "not warm"
	}
	return r.Note
}

// gormiIs compares GoRMI's calls a second with those of a row, over the same
// transport if that was measured.
func gormiIs(r row) string {
	names := []string{"gormi", "gormi-reflect"}
	if r.Transport == "unix" {
		names = slices.Insert(names, 0, "gormi-unix")
	}
	for _, name := range names {
		if name == r.System {
			return "-"
		}
		if x, ok := r.Ratio[name]; ok && x > 0 {
			return fmt.Sprintf("%.2f ×", 1/x)
		}
	}
	return "-"
}

// short prints a figure with three digits or so.
func short(x float64) string {
	switch {
	case x == 0:
		return "-"
	case x >= 10e6:
		return fmt.Sprintf("%.1fM", x/1e6)
	case x >= 100e3:
		return fmt.Sprintf("%.0fk", x/1e3)
	case x >= 10e3:
		return fmt.Sprintf("%.1fk", x/1e3)
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x >= 10:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.2f", x)
	}
}
