package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// manyRows are what all suites could give.
func manyRows() (rows []row) {
	of := func(w work, results ...*result) { rows = append(rows, rowsOf(w, options{}, results)...) }
	for _, name := range []string{"null", "echo100"} {
		for i, n := range []int{1, 16, 64} {
			rate := int64(1000 * (i + 1))
			of(work{name: name, callers: n, suite: "peers"}, example("net/rpc", 1, rate), example("java-rmi", -1, rate), example("gormi", 1, 2*rate))
		}
	}
	for i, s := range sizes {
		of(work{name: s.work, callers: 1, suite: "peers"}, example("grpc", 1, int64(300>>i)), example("gormi", 1, int64(500>>i)))
	}
	of(work{name: connections, callers: 1000, suite: "peers", connections: true}, example("gormi", 1, 100))
	for _, name := range jdkWorks {
		of(work{name: name, callers: 1, suite: "jdk", note: jdkNotes[name]}, example("java-rmi", -1, 150), example("gormi", 1, 200))
	}
	rows = append(rows, row{System: "gormi", Suite: "fanout", Work: "stuck", Callers: 1000, P99: 1000, Note: "<all> & well"})
	for _, s := range steps {
		rows = append(rows, row{System: "gormi", Suite: breakdownSuite, Work: s.name, P50: 2.5, Pinned: true})
	}
	return append(rows, row{System: "gormi", Suite: breakdownSuite, Work: clockless, P50: 20, Pinned: true})
}

func TestPlots(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made")
	if err := plot(dir, manyRows()); err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{ // file: what must be readable in it
		"latency-null.svg": {"µs", "99.9 %", "gormi", "java-rmi", "1 caller"}, "latency-echo100.svg": {"echo100"},
		"throughput-null.svg": {"concurrent callers", "calls/s", "16", "64", "gormi"}, "throughput-echo100.svg": {"echo100"},
		"bulk.svg": {"MB/s", "64 KiB", "1 MiB", "grpc"}, "jdk.svg": {"double[]", "references", "1.33", "Java RMI"},
		"breakdown.svg": {"encode", "kernel back", "25.0 µs"},
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != len(want) {
		t.Fatalf("%d pictures, want %d; %v", len(files), len(want), err)
	}
	for name, texts := range want {
		picture, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		shown := svgText(t, name, picture)
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				t.Errorf("%s does not show %q, but:\n%s", name, text, shown)
			}
		}
		if bytes.Contains(picture, []byte("NaN")) || bytes.Contains(picture, []byte("Inf")) {
			t.Errorf("%s has coordinates that are no numbers", name)
		}
	}
}

// svgText returns the texts of a picture, if it is well-formed.
func svgText(t *testing.T, name string, picture []byte) string {
	t.Helper()
	var all strings.Builder
	d := xml.NewDecoder(bytes.NewReader(picture))
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch x := token.(type) {
		case xml.StartElement:
			if depth == 0 && (x.Name.Local != "svg" || x.Name.Space != "http://www.w3.org/2000/svg") {
				t.Fatalf("%s begins with %v", name, x.Name)
			}
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			all.WriteString(string(x) + "\n")
		}
	}
}

func TestPlotOfNothing(t *testing.T) {
	dir := t.TempDir()
	if err := plot(dir, nil); err != nil {
		t.Fatal(err)
	}
	if files, _ := os.ReadDir(dir); len(files) > 0 {
		t.Errorf("%d pictures of no rows", len(files))
	}
}

func TestMarkdown(t *testing.T) {
	o, err := parsed("-readme", "x", "-works", "echo*")
	if err != nil {
		t.Fatal(err)
	}
	text := o.markdown(manyRows())
	for _, want := range []string{"go run . -readme x -works 'echo*'", "| null, 64 callers |", "| mixed tree (depth 4, no parent pointers) | 200 |", "**1.33 ×**", "| encode "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	columns := 0
	for line := range strings.Lines(text) {
		switch n := strings.Count(line, "|"); {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("a table of %d columns has the line %q", columns-1, line)
		}
	}
}

func TestTables(t *testing.T) {
	var out bytes.Buffer
	if err := writeTables(&out, manyRows()); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if !slices.ContainsFunc(lines, func(l string) bool {
		f := strings.Fields(l)
		return len(f) > 3 && f[0] == "null" && f[1] == "64" && f[2] == "net/rpc" && f[3] == "3000" && strings.Contains(l, "2.00 ×")
	}) {
		t.Errorf("no line of net/rpc's null call by 64 callers, half as fast as GoRMI, in\n%s", out.String())
	}
}

func TestWriteSection(t *testing.T) {
	name := filepath.Join(t.TempDir(), "README.md")
	is := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("the file is %q, %v, want %q", got, err, want)
		}
	}
	if err := writeSection(name, "one\n"); err != nil {
		t.Fatal(err)
	}
	is(sectionBegins + "\none\n\n" + sectionEnds)
	if err := os.WriteFile(name, []byte("before\n"+sectionBegins+"old\n"+sectionEnds+"after\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := writeSection(name, "two\n"); err != nil {
			t.Fatal(err)
		}
		is("before\n" + sectionBegins + "\ntwo\n\n" + sectionEnds + "after\n")
	}
	if err := os.WriteFile(name, []byte("mine\n"+sectionEnds+sectionBegins), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := writeSection(name, "three\n"); err == nil {
		t.Error("a file without a section was written to")
	}
	is("mine\n" + sectionEnds + sectionBegins)
}

// RESULTS.md is where -readme writes by habit: it has the one section.
func TestResultsHaveASection(t *testing.T) {
	for name, want := range map[string]int{"RESULTS.md": 1, "../../README.md": 0} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		begins, ends := strings.Count(string(text), sectionBegins), strings.Count(string(text), sectionEnds)
		if begins != want || ends != want {
			t.Errorf("%s has %d beginnings and %d ends of a section, want %d", name, begins, ends, want)
		}
	}
}
