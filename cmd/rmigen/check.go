package main

import (
	"errors"
	"fmt"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/types/typeutil"

	"gormi/rmi/wire"
)

// A checker finds what cannot travel in the signatures of remote interfaces.
type checker struct {
	p    *pkg
	seen typeutil.Map // types that were looked at, or are under way
	errs []error

	at    token.Pos // of the method's parameter that is looked at
	where string    // "Account.Deposit: argument 1"
}

const maxPointers = 8 // as in package codec

func (c *checker) cannot(path string, err error) {
	where := c.where
	if path != "" {
		where += ": " + path
	}
	c.errs = append(c.errs, fmt.Errorf("%v: %s: %w", c.p.position(c.at), where, err))
}

// remote checks an interface or func of remote shape. at is where it is declared, for methods that
// have no position of their own.
func (c *checker) remote(name string, t types.Type, at token.Pos) {
	switch u := t.Underlying().(type) {
	case *types.Interface:
		if u.NumMethods() > 255 {
			c.errs = append(c.errs, fmt.Errorf("%v: %s has %d methods, more than 255", c.p.position(at), name, u.NumMethods()))
		}
		ids := map[wire.MethodID]string{wire.DescribeID: "the request for a description"}
		for m := range u.Methods() {
			if len(m.Name()) > 255 {
				c.errs = append(c.errs, fmt.Errorf("%v: %s: the name of a method is longer than 255 bytes", c.p.position(at), name))
			}
			if m.Name() == "RMICore" {
				c.errs = append(c.errs, fmt.Errorf("%v: %s: the method RMICore distinguishes stubs from other values: choose another name", c.p.position(at), name))
			}
			pos := m.Pos()
			if !pos.IsValid() {
				pos = at
			}
			id := wire.MethodIDOf(m.Name())
			if other := ids[id]; other != "" {
				c.errs = append(c.errs, fmt.Errorf("%v: %s: the name of the method %s hashes to the same number as %s: rename one of them", c.p.position(pos), name, m.Name(), other))
			}
			ids[id] = m.Name()
			c.signature(name+"."+m.Name(), m.Signature(), pos)
		}
	case *types.Signature:
		c.signature(name, u, at)
	}
}

func (c *checker) signature(name string, s *types.Signature, at token.Pos) {
	look := func(v *types.Var, what string, n int) {
		c.where = fmt.Sprintf("%s: %s %d", name, what, n)
		if c.at = v.Pos(); !c.at.IsValid() {
			c.at = at
		}
		c.value("", v.Type())
	}
	defer func(at token.Pos, where string) { c.at, c.where = at, where }(c.at, c.where)
	for i := 1; i < s.Params().Len(); i++ {
		look(s.Params().At(i), "argument", i)
	}
	for i := range s.Results().Len() - 1 {
		look(s.Results().At(i), "result", i+1)
	}
	if s.Params().Len() > 256 || s.Results().Len() > 256 {
		c.errs = append(c.errs, fmt.Errorf("%v: %s has more than 255 parameters or results", c.p.position(at), name))
	}
}

func (c *checker) value(path string, t types.Type) {
	t = types.Unalias(t)
	if c.seen.Set(t, true) != nil {
		return
	}
	f, err := formOf(t)
	if err != nil {
		c.seen.Delete(t) // tell it at each place
		c.cannot(path, err)
		return
	}
	switch f {
	case formPointer:
		n, e := 0, t
		for p, ok := e.Underlying().(*types.Pointer); ok; p, ok = e.Underlying().(*types.Pointer) {
			e = types.Unalias(p.Elem())
			if n++; n > maxPointers {
				c.cannot(path, fmt.Errorf("%s is more than %d pointers deep", short(t), maxPointers))
				return
			}
		}
		c.value(path, t.Underlying().(*types.Pointer).Elem())
	case formSlice:
		c.value(path+"[]", t.Underlying().(*types.Slice).Elem())
	case formArray:
		c.value(path+"[]", t.Underlying().(*types.Array).Elem())
	case formMap:
		m := t.Underlying().(*types.Map)
		c.key(path, m.Key())
		c.value(path+"[]", m.Elem())
	case formStruct:
		l, err := layoutOf(t)
		if err != nil {
			c.cannot(path, err)
			return
		}
		for _, f := range l.fields {
			if path == "" {
				c.value("field "+f.goes(), f.typ())
			} else {
				c.value(path+"."+f.goes(), f.typ())
			}
		}
	case formRemote:
		c.remote(short(t), t, c.at)
	}
}

