package rmi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// A clock that is set changes nothing: whatever the packages measure, they
// measure by Go's monotonic readings, or count. So nothing in them may take a
// time's wall clock, but what is listed here with its reason.
func TestProofNothingIsMeasuredByTheWallClock(t *testing.T) {
	// Methods that lose the monotonic reading or look at the wall clock, and funcs that make times without one.
	wall := strings.Fields("Unix UnixNano UnixMilli UnixMicro Round Truncate UTC Local In AddDate Date Clock Hour Minute Second Nanosecond " +
		"Weekday YearDay MarshalBinary MarshalText MarshalJSON GobEncode Format AppendFormat Parse ParseInLocation")
	type reason struct {
		uses int
		why  string
	}
	reasons := map[string]reason{
		"../rmi/inventory.go: Round":               {2, "of durations, for people"},
		"../rmi/transport/absence.go: Format":      {1, "when a connection was lost, for people"},
		"../rmi/transport/absence.go: Round":       {1, "of a duration, for people"},
		"../rmi/node.go: UnixNano":                 {1, "the node's start names it; nobody computes with it"},
		"../rmi/transport/link.go: Unix":           {2, "a deadline that has passed, whenever it is"},
		"../rmi/transport/streams/stream.go: Unix": {1, "a deadline that has passed, whenever it is"},
		"../rmi/transport/datagram/dial.go: Unix":  {1, "a deadline that has passed, whenever it is"},
		"../registry/store.go: UnixNano":           {1, "the first revision; larger than those of the registry before, unless the clock went back"},
		"../registry/bind.go: MarshalBinary":       {1, "of a description"},
		"../callback/topic.go: UnixNano":           {1, "the number of a topic's epoch; larger than the last one even if the clock went back"},
	}
	found := make(map[string]int)
	files := 0
	for _, dir := range []string{"../rmi", "../rmi/fault", "../rmi/wire", "../rmi/transport", "../rmi/transport/streams", "../rmi/transport/datagram",
		"../refs/lease", "../skeleton", "../proxy", "../registry", "../callback"} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			path := dir + "/" + e.Name()
			if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"time"` }) {
				continue
			}
			files++
			ast.Inspect(file, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				if s, ok := call.Fun.(*ast.SelectorExpr); ok && slices.Contains(wall, s.Sel.Name) {
					if what := path + ": " + s.Sel.Name; reasons[what].uses == 0 {
						t.Errorf("%s may take the wall clock: measure with Sub, Since, Until and Before, or give the reason here", what)
					} else {
						found[what]++
					}
				}
				return true
			})
		}
	}
	for what, r := range reasons {
		if found[what] != r.uses { // another one needs a reason of its own
			t.Errorf("%s is there %d times, want %d (%s)", what, found[what], r.uses, r.why)
		}
	}
	figure(t, "%d files that import time, %d exceptions", files, len(reasons))
}
