package main

import (
	"bytes"
	"fmt"
	"go/format"
	"go/types"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/tools/go/types/typeutil"
)

const stubPath = "gormi/rmi/stub"

// file is a generated file in the making.
type file struct {
	*job
	taken   map[string]bool           // names of the package level
	imports map[*types.Package]string // names of imported packages
	types   typeutil.Map              // types to *generatedType
	codecs  []*generatedType          // whose functions are not written yet
	funcs   []*generatedType          // whose proxies and skeletons are not written yet
	vars    bytes.Buffer              // descriptors and checks of types
	body    bytes.Buffer
	stub    string // name of package stub
	object  string // name of stub.Object where it is embedded
	context string // context.Context
}

// generatedType is a type that something of the file belongs to.
type generatedType struct {
	typ    types.Type
	text   string // in Go
	name   string // part of the names of what belongs to it: "Account"
	layout *layout

	coded, remote, plain, stubbed bool // what was written, or will be
}

// generate makes the text of the file.
func (j *job) generate() ([]byte, error) {
	if err := j.check(); err != nil {
		return nil, err
	}
	constraint, err := j.constraint()
	if err != nil {
		return nil, err
	}
	f := &file{job: j, taken: j.taken(), imports: map[*types.Package]string{}}
	f.stub = f.free("stub")
	f.object = f.free("rmiObject")

	var stubs []*generatedType
	for _, name := range j.names {
		x := f.of(j.Types.Scope().Lookup(name).Type())
		if !x.stubbed {
			x.stubbed = true
			stubs = append(stubs, x)
			if err := f.writeStub(x); err != nil {
				return nil, err
			}
		}
	}
	for len(f.funcs) > 0 || len(f.codecs) > 0 {
		for _, x := range take(&f.funcs) {
			stubs = append(stubs, x)
			if err := f.writeStub(x); err != nil {
				return nil, err
			}
		}
		for _, x := range take(&f.codecs) {
			f.writeCodec(x)
		}
	}
	body := drain(&f.body)

	f.printf("%s\n", j.head())
	if constraint != "" {
		f.printf("%s\n\n", constraint)
	}
	f.printf("package %s\n\n", j.Name)
	f.writeImports()
	f.printf("// Where this does not compile, the file is too old or too new: run rmigen again.\nconst _ = stub.FilesOfVersion1\n\n")
	f.printf("// %s has a name that no remote method has.\ntype %s = stub.Object\n\n", f.object, f.object)
	for _, x := range stubs {
		f.writeRegistration(x)
	}
	if f.vars.Len() > 0 {
		f.printf("// How types travelled when this was generated. The program checks it at its start.\nvar (\n")
		f.body.Write(f.vars.Bytes())
		f.printf(")\n\n")
	}
	f.body.Write(body)
	text, err := format.Source(f.body.Bytes())
	if err != nil {
		return nil, fmt.Errorf("%s:1: the generated file does not parse, which is a defect of rmigen: %w", relative(j.path), err)
	}
	return text, nil
}

func take(queue *[]*generatedType) []*generatedType {
	q := *queue
	*queue = nil
	return q
}

func drain(b *bytes.Buffer) []byte {
	text := bytes.Clone(b.Bytes())
	b.Reset()
	return text
}

// printf writes to the body. "stub." in the format is what the file calls that
// package.
func (f *file) printf(format string, args ...any) {
	fmt.Fprintf(&f.body, strings.ReplaceAll(format, "stub.", f.stub+"."), args...)
}

func (f *file) writeImports() {
	lines := map[bool][]string{}
	for p, name := range f.imports {
		line := strconv.Quote(p.Path())
		if name != p.Name() {
			line = name + " " + line
		}
		standard := isStandard(p.Path(), f.PkgPath)
		lines[standard] = append(lines[standard], line)
	}
	line := strconv.Quote(stubPath)
	if f.stub != "stub" {
		line = f.stub + " " + line
	}
	lines[false] = append(lines[false], line)
	slices.SortFunc(lines[false], func(a, b string) int { return strings.Compare(a[strings.Index(a, `"`):], b[strings.Index(b, `"`):]) })
	slices.Sort(lines[true])
	f.printf("import (\n%s\n\n%s\n)\n\n", strings.Join(lines[true], "\n"), strings.Join(lines[false], "\n"))
}

