package rmi_test

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"gormi/rmi"
)

// Of an alias go doc shows neither fields nor methods, so its comment lists them.
func TestGoDocShowsFieldsAndMethods(t *testing.T) {
	types := map[string]reflect.Type{
		"Error": reflect.TypeFor[rmi.Error](), "Kind": reflect.TypeFor[rmi.Kind](), "Outcome": reflect.TypeFor[rmi.Outcome](),
		"Semantics": reflect.TypeFor[rmi.Semantics](), "Threading": reflect.TypeFor[rmi.Threading](), "Limits": reflect.TypeFor[rmi.Limits](),
		"Description": reflect.TypeFor[rmi.Description](), "Proxy": reflect.TypeFor[rmi.Proxy](),
		"Options": reflect.TypeFor[rmi.Options](), "ExportOptions": reflect.TypeFor[rmi.ExportOptions](),
	}
	for name, typ := range types {
		out, err := exec.Command("go", "doc", "gormi/rmi", name).Output()
		if err != nil {
			t.Fatalf("go doc gormi/rmi %s: %v", name, err)
		}
		doc := string(out)
		has := func(pattern string) {
			if !regexp.MustCompile("(?m)^ *\t*" + pattern).MatchString(doc) {
				t.Errorf("go doc gormi/rmi %s shows nothing like %q:\n%s", name, pattern, doc)
			}
		}
		if typ.Kind() == reflect.Struct {
			for _, f := range reflect.VisibleFields(typ) {
				if f.IsExported() && !f.Anonymous {
					has(f.Name + " +" + shown(f.Type))
				}
			}
		}
		all := reflect.PointerTo(typ)
		if typ.Kind() == reflect.Interface {
			all = typ
		}
		for i := range all.NumMethod() {
			if m := all.Method(i); typ.Kind() == reflect.Interface {
				has(m.Name + "\\(")
			} else {
				has("func \\(.*" + name + "\\) " + m.Name + "\\(")
			}
		}
	}
	for alias, value := range map[string]string{"Kind": "const KindInvalid Kind", "Outcome": "const OutcomeUnknown Outcome", "Threading": "const ThreadingConcurrent Threading"} {
		if out, _ := exec.Command("go", "doc", "gormi/rmi", alias).Output(); !strings.Contains(string(out), value) {
			t.Errorf("go doc gormi/rmi %s does not list its values:\n%s", alias, out)
		}
	}
}

// shown is a field's type as package rmi writes it.
func shown(t reflect.Type) string {
	s := t.String()
	for _, p := range []string{"rmi", "fault", "codec", "transport"} {
		for _, own := range []string{"Kind", "Outcome", "Semantics", "Threading", "Limits"} {
			s = strings.ReplaceAll(s, p+"."+own, own)
		}
	}
	return regexp.QuoteMeta(s)
}

// The page fits on a screen, and what a program begins with has an example.
func TestGoDocFitsOnAScreen(t *testing.T) {
	out, err := exec.Command("go", "doc", "gormi/rmi").Output()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), "\n"); n > 40 {
		t.Errorf("go doc gormi/rmi prints %d lines, and may print 40:\n%s", n, out)
	}
	examples, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	entries := []string{"Node", "Options", "Error", "ExportOptions", "Handle", "Semantics", "Proxy", "Unreferencer"}
	for _, m := range regexp.MustCompile(`(?m)^ *func (\w+)`).FindAllStringSubmatch(string(out), -1) {
		entries = append(entries, m[1])
	}
	for _, e := range entries {
		if !regexp.MustCompile(`func Example` + e + `(_\w+)?\(\)`).Match(examples) {
			t.Errorf("%s has no example", e)
		}
	}
	if len(entries) < 20 {
		t.Errorf("found only %v", entries)
	}
}
