package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

const withContext = "package p\n\nimport \"context\"\n\n"

// interfaceI declares an interface I with a method of some directives.
func interfaceI(directives ...string) string {
	return withContext + "// I is remote.\ntype I interface {\n\t" + strings.Join(append(directives, "Do(ctx context.Context) error"), "\n\t") + "\n}\n"
}

func TestDirectivesThatAreRefused(t *testing.T) {
	t.Parallel()
	local := func(declaration string) string { return interfaceI() + "\n// T is something else.\n" + declaration }
	refused(t, nil, []refusal{
		{"one twice", interfaceI("//rmi:idempotent", "//rmi:idempotent"), "/p.go:8:2: //rmi:idempotent: Do has the directive twice"},
		{"two timeouts", interfaceI("//rmi:timeout 5s", "//rmi:timeout 7s"), "/p.go:8:2: //rmi:timeout 7s: Do has the directive twice"},
		{"before and behind", strings.Replace(interfaceI("//rmi:oneway"), "error\n", "error //rmi:oneway\n", 1), "/p.go:8:32: //rmi:oneway: Do has the directive twice"},
		{"a space too many", interfaceI("//rmi: idempotent"), "/p.go:7:2: //rmi: idempotent is no directive: write it right after //"},
		{"a space in front", interfaceI("// rmi:oneway"), "/p.go:7:2: // rmi:oneway is no directive"},
		{"another kind of comment", interfaceI("/*rmi:oneway*/"), "/p.go:7:2: /*rmi:oneway*/ is no directive"},
		{"a word too many", interfaceI("//rmi:oneway x"), "/p.go:7:2: //rmi:oneway x: want //rmi:oneway and nothing after it"},
		{"no time", interfaceI("//rmi:timeout"), "/p.go:7:2: //rmi:timeout: want a time as in //rmi:timeout 5s"},
		{"too long", interfaceI("//rmi:timeout 2h"), "/p.go:7:2: //rmi:timeout 2h: its timeout is 2h0m0s: want at least 1µs and at most 30m0s"},
		{"too short", interfaceI("//rmi:timeout 1ns"), "/p.go:7:2: //rmi:timeout 1ns: its timeout is 1ns: want at least"},
		{"none", interfaceI("//rmi:timeout 0s"), "/p.go:7:2: //rmi:timeout 0s: want a time"},
		{"less than none", interfaceI("//rmi:timeout -5s"), "/p.go:7:2: //rmi:timeout -5s: its timeout is -5s"},
		{"in an interface that is not remote", local("type T interface {\n\tDo(ctx context.Context) error //rmi:oneway\n\tN() int\n}\n"),
			"/p.go:12:32: //rmi:oneway has no effect, because T is not remote: its method N does not take a context.Context first"},
		{"in a constraint", local("type T interface {\n\t~int\n\tDo(ctx context.Context) error //rmi:oneway\n}\n"), "/p.go:13:32: //rmi:oneway has no effect, because T is not remote: it is a constraint"},
		{"at what is embedded", local("type T interface {\n\tI //rmi:oneway\n\tEnd(ctx context.Context) error\n}\n"), "/p.go:12:4: //rmi:oneway has no effect here: put it on a method"},
		{"in a field", local("type T struct {\n\tF interface {\n\t\tDo(ctx context.Context) error //rmi:oneway\n\t}\n}\n"), "/p.go:13:33: //rmi:oneway has no effect here: put it on a method"},
		{"in a function", local("func T() {\n\ttype J interface {\n\t\tDo(ctx context.Context) error //rmi:oneway\n\t}\n}\n"), "/p.go:13:33: //rmi:oneway has no effect here: put it on a method"},
		{"at a function", local("//\n//rmi:oneway\nfunc T() {}\n"), "/p.go:12:1: //rmi:oneway has no effect here: put it on a method"},
	})
}

func TestDirectivesWithoutAStub(t *testing.T) {
	t.Parallel()
	const source = withContext + "// A, B and C are remote.\ntype (\n\tA interface {\n\t\tGet(ctx context.Context) error //rmi:idempotent\n\t}\n\tB interface {\n\t\tA\n\t\tPut(ctx context.Context) error\n\t}\n" +
		"\tC interface {\n\t\tDo(ctx context.Context) error //rmi:oneway\n\t}\n\tD[T any] interface {\n\t\tSet(ctx context.Context, v T) error //rmi:oneway\n\t}\n\tE = D[int]\n)\n"
	const do, get, set = "p.go:15:3: the directives of Do have no effect: no interface that has it gets a stub\n", "p.go:8:3: the directives of Get ", "p.go:18:3: the directives of Set "
	dir := in(t, map[string]string{"p.go": source})
	for _, c := range []struct {
		args  string
		lines []string
	}{
		{"-type A", []string{do, set}},
		{"-type B", []string{do, set}},
		{"-type C", []string{set, get}},
		{"-type C,E", []string{get}},
		{"-type A,C,E", nil},
		{"-type A,E", []string{do}},
		{"-type C -o c.go", nil}, // beside the file of those before
	} {
		out := rmigen(t, 0, dir, strings.Fields(c.args)...)
		if strings.Count(out, "warning: ") != len(c.lines) {
			t.Errorf("%s: want %d warnings: %s", c.args, len(c.lines), out)
		}
		for _, line := range c.lines {
			if !strings.Contains(out, line) {
				t.Errorf("%s: want %q in %s", c.args, line, out)
			}
		}
	}
	rmigen(t, 0, dir, "-check")
	put(t, dir, "p.go", source+"\n// F is remote.\ntype F interface {\n\tDo(ctx context.Context) error //rmi:oneway\n}\n")
	if out := rmigen(t, 1, dir, "-check"); !strings.Contains(out, "p.go:25:2: the directives of Do have no effect") {
		t.Errorf("-check: %s", out)
	}
}

func TestDeclarationsOfAMethodHaveTheSameDirectives(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"base/base.go": "package base\n\nimport \"context\"\n\n// Base is remote.\ntype Base interface {\n\tDo(ctx context.Context) error //rmi:idempotent\n}\n"})
	both := func(directives string) string {
		return fmt.Sprintf("package p\n\nimport (\n\t\"context\"\n\n\t\"gormi/cmd/rmigen/%s/base\"\n)\n\n// J and I are remote.\ntype (\n\tJ interface {\n\t\tDo(ctx context.Context) error %s\n\t}\n\tI interface {\n\t\tbase.Base\n\t\tJ\n\t}\n)\n",
			filepath.ToSlash(dir), directives)
	}
	put(t, dir, "p.go", both("//rmi:idempotent"))
	rmigen(t, 0, dir)
	put(t, dir, "p.go", both("//rmi:oneway"))
	if out := rmigen(t, 1, dir); !strings.Contains(out, `p.go:12:3: I.Do has other directives here ("oneway") than at`) || !strings.Contains(out, `base.go:7`) {
		t.Error(out)
	}
	put(t, dir, "p.go", both(""))
	if out := rmigen(t, 1, dir); !strings.Contains(out, `I.Do has other directives here ("") than at`) {
		t.Error(out)
	}
}
