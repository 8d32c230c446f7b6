package main

import (
	"fmt"
	"go/types"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/tools/go/types/typeutil"
)

// naming gives names to packages, to types, and to what the file declares.
type naming struct {
	home     *types.Package
	taken    map[string]bool           // names of the package level
	imports  map[*types.Package]string // names of imported packages
	aliases  typeutil.Map              // types to *types.Alias that stand for them
	declared []*types.Alias            // those of the aliases that the file declares
}

// isLocal reports whether generated code gives a name to variables.
var isLocal = regexp.MustCompile(`^(ctx|err|method|[acdeikprvx]\d*)$`).MatchString

// free returns a package-level name that is not taken yet, and takes it.
func (n *naming) free(name string) string {
	free := name
	for i := 2; n.taken[free] || types.Universe.Lookup(free) != nil; i++ {
		free = fmt.Sprint(name, i)
	}
	n.taken[free] = true
	return free
}

// qualifier names packages in types, and imports them.
func (n *naming) qualifier(p *types.Package) string {
	if p == n.home {
		return ""
	}
	name, ok := n.imports[p]
	if !ok {
		name = p.Name()
		if isLocal(name) {
			name += "pkg"
		}
		name = n.free(name)
		n.imports[p] = name
	}
	return name
}

// text returns a type in Go, "" if the package cannot name it.
func (n *naming) text(t types.Type) string {
	t, ok := n.spell(t)
	if !ok {
		return ""
	}
	return types.TypeString(t, n.qualifier)
}

func (n *naming) canName(t types.Type) bool {
	_, ok := n.spell(t)
	return ok
}

// unalias returns what an alias stands for, and remembers the alias: it may be
// the only name by which the package can call the type.
func (n *naming) unalias(t types.Type) types.Type {
	target := types.Unalias(t)
	for a, ok := t.(*types.Alias); ok; a, ok = a.Rhs().(*types.Alias) {
		if n.sees(a.Obj()) && a.TypeArgs().Len() == 0 && n.aliases.At(target) == nil {
			n.aliases.Set(target, a)
		}
	}
	return target
}

// sees reports whether the package can use a declaration's name.
func (n *naming) sees(o *types.TypeName) bool {
	switch {
	case o.Pkg() == nil: // predeclared
		return true
	case o.Parent() != o.Pkg().Scope(): // declared in a function
		return false
	case o.Pkg() == n.home:
		return !isLocal(o.Name())
	}
	return o.Exported() && importable(o.Pkg().Path(), n.home.Path())
}

// importable reports whether from may import a package, given the rule for internal ones.
func importable(path, from string) bool {
	at := strings.LastIndex("/"+path+"/", "/internal/")
	if at < 0 {
		return true
	}
	root := strings.TrimSuffix(path[:max(at-1, 0)], "/")
	return from == root || strings.HasPrefix(from, root+"/")
}

