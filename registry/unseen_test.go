package registry_test

import (
	"strings"
	"testing"
	"unicode"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// An error about an address shows characters in it that are not visible.
func TestCharactersThatNobodySeesAreShown(t *testing.T) {
	n := newNode(t, nil)
	check := func(what string, err error) {
		t.Helper()
		if err == nil {
			t.Errorf("%s is taken", what)
		} else if strings.ContainsFunc(err.Error(), func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%s: the error does not show it: %q", what, err.Error())
		}
	}
	for _, c := range []string{"\r", "\n", "\r\n", "\t", "\x00", "\x1b[2J", "\u200b", "\ufeff", "\u202e"} {
		for _, s := range []string{
			"rmi://127.0.0.1:1099" + c, "rmi://127.0.0.1" + c + ":1099/a", c + "rmi://127.0.0.1:1099/a", "rmi://127.0.0.1:1099/a" + c, "rmi" + c + "://x/y",
			"rmi://%2Frun%2F" + c + "x/y", "rmi://[::1" + c + "]:5/x", "rmi+udp" + c + "://x", "rmi://h:70000" + c, "rmi://%" + c, "a" + c, "//h/" + c, "rmi:" + c,
		} {
			_, err := registry.ParseURL(s)
			check("ParseURL", err)
			_, err = registry.At(n, s)
			check("At", err)
			_, err = registry.LookupRef(t.Context(), n, s)
			check("LookupRef", err)
			_, err = registry.Bind[Account](t.Context(), n, s, &account{}, nil)
			check("Bind", err)
			check("Unbind", registry.Unbind(t.Context(), n, s))
			for _, err := range registry.List(t.Context(), n, s) {
				check("List", err)
				break
			}
			_, err = refs.Parse(s)
			check("refs.Parse", err)
			if c != "\x00" { // which no environment holds
				t.Setenv(registry.Env, s)
				_, err = registry.LookupRef(t.Context(), n, "a")
				check(registry.Env, err)
				t.Setenv(registry.Env, "")
			}
		}
		for _, s := range []string{"127.0.0.1:0" + c, "127.0.0.1" + c + ":0", "udp:127.0.0.1:0" + c, "unix:/tmp/x" + c, c} {
			_, err := refs.ParseEndpoint(s)
			check("ParseEndpoint", err)
			_, err = rmi.Listen(t.Context(), s)
			check("Listen", err)
			bad := rmi.NewNode(&rmi.Options{Advertise: s})
			_, err = bad.Listen(t.Context(), "127.0.0.1:0")
			check("Advertise", err)
			bad.Close()
		}
	}
}
