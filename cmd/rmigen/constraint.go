package main

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/build/constraint"
	"io"
	"path/filepath"
	"strings"
)

// constraint is the //go:build line that the generated file needs. It joins the constraints of the
// files that declare the types, whether by a line or by their names. It is empty if there are none.
func (j *job) constraint() (line string, err error) {
	first := ""
	for _, name := range j.names {
		at := j.Types.Scope().Lookup(name).Pos()
		for _, file := range j.Syntax {
			if at < file.FileStart || at >= file.FileEnd {
				continue
			}
			switch mine := constraintOf(file, j.position(at).Filename); {
			case first == "":
				first, line = name, mine
			case mine != line:
				return "", fmt.Errorf("%v: %s has another build constraint than %s: make a file for each, with -type and -o", j.position(at), name, first)
			}
		}
	}
	return line, nil
}

func constraintOf(file *ast.File, path string) (line string) {
	for _, group := range file.Comments {
		for _, c := range group.List {
			if c.Pos() < file.Package && constraint.IsGoBuild(c.Text) {
				line = c.Text
			}
		}
	}
	byName := constraintInName(filepath.Base(path))
	switch byLine, err := constraint.Parse(line); {
	case byName == nil:
		return line
	case err == nil:
		byName = &constraint.AndExpr{X: byName, Y: byLine}
	}
	return "//go:build " + byName.String()
}

// constraintInName is the constraint in a file's name: linux and amd64 in x_linux_amd64.go, none in
// most. Package go/build knows the names of systems. Which ones count shows in what it accepts.
func constraintInName(name string) constraint.Expr {
	const unknown = "unknown"
	taken := func(system, processor string) bool {
		c := build.Context{GOOS: system, GOARCH: processor, Compiler: "gc", OpenFile: func(string) (io.ReadCloser, error) {
			return io.NopCloser(strings.NewReader("package p\n")), nil
		}}
		ok, err := c.MatchFile("", name)
		return ok && err == nil
	}
	words := strings.Split(strings.TrimSuffix(strings.TrimSuffix(name, ".go"), "_test"), "_")
	if len(words) < 2 || taken(unknown, unknown) {
		return nil
	}
	last, before := &constraint.TagExpr{Tag: words[len(words)-1]}, &constraint.TagExpr{Tag: words[len(words)-2]}
	switch {
	case taken(last.Tag, unknown), taken(unknown, last.Tag):
		return last
	case taken(before.Tag, last.Tag):
		return &constraint.AndExpr{X: before, Y: last}
	}
	return nil // no name that is built at all
}
