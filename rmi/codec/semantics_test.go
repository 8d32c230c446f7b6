package codec

import (
	"context"
	"reflect"
	"slices"
	"testing"
	"time"

	"gormi/rmi/fault"
)

func interfaceFor[T any](t testing.TB) *Interface {
	t.Helper()
	i, err := InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestSemanticsTravelWithTheDescription(t *testing.T) {
	account := interfaceFor[Account](t)
	for _, test := range []struct{ declared, want Semantics }{
		{Semantics{}, Semantics{}},
		{Semantics{Idempotent: true}, Semantics{Idempotent: true}},
		{Semantics{OneWay: true}, Semantics{OneWay: true}},
		{Semantics{Timeout: time.Microsecond}, Semantics{Timeout: time.Microsecond}},
		{Semantics{Idempotent: true, OneWay: true, Timeout: 90 * time.Second}, Semantics{Idempotent: true, OneWay: true, Timeout: 90 * time.Second}},
		{Semantics{Timeout: 5*time.Second + 999}, Semantics{Timeout: 5 * time.Second}},
		{Semantics{Timeout: 30 * time.Minute}, Semantics{Timeout: 30 * time.Minute}},
	} {
		with, err := account.With(map[string]Semantics{"Tag": test.declared})
		if err != nil {
			t.Fatal(err)
		}
		if got := with.ByName("Tag").Semantics; got != test.declared {
			t.Errorf("%+v: the method has %+v", test.declared, got)
		}
		b, err := with.Description().MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		d, err := ParseDescription(b)
		if err != nil {
			t.Fatalf("%+v: %v", test.declared, err)
		}
		want := make([]Semantics, len(account.Methods))
		want[account.ByName("Tag").Index] = test.want
		if got := d.SemanticsFor(account); !slices.Equal(got, want) {
			t.Errorf("%+v: a caller learns %+v, want %+v", test.declared, got, want)
		}
		if d.Fingerprint() != with.Fingerprint {
			t.Errorf("%+v: the fingerprint of what was read differs", test.declared)
		}
		if err := d.Accepts(account.Description()); err != nil {
			t.Errorf("%+v: semantics are no part of what must agree: %v", test.declared, err)
		}
		if known := test.want == (Semantics{}); (with.Fingerprint == account.Fingerprint) != known {
			t.Errorf("%+v: a caller that does not know them asks: %v", test.declared, !known)
		}
	}
}

// A caller learns the semantics of the methods that it has, by their names.
func TestSemanticsForCallersOfSomeMethods(t *testing.T) {
	owner, err := interfaceFor[Account](t).With(map[string]Semantics{"Deposit": {Idempotent: true}, "Tag": {OneWay: true, Timeout: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	d := owner.Description()
	tagger := interfaceFor[interface {
		Tag(ctx context.Context, tags ...string) error
	}](t)
	if got, want := d.SemanticsFor(tagger), []Semantics{{OneWay: true, Timeout: time.Second}}; !slices.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	// A peer may claim that a method is one-way that has results: they are waited for.
	lie := *d
	lie.Methods = slices.Clone(d.Methods)
	lie.Methods[owner.ByName("Deposit").Index].OneWay = true
	if got := lie.SemanticsFor(owner)[owner.ByName("Deposit").Index]; got != (Semantics{Idempotent: true}) {
		t.Errorf("%+v", got)
	}
}

func TestSemanticsThatCannotBeAreRefused(t *testing.T) {
	i := interfaceFor[Account](t)
	before := i.Description().Methods
	_, err := i.With(map[string]Semantics{"Deposit": {OneWay: true}})
	wantError(t, err, fault.KindInvalid, "codec.Account.Deposit: it is declared one-way and has results")
	for _, d := range []time.Duration{-time.Second, 999, 31 * time.Minute} {
		_, err = i.With(map[string]Semantics{"Tag": {Timeout: d}})
		wantError(t, err, fault.KindInvalid, "want at least 1µs and at most 30m0s")
	}
	_, err = i.With(map[string]Semantics{"Withdraw": {Idempotent: true}})
	wantError(t, err, fault.KindInvalid, "semantics are declared for Withdraw, which is no method of codec.Account")
	if same, err := i.With(nil); same != i || err != nil {
		t.Errorf("%v, %v", same, err)
	}
	with, err := i.With(map[string]Semantics{"Deposit": {Idempotent: true}})
	if err != nil {
		t.Fatal(err)
	}
	if m := with.ByName("Deposit"); m.Interface != with || with.ByID(m.ID) != m || with.Methods[m.Index] != m {
		t.Errorf("%+v", m)
	}
	if i.ByName("Deposit").Idempotent || !reflect.DeepEqual(before, i.Description().Methods) || i.Fingerprint != i.Description().Fingerprint() {
		t.Error("the interface itself was changed")
	}
}

// All semantics of an interface's own methods are in its fingerprint, those of
// interfaces within it are not.
func TestFingerprintsAreOfTheSemanticsToo(t *testing.T) {
	i := interfaceFor[Account](t)
	seen := map[any]string{i.Fingerprint: "none"}
	for name, methods := range map[string]map[string]Semantics{
		"idempotent":            {"Tag": {Idempotent: true}},
		"one-way":               {"Tag": {OneWay: true}},
		"both":                  {"Tag": {Idempotent: true, OneWay: true}},
		"a timeout":             {"Tag": {Timeout: time.Second}},
		"another timeout":       {"Tag": {Timeout: 2 * time.Second}},
		"another method":        {"Deposit": {Idempotent: true}},
		"two methods":           {"Deposit": {Idempotent: true}, "Tag": {Idempotent: true}},
		"two methods, exchange": {"Deposit": {Idempotent: true, Timeout: time.Second}, "Tag": {Idempotent: true}},
	} {
		with, err := i.With(methods)
		if err != nil {
			t.Fatal(err)
		}
		if other, ok := seen[with.Fingerprint]; ok {
			t.Errorf("the fingerprint is the same for %s and %s", name, other)
		}
		seen[with.Fingerprint] = name
	}
	if none, err := i.With(map[string]Semantics{"Tag": {}}); err != nil || none.Fingerprint != i.Fingerprint {
		t.Errorf("semantics of zeros change the fingerprint: %v", err)
	}

	d := *i.Description()
	d.Types = slices.Clone(d.Types)
	changed := false
	for at, typ := range d.Types {
		if typ.Kind == KindRemote && len(typ.Methods) > 0 {
			d.Types[at].Methods = slices.Clone(typ.Methods)
			d.Types[at].Methods[0].Semantics = Semantics{Idempotent: true, Timeout: time.Second}
			changed = true
		}
	}
	if !changed {
		t.Fatal("there is no interface within this one")
	}
	if d.Fingerprint() != i.Fingerprint {
		t.Error("semantics of an interface within change the fingerprint")
	}
	b, err := d.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	if back, err := ParseDescription(b); err != nil || back.Fingerprint() != i.Fingerprint {
		t.Errorf("read back: %v", err)
	}
}

// Further parts of later versions are skipped. A part in the wrong form is refused.
func TestDescribedSemanticsAreParsedStrictly(t *testing.T) {
	number := func(n int) []byte { return appendNumber(nil, n) }
	list := func(elements ...[]byte) []byte {
		b := appendArray(nil, len(elements))
		for _, e := range elements {
			b = append(b, e...)
		}
		return b
	}
	text := func(s string) []byte { return appendString(nil, s) }
	null := []byte{0xc0}
	for _, test := range []struct {
		name  string
		parts [][]byte // of the method, behind its results
		want  Semantics
		err   string
	}{
		{"none", nil, Semantics{}, ""},
		{"zeros", [][]byte{list(number(0), number(0))}, Semantics{}, ""},
		{"both flags", [][]byte{list(number(3), number(1000))}, Semantics{Idempotent: true, OneWay: true, Timeout: time.Millisecond}, ""},
		{"flags of later versions", [][]byte{list(number(0xfd), number(0))}, Semantics{Idempotent: true}, ""},
		{"a longer semantics", [][]byte{list(number(1), number(0), list(null, text("x")), null)}, Semantics{Idempotent: true}, ""},
		{"six parts", [][]byte{list(number(2), number(0)), list(text("later"), number(7))}, Semantics{OneWay: true}, ""},
		{"empty", [][]byte{list()}, Semantics{}, "semantics of 0 parts"},
		{"no timeout", [][]byte{list(number(1))}, Semantics{}, "semantics of 1 parts"},
		{"no array", [][]byte{number(1)}, Semantics{}, "want"},
		{"flags past a byte", [][]byte{list(number(256), number(0))}, Semantics{}, "the number 256, want one below 256"},
		{"a timeout past all bounds", [][]byte{list(number(0), []byte{0xce, 0x80, 0, 0, 0})}, Semantics{}, "the number 2147483648"},
		{"a negative timeout", [][]byte{list(number(0), []byte{0xff})}, Semantics{}, "want"},
		{"a timeout in words", [][]byte{list(number(0), text("5s"))}, Semantics{}, "want"},
	} {
		t.Run(test.name, func(t *testing.T) {
			method := append([][]byte{text("Do"), {0xc2}, list(), list()}, test.parts...)
			d, err := ParseDescription(list(number(1), text("p.I"), list(), list(list(method...))))
			if test.err != "" {
				wantError(t, err, fault.KindProtocol, test.err)
				return
			}
			if err != nil || d.Methods[0].Semantics != test.want || d.Methods[0].Name != "Do" {
				t.Errorf("%+v, %v", d, err)
			}
		})
	}
}

func TestSemanticsInWords(t *testing.T) {
	for want, s := range map[string]Semantics{
		"": {}, "idempotent": {Idempotent: true}, "oneway": {OneWay: true},
		"idempotent, oneway, timeout 5s": {Idempotent: true, OneWay: true, Timeout: 5 * time.Second},
	} {
		if got := s.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
