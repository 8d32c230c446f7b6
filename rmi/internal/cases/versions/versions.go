// Package versions makes random struct types and later versions of them, and says which of
// their fields correspond. Its tests find out how values arrive that one version sends to
// another.
package versions

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
)

//go:generate go test -run TestTheTypesAreCurrent -update .
//go:generate go tool rmigen -type Old,New

// Leaf is a struct that is not embedded.
type Leaf struct{ X, Y int }

// leaves are the types of fields. Only the first two agree on the wire.
var leaves = []struct {
	typ  reflect.Type
	text string
}{
	{reflect.TypeFor[int](), "int"}, {reflect.TypeFor[*int](), "*int"}, {reflect.TypeFor[string](), "string"}, {reflect.TypeFor[bool](), "bool"},
	{reflect.TypeFor[[]string](), "[]string"}, {reflect.TypeFor[map[string]int](), "map[string]int"}, {reflect.TypeFor[float64](), "float64"},
	{reflect.TypeFor[[]byte](), "[]byte"}, {reflect.TypeFor[Leaf](), "Leaf"}, {reflect.TypeFor[netip.Addr](), "netip.Addr"},
}

// Shape is a struct type.
type Shape struct {
	Tuple  bool
	Fields []Field
}

// Field is a field of a Shape.
type Field struct {
	Name string
	Leaf int // index in leaves
	// Embedded is embedded instead, by a pointer or not. Kept whole it travels as a field of
	// its own.
	Embedded       *Shape
	Pointer, Whole bool

	Wire, Alias string // in the tag
	Omit        bool
}

func (f *Field) wire() string {
	if f.Wire != "" {
		return f.Wire
	}
	return f.Name
}

func (f *Field) tag() string {
	text := f.Wire
	if f.Whole {
		text = f.wire() + ",noinline"
	}
	if f.Omit {
		text += ",omitempty"
	}
	if f.Alias != "" {
		text += ",alias:" + f.Alias
	}
	if text == "" {
		return ""
	}
	return `msgpack:"` + text + `"`
}

// Type makes the type.
func (s *Shape) Type() reflect.Type {
	var fields []reflect.StructField
	if s.Tuple {
		fields = append(fields, reflect.StructField{Name: "_msgpack", PkgPath: "gormi/rmi/internal/cases/versions", Type: reflect.TypeFor[struct{}](), Tag: `msgpack:",as_array"`})
	}
	for _, f := range s.Fields {
		x := reflect.StructField{Name: f.Name, Type: leaves[f.Leaf].typ, Tag: reflect.StructTag(f.tag())}
		if f.Embedded != nil {
			if x.Anonymous, x.Type = true, f.Embedded.Type(); f.Pointer {
				x.Type = reflect.PointerTo(x.Type)
			}
		}
		fields = append(fields, x)
	}
	return reflect.StructOf(fields)
}

// source writes the declaration of the type under a name, and of the types that it embeds.
func (s *Shape) source(name string) string {
	var b, more strings.Builder
	fmt.Fprintf(&b, "// %s is a version of a random struct.\ntype %[1]s struct {\n", name)
	if s.Tuple {
		b.WriteString("_msgpack struct{} `msgpack:\",as_array\"` //lint:ignore U1000 the tag is for msgpack\n")
	}
	for _, f := range s.Fields {
		text := f.Name + " " + leaves[f.Leaf].text
		if f.Embedded != nil {
			more.WriteString("\n" + f.Embedded.source(name+f.Name))
			if text = name + f.Name; f.Pointer {
				text = "*" + text
			}
		}
		if tag := f.tag(); tag != "" {
			text += " `" + tag + "`"
		}
		b.WriteString(text + "\n")
	}
	return b.String() + "}\n" + more.String()
}

// maker makes shapes. Names of embedded fields are used once. Those of others are few.
type maker struct {
	*rand.Rand
	embedded, tags int
}

func (m *maker) name() string { return fmt.Sprintf("F%d", m.IntN(24)) }

func (m *maker) shape(depth int) *Shape {
	s := &Shape{Tuple: depth == 0 && m.IntN(6) == 0}
	for range 1 + m.IntN(5) {
		m.add(s, depth)
	}
	return s
}

func (m *maker) add(s *Shape, depth int) {
	if depth < 2 && m.IntN(4) == 0 {
		m.embedded++
		s.Fields = append(s.Fields, Field{Name: fmt.Sprintf("E%d", m.embedded), Embedded: m.shape(depth + 1), Pointer: m.IntN(2) == 0})
		return
	}
	if f := (Field{Name: m.name(), Leaf: m.IntN(len(leaves)), Omit: m.IntN(5) == 0}); !s.has(f.Name) {
		s.Fields = append(s.Fields, f)
	}
}

