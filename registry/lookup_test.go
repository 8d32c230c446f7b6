package registry_test

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

func TestTheOwnNodesObjectIsTheObjectItself(t *testing.T) {
	ctx := testContext(t)
	n := listening(t, "127.0.0.1:0", nil)
	reg, err := registry.Serve(ctx, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	v := &account{}
	h, err := rmi.Export[Account](n, v, &rmi.ExportOptions{Threading: rmi.ThreadingSerial})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Account](ctx, n, reg.URL("bank/alice"), h.Value(), nil); err != nil {
		t.Fatal(err)
	}
	got, err := registry.Lookup[Account](ctx, n, reg.URL("bank/alice"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got != Account(v) {
		t.Errorf("got a %T", got)
	}
	if e, err := registry.LookupRef(ctx, n, reg.URL("bank/alice")); err != nil || e.Ref.ID != h.Ref().ID {
		t.Errorf("got %v, %v, want %v: one object", e.Ref, err, h.Ref())
	}
	n.Close() // takes its own registry along
}

func TestAStructOfFuncs(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	if _, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	a, err := registry.Lookup[accountFuncs](ctx, caller, reg.URL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := a.Deposit(ctx, 3); n != 3 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// dials counts where a node dials.
type dials struct {
	mu sync.Mutex
	to map[string]int
}

func (d *dials) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	d.to[address]++
	d.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

func (d *dials) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, network, address)
}

func TestAMismatchIsRefusedWithoutTheOwner(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner := listening(t, "127.0.0.1:0", nil)
	if _, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	d := &dials{to: map[string]int{}}
	caller := newNode(t, &rmi.Options{Network: d})

	type other struct {
		Deposit func(ctx context.Context, euros string) (float64, error)
	}
	_, err := registry.Lookup[other](ctx, caller, reg.URL("a"), nil)
	wantKind(t, err, rmi.KindMismatch)
	for _, signature := range []string{"Deposit(string) (float64)", "Deposit(int64) (int64)"} {
		if !strings.Contains(err.Error(), signature) {
			t.Errorf("%v does not say %s", err, signature)
		}
	}
	if !strings.HasPrefix(err.Error(), "rmi: lookup ") || !strings.Contains(err.Error(), reg.URL("a")) {
		t.Errorf("the error does not say what was looked up: %v", err)
	}

	// More methods at the owner, and another name of the type, are no mismatch;
	// more methods at the caller are.
	type more struct {
		Deposit, Withdraw func(ctx context.Context, cents int64) (int64, error)
	}
	_, err = registry.Lookup[more](ctx, caller, reg.URL("a"), nil)
	wantKind(t, err, rmi.KindMismatch)
	if _, err := registry.Lookup[accountFuncs](ctx, caller, reg.URL("a"), nil); err != nil {
		t.Error(err)
	}
	if len(d.to) != 1 || d.to[owner.Endpoint().Address()] != 0 {
		t.Errorf("lookups dialled %v", d.to)
	}
}

func TestWhatCannotBeLookedUp(t *testing.T) {
	ctx := testContext(t)
	n := newNode(t, nil)
	_, err := registry.Lookup[int](ctx, n, "a", nil)
	wantKind(t, err, rmi.KindInvalid)
	_, err = registry.Lookup[accountFuncs](ctx, n, "a b", nil)
	wantKind(t, err, rmi.KindInvalid)
	_, err = registry.Lookup[accountFuncs](ctx, n, "rmi://localhost", nil)
	wantKind(t, err, rmi.KindInvalid)
}

func TestNoRegistry(t *testing.T) {
	ctx := testContext(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	noise, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer noise.Close()
	go func() { // ended by noise.Close
		for {
			c, err := noise.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	}()
	for _, c := range []struct {
		what, at string
		kind     rmi.Kind
		text     string
	}{
		{"nobody", nobody, rmi.KindConnectFailed, "start one with `go run gormi/cmd/rmiregistry`"},
		{"a socket that is not there", "%2Fno%2Fsuch.sock", rmi.KindConnectFailed, registry.Env},
		{"somebody else", noise.Addr().String(), rmi.KindProtocol, "no GoRMI registry"},
		{"a node", listening(t, "127.0.0.1:0", nil).Endpoint().Address(), rmi.KindNoSuchObject, "registry.Serve"},
	} {
		n := listening(t, "127.0.0.1:0", nil)
		url := "rmi://" + c.at + "/bank/alice"
		_, lookup := registry.Lookup[accountFuncs](ctx, n, url, nil)
		_, bind := registry.Bind[Account](ctx, n, url, &account{}, nil)
		var list error
		for _, list = range registry.List(ctx, n, "rmi://"+c.at) {
		}
		for op, err := range map[string]error{"lookup": lookup, "bind": bind, "unbind": registry.Unbind(ctx, n, url), "list": list} {
			if rmi.KindOf(err) != c.kind || !strings.HasPrefix(err.Error(), "rmi: "+op+": ") || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "rmi://"+c.at) {
				t.Errorf("%s: %s: %v", c.what, op, err)
			}
			if rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
				t.Errorf("%s: %s: outcome %v", c.what, op, rmi.OutcomeOf(err))
			}
		}
	}
}

func TestTheDefaultRegistry(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	t.Setenv(registry.Env, reg.URL(""))
	owner := listening(t, "127.0.0.1:0", nil)
	if _, err := registry.Bind[Account](ctx, owner, "bank/alice", &account{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := deposit(t, newNode(t, nil), "bank/alice", 7); got != 7 || reg.Len() != 1 {
		t.Errorf("the balance is %d, %d names are bound", got, reg.Len())
	}
	if err := registry.Unbind(ctx, newNode(t, nil), "bank/alice"); err != nil {
		t.Fatal(err)
	}
}

func TestAListInPages(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := listening(t, "127.0.0.1:0", nil), newNode(t, nil)
	r, err := registry.At(owner, reg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	b, err := registry.Bind[Account](ctx, owner, reg.URL("zoo"), &account{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var bound sync.WaitGroup
	for i := range 1200 { // more than a page
		bound.Go(func() {
			name := fmt.Sprintf("bank/account-with-a-long-name-so-that-pages-end-early-%04d", i)
			if err := r.Bind(ctx, name, registry.Entry{Ref: b.Ref()}); err != nil {
				t.Error(err)
			}
		})
	}
	bound.Wait()
	count, last := 0, ""
	for info, err := range registry.List(ctx, caller, reg.URL("bank/")) {
		if err != nil {
			t.Fatal(err)
		}
		if info.Name <= last || info.Interface != "registry_test.Account" {
			t.Fatalf("%+v after %s", info, last)
		}
		last = info.Name
		count++
	}
	if count != 1200 {
		t.Errorf("%d names", count)
	}
	for info, err := range registry.List(ctx, caller, reg.URL("")+"/z") {
		if err != nil || info.Name != "zoo" {
			t.Errorf("%+v, %v", info, err)
		}
	}
	for range registry.List(ctx, caller, reg.URL("")) {
		break // a caller may stop early
	}
	for _, err := range registry.List(ctx, caller, reg.URL("a b")) {
		wantKind(t, err, rmi.KindInvalid)
	}
}

func TestARelayedBinding(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	owner, caller := newNode(t, nil), newNode(t, nil) // neither listens
	b, err := registry.Bind[Account](ctx, owner, reg.URL("a"), &account{}, &registry.BindOptions{Relayed: true})
	if err != nil {
		t.Fatal(err)
	}
	for want := int64(1); want <= 3; want++ {
		if got := deposit(t, caller, reg.URL("a"), 1); got != want {
			t.Errorf("the balance is %d, not %d", got, want)
		}
	}
	if b.Ref().Listens() {
		t.Errorf("%v listens", b.Ref())
	}
	if got, err := registry.Lookup[Account](ctx, owner, reg.URL("a"), nil); err != nil {
		t.Error(err)
	} else if _, ok := got.(*account); !ok {
		t.Errorf("the owner gets a %T", got)
	}
	a, err := registry.Lookup[Account](ctx, caller, reg.URL("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	owner.Close()
	if reg.Len() != 0 {
		t.Error("the name is still bound")
	}
	if _, err := a.Deposit(ctx, 1); err == nil {
		t.Error("the object of a node that is gone was called")
	}
}

func TestARegistryOnAUnixSocket(t *testing.T) {
	ctx := testContext(t)
	n := listening(t, filepath.Join(t.TempDir(), "rmi.sock"), nil)
	reg, err := registry.Serve(ctx, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Bind[Account](ctx, listening(t, "127.0.0.1:0", nil), reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := deposit(t, newNode(t, nil), reg.URL("a"), 9); got != 9 {
		t.Errorf("the balance is %d", got)
	}
}

func TestAPublicRegistry(t *testing.T) {
	ctx := testContext(t)
	n := listening(t, "0.0.0.0:0", &rmi.Options{Insecure: true})
	reg, err := registry.Serve(ctx, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(reg.URL("a"), "rmi://localhost:") {
		t.Errorf("its URL is %s", reg.URL("a"))
	}
	_, err = registry.Bind[Account](ctx, listening(t, "127.0.0.1:0", nil), reg.URL("a"), &account{}, nil)
	wantKind(t, err, rmi.KindInvalid)
	if !strings.Contains(err.Error(), "Options.Advertise") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	// One that listens on all addresses leaves its host to whoever receives the reference.
	if _, err := registry.Bind[Account](ctx, listening(t, "0.0.0.0:0", &rmi.Options{Insecure: true}), reg.URL("a"), &account{}, nil); err != nil {
		t.Fatal(err)
	}
	if got := deposit(t, newNode(t, nil), reg.URL("a"), 2); got != 2 {
		t.Errorf("the balance is %d", got)
	}
}

func TestWhatCannotServe(t *testing.T) {
	_, err := registry.Serve(t.Context(), newNode(t, nil), nil)
	wantKind(t, err, rmi.KindInvalid)
	if !strings.Contains(err.Error(), "node.Listen") {
		t.Errorf("the error does not say what to do: %v", err)
	}
	n := listening(t, "127.0.0.1:0", nil)
	first, err := registry.Serve(t.Context(), n, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = registry.Serve(t.Context(), n, nil)
	wantKind(t, err, rmi.KindAlreadyBound)
	first.Close()
	if _, err := registry.Serve(t.Context(), n, nil); err != nil {
		t.Errorf("after the first was closed: %v", err)
	}
}

// No client gets to a node that has no registry yet.
func TestServeBeforeListening(t *testing.T) {
	var listened bool
	network := new(checked)
	n := newNode(t, &rmi.Options{Network: network})
	network.check = func() {
		listened = true
		_, err := registry.Serve(t.Context(), n, &registry.ServeOptions{Listen: "127.0.0.1:0"})
		wantKind(t, err, rmi.KindAlreadyBound)
	}
	reg, err := registry.Serve(t.Context(), n, &registry.ServeOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if !listened || reg.Addr() == nil || !strings.Contains(reg.URL(""), reg.Addr().String()) {
		t.Errorf("listens at %v, and the address is %s", reg.Addr(), reg.URL(""))
	}
	if _, err := registry.At(newNode(t, nil), reg.URL("")); err != nil {
		t.Error(err)
	}
}

// checked is a network that calls check before it listens.
type checked struct {
	net.Dialer
	check func()
}

func (c *checked) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	c.check()
	return new(net.ListenConfig).Listen(ctx, network, address)
}

// A registry that cannot listen is none.
func TestServeWhereOneCannotListen(t *testing.T) {
	taken := serving(t).URL("")
	n := newNode(t, nil)
	_, err := registry.Serve(t.Context(), n, &registry.ServeOptions{Listen: strings.Trim(strings.TrimPrefix(taken, "rmi:"), "/")})
	wantKind(t, err, rmi.KindConnectFailed)
	if _, err := registry.Serve(t.Context(), n, &registry.ServeOptions{Listen: "127.0.0.1:0"}); err != nil {
		t.Error(err)
	}
}

func TestTheRegistryItselfByAddress(t *testing.T) {
	ctx := testContext(t)
	reg := serving(t)
	_, err := registry.At(newNode(t, nil), "nonsense://")
	wantKind(t, err, rmi.KindInvalid)
	r, err := registry.At(newNode(t, nil), reg.URL("its/name/does/not/matter"))
	if err != nil {
		t.Fatal(err)
	}
	e := registry.Entry{Ref: refs.Ref{Endpoint: refs.Endpoint{Host: "127.0.0.1", Port: 1}, ID: refs.ID{Node: refs.NodeID{1}, Object: 1 << 40}}}
	e.Description = make([]byte, registry.MaxMessage)
	wantKind(t, r.Bind(ctx, "a", e), rmi.KindTooLarge)
	e.Description = nil
	if err := r.Bind(ctx, "a", e); err != nil {
		t.Error(err)
	}
}
