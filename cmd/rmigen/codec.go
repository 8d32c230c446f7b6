package main

import (
	"fmt"
	"go/types"
	"strings"
)

// address is the address of an addressable expression in Go.
func address(x string) string {
	if p, ok := pointed(x); ok {
		return p
	}
	return "&" + x
}

// pointed returns v if x is (*v).
func pointed(x string) (string, bool) {
	if !strings.HasPrefix(x, "(*") {
		return "", false
	}
	for i, depth := 0, 0; i < len(x); i++ {
		switch x[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return x[2:i], i == len(x)-1
			}
		}
	}
	return "", false
}

// target is what the pointer x points to.
func (f *file) target(x string, t types.Type) string {
	if _, named := t.(*types.Named); named {
		return "(*(" + f.text(t.Underlying()) + ")(" + bare(x) + "))"
	}
	return "(*" + bare(x) + ")"
}

// bare returns an expression without the parentheses around it.
func bare(x string) string {
	if p, ok := pointed(x); ok {
		return "*" + p
	}
	return x
}

// formIn returns how this package can encode a type that was checked.
func (f *file) formIn(t types.Type) form {
	how, _ := formOf(t)
	if !f.canName(t) {
		return formOther
	}
	if how == formStruct && !f.accessible(f.of(t)) {
		return formOther
	}
	return how
}

// own returns the type if it has functions of its own. Structs have them, and so have named types
// that contain others, because these may contain themselves.
func (f *file) own(t types.Type, how form) *generatedType {
	_, named := t.(*types.Named)
	switch how {
	case formStruct:
	case formPointer, formSlice, formArray, formMap:
		if !named {
			return nil
		}
	default:
		return nil
	}
	x := f.of(t)
	if !x.coded {
		x.coded = true
		f.named(x)
		f.codecs = append(f.codecs, x)
	}
	return x
}

// checkPlain makes the program check at its start that a named type has no codec of its own.
func (f *file) checkPlain(t types.Type, layout string) {
	n, ok := t.(*types.Named)
	if !ok || n.Obj().Pkg() == nil || n.Obj().Pkg().Path() == "time" {
		return
	}
	if x := f.of(t); !x.plain {
		x.plain = true
		fmt.Fprintf(&f.vars, "_ = %s.Plain[%s](%q)\n", f.stub, x.text, layout)
	}
}

// remoteOf returns the name of the descriptor of a remote interface or func.
func (f *file) remoteOf(t types.Type) string {
	x := f.of(t)
	name := "rmiRemote" + f.named(x)
	if !x.remote {
		x.remote = true
		fmt.Fprintf(&f.vars, "%s = %s.RemoteOf[%s]()\n", name, f.stub, x.text)
	}
	if _, ok := t.Underlying().(*types.Signature); ok && !x.stubbed {
		x.stubbed = true
		f.funcs = append(f.funcs, x)
	}
	return name
}

// converted is x, converted to the basic type to.
func converted(x string, t types.Type, to string) string {
	if b, ok := t.(*types.Basic); ok && types.Universe.Lookup(to).Type() == b {
		return x
	}
	return to + "(" + x + ")"
}

