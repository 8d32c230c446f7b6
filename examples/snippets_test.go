package examples

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// snippet finds the README's code blocks in Go that name no file.
var snippet = regexp.MustCompile("(?s)```go\n(.*?)```")

// around is what a reader of the README and the guide takes to be there, wherever a snippet stands.
const around = `package snippets

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"example.com/bank"
	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/access"
	"gormi/rmi/intercept"
	"gormi/rmi/metadata"
	"gormi/rmi/rmitest"
)

var (
	ctx             context.Context
	t               *testing.T
	node            *rmi.Node
	roots           *x509.CertPool
	cert            tls.Certificate
	config          *tls.Config
	acct            bank.Account
	listener        bank.Account
	ErrInsufficient error
)

type account struct{ bank.Account }

func forget(any) {}
`

// TestReadmeSnippetsCompile type-checks every block of Go in the README and the guide that is no
// file, as the body of a function beside the names above. It ignores names that a snippet declares
// and does not use.
func TestReadmeSnippetsCompile(t *testing.T) {
	bankGo := ""
	for _, page := range []string{"README.md", ".github/GUIDE.md"} {
		text, err := os.ReadFile(filepath.Join("..", page))
		if err != nil {
			t.Fatal(err)
		}
		snippets := snippet.FindAllSubmatchIndex(text, -1)
		files := fence.FindAllSubmatch(text, -1)
		if all := strings.Count(string(text), "```go"); all != len(files)+len(snippets) || len(snippets) < 8 {
			t.Errorf("%s: %d blocks begin as Go; %d are files and %d snippets", page, all, len(files), len(snippets))
		}
		for _, f := range files {
			if string(f[1]) == "bank.go" {
				bankGo = string(f[2])
			}
		}
		c := checker{fset: token.NewFileSet(), packages: map[string]*types.Package{}, exports: exports(t, around)}
		c.gc = importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(c.exports[path]) })
		c.check(t, "example.com/bank", bankGo)
		code := around
		for i, at := range snippets {
			line := strings.Count(string(text[:at[2]]), "\n") + 1
			code += fmt.Sprintf("\nfunc snippet%d() error {\n//line %s:%d\n%s\n\treturn nil\n}\n", i, page, line, text[at[2]:at[3]])
		}
		c.check(t, "snippets", code)
	}
}

// exports returns where the compiler's export data of the packages is that a file imports, and of
// their dependencies.
func exports(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "", file, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}}={{.Export}}"}
	for _, i := range f.Imports {
		if path := strings.Trim(i.Path.Value, `"`); path != "example.com/bank" {
			args = append(args, path)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	all := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		all[path] = file
	}
	return all
}

// checker checks types, and imports what it checked before.
type checker struct {
	fset     *token.FileSet
	gc       types.Importer
	exports  map[string]string
	packages map[string]*types.Package
}

func (c *checker) Import(path string) (*types.Package, error) {
	if p := c.packages[path]; p != nil {
		return p, nil
	}
	return c.gc.Import(path)
}

func (c *checker) check(t *testing.T, path, code string) {
	t.Helper()
	f, err := parser.ParseFile(c.fset, path+".go", code, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: c, Error: func(err error) {
		if e, ok := err.(types.Error); !ok || !e.Soft { // declared and not used
			t.Error(err)
		}
	}}
	c.packages[path], _ = config.Check(path, c.fset, []*ast.File{f}, nil)
}
