package main

import (
	"bytes"
	"fmt"
	"go/format"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/types/typeutil"
)

const stubPath = "gormi/rmi/stub"

// file is a generated file in the making.
type file struct {
	*job
	naming
	types   typeutil.Map     // types to *generatedType
	codecs  []*generatedType // whose functions are not written yet
	funcs   []*generatedType // whose proxies and skeletons are not written yet
	vars    bytes.Buffer     // descriptors and checks of types
	body    bytes.Buffer
	stub    string // name of package stub
	object  string // name of stub.Object where it is embedded
	context string // context.Context
}

// generatedType is a type for which the file has functions or declarations.
type generatedType struct {
	typ    types.Type
	text   string // in Go; "" if the package cannot name it
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
	f := &file{job: j, naming: naming{home: j.Types, taken: j.taken(), imports: map[*types.Package]string{}}}
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
	for _, a := range f.declared {
		f.printf("// %s is a type whose name is one of a variable here.\ntype %s = %s\n\n", a.Obj().Name(), a.Obj().Name(), a.Rhs().(*types.Named).Obj().Name())
	}
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

// printf writes to the body. "stub." in the format stands for the file's name of that package.
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

// isStandard reports whether a package is of the standard library, for the order of imports.
func isStandard(path, from string) bool {
	first, _, _ := strings.Cut(path, "/")
	mine, _, _ := strings.Cut(from, "/")
	return !strings.Contains(first, ".") && first != mine && first != "gormi"
}

// of returns what the file has for a type.
func (f *file) of(t types.Type) *generatedType {
	t = f.unalias(t)
	x, ok := f.types.At(t).(*generatedType)
	if !ok {
		x = &generatedType{typ: t, text: f.text(t)}
		f.types.Set(t, x)
	}
	return x
}