// spell returns t as the package can write it. Aliases that it cannot name are replaced by what
// they stand for, types that it cannot name by aliases. ok is false if something has no name.
func (n *naming) spell(t types.Type) (spelled types.Type, ok bool) {
	ok = true
	inner := func(t types.Type) types.Type {
		s, can := n.spell(t)
		ok = ok && can
		return s
	}
	all := func(vars *types.Tuple) *types.Tuple {
		var list []*types.Var
		for v := range vars.Variables() {
			list = append(list, types.NewParam(v.Pos(), v.Pkg(), v.Name(), inner(v.Type())))
		}
		return types.NewTuple(list...)
	}
	switch t := t.(type) {
	case *types.Alias:
		if !n.sees(t.Obj()) {
			return n.spell(t.Rhs())
		}
		return n.instance(t, t.Origin(), t.TypeArgs())
	case *types.Named:
		if !n.sees(t.Obj()) {
			return n.byAlias(t)
		}
		return n.instance(t, t.Origin(), t.TypeArgs())
	case *types.Pointer:
		spelled = types.NewPointer(inner(t.Elem()))
	case *types.Slice:
		spelled = types.NewSlice(inner(t.Elem()))
	case *types.Array:
		spelled = types.NewArray(inner(t.Elem()), t.Len())
	case *types.Map:
		spelled = types.NewMap(inner(t.Key()), inner(t.Elem()))
	case *types.Chan:
		spelled = types.NewChan(t.Dir(), inner(t.Elem()))
	case *types.Signature:
		spelled = types.NewSignatureType(nil, nil, nil, all(t.Params()), all(t.Results()), t.Variadic())
	case *types.Struct:
		var fields []*types.Var
		var tags []string
		for i := range t.NumFields() {
			v := t.Field(i)
			typ := inner(v.Type())
			// An embedded field has the name of its type.
			ok = ok && (v.Exported() || v.Pkg() == n.home) && (!v.Embedded() || types.TypeString(typ, nil) == types.TypeString(v.Type(), nil))
			fields = append(fields, types.NewField(v.Pos(), v.Pkg(), v.Name(), typ, v.Embedded()))
			tags = append(tags, t.Tag(i))
		}
		spelled = types.NewStruct(fields, tags)
	case *types.Interface:
		if t.NumMethods() == 0 {
			return t, true
		}
		var methods []*types.Func
		for m := range t.Methods() {
			ok = ok && (m.Exported() || m.Pkg() == n.home)
			methods = append(methods, types.NewFunc(m.Pos(), m.Pkg(), m.Name(), inner(m.Signature()).(*types.Signature)))
		}
		spelled = types.NewInterfaceType(methods, nil)
	default:
		return t, true
	}
	return spelled, ok
}

// instance spells an alias or a named type with type arguments.
func (n *naming) instance(t, origin types.Type, args *types.TypeList) (types.Type, bool) {
	if args.Len() == 0 {
		return t, true
	}
	var list []types.Type
	for a := range args.Types() {
		s, ok := n.spell(a)
		if !ok {
			return t, false
		}
		list = append(list, s)
	}
	spelled, err := types.Instantiate(nil, origin, list, false)
	return spelled, err == nil
}

// byAlias spells a type whose name the package cannot use. If the name is that of a local variable,
// the file declares an alias.
func (n *naming) byAlias(t *types.Named) (types.Type, bool) {
	a, ok := n.aliases.At(t).(*types.Alias)
	if !ok && t.Obj().Pkg() == n.home && t.Obj().Parent() == n.home.Scope() && t.TypeArgs().Len() == 0 {
		ok = true
		a = types.NewAlias(types.NewTypeName(t.Obj().Pos(), n.home, n.free("rmi"+title(t.Obj().Name())+"Type"), nil), t)
		n.aliases.Set(t, a)
		n.declared = append(n.declared, a)
	}
	return a, ok
}

// named returns the part for the type in names, which is unique.
func (n *naming) named(x *generatedType) string {
	if x.name != "" {
		return x.name
	}
	base := "Func"
	switch x.typ.Underlying().(type) {
	case *types.Struct:
		base = "Struct"
	case *types.Interface:
		base = "Interface"
	}
	if _, ok := x.typ.(*types.Named); ok {
		base = ""
		for word := range strings.FieldsFuncSeq(x.text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' }) {
			r := []rune(word)
			base += string(unicode.ToUpper(r[0])) + string(r[1:])
		}
	}
	name := base
	for i := 2; slices.ContainsFunc(prefixes, func(p string) bool { return n.taken[p+name] }); i++ {
		name = fmt.Sprint(base, i)
	}
	for _, p := range prefixes {
		n.taken[p+name] = true
	}
	x.name = name
	return name
}

// prefixes begin the names of what belongs to a type.
var prefixes = []string{"rmi", "rmiServe", "rmiEncode", "rmiDecode", "rmiStruct", "rmiRemote"}