func (s *Shape) has(name string) bool {
	return slices.ContainsFunc(s.Fields, func(f Field) bool { return f.Name == name })
}

func (s *Shape) clone() *Shape {
	c := &Shape{Tuple: s.Tuple, Fields: slices.Clone(s.Fields)}
	for i := range c.Fields {
		if e := c.Fields[i].Embedded; e != nil {
			c.Fields[i].Embedded = e.clone()
		}
	}
	return c
}

// later returns a later version: fields are added, removed, renamed, reordered,
// moved into embedded structs or out of them, or get another type.
func (m *maker) later(s *Shape) *Shape {
	s = s.clone()
	for range 1 + m.IntN(4) {
		at := s // the struct that is changed
		for range 2 {
			if f := &at.Fields[m.IntN(len(at.Fields))]; f.Embedded != nil {
				at = f.Embedded
			}
		}
		i := m.IntN(len(at.Fields))
		f := &at.Fields[i]
		switch m.IntN(10) {
		case 0, 1:
			m.add(at, 1)
			n := len(at.Fields) - 1
			j := m.IntN(n + 1)
			at.Fields[j], at.Fields[n] = at.Fields[n], at.Fields[j]
		case 2:
			if len(at.Fields) > 1 {
				at.Fields = slices.Delete(at.Fields, i, i+1)
			}
		case 3: // embed some
			n := 1 + m.IntN(len(at.Fields)-i)
			m.embedded++
			e := Field{Name: fmt.Sprintf("E%d", m.embedded), Embedded: &Shape{Fields: slices.Clone(at.Fields[i : i+n])}, Pointer: m.IntN(2) == 0}
			at.Fields = slices.Replace(at.Fields, i, i+n, e)
		case 4: // the reverse
			if f.Embedded != nil && !slices.ContainsFunc(f.Embedded.Fields, func(in Field) bool { return at.has(in.Name) }) {
				at.Fields = slices.Replace(at.Fields, i, i+1, f.Embedded.Fields...)
			}
		case 5:
			f.Pointer = f.Embedded != nil && !f.Pointer
		case 6: // another name on the wire, or in Go
			if f.Embedded != nil {
				break
			}
			m.tags++
			if m.IntN(3) == 0 {
				if name := m.name(); !at.has(name) {
					f.Wire, f.Name = f.wire(), name
				}
				break
			}
			if f.Alias = ""; m.IntN(2) == 0 {
				f.Alias = f.wire()
			}
			f.Wire = fmt.Sprintf("t%d", m.tags)
		case 7:
			m.Shuffle(len(at.Fields), func(i, j int) { at.Fields[i], at.Fields[j] = at.Fields[j], at.Fields[i] })
		case 8:
			f.Whole = f.Embedded != nil && !f.Whole
		case 9:
			if f.Embedded == nil {
				f.Leaf = m.IntN(len(leaves))
			}
		}
	}
	return s
}

// slot is a value that travels separately: a field of a struct, or of one that it embeds.
type slot struct {
	name, alias string
	typ         reflect.Type
	index       []int
	omit        bool
}

// slots lists the values of a struct that travel. It does not ask the codec.
func slots(t reflect.Type) (list []slot, tuple bool) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("msgpack"), ",")
		if f.Name == "_msgpack" {
			tuple = true
			continue
		}
		if f.Anonymous && !strings.Contains(options, "noinline") {
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			all, _ := slots(inner)
			for _, s := range all {
				s.index = append([]int{i}, s.index...)
				s.omit = s.omit && f.Type.Kind() != reflect.Pointer
				list = append(list, s)
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		_, alias, _ := strings.Cut(options, "alias:")
		list = append(list, slot{name, alias, f.Type, []int{i}, strings.Contains(options, "omitempty")})
	}
	return list, tuple
}

// conflict reports whether two values of a struct, or of one in it, have one name.
func conflict(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[netip.Addr]() {
		return false
	}
	taken := map[string]bool{}
	list, _ := slots(t)
	for _, s := range list {
		names := []string{s.name}
		if s.alias != "" && s.alias != s.name {
			names = append(names, s.alias)
		}
		for _, name := range names {
			if taken[name] {
				return true
			}
			taken[name] = true
		}
		if conflict(s.typ) {
			return true
		}
	}
	return false
}
