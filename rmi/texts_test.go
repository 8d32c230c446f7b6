package rmi_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"gormi/rmi"
	"gormi/rmi/internal/cases"
	"gormi/rmi/rmitest"
)

// Whoever meets a limit is told which option sets it, or that none does. Every text of
// an error of kind TooLarge or Overloaded in the module is looked at.
func TestErrorsOfLimitsNameTheOption(t *testing.T) {
	elsewhere := []string{
		"the session has a newer connection", // a rule of the transport, and no limit
	}
	found := 0
	err := filepath.WalkDir("..", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && (e.Name() == "bench" || e.Name() == "examples" || e.Name() == "testclient" || e.Name() == "testdata" || strings.HasPrefix(e.Name(), ".") && len(e.Name()) > 2):
			return filepath.SkipDir
		case e.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var within []ast.Expr
			switch n := n.(type) {
			case *ast.CallExpr:
				within = n.Args
			case *ast.CompositeLit:
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						e = kv.Value
					}
					within = append(within, e)
				}
			}
			limit, text := false, ""
			for _, e := range within {
				name := ""
				switch e := e.(type) {
				case *ast.SelectorExpr:
					name = e.Sel.Name
				case *ast.Ident:
					name = e.Name
				}
				limit = limit || name == "KindTooLarge" || name == "KindOverloaded"
				text += literals(e)
			}
			if !limit || text == "" {
				return true
			}
			found++
			for _, s := range elsewhere {
				if text == s {
					return true
				}
			}
			if !strings.Contains(text, "Options.") && !strings.Contains(text, "fixed limit") {
				t.Errorf("%s: the text names no option: %q", set.Position(n.Pos()), text)
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if found < 20 {
		t.Errorf("only %d texts were found", found)
	}
}

// literals joins the string literals of an expression: a text, or the arguments of a Sprintf.
func literals(e ast.Expr) string {
	var b strings.Builder
	ast.Inspect(e, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			if s, err := strconv.Unquote(l.Value); err == nil {
				b.WriteString(s)
			}
		}
		return true
	})
	return b.String()
}

// Of an interface with many methods the errors of a call by name show what helps.
func TestACallByNameThatFitsNoMethodIsToldBriefly(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	r := export[cases.Cases](t, owner, struct{ cases.Cases }{}, nil)
	_, err := caller.Invoke(within(t), r, "Nothing")
	expect{rmi.KindNoSuchMethod, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if s := fmt.Sprint(err); len(s) > 500 || !strings.Contains(s, "cases.Cases has no method Nothing; it has Active, Apply, Array,") || !strings.Contains(s, " more") {
		t.Errorf("the text is %q", s)
	}
	_, err = caller.Invoke(within(t), r, "Many", 1)
	expect{rmi.KindBadArguments, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if s := fmt.Sprint(err); len(s) > 300 || !strings.Contains(s, "Many(int64, string, []byte) (int64, string, []byte)") {
		t.Errorf("the text is %q", s)
	}
	// The owner says it of a method that it does not know.
	type stranger = struct {
		Unheard func(context.Context) error
	}
	w, err := rmi.Resolve[stranger](caller, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = w.Unheard(within(t))
	expect{rmi.KindMismatch, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if s := fmt.Sprint(err); len(s) > 500 {
		t.Errorf("the text is %q", s)
	}
}
