// Package fields has the rules for the fields of structs that travel: which ones do, in which
// order, and under which names. Tags and embedded structs decide. Package codec applies the rules
// at run time to types of package reflect, rmigen when it writes a stub, to types of go/types.
package fields

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gormi/rmi/wire"
)

// Types answers what the rules ask about a type.
type Types[T any] interface {
	// Declared returns the fields of a struct, in order.
	Declared(T) []Declared[T]
	// Pointee returns what a pointer points to, or false.
	Pointee(T) (T, bool)
	IsStruct(T) bool
	IsInterface(T) bool
	// IsWhole reports whether a value travels as one, whatever fields it has: a time, a reference,
	// and what has a codec of its own.
	IsWhole(T) bool
	// HasIsZero reports whether a method IsZero says if a value is empty.
	HasIsZero(T) bool
	// IsOfSync reports whether a type is a mutex or the like, which nobody takes for data.
	IsOfSync(T) bool
	Same(a, b T) bool
	// Name is what errors call a type.
	Name(T) string
}

// Declared is a field as its struct declares it.
type Declared[T any] struct {
	Index              int
	Name               string
	Type               T
	Tag                reflect.StructTag
	Embedded, Exported bool
}

// Field is one value of a struct that travels.
type Field[T any] struct {
	Name  string // on the wire
	Alias string // a second name that decoding accepts, or empty
	// Path leads from the struct through the structs it embeds to the field.
	Path []Declared[T]
	// Pointers: an embedded pointer lies on the way, which may be nil.
	Pointers  bool
	OmitEmpty bool
}

// Last is the field itself, at the end of its path.
func (f *Field[T]) Last() Declared[T] { return f.Path[len(f.Path)-1] }

// String is the way to the field in Go: "Inner.C".
func (f *Field[T]) String() string {
	var names []string
	for _, step := range f.Path {
		names = append(names, step.Name)
	}
	return strings.Join(names, ".")
}

// Layout is how a struct travels: as a map of its fields by name, or as a tuple, their values in
// order.
type Layout[T any] struct {
	Fields []*Field[T]
	Tuple  bool
	types  Types[T]
}

// String describes in one line how the struct travels. The fields stand in order, each as
// "Go.Path". "*" stands in front if an embedded pointer lies on the way. "=name" follows if the
// field has another name on the wire. "?" follows if it may be left out ("?0" if a method IsZero
// decides).
func (l *Layout[T]) String() string {
	kind := "struct"
	if l.Tuple {
		kind = "tuple"
	}
	var parts []string
	for _, f := range l.Fields {
		path := f.String()
		s := path
		if f.Pointers {
			s = "*" + s
		}
		if path != f.Name {
			s += "=" + f.Name
		}
		if f.OmitEmpty {
			s += "?"
			if l.types.HasIsZero(f.Last().Type) {
				s += "0"
			}
		}
		parts = append(parts, s)
	}
	return kind + "{" + strings.Join(parts, " ") + "}"
}

// Of returns the layout of the struct t. It calls report for everything that is wrong with t, with
// the names of the fields that lead to the place.
func Of[T any](types Types[T], t T, report func(path []string, problem string)) *Layout[T] {
	c := collector[T]{types: types, report: report, open: []T{t}}
	l := &Layout[T]{types: types, Fields: c.fields(t), Tuple: c.tuple}
	if len(l.Fields) == 0 && !c.exported && len(types.Declared(t)) > 0 {
		report(nil, c.nothingExported(t))
	}
	byName := make(map[string]*Field[T], len(l.Fields))
	for _, f := range l.Fields {
		for _, name := range []string{f.Name, f.Alias} {
			if other := byName[name]; other != nil && other != f {
				report(nil, fmt.Sprintf("fields %s and %s both travel as %q; give one of them another name by a tag, or, if it is that of an embedded struct, keep that whole by the tag `msgpack:\",noinline\"`",
					other, f, name))
			}
			if name != "" {
				byName[name] = f
			}
		}
		if len(f.Name) > wire.MaxName {
			report(nil, fmt.Sprintf("the name of field %s is longer than %d bytes", f, wire.MaxName))
		}
	}
	return l
}

// tag is what msgpack's struct tag says: `msgpack:"name,option,alias:x"`.
type tag struct {
	name, alias                string
	omitEmpty, noInline, tuple bool
}

