package examples

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gormi/rmi/fault"
)

// TestEachKindIsListed looks at all places where a new kind of error is to be added: the
// façade, the specification, the client that was written from it, and the tables for people.
func TestEachKindIsListed(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile("../" + path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	_, spec, _ := strings.Cut(read("rmi/wire/doc.go"), "W-132: The kinds are\n")
	spec, _, _ = strings.Cut(spec, "W-133")
	listed := strings.Join(strings.Fields(strings.ReplaceAll(spec, "//", " ")), " ") + " "
	client := regexp.MustCompile(`[A-Z]\w+`).FindAllString(read("rmi/internal/testclient/errors.go"), -1)
	facade, tables := read("rmi/errors.go"), map[string][]string{}
	for _, page := range []string{"README.md", ".github/GUIDE.md"} {
		_, table, ok := strings.Cut(read(page), "| kind | what happened |\n|---|---|\n")
		if !ok {
			t.Fatalf("%s has no table of kinds", page)
		}
		table, _, _ = strings.Cut(table, "\n\n")
		for row := range strings.Lines(table) {
			first, _, _ := strings.Cut(strings.TrimPrefix(row, "| "), " |")
			tables[page] = append(tables[page], strings.Split(first, ", ")...)
		}
	}
	last := fault.Kind(1)
	for ; last.String() != fmt.Sprintf("Kind(%d)", uint8(last)); last++ {
		name := last.String()
		if !strings.Contains(facade, "= fault.Kind"+name) {
			t.Errorf("rmi/errors.go does not export %s", name)
		}
		if !strings.Contains(listed, fmt.Sprintf("%d %s ", uint8(last), name)) {
			t.Errorf("rule W-132 in rmi/wire/doc.go has no %d %s", uint8(last), name)
		}
		if !slices.Contains(client, name) {
			t.Errorf("rmi/internal/testclient/errors.go does not know %s", name)
		}
		for page, kinds := range tables {
			if !slices.Contains(kinds, name) {
				t.Errorf("the table of kinds of %s has no %s", page, name)
			}
		}
	}
	if last <= fault.KindInternal {
		t.Errorf("only %d kinds were looked at", last-1)
	}
}
