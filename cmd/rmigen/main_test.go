package main

import (
	"bytes"
	"fmt"
	"go/format"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// in makes a package of files in a folder of this module, so that it can import
// the module's packages; the go command does not see it elsewhere.
func in(t *testing.T, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("testdata", "tmp")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for name, text := range files {
		put(t, dir, name, text)
	}
	return dir
}

func put(t *testing.T, dir, name, text string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rmigen runs the command and checks its exit status.
func rmigen(t *testing.T, want int, dir string, args ...string) (stderr string) {
	t.Helper()
	var b bytes.Buffer
	if got := run(args, dir, &b); got != want {
		t.Errorf("rmigen %s: status %d, want %d: %s", strings.Join(args, " "), got, want, &b)
	}
	return b.String()
}

func goes(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

const account = `package bank

import "context"

// Account is an account.
type Account interface {
	//rmi:idempotent
	Balance(ctx context.Context) (int64, error)
	//rmi:timeout 1m30s
	Deposit(ctx context.Context, e Entry) (int64, error)
	Note(ctx context.Context, text string) error //rmi:oneway
}

// Entry is what is deposited.
type Entry struct {
	Cents int64
	Text  string
	Kind  Kind
}

// Kind is a number.
type Kind uint8

// Local is no remote interface.
type Local interface{ Read(p []byte) (int, error) }
`

func TestAFileIsMadeAndSaysHow(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"account.go": account})
	rmigen(t, 0, dir)
	text := read(t, dir, "bank_rmi.go")
	if !regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`).MatchString(text) {
		t.Error("the file is not marked as generated")
	}
	for _, want := range []string{
		`{Name: "Balance", Semantics: stub.Semantics{Idempotent: true}}`,
		`{Name: "Deposit", Semantics: stub.Semantics{Timeout: 90000000000 /* 1m30s */}}`,
		`{Name: "Note", Semantics: stub.Semantics{OneWay: true}}`,
		`stub.StructOf[Entry]("struct{Cents Text Kind}")`,
		"import (\n\t\"context\"\n\n\t\"gormi/rmi/stub\"\n)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the file lacks %s", want)
		}
	}
	if strings.Contains(text, "Local") {
		t.Error("an interface that is not remote got a stub")
	}
	if formatted, err := format.Source([]byte(text)); err != nil || string(formatted) != text {
		t.Errorf("the file is not formatted: %v", err)
	}
	if out, err := goes(t, dir, "vet", "."); err != nil {
		t.Errorf("go vet: %s", out)
	}
}

func TestCheckTellsOfStaleFilesBesidePackagesThatDoNotCompile(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"account.go": account, "broken/broken.go": "package broken\n\nvar x int = \"text\"\n"})
	rmigen(t, 0, dir)
	rmigen(t, 0, dir, "-check")
	put(t, dir, "account.go", strings.Replace(account, "Text  string", "Title string", 1))
	out := rmigen(t, 1, dir, "-check", "./...")
	for _, want := range []string{"broken.go:3:13: ", "bank_rmi.go:1: the file is stale: run go generate"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s in %s", want, out)
		}
	}
}

func TestTheSamePackageGivesTheSameFile(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"account.go": account})
	rmigen(t, 0, dir)
	first := read(t, dir, "bank_rmi.go")
	for _, broken := range []string{first, headStart + headEnd + "\npackage bank\n\nvar _ = gone\n", headStart + headEnd + "no Go at all"} {
		put(t, dir, "bank_rmi.go", broken)
		rmigen(t, 0, dir)
		if read(t, dir, "bank_rmi.go") != first {
			t.Errorf("another file was made where there was\n%.100s", broken)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"account.go": account})
	rmigen(t, 0, dir, "-check") // nobody asked for a file

	put(t, dir, "account.go", account+"\n//go:generate go tool rmigen -type Account\n")
	if out := rmigen(t, 1, dir, "-check"); !strings.Contains(out, "account.go:27:1: there is no file bank_rmi.go yet") {
		t.Errorf("a missing file: %s", out)
	}
	rmigen(t, 0, dir, "-type", "Account")
	rmigen(t, 0, dir, "-check")
	text := read(t, dir, "bank_rmi.go")

	put(t, dir, "account.go", strings.Replace(account, "Cents int64\n", "Cents int64\n\tWhen int64\n", 1))
	if out := rmigen(t, 1, dir, "-check"); !strings.Contains(out, "bank_rmi.go:1: the file is stale") {
		t.Errorf("a stale file: %s", out)
	}
	if read(t, dir, "bank_rmi.go") != text {
		t.Error("-check wrote something")
	}
	rmigen(t, 0, dir, "-type", "Account")
	rmigen(t, 0, dir, "-check")
	if out := rmigen(t, 2, dir, "-check", "-type", "Account"); !strings.Contains(out, "takes no -type") {
		t.Errorf("-check with -type: %s", out)
	}
	put(t, dir, "account.go", "package bank\n\n// Entry is left.\ntype Entry struct{ N int }\n")
	if out := rmigen(t, 1, dir, "-check"); !strings.Contains(out, "bank_rmi.go:1: the package has no type Account any more") {
		t.Errorf("a file for a type that is gone: %s", out)
	}
}

// A program whose types have changed says at its start which file is stale.
func TestAStaleFileIsFoundAtStart(t *testing.T) {
	t.Parallel()
	main := strings.Replace(account, "package bank", "package main", 1) + "\nfunc main() {}\n"
	dir := in(t, map[string]string{"account.go": main})
	rmigen(t, 0, dir)
	if out, err := goes(t, dir, "run", "."); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, change := range []struct{ from, to, want string }{
		{"Cents int64\n", "Cents int64\n\tWhen int64\n", "struct{Cents When Text Kind}; the file was made for struct{Cents Text Kind}"},
		{"Text  string", "Text  string `msgpack:\"t\"`", "struct{Cents Text=t Kind}"},
		{"type Kind uint8\n", "type Kind uint8\n\nfunc (Kind) MarshalText() (b []byte, err error) { return }\nfunc (*Kind) UnmarshalText([]byte) error { return nil }\n", "travels as text form, the file was made for uint8"},
		{"type Kind uint8\n", "type Kind uint16\n", "cannot convert"}, // does not even compile
		{"//rmi:idempotent\n\tBalance(ctx context.Context) (int64, error)", "", "v.Balance undefined"},
		{"Cents int64\n", "Cents string\n", "cannot use"},
	} {
		put(t, dir, "account.go", strings.Replace(main, change.from, change.to, 1))
		out, err := goes(t, dir, "run", ".")
		if err == nil || !strings.Contains(out, change.want) || !strings.Contains(out, "main_rmi.go") {
			t.Errorf("%s -> %s: %v: %s", change.from, change.to, err, out)
		}
	}
	put(t, dir, "account.go", main)
	put(t, dir, "main_rmi.go", strings.Replace(read(t, dir, "main_rmi.go"), "FilesOfVersion1", "FilesOfVersion0", 1))
	if out, err := goes(t, dir, "build", "-o", os.DevNull, "."); err == nil || !strings.Contains(out, "FilesOfVersion0") {
		t.Errorf("a file of another version: %v: %s", err, out)
	}
}

