package main

import (
	"errors"
	"fmt"
	"go/types"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gormi/rmi/codec/fields"
)

// form is how values of a type travel. Package codec decides it at run time by the same rules.
type form int

const (
	formBasic form = iota // bools, numbers, strings
	formBytes
	formByteArray
	formTime
	formRef
	formError
	formOther // a codec of its own, or data in an interface
	formRemote
	formPointer
	formSlice
	formArray
	formMap
	formStruct
)

func isNamed(t types.Type, path, name string) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Name() == name && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == path
}

var errorType = types.Universe.Lookup("error").Type()

// notRemote says why an interface or func type is not remote; nil if it is.
func notRemote(t types.Type) error {
	switch t := t.Underlying().(type) {
	case *types.Interface:
		if !t.IsMethodSet() {
			return fmt.Errorf("it is a constraint of type parameters")
		}
		if t.NumMethods() == 0 {
			return fmt.Errorf("it has no methods")
		}
		for m := range t.Methods() {
			if !m.Exported() {
				return fmt.Errorf("its method %s is not exported", m.Name())
			}
			if why := notRemoteFunc(m.Signature()); why != "" {
				return fmt.Errorf("its method %s does not %s", m.Name(), why)
			}
		}
		return nil
	case *types.Signature:
		if why := notRemoteFunc(t); why != "" {
			return fmt.Errorf("it does not %s", why)
		}
		return nil
	}
	return fmt.Errorf("it is neither an interface nor a func type")
}

func notRemoteFunc(s *types.Signature) string {
	ctx := s.Params().Len() > 0 && isNamed(s.Params().At(0).Type(), "context", "Context")
	n := s.Results().Len()
	err := n > 0 && types.Identical(s.Results().At(n-1).Type(), errorType)
	switch {
	case !ctx && !err:
		return "take a context.Context first and return an error last"
	case !ctx:
		return "take a context.Context first"
	case !err:
		return "return an error last"
	}
	return ""
}

// isStream recognizes what will travel as a stream one day.
func isStream(t types.Type) bool {
	if n, ok := types.Unalias(t).(*types.Named); ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "iter" {
		return true
	}
	i, ok := t.Underlying().(*types.Interface)
	if !ok {
		return false
	}
	for m := range i.Methods() {
		if (m.Name() == "Read" || m.Name() == "Write") && types.TypeString(types.NewSignatureType(nil, nil, nil, anonymous(m.Signature().Params()), anonymous(m.Signature().Results()), false), nil) == "func([]byte) (int, error)" {
			return true
		}
	}
	return false
}

// anonymous returns parameters without names. Identical types are spelled alike in them.
func anonymous(t *types.Tuple) *types.Tuple {
	var vars []*types.Var
	for v := range t.Variables() {
		vars = append(vars, types.NewParam(v.Pos(), nil, "", plain(v.Type())))
	}
	return types.NewTuple(vars...)
}

func plain(t types.Type) types.Type {
	switch t := types.Unalias(t).(type) {
	case *types.Pointer:
		return types.NewPointer(plain(t.Elem()))
	case *types.Slice:
		return types.NewSlice(plain(t.Elem()))
	case *types.Basic:
		if t.Kind() == types.Byte {
			return types.Universe.Lookup("byte").Type()
		}
		return t
	default:
		return t
	}
}

// codecs are the ways in which a type can have its own codec, in the order in which they are tried,
// by the method names and types in Go.
var codecs = [...]struct{ enc, encType, dec, decType string }{
	{"EncodeMsgpack", "func(*github.com/vmihailenco/msgpack/v5.Encoder) error", "DecodeMsgpack", "func(*github.com/vmihailenco/msgpack/v5.Decoder) error"},
	{"MarshalMsgpack", "func() ([]byte, error)", "UnmarshalMsgpack", "func([]byte) error"},
	{"MarshalBinary", "func() ([]byte, error)", "UnmarshalBinary", "func([]byte) error"},
	{"MarshalText", "func() ([]byte, error)", "UnmarshalText", "func([]byte) error"},
}

// hasMethod reports whether values of t have a method of a name and type that is the type's own. A
// method that an embedded field promotes does not count.
func hasMethod(t types.Type, name, typ string) bool {
	sel := types.NewMethodSet(t).Lookup(nil, name)
	if sel == nil || len(sel.Index()) > 1 {
		return false
	}
	s, ok := sel.Obj().Type().(*types.Signature)
	if !ok {
		return false
	}
	return types.TypeString(types.NewSignatureType(nil, nil, nil, anonymous(s.Params()), anonymous(s.Results()), s.Variadic()), nil) == typ
}

