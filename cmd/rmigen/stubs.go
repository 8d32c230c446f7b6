package main

import (
	"fmt"
	"go/types"
	"slices"
	"strings"

	"gormi/rmi/codec"
)

// method is one method of an interface, or a func as the one that it has.
type method struct {
	name      string
	signature *types.Signature
	semantics codec.Semantics
	call      string // in Go, of the servant v
}

func (f *file) methods(t types.Type) (list []method) {
	if s, ok := t.Underlying().(*types.Signature); ok {
		return []method{{name: "Call", signature: s, call: "v"}}
	}
	for m := range t.Underlying().(*types.Interface).Methods() {
		s, _ := f.semanticsOf(m) // they were read before
		list = append(list, method{m.Name(), m.Signature(), s, "v." + m.Name()})
	}
	slices.SortFunc(list, func(a, b method) int { return strings.Compare(a.name, b.name) })
	return list
}

// writeStub writes the proxy and the skeleton of an interface or func type.
func (f *file) writeStub(x *generatedType) error {
	for _, m := range f.methods(x.typ) {
		for _, vars := range []*types.Tuple{m.signature.Params(), m.signature.Results()} {
			for v := range vars.Variables() {
				if !f.canName(v.Type()) {
					return fmt.Errorf("%v: %s.%s: the generated code cannot name the type %s: it is not exported, internal, or declared in a function",
						f.position(v.Pos()), x.text, m.name, short(v.Type()))
				}
			}
		}
	}
	name := f.named(x)
	f.printf("// rmi%s is the proxy of %s.\ntype rmi%s struct{ %s }\n\n", name, x.text, name, f.object)
	for i, m := range f.methods(x.typ) {
		f.writeProxyMethod("rmi"+name, i, m)
	}
	f.printf("func rmiServe%s(ctx %s, v %s, method int, d *stub.Decoder, e *stub.Encoder) error {\nswitch method {\n", name, f.context, x.text)
	for i, m := range f.methods(x.typ) {
		f.printf("case %d: // %s\n", i, m.name)
		f.writeServe(m)
	}
	f.printf("}\nreturn nil\n}\n\n")
	return nil
}

func (f *file) writeProxyMethod(receiver string, number int, m method) {
	params, results := m.signature.Params(), m.signature.Results()
	f.context = f.text(params.At(0).Type())
	in := []string{"ctx " + f.context}
	for i := 1; i < params.Len(); i++ {
		text := f.text(params.At(i).Type())
		if m.signature.Variadic() && i == params.Len()-1 {
			text = "..." + f.text(params.At(i).Type().Underlying().(*types.Slice).Elem())
		}
		in = append(in, fmt.Sprintf("a%d %s", i-1, text))
	}
	last := results.Len() - 1
	out, zero, values := "error", "", ""
	if last > 0 {
		out = "("
		for i := range last {
			t := results.At(i).Type()
			out += fmt.Sprintf("r%d %s, ", i, f.text(t))
			zero += f.zero(t) + ", "
			values += fmt.Sprintf("r%d, ", i)
		}
		out += "err error)"
	}
	f.printf("func (p %s) %s(%s) %s {\nc := p.%s.Begin(ctx, %d)\nfor c.Attempt() {\n", receiver, m.name, strings.Join(in, ", "), out, f.object, number)
	if len(in) == 1 {
		f.printf("c.Args()\n")
	} else {
		f.printf("e := c.Args()\n")
	}
	for i := 1; i < params.Len(); i++ {
		f.printf("e.Value(%d)\n", i-1)
		f.encode(fmt.Sprintf("a%d", i-1), params.At(i).Type(), 0)
	}
	f.printf("c.Send()\n}\n")
	if last == 0 {
		f.printf("c.Results()\nreturn c.End()\n}\n\n")
		return
	}
	f.printf("if d := c.Results(); d != nil {\n")
	for i := range last {
		f.printf("d.Value(%d)\n", i)
		f.decode(fmt.Sprintf("r%d", i), results.At(i).Type(), 0)
	}
	f.printf("}\nif err = c.End(); err != nil {\nreturn %serr\n}\nreturn %snil\n}\n\n", zero, values)
}

// zero is the zero value of a type in Go.
func (f *file) zero(t types.Type) string {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsString != 0:
			return `""`
		case u.Info()&types.IsBoolean != 0:
			return "false"
		}
		return "0"
	case *types.Struct, *types.Array:
		return f.text(t) + "{}"
	}
	return "nil"
}

func (f *file) writeServe(m method) {
	params, results := m.signature.Params(), m.signature.Results()
	args := "ctx"
	for i := 1; i < params.Len(); i++ {
		f.printf("var a%d %s\n", i-1, f.text(params.At(i).Type()))
		args += fmt.Sprintf(", a%d", i-1)
	}
	if m.signature.Variadic() {
		args += "..."
	}
	for i := 1; i < params.Len(); i++ {
		f.printf("d.Value(%d)\n", i-1)
		f.decode(fmt.Sprintf("a%d", i-1), params.At(i).Type(), 0)
	}
	f.printf("if !d.Ok() {\nreturn nil\n}\n")
	last := results.Len() - 1
	if last == 0 {
		f.printf("return %s(%s)\n", m.call, args)
		return
	}
	var values string
	for i := range last {
		values += fmt.Sprintf("r%d, ", i)
	}
	f.printf("%serr := %s(%s)\nif err != nil {\nreturn err\n}\n", values, m.call, args)
	for i := range last {
		f.printf("e.Value(%d)\n", i)
		f.encode(fmt.Sprintf("r%d", i), results.At(i).Type(), 0)
	}
}

// writeRegistration writes what registers a stub.
func (f *file) writeRegistration(x *generatedType) {
	proxy := "rmi" + x.name + "{o}"
	if _, ok := x.typ.Underlying().(*types.Signature); ok {
		proxy += ".Call"
	}
	f.printf("var _ = stub.Generated[%s]{\nProxy: func(o stub.Object) %s { return %s },\nServe: rmiServe%s,\nMethods: []stub.Method{\n", x.text, x.text, proxy, x.name)
	for _, m := range f.methods(x.typ) {
		var set []string
		if m.semantics.Idempotent {
			set = append(set, "Idempotent: true")
		}
		if m.semantics.OneWay {
			set = append(set, "OneWay: true")
		}
		if t := m.semantics.Timeout; t != 0 {
			set = append(set, fmt.Sprintf("Timeout: %d /* %v */", int64(t), t))
		}
		f.printf("{Name: %q", m.name)
		if set != nil {
			f.printf(", Semantics: stub.Semantics{%s}", strings.Join(set, ", "))
		}
		f.printf("},\n")
	}
	f.printf("},\n}.Register()\n\n")
}