// Names of the package, of methods and of imports do not clash with those of
// the generated code.
func TestNamesDoNotClash(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{
		"d/d.go": "// Package d has a short name.\npackage d\n\n// T is a number.\ntype T int\n",
		"clash.go": `package clash

import (
	"context"

	"gormi/cmd/rmigen/DIR/d"
)

// Store is generic.
type Store[T any] interface {
	Object(ctx context.Context, e T) (d T, err error)
	Begin(ctx context.Context, stub d.T) (c d.T, e error)
	Invoke(ctx context.Context) error
}

// IntStore and Other are remote. e has the name of a variable.
type (
	IntStore = Store[int]
	Other    Store[map[string]elem]
	elem     struct {
		N int
		E e
	}
	e struct{ N int }
)

func stub() {}

type rmiObject int

func rmiEncodeElem() { stub(); _ = rmiObject(1) }

var _ = rmiEncodeElem
`})
	put(t, dir, "clash.go", strings.ReplaceAll(read(t, dir, "clash.go"), "DIR", filepath.ToSlash(dir)))
	rmigen(t, 0, dir, "-type", "IntStore,Other", "-o", "stubs.go")
	if out, err := goes(t, dir, "vet", "."); err != nil {
		t.Errorf("go vet: %s", out)
	}
	put(t, dir, "listener.go", "package clash\n\nimport \"context\"\n\n// Listener hears.\ntype Listener interface{ Heard(ctx context.Context, n []int) error }\n")
	rmigen(t, 0, dir, "-type", "Listener", "-o", "more.go")
	if out, err := goes(t, dir, "vet", "."); err != nil {
		t.Errorf("go vet of two generated files: %s", out)
	}
	rmigen(t, 0, dir, "-check")
}

