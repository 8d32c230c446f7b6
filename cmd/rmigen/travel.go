package main

import (
	"fmt"
	"go/types"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// form is how values of a type travel: package codec decides it at run time by
// the same rules.
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

// notRemote tells why an interface or func type is not remote; nil if it is.
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

// anonymous are parameters without names, and with types that are spelled alike
// if they are identical.
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

// codecs are the ways in which a type can bring its own codec, in the order in
// which they are tried, by what Go calls the methods' types.
var codecs = [...]struct{ enc, encType, dec, decType string }{
	{"EncodeMsgpack", "func(*github.com/vmihailenco/msgpack/v5.Encoder) error", "DecodeMsgpack", "func(*github.com/vmihailenco/msgpack/v5.Decoder) error"},
	{"MarshalMsgpack", "func() ([]byte, error)", "UnmarshalMsgpack", "func([]byte) error"},
	{"MarshalBinary", "func() ([]byte, error)", "UnmarshalBinary", "func([]byte) error"},
	{"MarshalText", "func() ([]byte, error)", "UnmarshalText", "func([]byte) error"},
}

// hasMethod reports whether values of t have a method of a name and type that is
// the type's own: one that an embedded field lends it does not count.
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

// codecOf reports whether t has a codec of its own, or half of one.
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

// remoteNames returns the methods of remote shape that t, which is no interface
// and no func, or a pointer to it has: by them it looks like a remote object.
func remoteNames(t types.Type) []string {
	names := map[string]bool{}
	addRemoteNames(names, t, nil)
	return slices.Sorted(maps.Keys(names))
}

// addRemoteNames adds remoteNames of t. open are the structs that embed each other down to t: one
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

// isData reports whether a struct that has remote methods says that it is data
// all the same.
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

// formOf decides how values of t travel. The error says that they do not.
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

// bytesForm is for bytes of a named type, which only reflection turns into bytes.
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
	name      string // on the wire
	alias     string
	path      []*types.Var // from the struct, through the structs it embeds
	pointers  bool         // an embedded pointer lies on the way
	omitEmpty bool
}

func (f *field) typ() types.Type { return f.path[len(f.path)-1].Type() }

// goes is the way to the field in Go: "Inner.C".
func (f *field) goes() string {
	var names []string
	for _, v := range f.path {
		names = append(names, v.Name())
	}
	return strings.Join(names, ".")
}

type fieldTag struct {
	name, alias                  string
	omitEmpty, noInline, asArray bool
}

func parseTag(tag string) (t fieldTag, err error) {
	s := reflect.StructTag(tag).Get("msgpack")
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
			t.asArray = true
		}
	}
	return t, nil
}

// layout collects the fields of a struct as msgpack's tags order them, like the
// type of the same name in package codec.
type layout struct {
	open     []types.Type // structs being inlined into each other
	tuple    bool
	exported bool // a field was exported, travelling or not
	fields   []*field
}

func nothingExported(t types.Type) error {
	return fmt.Errorf("%s has no exported fields, so nothing of it would travel; export them, give it MarshalBinary and UnmarshalBinary, or leave it out with the tag `msgpack:\"-\"`", short(t))
}

func layoutOf(t types.Type) (*layout, error) {
	l := &layout{open: []types.Type{t}}
	var err error
	if l.fields, err = l.of(t.Underlying().(*types.Struct)); err != nil {
		return nil, err
	}
	if len(l.fields) == 0 && !l.exported && t.Underlying().(*types.Struct).NumFields() > 0 {
		return nil, nothingExported(t)
	}
	by := map[string]*field{}
	for _, f := range l.fields {
		for _, name := range []string{f.name, f.alias} {
			if other := by[name]; other != nil && name != "" && other != f {
				return nil, fmt.Errorf("fields %s and %s both travel as %q; give one of them another name by a tag, or, if it is that of an embedded struct, keep that whole by the tag `msgpack:\",noinline\"`", other.goes(), f.goes(), name)
			}
			by[name] = f
		}
		if len(f.name) > 255 {
			return nil, fmt.Errorf("the name of field %s is longer than 255 bytes", f.goes())
		}
	}
	return l, nil
}

