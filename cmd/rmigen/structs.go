package main

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
)

// accessible reports whether the package can write down all fields of a struct.
func (f *file) accessible(x *generatedType) bool {
	if x.layout == nil {
		x.layout, _ = layoutOf(x.typ)
	}
	for _, fd := range x.layout.fields {
		if f.expression("v", x, fd) == "" {
			return false
		}
		if how, _ := formOf(fd.typ()); fd.omitEmpty && how == formStruct && !f.accessible(f.of(fd.typ())) {
			return false // whether it is empty depends on its fields
		}
	}
	return true
}

func (f *file) canSelect(v *types.Var) bool { return v.Exported() || v.Pkg() == f.Types }

// expression is a field of the struct v, in Go; "" if it cannot be written.
func (f *file) expression(v string, x *generatedType, fd *field) string {
	for _, step := range fd.path {
		if f.canSelect(step) {
			continue
		}
		// Through an unexported struct that is embedded only its fields can be seen.
		last := fd.path[len(fd.path)-1]
		if found, _, _ := types.LookupFieldOrMethod(x.typ, true, f.Types, last.Name()); fd.pointers || !f.canSelect(last) || found == nil || found.Pos() != last.Pos() || !last.Pos().IsValid() {
			return ""
		}
		return v + "." + last.Name()
	}
	return v + "." + fd.goes()
}

// embedded returns the embedded pointers on the way to a field of the struct v, outermost first.
func (fd *field) embedded(v string) (way []string) {
	for _, step := range fd.path[:len(fd.path)-1] {
		v += "." + step.Name()
		if _, ok := step.Type().Underlying().(*types.Pointer); ok {
			way = append(way, v)
		}
	}
	return way
}

// never is the condition of a field that is always left out. An empty condition means that the
// field never is.
const never = "false"

// present is the condition on which a field of the struct v travels.
func (f *file) present(v string, x *generatedType, fd *field) string {
	var all []string
	for _, p := range fd.embedded(v) {
		all = append(all, p+" != nil")
	}
	if fd.omitEmpty {
		switch c := f.notEmpty(f.expression(v, x, fd), fd.typ()); c {
		case "":
		case never:
			return never
		default:
			all = append(all, c)
		}
	}
	return strings.Join(all, " && ")
}

// notEmpty is the condition on which a value with omitempty travels.
func (f *file) notEmpty(x string, t types.Type) string {
	t = types.Unalias(t)
	how, _ := formOf(t)
	if isZeroer(t) {
		if s := t.String(); s == "time.Time" || s == "gormi/refs.Ref" { // they do not panic
			return "!" + x + ".IsZero()"
		}
		zero := "!" + f.stub + ".IsZero(" + x + ")"
		switch t.Underlying().(type) {
		case *types.Pointer, *types.Map, *types.Slice:
			return x + " != nil && " + zero
		}
		return zero
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		switch {
		case u.Info()&types.IsBoolean != 0:
			return x
		case u.Info()&types.IsString != 0:
			return x + ` != ""`
		}
		return x + " != 0"
	case *types.Slice, *types.Array, *types.Map:
		return "len(" + x + ") != 0"
	case *types.Pointer, *types.Interface, *types.Signature:
		return x + " != nil"
	}
	if how != formStruct {
		return "" // a struct with a codec of its own
	}
	inner := f.of(t)
	f.accessible(inner) // it is, or the struct that it is in would not be
	var some []string
	for _, fd := range inner.layout.fields {
		switch c := f.present(x, inner, fd); c {
		case "":
			return ""
		case never:
		default:
			if c = "(" + c + ")"; !slices.Contains(some, c) {
				some = append(some, c)
			}
		}
	}
	if len(some) == 0 {
		return never
	}
	return "(" + strings.Join(some, " || ") + ")"
}

func (f *file) writeStruct(x *generatedType) {
	l := x.layout
	fmt.Fprintf(&f.vars, "rmiStruct%s = %s.StructOf[%s](%q)\n", x.name, f.stub, x.text, l.String())

	f.printf("func rmiEncode%s(e *stub.Encoder, v *%s) {\nif !e.Struct(rmiStruct%s) {\nreturn\n}\n", x.name, x.text, x.name)
	for i, fd := range l.fields {
		at, when := f.expression("v", x, fd), ""
		if l.Tuple { // nothing is left out of a tuple
			bare := *fd
			bare.omitEmpty = false
			if when = f.present("v", x, &bare); when != "" {
				f.printf("e.Field(%d)\nif %s {\n", i, when)
				f.encode(at, fd.typ(), 0)
				f.printf("} else {\ne.Nil()\n}\n")
				continue
			}
		} else if when = f.present("v", x, fd); when == never {
			continue
		}
		if when != "" {
			f.printf("if %s {\n", when)
		}
		f.printf("e.Field(%d)\n", i)
		f.encode(at, fd.typ(), 0)
		if when != "" {
			f.printf("}\n")
		}
	}
	f.printf("e.End()\n}\n\nfunc rmiDecode%s(d *stub.Decoder, v *%s) {\n", x.name, x.text)
	if len(l.fields) == 0 {
		f.printf("d.Struct(rmiStruct%s)\n}\n\n", x.name)
		return
	}
	f.printf("for i := d.Struct(rmiStruct%s); i >= 0; i = d.Next() {\nswitch i {\n", x.name)
	for i, fd := range l.fields {
		f.printf("case %d:\n", i)
		embedded := fd.embedded("v")
		if embedded != nil {
			f.printf("if !d.Null() {\n")
		}
		for _, p := range embedded {
			f.printf("if %s == nil {\nstub.New(d, &%s)\n}\n", p, p)
		}
		f.decode(f.expression("v", x, fd), fd.typ(), 0)
		if embedded != nil {
			f.printf("}\n")
		}
	}
	f.printf("}\n}\n}\n\n")
}