// codecOf reports whether t has a codec of its own, or only half of one.
func codecOf(t types.Type) (has bool, missing string) {
	switch t.Underlying().(type) {
	case *types.Pointer, *types.Interface:
		return false, ""
	}
	ptr := types.NewPointer(t)
	for _, c := range codecs {
		enc, dec := hasMethod(ptr, c.enc, c.encType), hasMethod(ptr, c.dec, c.decType)
		switch {
		case enc && dec:
			return true, ""
		case enc && missing == "":
			missing = fmt.Sprintf("%s has %s, but no %s; a codec needs both", short(t), c.enc, c.dec)
		case dec && missing == "":
			missing = fmt.Sprintf("%s has %s, but no %s; a codec needs both", short(t), c.dec, c.enc)
		}
	}
	return missing != "", missing
}

// isZeroer reports whether a method IsZero decides when a value is left out.
func isZeroer(t types.Type) bool {
	return !types.IsInterface(t) && hasMethod(t, "IsZero", "func() bool")
}

// remoteNames returns the methods of remote shape that t, or a pointer to it, has. t is no
// interface and no func. By these methods it looks like a remote object.
func remoteNames(t types.Type) []string {
	names := map[string]bool{}
	addRemoteNames(names, t, nil)
	return slices.Sorted(maps.Keys(names))
}

// addRemoteNames adds remoteNames of t. open are the structs that embed each other down to t. One
// may embed a pointer to itself, and has no other methods by that.
func addRemoteNames(names map[string]bool, t types.Type, open []types.Type) {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = types.Unalias(p.Elem())
	}
	switch t.Underlying().(type) {
	case *types.Interface, *types.Pointer:
		return
	}
	if isData(t) || slices.ContainsFunc(open, func(o types.Type) bool { return types.Identical(o, t) }) {
		return
	}
	set := types.NewMethodSet(types.NewPointer(t))
	for m := range set.Methods() {
		if s := m.Obj().Type().(*types.Signature); len(m.Index()) == 1 && m.Obj().Exported() && notRemoteFunc(s) == "" {
			names[m.Obj().Name()] = true
		}
	}
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return
	}
	lent := map[string]bool{}
	for f := range s.Fields() {
		if f.Anonymous() {
			addRemoteNames(lent, types.Unalias(f.Type()), append(open, t))
		}
	}
	for name := range lent {
		if set.Lookup(nil, name) != nil { // not hidden
			names[name] = true
		}
	}
}

// isData reports whether a struct that has remote methods is marked as data.
func isData(t types.Type) bool {
	s, ok := t.Underlying().(*types.Struct)
	if !ok {
		return false
	}
	for i := range s.NumFields() {
		if reflect.StructTag(s.Tag(i)).Get("rmi") == "value" {
			return true
		}
	}
	return false
}

func short(t types.Type) string {
	return types.TypeString(t, func(p *types.Package) string { return p.Name() })
}

// formOf decides how values of t travel. An error says that they do not.
func formOf(t types.Type) (form, error) {
	switch {
	case isNamed(t, "gormi/refs", "Ref"):
		return formRef, nil
	case isNamed(t, "time", "Time"):
		return formTime, nil
	case types.Identical(t, errorType):
		return formError, nil
	}
	switch u := t.Underlying().(type) {
	case *types.Interface:
		return interfaceForm(t, u)
	case *types.Signature:
		if isStream(t) {
			return 0, fmt.Errorf("streams (%s) are not supported yet; pass a slice, or a func that is called for each value", short(t))
		}
		if why := notRemoteFunc(u); why != "" {
			return 0, fmt.Errorf("a function that travels must %s; %s does not", why, short(t))
		}
		return formRemote, nil
	}
	if has, missing := codecOf(t); missing != "" {
		return 0, fmt.Errorf("%s", missing)
	} else if has {
		return formOther, nil
	}
	if names := remoteNames(t); len(names) > 0 {
		return 0, fmt.Errorf("%s has remote methods (%s), but here a copy of its fields would travel, no reference to the object: name its remote interface here instead, an interface with these methods. (If it is data all the same, say so by a field in it: _ struct{} `rmi:\"value\"`)",
			short(t), strings.Join(names, ", "))
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		return formPointer, nil
	case *types.Slice:
		if isByte(u.Elem()) {
			return bytesForm(u.Elem(), formBytes), nil
		}
		return formSlice, nil
	case *types.Array:
		if isByte(u.Elem()) {
			return bytesForm(u.Elem(), formByteArray), nil
		}
		return formArray, nil
	case *types.Map:
		return formMap, nil
	case *types.Struct:
		return formStruct, nil
	case *types.Chan:
		return 0, fmt.Errorf("channels cannot travel; pass a func(context.Context, T) error, or a remote interface")
	case *types.Basic:
		switch {
		case u.Info()&types.IsComplex != 0:
			return 0, fmt.Errorf("complex numbers cannot travel; pass a struct of two floats")
		case u.Kind() == types.Uintptr || u.Kind() == types.UnsafePointer:
			return 0, fmt.Errorf("a %s is a memory address and cannot travel", short(t))
		}
		return formBasic, nil
	}
	return 0, fmt.Errorf("a %s cannot travel", short(t))
}

