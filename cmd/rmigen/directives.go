package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"time"
)

// semantics are a method's directives.
type semantics struct {
	idempotent, oneWay bool
	timeout            time.Duration
}

const directive = "//rmi:"

// directives reads the directives at the methods of interfaces. One that
// stands elsewhere is an error: it would have no effect.
func (p *pkg) directives() (errs []error) {
	for _, file := range p.Syntax {
		known := map[*ast.Comment]bool{}
		eachMethod(file, func(m *ast.Field) {
			f, ok := p.TypesInfo.Defs[m.Names[0]].(*types.Func)
			if !ok {
				return
			}
			var s semantics
			for c, text := range directivesAt(m) {
				known[c] = true
				if err := s.add(text, f); err != nil {
					errs = append(errs, fmt.Errorf("%v: %w", p.position(c.Pos()), err))
				}
			}
			p.semantics[f] = s
		})
		for _, group := range file.Comments {
			for _, c := range group.List {
				switch {
				case strings.HasPrefix(c.Text, directive) && !known[c]:
					errs = append(errs, fmt.Errorf("%v: %s stands at no method of an interface, where alone it counts", p.position(c.Pos()), c.Text))
				case strings.HasPrefix(c.Text, "//go:generate ") && slices.ContainsFunc(strings.Fields(c.Text), func(w string) bool {
					w, _, _ = strings.Cut(w, "@") // go run gormi/cmd/rmigen@version
					return w == "rmigen" || strings.HasSuffix(w, "/rmigen")
				}):
					p.asked = p.position(c.Pos())
				}
			}
		}
	}
	return errs
}

// semanticsOf returns a method's directives. Those of other packages' methods,
// which an interface of this one has by embedding, stand in their sources.
func (p *pkg) semanticsOf(m *types.Func) (s semantics, err error) {
	m = m.Origin()
	if m.Pkg() == p.Types {
		return p.semantics[m], nil
	}
	pos := p.Fset.Position(m.Pos())
	fset := token.NewFileSet()
	file, perr := parser.ParseFile(fset, pos.Filename, nil, parser.ParseComments|parser.SkipObjectResolution)
	if perr != nil {
		return s, fmt.Errorf("the directives of %s.%s cannot be read: %w", m.Pkg().Name(), m.Name(), perr)
	}
	eachMethod(file, func(f *ast.Field) {
		if f.Names[0].Name != m.Name() || fset.Position(f.Names[0].Pos()).Line != pos.Line {
			return
		}
		for c, text := range directivesAt(f) {
			if serr := s.add(text, m); serr != nil {
				err = errors.Join(err, fmt.Errorf("%v: %w", fset.Position(c.Pos()), serr))
			}
		}
	})
	return s, err
}

// eachMethod visits the methods of the interfaces that a file declares.
func eachMethod(file *ast.File, visit func(*ast.Field)) {
	ast.Inspect(file, func(n ast.Node) bool {
		if i, ok := n.(*ast.InterfaceType); ok {
			for _, m := range i.Methods.List {
				if len(m.Names) > 0 {
					visit(m)
				}
			}
		}
		return true
	})
}

// directivesAt returns the directives before and behind a method.
func directivesAt(m *ast.Field) map[*ast.Comment]string {
	found := map[*ast.Comment]string{}
	for _, group := range []*ast.CommentGroup{m.Doc, m.Comment} {
		if group == nil {
			continue
		}
		for _, c := range group.List {
			if text, ok := strings.CutPrefix(c.Text, directive); ok {
				found[c] = text
			}
		}
	}
	return found
}

func (s *semantics) add(text string, m *types.Func) error {
	words := strings.Fields(text)
	switch {
	case len(words) == 1 && words[0] == "idempotent":
		s.idempotent = true
	case len(words) == 1 && words[0] == "oneway":
		s.oneWay = true
		if n := m.Signature().Results().Len(); n > 1 {
			return fmt.Errorf("%s%s: nothing comes back from such a call, but %s returns more than an error", directive, text, m.Name())
		}
	case len(words) == 2 && words[0] == "timeout":
		d, err := time.ParseDuration(words[1])
		if err != nil || d <= 0 {
			return fmt.Errorf("%s%s: want a time as in %stimeout 5s", directive, text, directive)
		}
		s.timeout = d
	default:
		return fmt.Errorf("%s%s: not known: there are %[1]sidempotent, %[1]soneway and %[1]stimeout 5s", directive, text)
	}
	return nil
}