// isStandard tells packages of the standard library from those of modules, for
// the order of imports.
func isStandard(path, from string) bool {
	first, _, _ := strings.Cut(path, "/")
	mine, _, _ := strings.Cut(from, "/")
	return !strings.Contains(first, ".") && first != mine && first != "gormi"
}

// isLocal tells the names that generated code gives to variables.
var isLocal = regexp.MustCompile(`^(ctx|err|method|[acdeikprvx]\d*)$`).MatchString

// free returns a name of the package level that is not taken yet, and takes it.
func (f *file) free(name string) string {
	free := name
	for n := 2; f.taken[free] || types.Universe.Lookup(free) != nil; n++ {
		free = fmt.Sprint(name, n)
	}
	f.taken[free] = true
	return free
}

// qualifier names packages in types, and imports them.
func (f *file) qualifier(p *types.Package) string {
	if p == f.Types {
		return ""
	}
	name, ok := f.imports[p]
	if !ok {
		name = p.Name()
		if isLocal(name) {
			name += "pkg"
		}
		name = f.free(name)
		f.imports[p] = name
	}
	return name
}

func (f *file) text(t types.Type) string { return types.TypeString(t, f.qualifier) }

// of returns what belongs to a type.
func (f *file) of(t types.Type) *generatedType {
	t = types.Unalias(t)
	x, ok := f.types.At(t).(*generatedType)
	if !ok {
		x = &generatedType{typ: t, text: f.text(t)}
		f.types.Set(t, x)
	}
	return x
}

// named returns the type's part of names, which is its own.
func (f *file) named(x *generatedType) string {
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
	for n := 2; slices.ContainsFunc(prefixes, func(p string) bool { return f.taken[p+name] }); n++ {
		name = fmt.Sprint(base, n)
	}
	for _, p := range prefixes {
		f.taken[p+name] = true
	}
	x.name = name
	return name
}

// prefixes begin the names of what belongs to a type.
var prefixes = []string{"rmi", "rmiServe", "rmiEncode", "rmiDecode", "rmiStruct", "rmiRemote"}

// canName reports whether the package can write a type down.
func (f *file) canName(t types.Type) bool {
	switch t := types.Unalias(t).(type) {
	case *types.Named:
		obj := t.Obj()
		switch {
		case obj.Pkg() == nil: // error
		case obj.Parent() != obj.Pkg().Scope(): // declared in a function
			return false
		case obj.Pkg() == f.Types && isLocal(obj.Name()):
			return false
		case obj.Pkg() != f.Types && (!obj.Exported() || !importable(obj.Pkg().Path(), f.PkgPath)):
			return false
		}
		for a := range t.TypeArgs().Types() {
			if !f.canName(a) {
				return false
			}
		}
		return true
	case *types.Pointer:
		return f.canName(t.Elem())
	case *types.Slice:
		return f.canName(t.Elem())
	case *types.Array:
		return f.canName(t.Elem())
	case *types.Map:
		return f.canName(t.Key()) && f.canName(t.Elem())
	case *types.Signature:
		return f.canNameAll(t.Params()) && f.canNameAll(t.Results())
	case *types.Struct:
		for v := range t.Fields() {
			if !v.Exported() && v.Pkg() != f.Types || !f.canName(v.Type()) {
				return false
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			if !m.Exported() && m.Pkg() != f.Types || !f.canName(m.Type()) {
				return false
			}
		}
	}
	return true
}

func (f *file) canNameAll(vars *types.Tuple) bool {
	for v := range vars.Variables() {
		if !f.canName(v.Type()) {
			return false
		}
	}
	return true
}

// importable tells whether from may import a package, as internal ones restrict it.
func importable(path, from string) bool {
	at := strings.LastIndex("/"+path+"/", "/internal/")
	if at < 0 {
		return true
	}
	root := strings.TrimSuffix(path[:max(at-1, 0)], "/")
	return from == root || strings.HasPrefix(from, root+"/")
}