func isByte(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Kind() == types.Uint8
}

// bytesForm is for bytes of a named type, which only reflection converts to bytes.
func bytesForm(elem types.Type, f form) form {
	if _, ok := types.Unalias(elem).(*types.Basic); !ok {
		return formOther
	}
	return f
}

func interfaceForm(t types.Type, u *types.Interface) (form, error) {
	if isNamed(t, "context", "Context") {
		return 0, fmt.Errorf("a context.Context travels as the first parameter of a method and nowhere else")
	}
	if isStream(t) {
		return 0, fmt.Errorf("streams (%s) are not supported yet; pass a []byte, or a func that takes one", short(t))
	}
	remote := false
	var local []string
	for m := range u.Methods() {
		switch why := notRemoteFunc(m.Signature()); {
		case !m.Exported():
			local = append(local, m.Name()+" is not exported")
		case why != "":
			local = append(local, m.Name()+" does not "+why)
		default:
			remote = true
		}
	}
	switch {
	case remote && len(local) > 0:
		return 0, fmt.Errorf("%s is neither a remote interface nor data: %s", short(t), strings.Join(local, "; "))
	case remote:
		return formRemote, nil
	}
	return formOther, nil
}

// field is one value of a struct that travels.
type field struct {
	path      []*types.Var // from the struct, through the structs it embeds
	pointers  bool         // an embedded pointer lies on the way
	omitEmpty bool
}

func (f *field) typ() types.Type { return f.path[len(f.path)-1].Type() }

// goes returns the selector of the field in Go: "Inner.C".
func (f *field) goes() string {
	var names []string
	for _, v := range f.path {
		names = append(names, v.Name())
	}
	return strings.Join(names, ".")
}

// layout is how a struct travels.
type layout struct {
	*fields.Layout[types.Type]
	fields []*field
}

// layoutOf returns the layout of a struct. The error is the first thing that is wrong with it.
func layoutOf(t types.Type) (*layout, error) {
	var wrong error
	l := &layout{Layout: fields.Of(checked{}, t, func(path []string, problem string) {
		switch {
		case wrong != nil:
		case len(path) > 0:
			wrong = fmt.Errorf("field %s: %s", path[len(path)-1], problem)
		default:
			wrong = errors.New(problem)
		}
	})}
	if wrong != nil {
		return nil, wrong
	}
	for _, f := range l.Fields {
		out := &field{pointers: f.Pointers, omitEmpty: f.OmitEmpty}
		in := t
		for _, step := range f.Path {
			if p, ok := in.Underlying().(*types.Pointer); ok {
				in = p.Elem()
			}
			out.path = append(out.path, in.Underlying().(*types.Struct).Field(step.Index))
			in = step.Type
		}
		l.fields = append(l.fields, out)
	}
	return l, nil
}

// checked gives package fields what it asks about types of go/types.
type checked struct{}

func (checked) Declared(t types.Type) (all []fields.Declared[types.Type]) {
	s := t.Underlying().(*types.Struct)
	for i := range s.NumFields() {
		f := s.Field(i)
		all = append(all, fields.Declared[types.Type]{Index: i, Name: f.Name(), Type: f.Type(), Tag: reflect.StructTag(s.Tag(i)), Embedded: f.Anonymous(), Exported: f.Exported()})
	}
	return all
}

func (checked) Pointee(t types.Type) (types.Type, bool) {
	p, ok := t.Underlying().(*types.Pointer)
	if !ok {
		return nil, false
	}
	return p.Elem(), true
}

func (checked) IsStruct(t types.Type) bool {
	_, ok := t.Underlying().(*types.Struct)
	return ok
}

func (checked) IsInterface(t types.Type) bool { return types.IsInterface(t) }
func (checked) HasIsZero(t types.Type) bool   { return isZeroer(t) }
func (checked) Same(a, b types.Type) bool     { return types.Identical(a, b) }
func (checked) Name(t types.Type) string      { return short(t) }

func (checked) IsWhole(t types.Type) bool {
	has, _ := codecOf(t)
	return has || isNamed(t, "time", "Time") || isNamed(t, "gormi/refs", "Ref")
}

func (checked) IsOfSync(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "sync"
}

// basicName is the kind of a basic type as package codec names it.
func basicName(b *types.Basic) string {
	switch b.Kind() {
	case types.Int:
		return "int64"
	case types.Uint:
		return "uint64"
	}
	return types.Typ[b.Kind()].Name()
}