// A type that is there under some constraint only has its stub under the same.
func TestBuildConstraintsAreKept(t *testing.T) {
	t.Parallel()
	constrained := "//go:build !windows\n\n" + account
	dir := in(t, map[string]string{"account.go": constrained})
	rmigen(t, 0, dir)
	if text := read(t, dir, "bank_rmi.go"); !strings.HasPrefix(text, headStart+headEnd+"\n//go:build !windows\n\npackage bank\n") {
		t.Errorf("the file begins with %.200s", text)
	}
	put(t, dir, "more.go", "package bank\n\nimport \"context\"\n\n// Bell rings.\ntype Bell interface{ Ring(context.Context) error }\n")
	if out := rmigen(t, 1, dir); !strings.Contains(out, "more.go:6:6: Bell has another build constraint than Account") {
		t.Error(out)
	}
}

// A codec is one by whatever names its methods call their types.
func TestCodecsWithAliasesInTheirSignatures(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"main.go": `package main

import (
	"context"

	"github.com/vmihailenco/msgpack/v5"
)

type (
	enc   = msgpack.Encoder
	dec   = msgpack.Decoder
	octet = byte

	// I is remote.
	I interface{ Do(context.Context, T, U) error }
	// T and U have codecs.
	T struct{ N int }
	U struct{ N int }
)

// EncodeMsgpack is half of a codec.
func (T) EncodeMsgpack(*enc) error { return nil }

// DecodeMsgpack is the other half.
func (*T) DecodeMsgpack(*dec) error { return nil }

// MarshalBinary is half of a codec.
func (U) MarshalBinary() ([]octet, error) { return nil, nil }

// UnmarshalBinary is the other half.
func (*U) UnmarshalBinary([]octet) error { return nil }

func main() {}
`})
	rmigen(t, 0, dir)
	if out, err := goes(t, dir, "run", "."); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// Directives of a method count in interfaces of other packages that embed it.
func TestDirectivesOfEmbeddedInterfaces(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"account.go": account})
	put(t, dir, "more/more.go", "package more\n\nimport bank \"gormi/cmd/rmigen/"+filepath.ToSlash(dir)+"\"\n\n// Account is one.\ntype Account interface{ bank.Account }\n")
	rmigen(t, 0, dir, "./more")
	if text := read(t, dir, "more/more_rmi.go"); !strings.Contains(text, `{Name: "Balance", Semantics: stub.Semantics{Idempotent: true}}`) || !strings.Contains(text, "OneWay: true") {
		t.Errorf("the directives are lost:\n%.1500s", text)
	}
	if out, err := goes(t, dir, "vet", "./more"); err != nil {
		t.Errorf("go vet: %s", out)
	}
}

