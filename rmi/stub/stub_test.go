package stub_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/stub"
	"gormi/rmi/wire"
)

type account interface {
	Deposit(ctx context.Context, cents int64) error
}

type used interface {
	Tell(ctx context.Context) error
	Ask(ctx context.Context) error
}

// What was registered late loses no directives without a word.
func TestDirectivesComeBeforeTheInterfaceIsUsed(t *testing.T) {
	if _, err := wire.InterfaceOf(reflect.TypeFor[used]()); err != nil {
		t.Fatal(err)
	}
	register := func(ask, tell stub.Semantics) (panicked any) {
		defer func() { panicked = recover() }()
		stub.Generated[used]{Methods: []stub.Method{{Name: "Ask", Semantics: ask}, {Name: "Tell", Semantics: tell}}}.Register()
		return nil
	}
	got := fmt.Sprint(register(stub.Semantics{}, stub.Semantics{OneWay: true}))
	for _, want := range []string{"stub_test.go comes too late", `stub_test.used was used before it was known that Tell is declared "oneway"`, "in main or in an init function"} {
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := register(stub.Semantics{}, stub.Semantics{}); got != nil {
		t.Errorf("an interface without directives: %v", got)
	}
}

func TestRegisteringWhatDoesNotFitPanics(t *testing.T) {
	for name, c := range map[string]struct {
		register func()
		want     string
	}{
		"other methods": {func() { stub.Generated[account]{Methods: []stub.Method{{Name: "Withdraw"}}}.Register() },
			"stub_test.go is stale: stub_test.account has the methods [Deposit], the file was made for [Withdraw]; run rmigen again"},
		"another layout": {func() { stub.StructOf[struct{ A int }]("struct{B}") },
			"stub_test.go is stale: rmi: invalid: struct { A int } travels as struct{A}; the file was made for struct{B}"},
		"another kind": {func() { stub.Plain[int8]("uint8") }, "int8 travels as int8, the file was made for uint8"},
		"no interface": {func() { stub.Register(func(stub.Object) int { return 0 }) }, "int is not an interface"},
	} {
		func() {
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, c.want) {
					t.Errorf("%s: %q, want %q", name, got, c.want)
				}
			}()
			c.register()
			t.Errorf("%s: registered", name)
		}()
	}
}

type lookupStub struct{ stub.Object }

func (s lookupStub) Lookup(ctx context.Context, id int64) (name string, err error) {
	panic("not called")
}

type lookup interface {
	Lookup(ctx context.Context, id int64) (string, error)
}

// A stub by hand that has other types than its interface learns it from its calls.
func TestInvokeRefusesValuesOfOtherTypes(t *testing.T) {
	stub.Register(func(o stub.Object) lookup { return lookupStub{o} })
	i, err := wire.InterfaceOf(reflect.TypeFor[lookup]())
	if err != nil {
		t.Fatal(err)
	}
	var table proxy.Table
	core, err := table.Get(refs.Ref{ID: refs.ID{Object: 1}}, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	object := core.Value().Interface().(lookupStub).Object
	var name string
	var number int
	for want, call := range map[string]struct{ arg, result any }{
		"stub_test.lookup.Lookup: argument 1 of the stub is a int, want a int64":  {1, &name},
		"stub_test.lookup.Lookup: result 1 of the stub is a *int, want a *string": {int64(1), &number},
		"result 1 of the stub is a string, want a *string":                        {int64(1), name},
		"result 1 of the stub is a <nil>, want a *string":                         {int64(1), nil},
	} {
		err := object.Invoke(t.Context(), "Lookup", stub.Args(call.arg), call.result)
		if fault.KindOf(err) != fault.Invalid || fault.OutcomeOf(err) != fault.NotExecuted || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
