package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const twoInterfaces = "package p\n\nimport \"context\"\n\n// A and B are remote.\ntype (\n\tA interface{ Do(ctx context.Context) error }\n\tB interface{ Do(ctx context.Context) error }\n)\n\n"

// -check finds whatever go generate would change.
func TestCheckDoesWhatTheLinesAskFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		lines string
		made  [][]string // the files that there are, by rmigen's arguments
		want  string     // "" if all is well
	}{
		{"one of two lines was run", "//go:generate go tool rmigen -type A -o a.go\n//go:generate go tool rmigen -type B -o b.go\n", [][]string{{"-type", "A", "-o", "a.go"}}, "p.go:12:1: there is no file b.go yet"},
		{"both were run", "//go:generate go tool rmigen -type A -o a.go\n//go:generate go tool rmigen -type B -o b.go\n", [][]string{{"-type", "A", "-o", "a.go"}, {"-type", "B", "-o", "b.go"}}, ""},
		{"of fewer types", "//go:generate rmigen -type A,B\n", [][]string{{"-type", "A"}}, "p_rmi.go:1: the file is stale"},
		{"of another name", "//go:generate rmigen\n", [][]string{{"-o", "other.go"}}, "p.go:11:1: there is no file p_rmi.go yet"},
		{"quotes and variables", "//go:generate go run \"gormi/cmd/rmigen\" -o ${GOPACKAGE}_${DOLLAR}.go\n", [][]string{{"-o", "p_$.go"}}, ""},
		{"a type that is gone", "//go:generate rmigen -type C\n", nil, "p.go:11:1: "},
		{"wrong arguments", "//go:generate rmigen -typ C\n", nil, "p.go:11:1: flag provided but not defined"},
		{"another package", "//go:generate rmigen ./sub\n", nil, "p.go:11:1: there is no file sub_rmi.go yet"},
		{"no line of the go command", " //go:generate rmigen\n//go:generates rmigen\n//go:generate -command x rmigen\n//go:generate rmigen -check\n", nil, ""},
		{"two files of one interface", "", [][]string{{"-type", "A", "-o", "old.go"}, {"-type", "A", "-o", "new.go"}}, "old.go:1: the file has a stub of A, as new.go has: delete one of them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := in(t, map[string]string{"p.go": twoInterfaces + c.lines, "sub/sub.go": strings.Replace(twoInterfaces, "package p", "package sub", 1)})
			for _, args := range c.made {
				rmigen(t, 0, dir, args...)
			}
			status := 0
			if c.want != "" {
				status = 1
			}
			if out := rmigen(t, status, dir, "-check"); !strings.Contains(out, c.want) || c.want == "" && out != "" {
				t.Errorf("want %q in:\n%s", c.want, out)
			}
		})
	}
}

// What an interface lacks is said where it stands.
func TestWhatIsNotRemoteIsSaid(t *testing.T) {
	t.Parallel()
	const near = "// Near is not remote.\ntype Near interface {\n\tDo(ctx context.Context) error\n\tGet(ctx context.Context) int\n}\n\n// Reader, Handler and Closed are local.\ntype (\n\tReader interface{ Read(b []byte) (int, error) }\n\tHandler interface {\n\t\tHandle(ctx context.Context) error\n\t\tOn() bool\n\t\tWith(int) Handler\n\t}\n\tClosed interface {\n\t\tDo(ctx context.Context) error\n\t\tclosed()\n\t}\n)\n"
	const why = "p.go:6:6: Near is not remote: its method Get does not return an error last\n"
	dir := in(t, map[string]string{"p.go": withContext + near})
	out := rmigen(t, 1, dir)
	for _, want := range []string{"p.go:1:1: no remote interface in gormi/cmd/rmigen/", why, "p.go:13:2: Reader is not remote: its method Read"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %s in\n%s", want, out)
		}
	}
	put(t, dir, "p.go", twoInterfaces+near)
	if out := rmigen(t, 0, dir); !strings.HasPrefix(out, "warning: ") || strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "p.go:12:6: Near is not remote: its method Get does not return an error last\n") {
		t.Errorf("a near miss beside remote interfaces: %s", out)
	}
	if out := rmigen(t, 0, dir, "-type", "A"); out != "" {
		t.Errorf("where the types are named: %s", out)
	}
	if out := rmigen(t, 1, dir, "-type", "Nope"); !strings.Contains(out, `p.go:1:1: no type "Nope" in gormi/`) {
		t.Errorf("a type that is not there: %s", out)
	}
	put(t, dir, "tests/p_test.go", "package p\n")
	if out := rmigen(t, 1, dir, "./tests"); !strings.Contains(out, "p_test.go:1: no remote interface in gormi/") {
		t.Errorf("a package of tests: %s", out)
	}
	rmigen(t, 0, dir, "-check", "./tests")
}

