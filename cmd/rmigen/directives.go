package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"iter"
	"slices"
	"strings"
	"time"

	"gormi/rmi/codec"
)

const directive = "//rmi:"

// directives reads the directives on the methods of the remote interfaces that the package
// declares. One in any other place is an error: it would have no effect.
func (p *pkg) directives() (errs []error) {
	for _, file := range p.Syntax {
		known := map[*ast.Comment]bool{}
		eachInterface(file, func(name *ast.Ident, i *ast.InterfaceType) {
			local := notRemote(p.TypesInfo.Defs[name].Type())
			for _, m := range i.Methods.List {
				for c := range commentsAt(m) {
					if text := strings.TrimLeft(c.Text, "/* \t"); strings.HasPrefix(text, "rmi:") && !isDirective(c) {
						errs = append(errs, fmt.Errorf("%v: %s is no directive: write it right after //, without spaces around its first colon, as in %sidempotent", p.position(c.Pos()), c.Text, directive))
						known[c] = true
					}
				}
				comments := directivesAt(m)
				for _, c := range comments {
					known[c] = true
					if local != nil {
						errs = append(errs, fmt.Errorf("%v: %s has no effect, because %s is not remote: %w", p.position(c.Pos()), c.Text, name.Name, local))
					}
				}
				if local == nil && len(comments) > 0 {
					f := p.TypesInfo.Defs[m.Names[0]].(*types.Func)
					s, err := semanticsAt(comments, f, p.position)
					if err != nil {
						errs = append(errs, err)
					}
					p.semantics[f] = s
				}
			}
		})
		for _, group := range file.Comments {
			for _, c := range group.List {
				if isDirective(c) && !known[c] {
					errs = append(errs, fmt.Errorf("%v: %s has no effect here: put it on a method of an interface that the package declares", p.position(c.Pos()), c.Text))
				}
			}
		}
	}
	return errs
}

// eachInterface visits the interfaces that a file declares and names.
func eachInterface(file *ast.File, visit func(*ast.Ident, *ast.InterfaceType)) {
	for _, d := range file.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range d.Specs {
			if s, ok := s.(*ast.TypeSpec); ok {
				if i, ok := s.Type.(*ast.InterfaceType); ok {
					visit(s.Name, i)
				}
			}
		}
	}
}

// semanticsOf returns a method's directives. An interface may embed methods of other packages.
// Their directives are in the sources of those packages.
func (p *pkg) semanticsOf(m *types.Func) (s codec.Semantics, err error) {
	m = m.Origin()
	if m.Pkg() == p.Types {
		return p.semantics[m], nil
	}
	pos := p.Fset.Position(m.Pos())
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, pos.Filename, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return s, fmt.Errorf("the directives of %s.%s cannot be read: %w", m.Pkg().Name(), m.Name(), err)
	}
	eachInterface(file, func(_ *ast.Ident, i *ast.InterfaceType) {
		for _, f := range i.Methods.List {
			if len(f.Names) > 0 && f.Names[0].Name == m.Name() && fset.Position(f.Names[0].Pos()).Line == pos.Line {
				s, err = semanticsAt(directivesAt(f), m, fset.Position)
			}
		}
	})
	return s, err
}

// agree checks that all declarations of a method in an interface, its own and embedded ones, say
// the same.
func (p *pkg) agree(name string, i *types.Interface) (errs []error) {
	first := map[string]*types.Func{}
	said := map[string]codec.Semantics{}
	eachDeclaration(i, func(m *types.Func) {
		s, err := p.semanticsOf(m)
		if err != nil {
			errs = append(errs, err)
		}
		switch other := first[m.Name()]; {
		case other == nil:
			first[m.Name()], said[m.Name()] = m, s
		case said[m.Name()] != s:
			errs = append(errs, fmt.Errorf("%v: %s.%s has other directives here (%q) than at %v (%q): make them the same",
				p.position(m.Pos()), name, m.Name(), s, p.position(other.Pos()), said[m.Name()]))
		}
	})
	return errs
}

