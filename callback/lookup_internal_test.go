package callback

import (
	"strings"
	"testing"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// Names mean here what they mean to package registry.
func TestNamesAreThoseOfTheRegistry(t *testing.T) {
	for _, env := range []string{"", "rmi://names.example:7", "names.example", "rmi://%2Frun%2Frmi.sock", "rmi+udp://names.example:7"} {
		t.Setenv("RMI_REGISTRY", env)
		for _, name := range []string{
			"quotes", "ticker/quotes", "rmi://host/a/b", "rmi://host:5/a", "rmi://[::1]:1099/a", "rmi://[::1]/a",
			"rmi://%2Frun%2Frmi.sock/a", "rmi://%40abstract/a", "rmi://127.0.0.1/a", "rmi:///a", "rmi://host:x/a",
			"rmi+udp://host:5/a", "RMI+UDP://[::1]/a", "rmi+udp://%2Frun%2Frmi.sock/a", "rmi://udp:host:5/a", "rmi://[fe80::1%25eth0]:5/a", "http://host/a",
		} {
			want, refused := registry.ParseURL(name)
			at, path, err := parseName(name)
			if (err != nil) != (refused != nil) {
				t.Errorf("%q with %q: %v here, %v there", name, env, err, refused)
				continue
			}
			if err == nil && (at != want.Endpoint || path != want.Name) {
				t.Errorf("%q with %q: %v %q here, %v %q there", name, env, at, path, want.Endpoint, want.Name)
			}
			if got := nameOf(at, path); err == nil && got != want.String() {
				t.Errorf("%q with %q is written %q here, %q there", name, env, got, want)
			}
		}
	}
}

// An address with a character that nobody sees shows it.
func TestANameWithCharactersThatNobodySees(t *testing.T) {
	err := notFound(refs.Endpoint{Host: "host", Port: 1}, "a\u200b", &rmi.Error{Kind: rmi.NotBound})
	if !strings.Contains(err.Error(), `"rmi://host:1/a\u200b"`) {
		t.Error(err)
	}
}