func (l *layout) of(s *types.Struct) (out []*field, err error) {
	type entry struct {
		*types.Var
		fieldTag
		embedded types.Type // struct to inline, or nil
	}
	var entries []entry
	omitAll := false
	for i := range s.NumFields() {
		f := s.Field(i)
		tag, err := parseTag(s.Tag(i))
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name(), err)
		}
		if f.Name() == "_msgpack" {
			omitAll = tag.omitEmpty
			if len(l.open) == 1 {
				l.tuple = tag.asArray
			}
		}
		l.exported = l.exported || f.Exported()
		if tag.name == "-" {
			continue
		}
		e := entry{Var: f, fieldTag: tag}
		if f.Anonymous() && !tag.noInline {
			e.embedded = l.inlinable(f.Type())
		}
		if e.embedded == nil && !f.Exported() {
			if f.Anonymous() && !plainField(f.Type()) {
				return nil, fmt.Errorf("field %s: the embedded %s is unexported, so nothing of it would travel; embed an exported type, give it a name, or leave it out with the tag `msgpack:\"-\"`", f.Name(), short(f.Type()))
			}
			continue
		}
		if e.name == "" {
			e.name = f.Name()
		}
		entries = append(entries, e)
	}
	for _, e := range entries {
		if e.embedded != nil {
			inner, err := l.inline(e.Var, e.embedded)
			if err != nil {
				return nil, err
			}
			for _, f := range inner {
				f.omitEmpty = f.omitEmpty || omitAll && !f.pointers
				out = append(out, f)
			}
			continue
		}
		out = append(out, &field{name: e.name, alias: e.alias, path: []*types.Var{e.Var}, omitEmpty: e.omitEmpty || omitAll})
	}
	return out, nil
}

// plainField reports whether an embedded field of an unexported type t is like
// any other unexported field.
func plainField(t types.Type) bool {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	switch t.Underlying().(type) {
	case *types.Struct, *types.Interface:
		return false
	}
	has, _ := codecOf(t)
	return !has
}

func (l *layout) inlinable(t types.Type) types.Type {
	if p, ok := t.Underlying().(*types.Pointer); ok {
		t = p.Elem()
	}
	if _, ok := t.Underlying().(*types.Struct); !ok || isNamed(t, "time", "Time") || isNamed(t, "gormi/refs", "Ref") ||
		slices.ContainsFunc(l.open, func(o types.Type) bool { return types.Identical(o, t) }) {
		return nil
	}
	if has, _ := codecOf(t); has {
		return nil
	}
	return t
}

// inline returns the fields of an embedded struct.
func (l *layout) inline(f *types.Var, t types.Type) ([]*field, error) {
	outer := l.exported
	l.exported = false
	l.open = append(l.open, t)
	s := t.Underlying().(*types.Struct)
	inner, err := l.of(s)
	l.open = l.open[:len(l.open)-1]
	if err != nil {
		return nil, err
	}
	_, pointer := f.Type().Underlying().(*types.Pointer)
	switch {
	case pointer && !f.Exported() && len(inner) > 0:
		return nil, fmt.Errorf("field %s: an embedded pointer to an unexported struct cannot be filled in; embed the struct itself", f.Name())
	case f.Exported() && !l.exported && s.NumFields() > 0 && !ofSync(t):
		return nil, fmt.Errorf("field %s: %w", f.Name(), nothingExported(t))
	}
	l.exported = outer || l.exported
	for _, in := range inner {
		in.path = slices.Concat([]*types.Var{f}, in.path)
		if pointer { // what is written tells that it is not nil
			in.pointers, in.omitEmpty = true, false
		}
	}
	return inner, nil
}

// ofSync reports whether t is a mutex or the like, which nobody takes for data.
func ofSync(t types.Type) bool {
	n, ok := types.Unalias(t).(*types.Named)
	return ok && n.Obj().Pkg() != nil && n.Obj().Pkg().Path() == "sync"
}

// text is the layout as package stub's StructOf compares it.
func (l *layout) text() string {
	kind := "struct"
	if l.tuple {
		kind = "tuple"
	}
	var parts []string
	for _, f := range l.fields {
		s := f.goes()
		if f.pointers {
			s = "*" + s
		}
		if f.goes() != f.name {
			s += "=" + f.name
		}
		if f.omitEmpty {
			s += "?"
			if isZeroer(f.typ()) {
				s += "0"
			}
		}
		parts = append(parts, s)
	}
	return kind + "{" + strings.Join(parts, " ") + "}"
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
