package rmi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Setting the clock changes nothing: the packages measure time by Go's monotonic readings, or
// count. So nothing in them may use the wall clock, except what is listed here with its reason.
// (Generated stubs compute with no time.)
func TestProofNothingIsMeasuredByTheWallClock(t *testing.T) {
	// Methods that lose the monotonic reading or look at the wall clock, and funcs that make times
	// without one.
	wall := strings.Fields("Unix UnixNano UnixMilli UnixMicro Round Truncate UTC Local In AddDate Date Clock Hour Minute Second Nanosecond " +
		"Weekday YearDay MarshalBinary MarshalText MarshalJSON GobEncode Format AppendFormat Parse ParseInLocation")
	units := strings.Fields("Hour Minute Second Nanosecond") // of package time, not methods
	reasons := map[string]string{
		"../callback/topic.go: newEpoch, UnixNano":               "the number of a topic's epoch; larger than the last one even if the clock went back",
		"../cmd/rmiregistry/options.go: parse, Parse":            "of flags",
		"../refs/id.go: ParseNodeID, Parse":                      "of a UUID",
		"../refs/id.go: String, Format":                          "of an owner's start, for people",
		"../refs/id.go: String, UTC":                             "of an owner's start, for people",
		"../refs/id.go: String, Unix":                            "of an owner's start, for people",
		"../registry/bind.go: offer, MarshalBinary":              "of a description",
		"../registry/store.go: newStore, UnixNano":               "the first revision, above those before the restart",
		"../rmi/inventory/inventory.go: age, Round":              "of a duration, for people",
		"../rmi/inventory/inventory.go: sessions, Round":         "of a duration, for people",
		"../rmi/transport/absence.go: absent, Format":            "when a connection was lost, for people",
		"../rmi/transport/absence.go: absent, Round":             "of a duration, for people",
		"../rmi/node.go: NewNode, UnixNano":                      "the node's start names it; nobody computes with it",
		"../rmi/transport/datagram/dial.go: introduce, Unix":     "a deadline that has passed, whenever it is",
		"../rmi/transport/link.go: cutAfter, Unix":               "a deadline that has passed, whenever it is",
		"../rmi/transport/link.go: onTick, Unix":                 "a deadline that has passed, whenever it is",
		"../rmi/transport/streams/stream.go: breakReading, Unix": "a deadline that has passed, whenever it is",
		"../rmi/tlsfiles/make.go: authority, Format":             "the day on which a certificate ended, for people; certificates have wall-clock times",
		"../rmi/internal/testclient/node.go: newNode, UnixNano":  "the node's start names it",
	}
	found := make(map[string]bool)
	files := 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		path = filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case e.IsDir() && (path == "../examples" || path == "../rmi/bench" || e.Name() == "testdata"): // programs of their own
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) || !slices.ContainsFunc(file.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"time"` }) {
			return nil
		}
		files++
		for _, d := range file.Decls {
			in := ""
			if f, ok := d.(*ast.FuncDecl); ok {
				in = f.Name.Name + ", "
			}
			ast.Inspect(d, func(n ast.Node) bool {
				s, ok := n.(*ast.SelectorExpr) // called, or taken as a value
				if !ok || !slices.Contains(wall, s.Sel.Name) {
					return true
				}
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(units, s.Sel.Name) {
					return true
				}
				if what := path + ": " + in + s.Sel.Name; reasons[what] == "" {
					t.Errorf("%s may take the wall clock: measure with Sub, Since, Until and Before, or give the reason here", what)
				} else {
					found[what] = true
				}
				return true
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for what := range maps.Keys(reasons) {
		if !found[what] {
			t.Errorf("%s is no more: take it off the list", what)
		}
	}
	figure(t, "%d files that import time, %d exceptions", files, len(reasons))
}
