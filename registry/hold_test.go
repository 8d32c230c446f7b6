package registry_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// watchedAccount tells when nobody holds it any more.
type watchedAccount struct {
	account
	unheld chan struct{}
}

func newWatchedAccount() *watchedAccount { return &watchedAccount{unheld: make(chan struct{}, 10)} }

func (a *watchedAccount) Unreferenced() { a.unheld <- struct{}{} }

// desk takes an account, which its program then binds.
type Desk interface {
	Open(ctx context.Context, a Account) error
}

type desk struct{ got Account }

func (d *desk) Open(_ context.Context, a Account) error { d.got = a; return nil }

// open passes owner's account to clerk, and returns clerk's proxy of it.
func open(t *testing.T, owner, clerk *rmi.Node, a Account) Account {
	t.Helper()
	d := new(desk)
	h, err := rmi.Export[Desk](clerk, d, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	to, err := rmi.Resolve[struct { // which needs no proxy made at run time
		Open func(context.Context, Account) error
	}](owner, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.Open(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	return d.got
}

// A proxy is bound and forgotten. The binding holds the object until the name is another's. If the
// owner listens nowhere, its calls are relayed.
func TestABoundProxyHoldsItsObject(t *testing.T) {
	for what, made := range map[string]struct {
		owner func(n *rmitest.Network) *rmi.Node
		local bool // the binder has the registry itself
	}{
		"its owner listens":                  {(*rmitest.Network).Node, false},
		"its owner listens nowhere":          {(*rmitest.Network).Client, false},
		"its owner listens nowhere, at home": {(*rmitest.Network).Client, true},
	} {
		for how, end := range map[string]func(w *town, b *registry.Binding) error{
			"closed": func(_ *town, b *registry.Binding) error { return b.Close() },
			"unbound": func(w *town, b *registry.Binding) error {
				return registry.Unbind(w.t.Context(), w.caller, b.Name())
			},
			"its node closed": func(w *town, b *registry.Binding) error { return w.nodeOf(b).Close() },
		} {
			if made.local && how == "its node closed" {
				continue
			}
			t.Run(what+", "+how, func(t *testing.T) {
				inTown(t, func(t *testing.T, w *town) {
					owner, clerk := made.owner(w.Network), w.Node()
					if made.local {
						clerk = w.node
					}
					a := newWatchedAccount()
					proxy := open(t, owner, clerk, a)
					b, err := registry.Bind(t.Context(), clerk, w.reg.URL("a"), proxy, nil)
					if err != nil {
						t.Fatal(err)
					}
					w.byID[b.Ref().Node] = clerk
					rmi.Release(proxy)
					for range 3 {
						runtime.GC()
						pass(time.Minute)
					}
					got, err := registry.Lookup[accountFuncs](t.Context(), w.caller, w.reg.URL("a"), nil)
					if err != nil {
						t.Fatal(err)
					}
					for range 3 {
						if _, err := got.Deposit(t.Context(), 1); err != nil {
							t.Fatal(err)
						}
						pass(time.Minute)
					}
					if err := end(w, b); err != nil {
						t.Fatal(err)
					}
					<-b.Done()
					runtime.KeepAlive(got)
					w.caller.Close()
					pass(2 * time.Minute) // what is said when a node closes takes a lease more
					synctest.Wait()
					select {
					case <-a.unheld:
					default:
						t.Errorf("the object is held though its name is not bound:\n%v\n%v", owner.Inventory(), clerk.Inventory())
					}
				})
			})
		}
	}
}

// A name that is refused holds nothing.
func TestAProxyThatCouldNotBeBoundIsNotHeld(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, clerk := w.Node(), w.Node()
		w.bind(owner, "a")
		a := newWatchedAccount()
		proxy := open(t, owner, clerk, a)
		_, err := registry.Bind(t.Context(), clerk, w.reg.URL("a"), proxy, nil)
		wantKind(t, err, rmi.KindAlreadyBound)
		rmi.Release(proxy)
		pass(2 * time.Minute)
		select {
		case <-a.unheld:
		default:
			t.Errorf("the object is held though it was not bound:\n%v", clerk.Inventory())
		}
	})
}

// A node binds a proxy of another node of its process, which alone can reach the object. That node
// holds the object and relays its calls as long as the name is bound.
func TestABoundProxyOfAnotherNodeIsKept(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		a := newWatchedAccount()
		clerk, binder := w.Node(), w.Node()
		b, err := registry.Bind(t.Context(), binder, w.reg.URL("a"), open(t, w.Client(), clerk, a), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			runtime.GC()
			pass(time.Minute)
		}
		select {
		case <-a.unheld:
			t.Error("the object is not held, and its name is bound")
		default:
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// An object with a relayed binding can be called for as long as it is bound, however the caller got
// its reference and however long the call takes.
func TestARelayedBindingGoesOn(t *testing.T) {
	for what, lookup := range map[string]func(w *town) (accountFuncs, error){
		"looked up": func(w *town) (accountFuncs, error) {
			return registry.Lookup[accountFuncs](w.t.Context(), w.caller, w.reg.URL("a"), nil)
		},
		"with failover": func(w *town) (accountFuncs, error) {
			return registry.Lookup[accountFuncs](w.t.Context(), w.caller, w.reg.URL("a"), &registry.LookupOptions{Failover: true})
		},
		"as a reference": func(w *town) (v accountFuncs, err error) {
			e, err := registry.LookupRef(w.t.Context(), w.caller, w.reg.URL("a"))
			if err != nil {
				return v, err
			}
			pass(25 * time.Second)
			return rmi.Resolve[accountFuncs](w.caller, e.Ref, nil)
		},
	} {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				w.bind(w.Client(), "a", registry.BindOptions{Relayed: true})
				a, err := lookup(w)
				if err != nil {
					t.Fatal(err)
				}
				for range 20 {
					if _, err := a.Deposit(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					pass(7 * time.Second)
				}
			})
		})
	}
}