func TestWhatIsRefused(t *testing.T) {
	t.Parallel()
	const head = "package p\n\nimport \"context\"\n\n"
	remote := func(param string) string {
		return head + "// I is remote.\ntype I interface {\n\tDo(ctx context.Context,\n\t\tv " + param + ") error\n}\n"
	}
	for _, c := range []struct {
		name string
		text string
		args []string
		want string
	}{
		{"a package that does not compile", head + "type I interface{ Do(ctx context.Context, v Gone) error }\n", nil, "p.go:5:45: undefined: Gone"},
		{"no Go", "package\n", nil, "p.go:1:9: expected 'IDENT'"},
		{"no package", "", []string{"./nowhere"}, "nowhere"},
		{"a type that is not there", head + "// J is local.\ntype J interface{ Do(ctx context.Context) error }\n", []string{"-type", "I"}, `no type "I" in`},
		{"no remote interface", "package p\n\n// I is data.\ntype I struct{ N int }\n", nil, "own_rmi.go:1: the package has no remote interface any more"},
		{"an unknown directive", head + "// I is remote.\ntype I interface {\n\t//rmi:twice\n\tDo(ctx context.Context) error\n}\n", nil, "p.go:7:2: //rmi:twice: not known"},
		{"a bad timeout", head + "// I is remote.\ntype I interface {\n\t//rmi:timeout soon\n\tDo(ctx context.Context) error\n}\n", nil, "p.go:7:2: //rmi:timeout soon: want a time"},
		{"one way with a result", head + "// I is remote.\ntype I interface {\n\t//rmi:oneway\n\tDo(ctx context.Context) (int, error)\n}\n", nil, "p.go:7:2: //rmi:oneway: it is declared one-way and has results"},
		{"a directive elsewhere", head + "// I is remote.\n//\n//rmi:oneway\ntype I interface {\n\tDo(ctx context.Context) error\n}\n", nil, "p.go:7:1: //rmi:oneway has no effect here: put it on a method"},
		{"a name of another folder", remote("int"), []string{"-o", "../x.go"}, "want the name of a Go file without a folder and without spaces"},
		{"somebody's file", remote("int"), []string{"-o", "p.go"}, "p.go:1: the file is not rmigen's"},
		{"a file", remote("int"), []string{"p.go"}, "p.go:1: a file: name its package"},
		{"its own output", remote("int"), []string{"own_rmi.go"}, "own_rmi.go:1: the file is rmigen's own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			own := headStart + headEnd + "\npackage p\n"
			dir := in(t, map[string]string{"p.go": c.text, "own_rmi.go": own})
			status := 1
			if len(c.args) > 0 && c.args[len(c.args)-1] == "../x.go" {
				status = 2
			}
			if out := rmigen(t, status, dir, c.args...); !strings.Contains(out, c.want) {
				t.Errorf("want %q in:\n%s", c.want, out)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 || read(t, dir, "p.go") != c.text || read(t, dir, "own_rmi.go") != own {
				t.Errorf("something was written: %v, %v", entries, err)
			}
		})
	}

	together := []refusal{
		{"a channel", remote("chan int"), "/p.go:8:3: I.Do: argument 1: channels cannot travel"},
		{"a channel in a struct", remote("map[string][]*T") + "\n// T is data.\ntype T struct {\n\tOK int\n\tC struct{ D chan int }\n}\n", "/p.go:8:3: I.Do: argument 1: [][].C.D: channels cannot travel"},
		{"a complex number", remote("complex64"), "complex numbers cannot travel"},
		{"an address", remote("uintptr"), "memory address"},
		{"a func that is not remote", remote("func(int)"), "a function that travels must take a context.Context first and return an error last"},
		{"a context", remote("[]context.Context"), "argument 1: []: a context.Context travels as the first parameter"},
		{"a key", remote("map[float64]int"), "a map's key is a string"},
		{"no exported fields", remote("T") + "\n// T is closed.\ntype T struct{ n int }\n\nvar _ = T{}.n\n", "p.T has no exported fields"},
		{"half a codec", remote("T") + "\n// T is half.\ntype T struct{ N int }\n\n// MarshalText is one half.\nfunc (T) MarshalText() ([]byte, error) { return nil, nil }\n", "p.T has MarshalText, but no UnmarshalText"},
		{"half remote", remote("T") + "\n// T is half.\ntype T interface {\n\tA(context.Context) error\n\tB()\n}\n", "p.T is neither a remote interface nor data: B does not"},
		{"in another remote interface", remote("T") + "\n// T is remote.\ntype T interface {\n\tA(context.Context, chan int) error\n}\n", "/p.go:13:21: "},
		{"methods of one number", head + "// I is remote.\ntype I interface {\n\tGetkrcdjm(ctx context.Context) error\n\tGetxgmeiw(ctx context.Context) error\n}\n",
			"/p.go:8:2: I: the name of the method Getxgmeiw hashes to the same number as Getkrcdjm: rename one of them"},
		{"nil of its own", remote("int") + "\nconst nil = 0\n", "/p.go:11:7: the package declares nil, which generated code uses with Go's own meaning"},
		{"another uint64", remote("int") + "\ntype uint64 uint32\n", "/p.go:11:6: the package declares uint64"},
		{"another len", remote("int") + "\nfunc len(any) int { return 0 }\n", "/p.go:11:6: the package declares len"},
		{"two of one name", remote("T") + "\n// T is data.\ntype T struct {\n\tA int\n\tB int `msgpack:\"A\"`\n}\n", `fields A and B both travel as "A"`},
		{"two of one name, one of them embedded", remote("T") + "\n// T is data.\ntype T struct {\n\tB\n\tA int\n}\n\n// B is too.\ntype B struct{ A int }\n", `fields B.A and A both travel as "A"; give one of them another name`},
		{"an embedded type without exported fields", remote("T") + "\n// T is data.\ntype T struct {\n\tB\n\tA int\n}\n\n// B is closed.\ntype B struct{ n int }\n\nvar _ = B{}.n\n", "field B: p.B has no exported fields"},
		{"an embedded unexported codec", remote("T") + "\n// T is data.\ntype T struct {\n\tb\n\tA int\n}\n\ntype b struct{ N int }\n\nfunc (b) MarshalText() ([]byte, error) { return nil, nil }\n\nfunc (*b) UnmarshalText([]byte) error { return nil }\n", "field b: the embedded p.b is unexported"},
		{"an embedded error", remote("T") + "\n// T is data.\ntype T struct {\n\terror\n\tA int\n}\n", "field error: the embedded error is unexported"},
		{"half a codec, the other half of an embedded type", strings.Replace(remote("T"), `"context"`, "(\n\t\"context\"\n\t\"time\"\n)", 1) + "\n// T is half.\ntype T struct{ time.Time }\n\n// MarshalText is one half.\nfunc (T) MarshalText() ([]byte, error) { return nil, nil }\n", "p.T has MarshalText, but no UnmarshalText"},
		{"a servant in place of its interface", remote("[]*T") + "\n// T is an object.\ntype T struct{ ID int }\n\n// Close ends it.\nfunc (*T) Close(context.Context) error { return nil }\n", "argument 1: []: *p.T has remote methods (Close), but here a copy"},
		{"a servant that embeds a pointer to itself", remote("T") + "\n// T is an object.\ntype T struct {\n\t*T\n\tID int\n}\n\n// Close ends it.\nfunc (*T) Close(context.Context) error { return nil }\n", "argument 1: p.T has remote methods (Close)"},
		{"a servant that embeds another", remote("T") + "\n// T is an object.\ntype T struct{ *B }\n\n// B is too.\ntype B struct{ ID int }\n\n// Close ends it.\nfunc (*B) Close(context.Context) error { return nil }\n", "argument 1: p.T has remote methods (Close)"},
		{"pointers without an end", remote("T") + "\n// T is a pointer.\ntype T *T\n", "more than 8 pointers deep"},
		{"a stream", strings.Replace(remote("io.Reader"), `"context"`, "(\n\t\"context\"\n\t\"io\"\n)", 1), "streams (io.Reader) are not supported yet"},
	}
	refused(t, map[string]string{"good/p.go": remote("int")}, together)
	refused(t, nil, []refusal{
		{"an interface that is not remote", head + "// I is local.\ntype I interface{ Do(ctx context.Context) }\n", "/p.go:6:6: I is not remote: its method Do does not return an error last"},
		{"a method without a context", head + "// I is local.\ntype I interface {\n\tGo(context.Context) error\n\tDo() error\n}\n", "/p.go:6:6: I is not remote: its method Do does not take a context.Context first"},
		{"a struct", "package p\n\n// I is data.\ntype I struct{ N int }\n", "/p.go:4:6: I is not remote: it is neither"},
		{"a generic interface", head + "// I is generic.\ntype I[T any] interface{ Do(ctx context.Context, v T) error }\n", "/p.go:6:6: I is generic: give an instance a name"},
		{"a generic alias", head + "// I is generic.\ntype (\n\tI[T any] = S[T]\n\tS[T any] interface{ Do(ctx context.Context, v T) error }\n)\n", "/p.go:7:2: I is generic"},
		{"a constraint", head + "// I is a constraint.\ntype I interface {\n\tcomparable\n\tDo(ctx context.Context) error\n}\n", "/p.go:6:6: I is not remote: it is a constraint"},
		{"no type", "package p\n\n// I is a number.\nconst I = 1\n", "/p.go:4:7: I is no type"},
	})
}

