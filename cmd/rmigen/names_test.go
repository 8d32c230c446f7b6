package main

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The generated code calls types by names that it may use: aliases of types that
// are out of its reach, and what is behind aliases that are.
func TestTypesAreCalledByNamesWithinReach(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{
		"base/base.go": `package base

import "context"

type (
	id      = string
	list[T any] = []T

	// Base is remote.
	Base interface {
		Get(context.Context, id, list[id], func(context.Context, id) error) (map[id]*id, error)
		Data(context.Context, interface{ Name(id) list[int] }, struct{ A id }) error
	}
)
`,
		"pub/internal/in/in.go": `package in

// Point, Cents and Hidden are out of reach.
type (
	Point  struct{ X, Y Cents }
	Cents  int64
	Hidden struct{ N int }
)
`,
		"pub/pub.go": `package pub

import "gormi/cmd/rmigen/DIR/pub/internal/in"

// Point and Cents are aliases.
type (
	Point = in.Point
	Cents = in.Cents
)

// Pair is generic.
type Pair[T any] struct{ A, B T }

// Holder has no name for what it holds.
type Holder struct {
	H in.Hidden ` + "`msgpack:\",omitempty\"`" + `
}
`,
		"user/user.go": `package user

import (
	"context"

	"gormi/cmd/rmigen/DIR/base"
	"gormi/cmd/rmigen/DIR/pub"
)

// I is remote.
type I interface {
	base.Base
	Move(ctx context.Context, by pub.Point, costs []pub.Cents) (map[string]pub.Pair[pub.Point], error)
	Hold(ctx context.Context, h pub.Holder) error
}

type (
	e  struct{ V v }
	v  []a0
	a0 int
	p  map[a0]*e
	x  = pub.Point

	// Short has types with the names of variables.
	Short interface {
		Do(ctx context.Context, e e, v v, p *p, f func(context.Context, a0) error, x x) (a0, error)
	}
)
`})
	for _, name := range []string{"pub/pub.go", "user/user.go"} {
		put(t, dir, name, strings.ReplaceAll(read(t, dir, name), "DIR", filepath.ToSlash(dir)))
	}
	rmigen(t, 0, dir, "./user")
	if out, err := goes(t, dir, "vet", "./user"); err != nil {
		t.Errorf("go vet: %s", out)
	}
	text := read(t, dir, "user/user_rmi.go")
	for _, want := range []string{
		"Get(ctx context.Context, a0 string, a1 []string, a2 func(context.Context, string) error) (r0 map[string]*string, err error)",
		`stub.StructOf[pub.Point]("struct{X Y}")`, `stub.Plain[pub.Cents]("int64")`, `stub.StructOf[pub.Pair[pub.Point]]("struct{A B}")`,
		"type rmiEType = e\n", `stub.StructOf[rmiEType]("struct{V}")`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %s", want)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "Other(") && !strings.Contains(line, "a0)") && !strings.Contains(line, ".H)") {
			t.Errorf("by reflection: %s", line)
		}
	}
}

// Instances of generic interfaces that have a name get a stub, one each.
func TestNamedInstancesGetStubs(t *testing.T) {
	t.Parallel()
	const store = withContext + "// Store is generic.\ntype Store[T any] interface {\n\tGet(ctx context.Context) (T, error)\n}\n"
	dir := in(t, map[string]string{"p.go": store})
	if out := rmigen(t, 1, dir); !strings.Contains(out, "p.go:6:6: Store is generic: give an instance a name") {
		t.Errorf("without an instance: %s", out)
	}
	put(t, dir, "p.go", store+"\n// Ints and the others have names.\ntype (\n\tInts = Store[int]\n\tNumbers = Store[int]\n\tTexts Store[string]\n\tSame[T any] = Store[T]\n)\n")
	put(t, dir, "other/other.go", "package other\n\nimport \"gormi/cmd/rmigen/"+filepath.ToSlash(dir)+"\"\n\n// Ints has its stub elsewhere.\ntype Ints = p.Store[int]\n")
	rmigen(t, 0, dir, ".", "./other")
	if got := regexp.MustCompile(`stub\.Generated\[.*\]`).FindAllString(read(t, dir, "p_rmi.go"), -1); !slices.Equal(got, []string{"stub.Generated[Store[int]]", "stub.Generated[Texts]"}) {
		t.Errorf("stubs: %v", got)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "other", "*_rmi.go")); files != nil {
		t.Errorf("made %v", files)
	}
	if out, err := goes(t, dir, "vet", "."); err != nil {
		t.Errorf("go vet: %s", out)
	}
	rmigen(t, 0, dir, "-check", ".", "./other")
}
