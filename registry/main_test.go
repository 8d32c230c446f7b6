package registry_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gormi/registry"
	"gormi/rmi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Account is what the tests bind.
type Account interface {
	Deposit(ctx context.Context, cents int64) (balance int64, err error)
}

// accountFuncs is Account as a struct of funcs, which needs nothing of the platform.
type accountFuncs struct {
	Deposit func(ctx context.Context, cents int64) (int64, error)
}

type account struct {
	mu      sync.Mutex
	balance int64
}

func (a *account) Deposit(ctx context.Context, cents int64) (int64, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.balance += cents
	return a.balance, nil
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// newNode returns a node that listens nowhere; o may be nil.
func newNode(t *testing.T, o *rmi.Options) *rmi.Node {
	if o == nil {
		o = new(rmi.Options)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	n := rmi.NewNode(o)
	t.Cleanup(func() { n.Close() })
	return n
}

// listening returns a node that listens on addr.
func listening(t *testing.T, addr string, o *rmi.Options) *rmi.Node {
	n := newNode(t, o)
	if _, err := n.Listen(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	return n
}

// serving returns a registry on a node of its own.
func serving(t *testing.T) *registry.Server {
	s, err := registry.Serve(t.Context(), listening(t, "127.0.0.1:0", nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deposit calls the account that a name is bound to and returns its balance.
func deposit(t *testing.T, n *rmi.Node, url string, cents int64) int64 {
	t.Helper()
	a, err := registry.Lookup[Account](testContext(t), n, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	balance, err := a.Deposit(testContext(t), cents)
	if err != nil {
		t.Fatal(err)
	}
	return balance
}

func wantKind(t *testing.T, err error, k rmi.Kind) {
	t.Helper()
	if rmi.KindOf(err) != k {
		t.Fatalf("got %v (kind %v), want kind %v", err, rmi.KindOf(err), k)
	}
}