// refusal is a package whose type I is refused.
type refusal struct{ name, text, want string }

// refused has the refusals in one run, for the go command takes its time.
func refused(t *testing.T, files map[string]string, together []refusal) {
	t.Helper()
	if files == nil {
		files = map[string]string{}
	}
	for i, c := range together {
		files[fmt.Sprintf("p%d/p.go", i)] = c.text
	}
	dir := in(t, files)
	out := rmigen(t, 1, dir, "-type", "I", "./...")
	for i, c := range together {
		at := fmt.Sprintf("/p%d/p.go:", i)
		found := false
		for line := range strings.Lines(out) {
			found = found || strings.Contains(line, at) && strings.Contains(line, strings.TrimPrefix(c.want, "/p.go"))
		}
		if !found {
			t.Errorf("%s: want %q in:\n%s", c.name, c.want, out)
		}
	}
	if strings.Contains(out, "/good/") {
		t.Error("a good package was refused")
	}
	if made, err := filepath.Glob(dir + "/*/*_rmi.go"); err != nil || made != nil {
		t.Errorf("something was written: %v, %v", made, err)
	}
}

// All generated files of this module are as rmigen makes them now: they are its
// golden files.
func TestTheModulesFilesAreUpToDate(t *testing.T) {
	t.Parallel()
	rmigen(t, 0, "../..", "-check", "./...")
}
