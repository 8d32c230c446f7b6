package registry_test

import (
	"context"
	"testing"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// The description that is bound is the object's own. So a client that has only the registry's entry
// can compare the description with the reference.
func TestTheDescriptionThatIsBoundIsTheObjectsOwn(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	caller := newNode(t, nil)
	with := rmi.ExportOptions{Methods: map[string]rmi.Semantics{"Deposit": {Idempotent: true, Timeout: time.Second}}}
	check := func(name string) {
		t.Helper()
		r, err := registry.At(caller, reg.URL(""))
		if err != nil {
			t.Fatal(err)
		}
		e, err := r.Lookup(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		d := new(rmi.Description)
		if err := d.UnmarshalBinary(e.Description); err != nil {
			t.Fatal(err)
		}
		if d.Fingerprint() != e.Ref.Interface.Fingerprint {
			t.Errorf("%s: the description has the fingerprint %x, the reference %x", name, d.Fingerprint(), e.Ref.Interface.Fingerprint)
		}
		if plain, err := rmi.Describe[Account](); err != nil || plain.Fingerprint() == d.Fingerprint() {
			t.Errorf("%s: the description lacks the semantics of the export (%v)", name, err)
		}
	}
	listens := listening(t, "127.0.0.1:0", nil)
	if _, err := registry.Bind[Account](ctx, listens, reg.URL("bound"), &account{}, &registry.BindOptions{Export: with}); err != nil {
		t.Fatal(err)
	}
	check("bound")
	quiet := newNode(t, nil)
	if _, err := registry.Bind[Account](ctx, quiet, reg.URL("relayed"), &account{}, &registry.BindOptions{Export: with, Relayed: true}); err != nil {
		t.Fatal(err)
	}
	check("relayed")
	h, err := rmi.Export[Account](listens, &account{}, &with)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind(context.WithoutCancel(ctx), listens, reg.URL("exported"), h.Value(), nil); err != nil {
		t.Fatal(err)
	}
	check("exported")
}