// withoutStub returns the directives in the packages of the jobs that have no effect, because no
// file of the package has a stub with the method.
func withoutStub(jobs []job) (dead []error) {
	files := map[string]job{}
	pkgs := map[*pkg]bool{}
	for _, j := range jobs {
		for _, m := range j.made() {
			files[m.path] = m
		}
		pkgs[j.pkg] = true
	}
	for _, j := range jobs { // in place of what is there
		files[j.path] = j
	}
	stubs := map[*types.Func]bool{}
	for _, j := range files {
		for _, name := range j.names {
			if o := j.Types.Scope().Lookup(name); o != nil {
				if i, ok := o.Type().Underlying().(*types.Interface); ok {
					eachDeclaration(i, func(m *types.Func) { stubs[m.Origin()] = true })
				}
			}
		}
	}
	for p := range pkgs {
		for m := range p.semantics {
			if !stubs[m] {
				dead = append(dead, fmt.Errorf("%v: the directives of %s have no effect: no interface that has it gets a stub", p.position(m.Pos()), m.Name()))
			}
		}
	}
	slices.SortFunc(dead, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return dead
}

// eachDeclaration visits the methods of an interface and of those that it embeds. It visits a
// method once for each declaration.
func eachDeclaration(i *types.Interface, visit func(*types.Func)) {
	for m := range i.ExplicitMethods() {
		visit(m)
	}
	for e := range i.EmbeddedTypes() {
		if e, ok := e.Underlying().(*types.Interface); ok {
			eachDeclaration(e, visit)
		}
	}
}

// directivesAt returns the directives before and after a method.
func directivesAt(m *ast.Field) (found []*ast.Comment) {
	for c := range commentsAt(m) {
		if len(m.Names) > 0 && isDirective(c) {
			found = append(found, c)
		}
	}
	return found
}

// commentsAt yields the comments before and after a method.
func commentsAt(m *ast.Field) iter.Seq[*ast.Comment] {
	return func(yield func(*ast.Comment) bool) {
		for _, group := range []*ast.CommentGroup{m.Doc, m.Comment} {
			if group == nil {
				continue
			}
			for _, c := range group.List {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// isDirective reports whether gofmt takes a comment for a directive. It takes others for text.
func isDirective(c *ast.Comment) bool {
	word, ok := strings.CutPrefix(c.Text, directive)
	return ok && word != "" && word[0] != ' ' && word[0] != '\t'
}

// semanticsAt reads the directives of a method.
func semanticsAt(comments []*ast.Comment, m *types.Func, position func(token.Pos) token.Position) (s codec.Semantics, err error) {
	seen := map[string]bool{}
	for _, c := range comments {
		word, cerr := add(&s, strings.Fields(strings.TrimPrefix(c.Text, directive)))
		if cerr == nil {
			cerr = s.Check(m.Signature().Results().Len() - 1)
		}
		if cerr == nil && seen[word] {
			cerr = fmt.Errorf("%s has the directive twice", m.Name())
		}
		seen[word] = true
		if cerr != nil {
			err = errors.Join(err, fmt.Errorf("%v: %s: %w", position(c.Pos()), c.Text, cerr))
		}
	}
	return s, err
}

// add applies the words of a directive to s. It returns the first.
func add(s *codec.Semantics, words []string) (word string, err error) {
	switch {
	case len(words) == 1 && words[0] == "idempotent":
		s.Idempotent = true
	case len(words) == 1 && words[0] == "oneway":
		s.OneWay = true
	case len(words) == 2 && words[0] == "timeout":
		if s.Timeout, err = time.ParseDuration(words[1]); err != nil || s.Timeout == 0 {
			return "", fmt.Errorf("want a time as in %stimeout 5s", directive)
		}
	case len(words) > 0 && (words[0] == "idempotent" || words[0] == "oneway"):
		return "", fmt.Errorf("want %s%s and nothing after it", directive, words[0])
	case len(words) > 0 && words[0] == "timeout":
		return "", fmt.Errorf("want a time as in %stimeout 5s", directive)
	default:
		return "", fmt.Errorf("not known: there are %[1]sidempotent, %[1]soneway and %[1]stimeout 5s", directive)
	}
	return words[0], nil
}