// slow is an account that counts the calls that it serves concurrently.
type slowAccount struct {
	account
	inside, most int // guarded by account.mu
}

func (a *slowAccount) Deposit(ctx context.Context, cents int64) (int64, error) {
	a.mu.Lock()
	a.inside++
	a.most = max(a.most, a.inside)
	a.mu.Unlock()
	pass(time.Second)
	a.mu.Lock()
	a.inside--
	a.mu.Unlock()
	return a.account.Deposit(ctx, cents)
}

// With's options are those of the export.
func TestABindingIsServedAsWithSays(t *testing.T) {
	for threading, most := range map[rmi.Threading]int{rmi.ThreadingConcurrent: 8, rmi.ThreadingSerial: 1} {
		inTown(t, func(t *testing.T, w *town) {
			v := new(slowAccount)
			if _, err := registry.Bind[Account](t.Context(), w.Node(), w.reg.URL("a"), v, &registry.BindOptions{Export: rmi.ExportOptions{Threading: threading}}); err != nil {
				t.Fatal(err)
			}
			a, err := registry.Lookup[accountFuncs](t.Context(), w.caller, w.reg.URL("a"), nil)
			if err != nil {
				t.Fatal(err)
			}
			errs := make(chan error)
			for range 8 {
				go func() {
					_, err := a.Deposit(t.Context(), 1)
					errs <- err
				}()
			}
			for range 8 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			if v.most != most {
				t.Errorf("%v: %d calls at a time, want %d", threading, v.most, most)
			}
		})
	}
}

// Options that could not count are refused, so that nobody relies on them.
func TestOptionsThatABindingCannotObeyAreRefused(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		clerk := w.Node()
		p := open(t, w.Node(), clerk, newWatchedAccount())
		for name, c := range map[string]struct {
			v    Account
			o    registry.BindOptions
			says string
		}{
			"Export, of a proxy":  {p, registry.BindOptions{Export: rmi.ExportOptions{Threading: rmi.ThreadingSerial}}, "BindOptions.Export is for"},
			"Permanent and Lease": {&account{}, registry.BindOptions{Permanent: true, Lease: time.Minute}, "choose one"},
			"a negative Lease":    {&account{}, registry.BindOptions{Lease: -time.Second}, "it is positive"},
		} {
			_, err := registry.Bind[Account](t.Context(), clerk, w.reg.URL("a"), c.v, &c.o)
			if rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := registry.Bind[Account](t.Context(), clerk, w.reg.URL("a"), p, &registry.BindOptions{Export: rmi.ExportOptions{}}); err != nil {
			t.Errorf("a proxy with no option set: %v", err)
		}
	})
}
