package rmi_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists the packages of the module from the bottom up: a package may
// import those in the lines above its own, and none beside or below it.
var layers = [][]string{
	{"gormi/refs", "gormi/proxy/dynamic", "gormi/rmi/tlsfiles", "gormi/registry/policy", "gormi/rmi/rmitest/proctest"},
	{"gormi/refs/lease", "gormi/rmi/access", "gormi/rmi/audit"},
	{"gormi/rmi/fault", "gormi/rmi/backoff"},
	{"gormi/rmi/wire", "gormi/rmi/dialpolicy", "gormi/rmi/internal/mempool", "gormi/rmi/internal/guard"},
	{"gormi/rmi/codec/fields", "gormi/rmi/internal/callmeta"},
	{"gormi/rmi/codec", "gormi/rmi/metadata"},
	{"gormi/rmi/transport/streams", "gormi/rmi/internal/memnet", "gormi/rmi/transport/datagram", "gormi/rmi/internal/lossy",
		"gormi/rmi/internal/chaos", "gormi/proxy", "gormi/skeleton", "gormi/rmi/intercept"},
	{"gormi/rmi/transport", "gormi/rmi/stub"},
	{"gormi/rmi/multicast"},
	{"gormi/rmi/port", "gormi/rmi/inventory"},
	{"gormi/rmi"},
	{"gormi/rmi/rmitest", "gormi/registry"},
	{"gormi/callback"},
	{"gormi/cmd/*", "gormi/examples", "gormi/examples/*", "gormi/rmi/internal/testclient", "gormi/rmi/internal/*"},
}

// forbidden are arrows that the order of layers would allow.
var forbidden = map[string][]string{
	"gormi/skeleton":      {"gormi/proxy", "gormi/rmi/transport"},
	"gormi/proxy":         {"gormi/skeleton", "gormi/rmi/transport"},
	"gormi/rmi/transport": {"gormi/proxy", "gormi/skeleton", "gormi/proxy/dynamic"},
}

// only says what of this module a package may import, where that is little.
// Package stub is what stubs written by hand need, like generated ones. A node's port and
// multicast are for the packages that build on a node.
var only = map[string][]string{
	"gormi/registry":                {"gormi/rmi", "gormi/rmi/access", "gormi/rmi/audit", "gormi/registry/policy", "gormi/rmi/backoff", "gormi/rmi/fault", "gormi/rmi/multicast", "gormi/refs", "gormi/rmi/stub"},
	"gormi/callback":                {"gormi/registry", "gormi/rmi", "gormi/rmi/backoff", "gormi/rmi/fault", "gormi/rmi/multicast", "gormi/refs", "gormi/rmi/stub"},
	"gormi/rmi/port":                {"gormi/refs", "gormi/rmi/audit", "gormi/rmi/multicast"},
	"gormi/rmi/internal/testclient": nil,
	"gormi/rmi/transport/datagram":  {"gormi/rmi/backoff", "gormi/rmi/fault", "gormi/rmi/wire"},
	"gormi/rmi/internal/lossy":      nil,
}

// onlyIn names the one package that may import a module; internal/cases, whose types
// are such as users have, may too.
var onlyIn = map[string]string{
	"github.com/vmihailenco/msgpack/v5": "gormi/rmi/codec",
	"github.com/hashicorp/yamux":        "gormi/rmi/transport/streams",
	"golang.org/x/tools/go/packages":    "gormi/cmd/rmigen",
}

// rmiNeeds are the modules that package rmi may depend on, with their own needs.
var rmiNeeds = []string{
	"github.com/google/uuid", "github.com/hashicorp/yamux", "github.com/vmihailenco/msgpack/v5",
	"github.com/vmihailenco/tagparser/v2", // msgpack's
	"golang.org/x/",
}

type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Standard,Imports"}, args...)...)
	cmd.Dir = ".."
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

func layerOf(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool {
		return slices.ContainsFunc(l, func(pattern string) bool {
			prefix, wild := strings.CutSuffix(pattern, "*")
			return pkg == pattern || wild && strings.HasPrefix(pkg, prefix)
		})
	})
}

func TestImportsPointOneWay(t *testing.T) {
	for _, p := range goList(t, "./...") {
		mine := layerOf(p.ImportPath)
		if mine < 0 {
			t.Errorf("%s is in no layer: add it to the list in layout_test.go", p.ImportPath)
			continue
		}
		for _, i := range p.Imports {
			if allowed, ok := only[p.ImportPath]; ok && strings.HasPrefix(i, "gormi/") && !slices.Contains(allowed, i) {
				t.Errorf("%s imports %s; of this module it may import only %v", p.ImportPath, i, allowed)
			}
			if p.ImportPath == "gormi/rmi/internal/testclient" && strings.ContainsAny(i, ".") {
				t.Errorf("%s imports %s: it is to need the standard library only", p.ImportPath, i)
			}
			if only, ok := onlyIn[i]; ok && only != p.ImportPath && p.ImportPath != "gormi/rmi/internal/cases" {
				t.Errorf("%s imports %s, which only %s may", p.ImportPath, i, only)
			}
			if slices.Contains(forbidden[p.ImportPath], i) {
				t.Errorf("%s may not import %s", p.ImportPath, i)
			}
			if !strings.HasPrefix(i, "gormi/") || mine == len(layers)-1 {
				continue // a program may import anything, packages of its own too
			}
			if theirs := layerOf(i); theirs >= mine {
				t.Errorf("%s imports %s: arrows point down", p.ImportPath, i)
			}
		}
	}
}

func TestPackageRmiNeedsLittle(t *testing.T) {
	for _, p := range goList(t, "-deps", "./rmi", "./rmi/rmitest", "./registry", "./callback", "./rmi/stub") {
		if p.Standard || strings.HasPrefix(p.ImportPath, "gormi/") {
			continue
		}
		if !slices.ContainsFunc(rmiNeeds, func(m string) bool {
			return p.ImportPath == m || strings.HasPrefix(p.ImportPath, strings.TrimSuffix(m, "/")+"/")
		}) {
			t.Errorf("package rmi comes to depend on %s", p.ImportPath)
		}
	}
}

func TestRootHoldsWhatTheLayoutSays(t *testing.T) {
	want := strings.Fields("go.mod go.sum rmi registry refs proxy skeleton callback cmd examples README.md LICENSE")
	entries, err := os.ReadDir("..")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(want, e.Name()) {
			t.Errorf("%s is not part of the layout", filepath.Join("/", e.Name()))
		}
	}
}