// pointerTo is the address of x as a pointer to the basic type under its type.
func pointerTo(x string, t types.Type, basic string) string {
	if _, ok := t.(*types.Basic); ok {
		return address(x)
	}
	return "(*" + basic + ")(" + address(x) + ")"
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// encode writes the statements that encode x, which is addressable. depth numbers the variables of
// loops.
func (f *file) encode(x string, t types.Type, depth int) {
	t = f.unalias(t)
	how := f.formIn(t)
	if own := f.own(t, how); own != nil {
		f.printf("rmiEncode%s(e, %s)\n", own.name, address(x))
		return
	}
	f.encodeAs(x, t, how, depth)
}

func (f *file) encodeAs(x string, t types.Type, how form, depth int) {
	switch how {
	case formBasic:
		f.encodeBasic(x, t)
	case formBytes:
		f.checkPlain(t, "[]byte")
		f.printf("e.Bytes(%s)\n", bare(x))
	case formByteArray:
		f.checkPlain(t, "byte array")
		f.printf("e.ByteArray(%s[:])\n", x)
	case formTime:
		f.printf("e.Time(%s)\n", bare(x))
	case formRef:
		f.printf("e.Ref(%s)\n", bare(x))
	case formError:
		f.printf("e.Error(%s)\n", bare(x))
	case formOther:
		f.printf("stub.EncodeOther(e, %s)\n", address(x))
	case formRemote:
		f.printf("if %s == nil {\ne.Nil()\n} else {\ne.Remote(%s, %s)\n}\n", bare(x), f.remoteOf(t), bare(x))
	case formPointer:
		f.printf("if %s == nil {\ne.Nil()\n} else {\n", bare(x))
		f.encode(f.target(x, t), t.Underlying().(*types.Pointer).Elem(), depth)
		f.printf("}\n")
	case formSlice:
		elem := t.Underlying().(*types.Slice).Elem()
		if call := f.inOneGo(elem); call != "" {
			b := elem.Underlying().(*types.Basic)
			f.checkPlain(types.Unalias(elem), basicName(b))
			f.printf("stub.Encode%s(e, %s)\n", call, bare(x))
			return
		}
		f.printf("if %s == nil {\ne.Nil()\n} else ", bare(x))
		f.encodeElements(x, elem, depth)
	case formArray:
		f.encodeElements(x, t.Underlying().(*types.Array).Elem(), depth)
	case formMap:
		m := t.Underlying().(*types.Map)
		k, v := fmt.Sprint("k", depth), fmt.Sprint("x", depth)
		f.printf("if %s == nil {\ne.Nil()\n} else if e.Map(len(%s)) {\nfor %s, %s := range %s {\n", bare(x), bare(x), k, v, bare(x))
		f.encode(k, m.Key(), depth+1)
		f.encode(v, m.Elem(), depth+1)
		f.printf("if e.Entry(); !e.Ok() {\ne.AtKey(%s)\nbreak\n}\n}\ne.End()\n}\n", k)
	}
}

// inOneGo returns the name of the functions for a slice of t, "" if there are none.
func (f *file) inOneGo(t types.Type) string {
	t = f.unalias(t)
	if f.formIn(t) != formBasic {
		return ""
	}
	switch info := t.Underlying().(*types.Basic).Info(); {
	case info&types.IsBoolean != 0:
		return "Bools"
	case info&types.IsUnsigned != 0:
		return "Uints"
	case info&types.IsInteger != 0:
		return "Ints"
	case info&types.IsFloat != 0:
		return "Floats"
	}
	return ""
}

func (f *file) encodeElements(x string, elem types.Type, depth int) {
	i := fmt.Sprint("i", depth)
	f.printf("if e.Array(len(%s)) {\nfor %s := range %s {\nif !e.Elem(%s) {\nbreak\n}\n", bare(x), i, bare(x), i)
	f.encode(x+"["+i+"]", elem, depth+1)
	f.printf("}\ne.End()\n}\n")
}

func (f *file) encodeBasic(x string, t types.Type) {
	b := t.Underlying().(*types.Basic)
	f.checkPlain(t, basicName(b))
	call, to := title(b.Name()), types.Typ[b.Kind()].Name()
	switch {
	case b.Info()&types.IsUnsigned != 0:
		call, to = "Uint", "uint64"
	case b.Info()&types.IsInteger != 0:
		call, to = "Int", "int64"
	}
	f.printf("e.%s(%s)\n", call, converted(bare(x), t, to))
}

// decode writes the statements that decode into x, which is zero and addressable.
func (f *file) decode(x string, t types.Type, depth int) {
	t = f.unalias(t)
	how := f.formIn(t)
	if own := f.own(t, how); own != nil {
		f.printf("rmiDecode%s(d, %s)\n", own.name, address(x))
		return
	}
	f.decodeAs(x, t, how, depth)
}

func (f *file) decodeAs(x string, t types.Type, how form, depth int) {
	i := fmt.Sprint("i", depth)
	switch how {
	case formBasic:
		name := types.Typ[t.Underlying().(*types.Basic).Kind()].Name()
		f.printf("d.%s(%s)\n", title(name), pointerTo(x, t, name))
	case formBytes:
		if _, named := t.(*types.Named); named {
			f.printf("d.Bytes((*[]byte)(%s))\n", address(x))
		} else {
			f.printf("d.Bytes(%s)\n", address(x))
		}
	case formByteArray:
		f.printf("d.ByteArray(%s[:])\n", x)
	case formTime:
		f.printf("d.Time(%s)\n", address(x))
	case formRef:
		f.printf("d.Ref(%s)\n", address(x))
	case formError:
		f.printf("d.Error(%s)\n", address(x))
	case formOther:
		f.printf("stub.DecodeOther(d, %s)\n", address(x))
	case formRemote:
		f.printf("stub.Remote(d, %s, %s)\n", f.remoteOf(t), address(x))
	case formPointer:
		f.printf("if !d.Null() {\nstub.New(d, %s)\n", address(x))
		f.decode(f.target(x, t), t.Underlying().(*types.Pointer).Elem(), depth)
		f.printf("}\n")
	case formSlice:
		if call := f.inOneGo(t.Underlying().(*types.Slice).Elem()); call != "" {
			f.printf("stub.Decode%s(d, %s)\n", call, address(x))
			return
		}
		f.printf("for %s := stub.Slice(d, %s); %s >= 0; %s = d.Next() {\n", i, address(x), i, i)
		f.decodeElem(x, i, t.Underlying().(*types.Slice).Elem(), depth+1)
		f.printf("}\n")
	case formArray:
		f.printf("for %s := d.Array(len(%s)); %s >= 0; %s = d.Next() {\n", i, bare(x), i, i)
		f.decode(x+"["+i+"]", t.Underlying().(*types.Array).Elem(), depth+1)
		f.printf("}\n")
	case formMap:
		m := t.Underlying().(*types.Map)
		k, v := fmt.Sprint("k", depth), fmt.Sprint("x", depth)
		f.printf("for %s := stub.Map(d, %s); %s >= 0; %s = d.Next() {\nvar %s %s\n", i, address(x), i, i, k, f.text(m.Key()))
		f.decode(k, m.Key(), depth+1)
		f.printf("d.Keyed()\nvar %s %s\n", v, f.text(m.Elem()))
		f.decode(v, m.Elem(), depth+1)
		f.printf("stub.Put(d, %s, %s, %s)\n}\n", bare(x), k, v)
	}
}

// decodeElem writes the statements that decode into x[i], of a slice.
func (f *file) decodeElem(x, i string, t types.Type, depth int) {
	t = f.unalias(t)
	elem := x + "[" + i + "]"
	if how := f.formIn(t); how != formPointer || f.own(t, how) != nil {
		f.decode(elem, t, depth)
		return
	}
	f.printf("if stub.NewElem(d, %s, %s) {\n", bare(x), i)
	f.decode(f.target(elem, t), t.Underlying().(*types.Pointer).Elem(), depth)
	f.printf("}\n")
}

// writeCodec writes the functions of a type.
func (f *file) writeCodec(x *generatedType) {
	how := f.formIn(x.typ)
	if how == formStruct {
		f.writeStruct(x)
		return
	}
	if layout, ok := map[form]string{formSlice: "list", formArray: "array", formMap: "map"}[how]; ok {
		f.checkPlain(x.typ, layout)
	}
	f.printf("func rmiEncode%s(e *stub.Encoder, v *%s) {\n", x.name, x.text)
	f.encodeAs("(*v)", x.typ, how, 0)
	f.printf("}\n\nfunc rmiDecode%s(d *stub.Decoder, v *%s) {\n", x.name, x.text)
	f.decodeAs("(*v)", x.typ, how, 0)
	f.printf("}\n\n")
}
