package codec

import (
	"fmt"
	"slices"
	"strings"
)

// maxText bounds the text of a description in bytes. A hostile description can refer to its types
// so often that writing them all out would never end.
const maxText = 256 << 10

// String writes the interface as Go code. The methods come first, without context and error. Then
// comes every struct and every further interface that it mentions.
func (d *Description) String() string {
	p := printer{d: d}
	p.declare(d.Name, DescribedType{Kind: KindRemote, Methods: d.Methods})
	for _, t := range d.Types {
		if t.Name != "" && (len(t.Fields) > 0 || len(t.Methods) > 0) && t.Name != d.Name && !p.full() {
			p.b.WriteByte('\n')
			p.declare(t.Name, t)
		}
	}
	return p.b.String()
}

// A printer writes types of a description.
type printer struct {
	d    *Description
	b    strings.Builder
	open []int // types being written out: one within itself becomes "…"
	// spell has named types that are written out all the same, with their members of interest. The
	// other members are left out.
	spell map[int][]string
	// brief: other types without a name are written out with their first members only.
	brief bool
}

func (p *printer) full() bool { return p.b.Len() > maxText }

func (p *printer) declare(name string, t DescribedType) {
	if t.Kind == KindRemote {
		fmt.Fprintf(&p.b, "type %s interface {\n", name)
		for _, m := range t.Methods {
			p.b.WriteByte('\t')
			p.method(m)
			p.b.WriteString(m.Semantics.comment())
			p.b.WriteByte('\n')
		}
	} else {
		fmt.Fprintf(&p.b, "type %s struct {\n", name)
		for _, f := range t.Fields {
			fmt.Fprintf(&p.b, "\t%s ", f.Name)
			p.typ(f.Type)
			p.b.WriteByte('\n')
		}
	}
	p.b.WriteString("}\n")
}

func (p *printer) method(m DescribedMethod) {
	p.b.WriteString(m.Name)
	p.call(m)
}

func (p *printer) call(m DescribedMethod) {
	p.b.WriteByte('(')
	for i, t := range m.Params {
		if i > 0 {
			p.b.WriteString(", ")
		}
		if m.Variadic && i == len(m.Params)-1 && p.d.Types[t].Kind == KindList {
			p.b.WriteString("...")
			t = p.d.Types[t].Elem
		}
		p.typ(t)
	}
	p.b.WriteByte(')')
	if len(m.Results) == 0 {
		return
	}
	p.b.WriteString(" (")
	for i, t := range m.Results {
		if i > 0 {
			p.b.WriteString(", ")
		}
		p.typ(t)
	}
	p.b.WriteByte(')')
}

func (p *printer) typ(at int) {
	t := p.d.Types[at]
	switch {
	case p.full(), slices.Contains(p.open, at), len(p.open) > 16:
		if p.b.WriteString(t.Name); t.Name == "" {
			p.b.WriteString("…")
		}
		return
	case t.Name != "" && p.spell[at] == nil:
		p.b.WriteString(t.Name)
		return
	}
	p.open = append(p.open, at)
	switch t.Kind {
	case KindList:
		p.b.WriteString("[]")
		p.typ(t.Elem)
	case KindArray:
		fmt.Fprintf(&p.b, "[%d]", t.Len)
		p.typ(t.Elem)
	case KindByteArray:
		fmt.Fprintf(&p.b, "[%d]byte", t.Len)
	case KindMap:
		p.b.WriteString("map[")
		p.typ(t.Key)
		p.b.WriteByte(']')
		p.typ(t.Elem)
	case KindStruct, KindTuple:
		if p.b.WriteString(t.Name); t.Name == "" {
			p.b.WriteString("struct")
		}
		p.b.WriteByte('{')
		p.members(at, len(t.Fields), func(i int) string { return t.Fields[i].Name }, func(i int) {
			p.b.WriteString(t.Fields[i].Name + " ")
			p.typ(t.Fields[i].Type)
		})
		p.b.WriteByte('}')
	case KindRemote:
		if len(t.Methods) == 1 && t.Methods[0].Name == funcMethod && t.Name == "" {
			p.b.WriteString("func")
			p.call(t.Methods[0])
			break
		}
		if p.b.WriteString(t.Name); t.Name == "" {
			p.b.WriteString("interface")
		}
		p.b.WriteByte('{')
		p.members(at, len(t.Methods), func(i int) string { return t.Methods[i].Name }, func(i int) { p.method(t.Methods[i]) })
		p.b.WriteByte('}')
	default:
		p.b.WriteString(t.Kind.String())
	}
	p.open = p.open[:len(p.open)-1]
}

// briefMembers is how many fields or methods of a type without a name a brief text has.
const briefMembers = 4

// members writes the n fields or methods of a type, or only those that matter.
func (p *printer) members(at, n int, name func(int) string, write func(int)) {
	some := p.spell[at]
	left := false // out, since the last that was written
	separate := func() {
		if s := p.b.String(); s[len(s)-1] != '{' {
			p.b.WriteString("; ")
		}
	}
	for i := range n {
		if some != nil && !slices.Contains(some, name(i)) || some == nil && p.brief && i >= briefMembers {
			if !left {
				separate()
				p.b.WriteString("…")
			}
			left = true
			continue
		}
		separate()
		left = false
		write(i)
	}
}

// Signature writes a method without its context and error. A type that has no name and many fields
// is shortened.
func (d *Description) Signature(m DescribedMethod) string { return d.signature(m, nil) }

// signature writes a method with the types in spell written out.
func (d *Description) signature(m DescribedMethod, spell map[int][]string) string {
	p := printer{d: d, spell: spell, brief: true}
	p.method(m)
	return p.b.String()
}

func (d *Description) typeText(at int) string {
	p := printer{d: d, brief: true}
	p.typ(at)
	return p.b.String()
}
