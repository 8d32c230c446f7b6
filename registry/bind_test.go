package registry_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

func TestBindLookupUnbind(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	name := reg.URL("bank/alice")

	_, err := registry.Lookup[Account](ctx, caller, name, nil)
	wantKind(t, err, rmi.KindNotBound)
	if !errors.Is(err, rmi.KindNotBound) || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !strings.Contains(err.Error(), name) {
		t.Errorf("got %v, outcome %v", err, rmi.OutcomeOf(err))
	}

	b, err := registry.Bind[Account](ctx, owner, name, &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := deposit(t, caller, name, 100); got != 100 {
		t.Errorf("the balance is %d", got)
	}
	if b.Name() != name || b.Ref().ID.Node != owner.ID() || b.Err() != nil {
		t.Errorf("the binding is of %s, %v, %v", b.Name(), b.Ref(), b.Err())
	}

	_, err = registry.Bind[Account](ctx, owner, name, &account{}, nil)
	wantKind(t, err, rmi.KindAlreadyBound)

	second, err := registry.Rebind[Account](ctx, owner, name, &account{balance: 1000}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := deposit(t, caller, name, 1); got != 1001 {
		t.Errorf("the balance of what was bound anew is %d", got)
	}

	// The first binding lost its name: closing it leaves the second one's alone.
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	<-b.Done()
	wantKind(t, b.Err(), rmi.KindNotBound)
	if got := deposit(t, caller, name, 1); got != 1002 {
		t.Errorf("the balance is %d", got)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	<-second.Done()
	wantKind(t, second.Err(), rmi.KindClosed)
	if !errors.Is(second.Err(), net.ErrClosed) {
		t.Errorf("%v is not net.ErrClosed", second.Err())
	}
	if err := second.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
	_, err = registry.Lookup[Account](ctx, caller, name, nil)
	wantKind(t, err, rmi.KindNotBound)
	wantKind(t, registry.Unbind(ctx, caller, name), rmi.KindNotBound)
	if reg.Len() != 0 {
		t.Errorf("%d names are left", reg.Len())
	}
}

func TestClosingABindingTakesTheExportBack(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := registry.Lookup[Account](ctx, caller, reg.URL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Deposit(ctx, 1); err != nil {
		t.Fatal(err)
	}
	rmi.Release(a) // who holds the object keeps it
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	wantKind(t, untilItFails(ctx, a), rmi.KindNoSuchObject)
}

// untilItFails calls an account until the registry, too, has given back its reference to it.
func untilItFails(ctx context.Context, a Account) error {
	for {
		if _, err := a.Deposit(ctx, 1); err != nil {
			return err
		}
	}
}

func TestAFailedBindTakesTheExportBack(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	if _, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	v := &account{}
	h, err := rmi.Export[Account](owner, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = registry.Bind[Account](ctx, owner, reg.URL("a"), v, nil)
	wantKind(t, err, rmi.KindAlreadyBound)
	h.Close() // the last pin
	a, err := rmi.Resolve[Account](caller, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rmi.Release(a)
	wantKind(t, untilItFails(ctx, a), rmi.KindNoSuchObject)
}

func TestClosingTheNodeUnbinds(t *testing.T) {
	ctx := testContext(t)
	for what, end := range map[string]func(*rmi.Node) error{
		"Close": (*rmi.Node).Close,
		"Run": func(n *rmi.Node) error {
			over, cancel := context.WithCancel(ctx)
			cancel()
			return n.Run(over)
		},
	} {
		reg := serving(t)
		owner := listening(t, "127.0.0.1:0", nil)
		b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := end(owner); err != nil {
			t.Fatal(err)
		}
		if reg.Len() != 0 {
			t.Errorf("%s: the name is still bound", what)
		}
		<-b.Done()
		wantKind(t, b.Err(), rmi.KindClosed)
		if err := b.Close(); err != nil {
			t.Errorf("%s: closing the binding afterwards: %v", what, err)
		}
	}
}

func TestClosingTheBindingBeforeTheNode(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, other := listening(t, "127.0.0.1:0", nil), listening(t, "127.0.0.1:0", nil)
	b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Account](ctx, other, reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	if reg.Len() != 1 {
		t.Error("the node took back a name that is another's by now")
	}
}

func TestClosingABindingWhoseRegistryIsClosed(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner := listening(t, "127.0.0.1:0", nil)
	b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	reg.Close()
	if err := b.Close(); err != nil {
		t.Errorf("no registry, no name: %v", err)
	}
	wantKind(t, b.Err(), rmi.KindNoSuchObject)
}

func TestClosingABindingWhoseRegistryDoesNotAnswer(t *testing.T) {
	ctx := testContext(t)
	node := listening(t, "127.0.0.1:0", nil)
	reg, err := registry.Serve(ctx, node, nil)
	if err != nil {
		t.Fatal(err)
	}
	owner := listening(t, "127.0.0.1:0", nil)
	b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	node.Close()
	err = b.Close()
	if err == nil || b.Err() != err || b.Close() != err {
		t.Errorf("got %v, then %v and %v", err, b.Err(), b.Close())
	}
}

func TestARegistryRestarts(t *testing.T) {
	ctx := testContext(t)
	path := filepath.Join(t.TempDir(), "rmi.sock")
	url := registry.URL{Endpoint: refs.Endpoint{Host: path}, Name: "a"}.String()
	first := listening(t, path, nil)
	if _, err := registry.Serve(ctx, first, nil); err != nil {
		t.Fatal(err)
	}
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	b, err := registry.Bind[Account](ctx, owner, url, &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := registry.Lookup[Account](ctx, caller, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := a.Deposit(ctx, 1); err != nil {
		t.Errorf("a proxy needs its registry: %v", err)
	}
	if _, err := registry.Serve(ctx, listening(t, path, nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // be the name bound there again or not
		t.Fatal(err)
	}
	_, err = registry.Lookup[Account](ctx, newNode(t, nil), url, nil) // one that has no connection with the first
	wantKind(t, err, rmi.KindNotBound)
}

func TestWhatCannotBeBound(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner := listening(t, "127.0.0.1:0", nil)
	name := reg.URL("a")
	for _, c := range []struct {
		what string
		bind func() (*registry.Binding, error)
		text string
	}{
		{"no type argument", func() (*registry.Binding, error) { return registry.Bind(ctx, owner, name, &account{}, nil) },
			`registry.Bind[Account](ctx, node, "` + name + `", v)`},
		{"no type argument, rebind", func() (*registry.Binding, error) { return registry.Rebind(ctx, owner, name, &account{}, nil) },
			`registry.Rebind[Account](ctx, node, "` + name + `", v)`},
		{"nil", func() (*registry.Binding, error) { return registry.Bind[Account](ctx, owner, name, nil, nil) }, "nil"},
		{"nil pointer", func() (*registry.Binding, error) {
			return registry.Bind[Account](ctx, owner, name, (*account)(nil), nil)
		}, "nil"},
		{"not a remote interface", func() (*registry.Binding, error) {
			return registry.Bind[interface{ Close() error }](ctx, owner, name, net.Listener(nil), nil)
		}, "rule 2"},
		{"illegal name", func() (*registry.Binding, error) {
			return registry.Bind[Account](ctx, owner, reg.URL("a//b"), &account{}, nil)
		}, "rule 2"},
		{"no name", func() (*registry.Binding, error) {
			return registry.Bind[Account](ctx, owner, reg.URL(""), &account{}, nil)
		}, "rule 1"},
		{"node does not listen", func() (*registry.Binding, error) {
			return registry.Bind[Account](ctx, newNode(t, nil), name, &account{}, nil)
		}, "BindOptions.Relayed"},
	} {
		b, err := c.bind()
		if rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), c.text) || !strings.HasPrefix(err.Error(), "rmi: bind") && !strings.HasPrefix(err.Error(), "rmi: rebind") {
			t.Errorf("%s: got %v, %v, want an error about %s", c.what, b, err, c.text)
		}
	}
	if reg.Len() != 0 {
		t.Errorf("%d names are bound", reg.Len())
	}
}

func TestAFuncCanBeBound(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	type double = func(ctx context.Context, n int) (int, error)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	_, err := registry.Bind[double](ctx, owner, reg.URL("double"), func(ctx context.Context, n int) (int, error) { return 2 * n, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := registry.Lookup[double](ctx, caller, reg.URL("double"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f(ctx, 21); n != 42 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestAProxyCanBeBound(t *testing.T) {
	ctx := testContext(t)
	first, second := serving(t), serving(t)
	owner, middle, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil), newNode(t, nil)
	if _, err := registry.Bind[Account](ctx, owner, first.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	a, err := registry.Lookup[Account](ctx, middle, first.URL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := registry.Bind[Account](ctx, middle, second.URL("a"), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := registry.LookupRef(ctx, caller, first.URL("a"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := registry.LookupRef(ctx, caller, second.URL("a"))
	if err != nil {
		t.Fatal(err)
	}
	if got.Ref != want.Ref || string(got.Description) != string(want.Description) || b.Ref().ID != want.Ref.ID {
		t.Errorf("got %v, want %v", got, want)
	}
	middle.Close() // its binding goes with it; the object stays
	if second.Len() != 0 {
		t.Error("the name is still bound")
	}
	if got := deposit(t, caller, first.URL("a"), 5); got != 5 {
		t.Errorf("the balance is %d", got)
	}
}

// bigAccount is what Account is a part of.
type bigAccount interface {
	Account
	Withdraw(ctx context.Context, cents int64) (int64, error)
}

func (a *account) Withdraw(ctx context.Context, cents int64) (int64, error) {
	return a.Deposit(ctx, -cents)
}

func TestAProxyIsBoundAsWhatItsOwnerExports(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	if _, err := registry.Bind[bigAccount](ctx, owner, reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	part, err := registry.Lookup[Account](ctx, caller, reg.URL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Account](ctx, caller, reg.URL("b"), part, nil); err != nil {
		t.Fatal(err)
	}
	type both struct {
		Deposit, Withdraw func(ctx context.Context, cents int64) (int64, error)
	}
	a, err := registry.Lookup[both](ctx, caller, reg.URL("b"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Withdraw(ctx, 5); n != -5 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// An object may have two names. Each Binding ends its own, and a Binding that is dropped ends none.
func TestAnObjectWithTwoNames(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	a := new(account)
	first, err := registry.Bind[Account](ctx, owner, reg.URL("a"), a, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Account](ctx, owner, reg.URL("b/c"), a, nil); err != nil {
		t.Fatal(err)
	}
	_, err = registry.Bind[Account](ctx, owner, reg.URL("a"), a, nil)
	wantKind(t, err, rmi.KindAlreadyBound)
	for range 2 {
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err = registry.LookupRef(ctx, caller, reg.URL("a"))
	wantKind(t, err, rmi.KindNotBound)
	dropped := make(chan struct{})
	runtime.AddCleanup(new([64]byte), func(struct{}) { close(dropped) }, struct{}{})
	for collected := false; !collected; {
		runtime.GC()
		select {
		case <-dropped:
			collected = true
		case <-time.After(time.Millisecond):
		}
	}
	if got := deposit(t, caller, reg.URL("b/c"), 4); got != 4 {
		t.Errorf("by its other name: %d", got)
	}
}