// Names that two packages share are the remote interface's if one has it.
func TestTypesAreSoughtInAllPackages(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"a/a.go": strings.Replace(twoInterfaces, "package p", "package a", 1), "b/b.go": "package b\n\n// A is data.\ntype A struct{ N int }\n"})
	rmigen(t, 0, dir, "-type", "A", "./...")
	if made, err := filepath.Glob(dir + "/*/*_rmi.go"); err != nil || len(made) != 1 || filepath.Base(made[0]) != "a_rmi.go" {
		t.Errorf("made %v, %v", made, err)
	}
}

func TestNothingIsWrittenIfAFileIsNotRmigens(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"a/a.go": strings.Replace(twoInterfaces, "package p", "package a", 1), "b/b.go": strings.Replace(twoInterfaces, "package p", "package b", 1), "b/b_rmi.go": "package b\n"})
	if out := rmigen(t, 1, dir, "./..."); !strings.Contains(out, "b_rmi.go:1: the file is not rmigen's") {
		t.Error(out)
	}
	if _, err := os.Stat(filepath.Join(dir, "a/a_rmi.go")); err == nil {
		t.Error("another file was written")
	}
}

func TestAnOldFileOfTheSameInterfaceIsTold(t *testing.T) {
	t.Parallel()
	dir := in(t, map[string]string{"p.go": twoInterfaces})
	rmigen(t, 0, dir)
	if out := rmigen(t, 0, dir, "-o", "new.go"); !strings.Contains(out, "p_rmi.go:1: the file has a stub of A, as new.go has") {
		t.Error(out)
	}
}

func TestNamesOfFiles(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"x.go": "", "x_y.go": "", "linux.go": "", "x_rmi_linux2.go": "",
		"my file.go": "without spaces", "../x.go": "without a folder", "x.txt": "the name of a Go file",
		"_x.go": "ignores", ".x.go": "ignores", "x_test.go": "in tests only",
		"x_windows.go": "for windows only", "x_arm64.go": "for arm64 only", "x_linux_amd64.go": "for linux && amd64 only",
	} {
		if got := badName(name); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if out := rmigen(t, 2, ".", "-o", "x_windows.go"); !strings.Contains(out, "-o x_windows.go: with this name the file would be there for windows only") {
		t.Error(out)
	}
}

func TestConstraintsInNamesAreKept(t *testing.T) {
	for name, want := range map[string]string{"p_linux.go": "linux", "p_linux_amd64.go": "linux && amd64"} {
		t.Setenv("GOOS", "linux")
		t.Setenv("GOARCH", "amd64")
		for line, want := range map[string]string{"": want, "//go:build !race || cgo\n\n": want + " && (!race || cgo)"} {
			dir := in(t, map[string]string{name: line + twoInterfaces})
			rmigen(t, 0, dir)
			if text := read(t, dir, "p_rmi.go"); !strings.HasPrefix(text, headStart+headEnd+"\n//go:build "+want+"\n\npackage p\n") {
				t.Errorf("%s: the file begins with %.200s", name, text)
			}
		}
	}
}