func (c *checker) key(path string, t types.Type) {
	f, err := formOf(t)
	switch b, _ := t.Underlying().(*types.Basic); {
	case err != nil:
		c.cannot(path+"[key]", err)
	case f == formBasic && b.Info()&types.IsFloat == 0, f == formByteArray, f == formOther && hasTextForm(t):
	default:
		c.cannot(path, fmt.Errorf("a map's key is a string, an integer, a bool or a type with a text form, not %s", short(t)))
	}
}

// hasTextForm reports whether a type's own codec makes bytes, as a key needs.
func hasTextForm(t types.Type) bool {
	ptr := types.NewPointer(t)
	for i, c := range codecs {
		if hasMethod(ptr, c.enc, c.encType) && hasMethod(ptr, c.dec, c.decType) {
			return i >= 2
		}
	}
	a, ok := t.Underlying().(*types.Array) // of bytes of a named type
	return ok && isByte(a.Elem())
}

// check finds what is wrong with the types that a file is for.
func (j *job) check() error {
	c := &checker{p: j.pkg}
	for _, name := range predeclared {
		if o := j.Types.Scope().Lookup(name); o != nil {
			c.errs = append(c.errs, fmt.Errorf("%v: the package declares %s, which generated code uses with Go's own meaning: choose another name", j.position(o.Pos()), name))
		}
	}
	for _, name := range j.names {
		if j.Types.Scope().Lookup(name) == nil {
			c.errs = append(c.errs, fmt.Errorf("%s:1: the package has no type %s any more", relative(j.path), name))
			continue
		}
		obj, err := j.remote(name)
		if err != nil {
			c.errs = append(c.errs, err)
			continue
		}
		t := types.Unalias(obj.Type())
		if i, ok := t.Underlying().(*types.Interface); ok {
			c.errs = append(c.errs, j.agree(name, i)...)
		}
		c.seen.Set(t, true)
		c.remote(name, t, obj.Pos())
	}
	return errors.Join(c.errs...)
}

// predeclared are Go's predeclared names that generated code uses.
var predeclared = []string{"nil", "false", "len", "error", "any", "bool", "string", "byte", "rune", "int", "int8", "int16", "int32", "int64",
	"uint", "uint8", "uint16", "uint32", "uint64", "float32", "float64"}

// remote returns the remote interface or func type of a name that the package declares. The error
// says why it is none.
func (p *pkg) remote(name string) (*types.TypeName, error) {
	o := p.Types.Scope().Lookup(name)
	obj, ok := o.(*types.TypeName)
	if !ok {
		return nil, fmt.Errorf("%v: %s is no type", p.position(o.Pos()), name)
	}
	if t, ok := obj.Type().(interface {
		TypeParams() *types.TypeParamList
		TypeArgs() *types.TypeList
	}); ok && t.TypeParams().Len() > t.TypeArgs().Len() {
		return nil, fmt.Errorf("%v: %s is generic: give an instance a name, as in type Int%[2]s = %[2]s[int]", p.position(obj.Pos()), name)
	}
	if err := notRemote(obj.Type()); err != nil {
		return nil, fmt.Errorf("%v: %s is not remote: %w", p.position(obj.Pos()), name, err)
	}
	return obj, nil
}
