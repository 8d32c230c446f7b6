package rmi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
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
	reasons := map[string]string{
		"../rmi/inventory.go: Round":               "of a duration, for people",
		"../rmi/node.go: UnixNano":                 "the node's start names it; nobody computes with it",
		"../rmi/transport/absence.go: Format":      "when a connection was lost, for people",
		"../rmi/transport/absence.go: Round":       "of a duration, for people",
		"../rmi/transport/link.go: Unix":           "a deadline that has passed, whenever it is",
		"../rmi/transport/streams/stream.go: Unix": "a deadline that has passed, whenever it is",
		"../callback/topic.go: UnixNano":           "the number of a topic's epoch; larger than the last one even if the clock went back",
	}
	found := make(map[string]bool)
	files := 0
	for _, dir := range []string{"../rmi", "../rmi/transport", "../rmi/transport/streams", "../refs/lease", "../skeleton", "../proxy", "../callback"} {
		entries, err := os.ReadDir(dir)
		if os.IsNotExist(err) {
			continue
		} else if err != nil {
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
					if what := path + ": " + s.Sel.Name; reasons[what] == "" {
						t.Errorf("%s may take the wall clock: measure with Sub, Since, Until and Before, or give the reason here", what)
					} else {
						found[what] = true
					}
				}
				return true
			})
		}
	}
	for what := range maps.Keys(reasons) {
		if !found[what] {
			t.Errorf("%s is no more: take it off the list", what)
		}
	}
	figure(t, "%d files that import time, %d exceptions", files, len(reasons))
}
