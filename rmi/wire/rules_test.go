package wire_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var (
	ruleHead = regexp.MustCompile(`(?m)^// W-([0-9]+): `)
	ruleCite = regexp.MustCompile(`\bW-([0-9]+)\b`)
	opener   = regexp.MustCompile(`^W-[0-9]+: `)
)

// rules returns the numbers of the specification's rules.
func rules(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	last := 0
	for _, m := range ruleHead.FindAllStringSubmatch(string(text), -1) {
		if all[m[1]] {
			t.Errorf("W-%s has two rules", m[1])
		}
		all[m[1]] = true
		n, err := strconv.Atoi(m[1])
		if err != nil || n <= last {
			t.Errorf("W-%s stands after W-%d", m[1], last)
		}
		last = n
	}
	if len(all) < 80 {
		t.Fatalf("only %d rules were found", len(all))
	}
	return all
}

// sources calls f with every Go file of the module, and the golden files of the protocol.
func sources(t *testing.T, f func(path, text string)) {
	t.Helper()
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			made := strings.HasPrefix(d.Name(), "tmp") && filepath.Base(filepath.Dir(path)) == "testdata" // by a test that runs now
			if name := d.Name(); path != root && (strings.HasPrefix(name, ".") || name == "node_modules" || made) {
				return fs.SkipDir
			}
		case strings.HasSuffix(path, ".go"), strings.HasSuffix(path, ".md"), filepath.Base(filepath.Dir(path)) == "golden":
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			f(path, string(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// What an error, a comment or a test cites can be found in the specification.
func TestEveryRuleThatIsCitedExists(t *testing.T) {
	all := rules(t)
	cited := make(map[string]bool)
	sources(t, func(path, text string) {
		for _, m := range ruleCite.FindAllStringSubmatch(text, -1) {
			if !all[m[1]] {
				t.Errorf("%s cites W-%s, which is no rule", path, m[1])
			}
			if !strings.HasSuffix(path, "doc.go") && !strings.HasSuffix(path, "_test.go") {
				cited[m[1]] = true
			}
		}
	})
	if len(cited) < 25 {
		t.Errorf("only %d rules are cited by code", len(cited))
	}
}

// A peer that breaks the protocol learns which rule it broke. Every error of ProtocolError, and
// every one of kind Protocol that a peer or a log may see, begins with the number of the rule.
func TestEveryProtocolErrorCitesItsRule(t *testing.T) {
	found := 0
	sources(t, func(path, text string) {
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "testclient") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, 0)
		if err != nil {
			t.Error(err)
			return
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			at := -1
			switch name := lastName(call.Fun); {
			case name == "ProtocolError":
				at = 0
			case name == "New" && len(call.Args) > 2 && lastName(call.Args[0]) == "Protocol":
				at = 2
			}
			if at < 0 || len(call.Args) <= at {
				return true
			}
			found++
			format, ok := call.Args[at].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the format of a protocol error is not written where it is made", path)
				return true
			}
			if s, _ := strconv.Unquote(format.Value); !opener.MatchString(s) {
				t.Errorf("%s: the protocol error %s does not begin with the number of the rule that is broken", path, format.Value)
			}
			return true
		})
	})
	if found < 50 {
		t.Errorf("only %d protocol errors were found", found)
	}
}

// lastName returns the name after the last dot of an expression.
func lastName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		return e.Sel.Name
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// The sections that a level of conformance names are there.
func TestTheLevelsNameSectionsThatExist(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, ladder, ok := strings.Cut(string(text), "// # Levels of conformance")
	ladder, _, _ = strings.Cut(ladder, "\n// # ")
	if !ok {
		t.Fatal("there are no levels")
	}
	words := strings.Join(strings.Fields(strings.ReplaceAll(ladder, "//", " ")), " ")
	for _, section := range []string{"Conventions", "Beginning of a connection", "Sessions", "Records", "Calls", "Calls that come again",
		"The other records", "What a cut means", "Multicast", "References", "Leases", "Bodies", "Errors", "Descriptions and agreement", "Versions"} {
		if !strings.Contains(string(text), "\n// # "+section+"\n") {
			t.Errorf("there is no section %q", section)
		}
		for _, word := range strings.Fields(section) {
			if !strings.Contains(words, word) {
				t.Errorf("no level names the section %q", section)
			}
		}
	}
}