func parseTag(s string) (tag, error) {
	var t tag
	if strings.ContainsAny(s, `'\`) {
		return t, fmt.Errorf("quotes in the tag %q are not supported", s)
	}
	for i, part := range strings.Split(s, ",") {
		key, value, pair := strings.Cut(strings.TrimSpace(part), ":")
		switch {
		case key == "alias" && pair:
			t.alias = strings.TrimSpace(value)
		case i == 0 && !pair:
			t.name = key
		case key == "omitempty":
			t.omitEmpty = true
		case key == "noinline":
			t.noInline = true
		case key == "as_array", key == "asArray":
			t.tuple = true
		}
	}
	return t, nil
}

// A collector collects the fields of a struct as msgpack's tags order them.
type collector[T any] struct {
	types    Types[T]
	report   func(path []string, problem string)
	path     []string // of the embedded fields down to the struct
	open     []T      // structs being inlined into each other
	tuple    bool
	exported bool // a field was exported, travelling or not
}

func (c *collector[T]) fields(t T) (out []*Field[T]) {
	type entry struct {
		Declared[T]
		tag
		inlined bool
	}
	var entries []entry
	omitAll := false
	for _, f := range c.types.Declared(t) {
		tag, err := parseTag(f.Tag.Get("msgpack"))
		if err != nil {
			c.cannot(f, err.Error())
		}
		if f.Name == "_msgpack" {
			omitAll = tag.omitEmpty
			if len(c.open) == 1 {
				c.tuple = tag.tuple
			}
		}
		c.exported = c.exported || f.Exported
		if tag.name == "-" {
			continue
		}
		e := entry{Declared: f, tag: tag}
		e.inlined = f.Embedded && !tag.noInline && c.isInlined(f.Type)
		if !e.inlined && !f.Exported {
			if f.Embedded && !c.isPlain(f.Type) {
				c.cannot(f, fmt.Sprintf("the embedded %s is unexported, so nothing of it would travel; embed an exported type, give it a name, or leave it out with the tag `msgpack:\"-\"`", c.types.Name(f.Type)))
				c.exported = true // enough was said
			}
			continue
		}
		if e.tag.name == "" {
			e.tag.name = f.Name
		}
		entries = append(entries, e)
	}
	for _, e := range entries {
		if !e.inlined {
			out = append(out, &Field[T]{Name: e.tag.name, Alias: e.alias, Path: []Declared[T]{e.Declared}, OmitEmpty: e.omitEmpty || omitAll})
			continue
		}
		for _, f := range c.inline(e.Declared) {
			f.OmitEmpty = f.OmitEmpty || omitAll && !f.Pointers
			out = append(out, f)
		}
	}
	return out
}

func (c *collector[T]) cannot(f Declared[T], problem string) {
	c.report(append(slices.Clone(c.path), f.Name), problem)
}

// pointee is what t points to, or t itself.
func (c *collector[T]) pointee(t T) (_ T, pointer bool) {
	if e, ok := c.types.Pointee(t); ok {
		return e, true
	}
	return t, false
}

// isPlain reports whether an embedded field of an unexported type t is like any other unexported
// field, which does not travel, as everybody knows. It has no fields and no codec that seem to be
// those of the struct.
func (c *collector[T]) isPlain(t T) bool {
	t, _ = c.pointee(t)
	return !c.types.IsWhole(t) && !c.types.IsStruct(t) && !c.types.IsInterface(t)
}

// isInlined reports whether an embedded field of type t offers its fields.
func (c *collector[T]) isInlined(t T) bool {
	t, _ = c.pointee(t)
	return c.types.IsStruct(t) && !c.types.IsWhole(t) &&
		!slices.ContainsFunc(c.open, func(o T) bool { return c.types.Same(o, t) })
}

// inline returns the fields of an embedded struct. They travel as if they were the outer struct's
// own. None of them may have the name of another: which one a value is for would change with the
// types' versions. (In msgpack an outer field hides the inner one, or keeps the whole embedded
// struct from being inlined.)
func (c *collector[T]) inline(f Declared[T]) []*Field[T] {
	t, pointer := c.pointee(f.Type)
	outer := c.exported
	c.exported = false
	c.open, c.path = append(c.open, t), append(c.path, f.Name)
	inner := c.fields(t)
	c.open, c.path = c.open[:len(c.open)-1], c.path[:len(c.path)-1]
	switch {
	case pointer && !f.Exported && len(inner) > 0:
		c.cannot(f, "an embedded pointer to an unexported struct cannot be filled in; embed the struct itself")
	case f.Exported && !c.exported && len(c.types.Declared(t)) > 0 && !c.types.IsOfSync(t):
		c.cannot(f, c.nothingExported(t))
	}
	c.exported = outer || c.exported
	for _, in := range inner {
		in.Path = slices.Concat([]Declared[T]{f}, in.Path)
		if pointer {
			// If such a field is written, the pointer is not nil.
			in.Pointers, in.OmitEmpty = true, false
		}
	}
	return inner
}

func (c *collector[T]) nothingExported(t T) string {
	return c.types.Name(t) + " has no exported fields, so nothing of it would travel; export them, give it MarshalBinary and UnmarshalBinary, or leave it out with the tag `msgpack:\"-\"`"
}
