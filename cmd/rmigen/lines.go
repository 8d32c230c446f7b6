package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// line is a //go:generate line that runs rmigen.
type line struct {
	at   token.Position
	args []string
}

const generateLine = "//go:generate"

// lines returns the lines of the package that run rmigen.
func (p *pkg) lines() (lines []line) {
	for _, file := range p.Syntax {
		for _, group := range file.Comments {
			for _, c := range group.List {
				words := p.words(c)
				if len(words) > 0 && words[0] == "-command" {
					continue
				}
				i := slices.IndexFunc(words, func(w string) bool {
					w, _, _ = strings.Cut(w, "@") // go run gormi/cmd/rmigen@version
					return w == "rmigen" || strings.HasSuffix(w, "/rmigen")
				})
				if i >= 0 {
					lines = append(lines, line{p.position(c.Pos()), words[i+1:]})
				}
			}
		}
	}
	return lines
}

// words splits a //go:generate line as the go command does: at spaces outside quotes, with
// variables expanded.
func (p *pkg) words(c *ast.Comment) (words []string) {
	rest, ok := strings.CutPrefix(c.Text, generateLine)
	at := p.Fset.Position(c.Pos())
	if !ok || at.Column != 1 || rest == "" || rest[0] != ' ' && rest[0] != '\t' {
		return nil
	}
	for rest = strings.TrimLeft(rest, " \t"); rest != ""; rest = strings.TrimLeft(rest, " \t") {
		end := strings.IndexAny(rest+" ", " \t")
		word := rest[:end]
		if quoted, err := strconv.QuotedPrefix(rest); err == nil && rest[0] == '"' {
			end = len(quoted)
			word, _ = strconv.Unquote(quoted)
		}
		rest = rest[end:]
		words = append(words, os.Expand(word, func(name string) string {
			switch name {
			case "DOLLAR":
				return "$"
			case "GOFILE":
				return filepath.Base(at.Filename)
			case "GOLINE":
				return strconv.Itoa(at.Line)
			case "GOPACKAGE":
				return p.Name
			case "GOOS":
				return runtime.GOOS
			case "GOARCH":
				return runtime.GOARCH
			}
			return os.Getenv(name)
		}))
	}
	return words
}

// due returns the jobs of the generated files that exist, and those that the //go:generate lines
// ask for.
func due(pkgs []*pkg) (jobs []job, err error) {
	asked := map[string]bool{} // the paths
	for _, p := range pkgs {
		for _, l := range p.lines() {
			mine, lerr := p.asked(l)
			if lerr != nil {
				err = errors.Join(err, fmt.Errorf("%v: %w", l.at, lerr))
			}
			for _, j := range mine {
				j.asked = l.at
				asked[j.path] = true
				jobs = append(jobs, j)
			}
		}
	}
	for _, p := range pkgs {
		for _, j := range p.made() {
			if !asked[j.path] {
				jobs = append(jobs, j)
			}
		}
	}
	return jobs, err
}

// asked returns the jobs of a line.
func (p *pkg) asked(l line) ([]job, error) {
	c, err := parse(l.args, io.Discard)
	if err != nil || c.check {
		return nil, err
	}
	pkgs := []*pkg{p}
	if len(c.patterns) > 0 {
		if pkgs, err = load(p.dir, c.patterns); err != nil {
			return nil, err
		}
	}
	return wanted(pkgs, c.options)
}
