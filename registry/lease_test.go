package registry_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// town is a network with a registry, in virtual time.
type town struct {
	*rmitest.Network
	t    *testing.T
	node *rmi.Node // the registry's
	reg  *registry.Server
	byID map[refs.NodeID]*rmi.Node // those that bound something
	// caller asks what is bound; it binds nothing.
	caller *rmi.Node
}

// inTown runs a test in a bubble.
func inTown(t *testing.T, f func(t *testing.T, w *town)) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		w := &town{Network: network, t: t, byID: make(map[refs.NodeID]*rmi.Node), node: network.Node(), caller: network.Client()}
		w.serve()
		f(t, w)
	})
}

func (w *town) serve() {
	w.t.Helper()
	var err error
	if w.reg, err = registry.Serve(context.Background(), w.node, nil); err != nil {
		w.t.Fatal(err)
	}
}

// restart restarts the registry, empty.
func (w *town) restart() {
	w.t.Helper()
	w.node = w.Restart(w.node, nil)
	w.serve()
}

// kill makes a node vanish, for the registry, as if its process was killed.
func (w *town) kill(n *rmi.Node) {
	w.Partition(n, w.node)
	w.Cut(n, w.node)
	synctest.Wait()
}

func (w *town) bind(n *rmi.Node, name string, o ...registry.BindOptions) *registry.Binding {
	w.t.Helper()
	var options *registry.BindOptions
	if len(o) > 0 {
		options = &o[0]
	}
	b, err := registry.Bind[Account](w.t.Context(), n, w.reg.URL(name), &account{}, options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.byID[n.ID()] = n
	return b
}

func (w *town) nodeOf(b *registry.Binding) *rmi.Node { return w.byID[b.Ref().Node] }

// owner returns the node that a name is bound to, zero if it is not bound.
func (w *town) owner(name string) refs.NodeID {
	w.t.Helper()
	e, err := registry.LookupRef(w.t.Context(), w.caller, w.reg.URL(name))
	if err != nil && !errors.Is(err, rmi.KindNotBound) {
		w.t.Fatal(err)
	}
	return e.Ref.Node
}

func (w *town) wantOwner(name string, n *rmi.Node) {
	w.t.Helper()
	var want refs.NodeID
	if n != nil {
		want = n.ID()
	}
	if got := w.owner(name); got != want {
		w.t.Errorf("%s is bound to %v, want %v", name, got, want)
	}
}

// pass lets time pass.
func pass(d time.Duration) { <-time.After(d) }

func TestABindingIsRenewedByItself(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		b := w.bind(owner, "a")
		r := b.Revision()
		for range 60 {
			pass(10 * time.Second)
			w.wantOwner("a", owner)
		}
		if b.Err() != nil || b.Revision() != r || r == 0 {
			t.Errorf("%v, revision %d, was %d", b.Err(), b.Revision(), r)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		w.wantOwner("a", nil)
	})
}

func TestALeaseLapsesAndIsMadeAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		b := w.bind(owner, "a")
		r := b.Revision()
		pass(time.Minute)
		w.Partition(owner, w.node)
		pass(14 * time.Second)
		w.wantOwner("a", owner) // it was renewed at most 5 s before that
		pass(6 * time.Second)
		w.wantOwner("a", nil)
		for info := range registry.List(t.Context(), w.caller, w.reg.URL("")) {
			t.Errorf("%v is listed", info)
		}
		if w.reg.Len() != 0 {
			t.Errorf("%d names are bound", w.reg.Len())
		}
		pass(time.Minute)
		w.Heal(owner, w.node)
		pass(10 * time.Second)
		w.wantOwner("a", owner)
		if b.Err() != nil || b.Revision() <= r {
			t.Errorf("%v, revision %d, was %d", b.Err(), b.Revision(), r)
		}
	})
}

func TestANameThatLapsedIsAnybodys(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		lost := w.bind(first, "a")
		w.Partition(first, w.node)
		pass(20 * time.Second)
		b := w.bind(second, "a")
		w.Heal(first, w.node)
		pass(10 * time.Second)
		<-lost.Done()
		wantKind(t, lost.Err(), rmi.KindNotBound)
		pass(time.Minute)
		w.wantOwner("a", second)
		if b.Err() != nil {
			t.Error(b.Err())
		}
		if err := lost.Close(); err != nil {
			t.Error(err)
		}
		w.wantOwner("a", second)
	})
}

func TestAKilledServerIsSupersededAtOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		lost := w.bind(first, "a")
		_, err := registry.Bind[Account](t.Context(), second, w.reg.URL("a"), &account{}, nil)
		wantKind(t, err, rmi.KindAlreadyBound)
		w.kill(first)
		w.wantOwner("a", first) // nobody took it yet
		w.bind(second, "a")
		w.wantOwner("a", second)
		w.Heal(first, w.node) // it was not killed at all
		pass(10 * time.Second)
		<-lost.Done()
		wantKind(t, lost.Err(), rmi.KindNotBound)
		pass(time.Minute)
		w.wantOwner("a", second)
	})
}

func TestAnOwnerThatComesBackGoesOn(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		b := w.bind(first, "a")
		r := b.Revision()
		w.Cut(first, w.node)
		pass(10 * time.Second)
		_, err := registry.Bind[Account](t.Context(), second, w.reg.URL("a"), &account{}, nil)
		wantKind(t, err, rmi.KindAlreadyBound)
		if b.Revision() != r {
			t.Error("the binding was made again, though it had not lapsed")
		}
	})
}

func TestWhoIsReboundIsToldAndStops(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		lost := w.bind(first, "a")
		again, err := registry.Rebind[Account](t.Context(), second, w.reg.URL("a"), &account{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Revision() <= lost.Revision() {
			t.Errorf("revision %d came after %d", again.Revision(), lost.Revision())
		}
		pass(5 * time.Second)
		select {
		case <-lost.Done():
		default:
			t.Fatal("the one that was replaced was not told")
		}
		wantKind(t, lost.Err(), rmi.KindNotBound)
		pass(time.Minute)
		w.wantOwner("a", second)
		if again.Err() != nil {
			t.Error(again.Err())
		}
		// The object that was replaced stays exported: who has its reference may go on.
		old, err := rmi.Resolve[accountFuncs](w.caller, lost.Ref(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := old.Deposit(t.Context(), 1); err != nil {
			t.Error(err)
		}
		lost.Close()
		_, err = old.Deposit(t.Context(), 1)
		wantKind(t, err, rmi.KindNoSuchObject)
		w.wantOwner("a", second)
	})
}

func TestOneNodeRebindsItsOwnObject(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, v := w.Node(), &account{}
		var all []*registry.Binding
		for range 3 {
			b, err := registry.Rebind[Account](t.Context(), owner, w.reg.URL("a"), v, nil)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b)
		}
		pass(5 * time.Second)
		for i, b := range all {
			if over := b.Err() != nil; over != (i < 2) {
				t.Errorf("binding %d: %v", i, b.Err())
			}
		}
		all[0].Close() // of the same object, but not the one that has the name
		w.wantOwner("a", owner)
	})
}

func TestWhatSomebodyUnboundIsNotBoundAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		here, away, gone := w.Node(), w.Node(), w.Node()
		bindings := []*registry.Binding{w.bind(here, "here"), w.bind(away, "away"), w.bind(gone, "gone")}
		w.Partition(away, w.node)
		w.kill(gone)
		for _, name := range []string{"here", "away", "gone"} {
			if err := registry.Unbind(t.Context(), w.caller, w.reg.URL(name)); err != nil {
				t.Fatal(err)
			}
		}
		pass(time.Minute)
		w.Heal(away, w.node)
		w.Heal(gone, w.node)
		pass(10 * time.Second)
		for _, b := range bindings {
			<-b.Done()
			wantKind(t, b.Err(), rmi.KindNotBound)
		}
		if w.reg.Len() != 0 {
			t.Errorf("%d names are bound", w.reg.Len())
		}
		w.bind(here, "here") // as something new it is
	})
}

// Rule 5: a name that somebody else bound or unbound does not come back. Its former holder is told
// within 5 s, whatever the length of its lease.
func TestANameThatSomebodyElseHadOrUnboundDoesNotComeBack(t *testing.T) {
	for what, do := range map[string]func(w *town, owner, other *rmi.Node, url string) error{
		"its own node unbinds it": func(w *town, owner, _ *rmi.Node, url string) error {
			return registry.Unbind(w.t.Context(), owner, url)
		},
		"another node unbinds, binds and closes": func(w *town, _, other *rmi.Node, url string) error {
			if err := registry.Unbind(w.t.Context(), other, url); err != nil {
				return err
			}
			b, err := registry.Bind[Account](w.t.Context(), other, url, &account{}, nil)
			return errors.Join(err, b.Close())
		},
		"another node rebinds it for good and closes": func(w *town, _, other *rmi.Node, url string) error {
			b, err := registry.Rebind[Account](w.t.Context(), other, url, &account{}, &registry.BindOptions{Permanent: true})
			return errors.Join(err, b.Close())
		},
		"another node rebinds it for good, and it is unbound": func(w *town, owner, other *rmi.Node, url string) error {
			_, err := registry.Rebind[Account](w.t.Context(), other, url, &account{}, &registry.BindOptions{Permanent: true})
			return errors.Join(err, registry.Unbind(w.t.Context(), owner, url))
		},
		"by the remote interface": func(w *town, _, other *rmi.Node, url string) error {
			reg, err := registry.At(other, url)
			h, err2 := rmi.Export[Account](other, &account{}, nil)
			if err = errors.Join(err, err2); err != nil {
				return err
			}
			return errors.Join(reg.Rebind(w.t.Context(), "a", registry.Entry{Ref: h.Ref()}), reg.Unbind(w.t.Context(), "a", refs.Ref{}))
		},
		"another node rebinds it for a second and dies": func(w *town, _, other *rmi.Node, url string) error {
			_, err := registry.Rebind[Account](w.t.Context(), other, url, &account{}, &registry.BindOptions{Lease: time.Second})
			w.kill(other)
			pass(time.Second)
			return err
		},
	} {
		for _, lease := range []time.Duration{time.Second, 20 * time.Second, 10 * time.Minute} {
			t.Run(fmt.Sprint(what, ", ", lease), func(t *testing.T) {
				inTown(t, func(t *testing.T, w *town) {
					owner, other := w.Node(), w.Node()
					b := w.bind(owner, "a", registry.BindOptions{Lease: lease})
					pass(time.Minute) // it is being renewed
					start := time.Now()
					if err := do(w, owner, other, w.reg.URL("a")); err != nil {
						t.Fatal(err)
					}
					<-b.Done()
					if took := time.Since(start); took > 6*time.Second { // one is the lease of who died
						t.Errorf("told after %v", took)
					}
					wantKind(t, b.Err(), rmi.KindNotBound)
					for range 30 {
						w.wantOwner("a", nil)
						pass(2 * time.Second)
					}
				})
			})
		}
	}
}

// A registry that was restarted gives a name to its last holder. That is so even if an earlier
// holder comes back first, and had not heard that it lost the name.
func TestTheLastHolderHasTheNameAfterARestart(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, last := w.Node(), w.Node()
		lost := w.bind(first, "a")
		w.Partition(first, w.node)
		b, err := registry.Rebind[Account](t.Context(), last, w.reg.URL("a"), &account{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Partition(last, w.node)
		w.restart()
		w.Partition(last, w.node)
		w.Heal(first, w.node)
		pass(10 * time.Second)
		w.wantOwner("a", first) // nobody else wants it
		w.Heal(last, w.node)
		pass(15 * time.Second)
		w.wantOwner("a", last)
		<-lost.Done()
		wantKind(t, lost.Err(), rmi.KindNotBound)
		if b.Err() != nil {
			t.Error(b.Err())
		}
	})
}

func TestALeaseOfItsOwnLength(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		short, long := w.Node(), w.Node()
		b := w.bind(short, "short", registry.BindOptions{Lease: 2 * time.Second})
		w.bind(short, "default")
		r := b.Revision()
		w.bind(long, "long", registry.BindOptions{Lease: 5 * time.Minute})
		w.bind(short, "shortest", registry.BindOptions{Lease: 1})
		pass(time.Minute)
		w.wantOwner("short", short)
		if b.Revision() != r {
			t.Error("the short lease lapsed and was made again: the longer ones had it renewed too seldom")
		}
		w.Partition(short, w.node)
		w.Partition(long, w.node)
		pass(time.Second)
		w.wantOwner("shortest", nil) // a second is the least
		pass(time.Second)
		w.wantOwner("short", nil)
		pass(4 * time.Minute)
		w.wantOwner("long", long)
		pass(time.Minute)
		w.wantOwner("long", nil)
	})
}

func TestAPermanentBinding(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, other := w.Node(), w.Node()
		b := w.bind(owner, "a", registry.BindOptions{Permanent: true})
		unbound := w.bind(owner, "b", registry.BindOptions{Permanent: true})
		if err := unbound.Close(); err != nil {
			t.Fatal(err)
		}
		w.wantOwner("b", nil)
		w.kill(owner)
		pass(time.Hour)
		w.wantOwner("a", owner)
		_, err := registry.Bind[Account](t.Context(), other, w.reg.URL("a"), &account{}, nil)
		wantKind(t, err, rmi.KindAlreadyBound)
		if b.Revision() != 0 || b.Err() != nil {
			t.Errorf("revision %d, %v", b.Revision(), b.Err())
		}
		w.Heal(owner, w.node)
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		<-b.Done()
		wantKind(t, b.Err(), rmi.KindClosed)
		w.wantOwner("a", owner)
	})
}

// Close of a permanent binding leaves the name to a later holder.
func TestAPermanentBindingThatWasReplacedIsClosed(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		b := w.bind(first, "a", registry.BindOptions{Permanent: true})
		if _, err := registry.Rebind[Account](t.Context(), second, w.reg.URL("a"), &account{}, nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		wantKind(t, b.Err(), rmi.KindNotBound)
		w.wantOwner("a", second)
	})
}

// A binding is closed before its node has noticed that the registry was killed and started again:
// the call meets another node than it was for.
func TestABindingIsClosedAfterARestart(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		closes, ends := w.Node(), w.Node()
		b, other := w.bind(closes, "a"), w.bind(ends, "b")
		pass(time.Minute)
		for _, n := range []*rmi.Node{closes, ends} {
			w.Partition(n, w.node)
			w.Cut(n, w.node)
		}
		w.node.Close()
		w.Heal(closes, w.node)
		w.Heal(ends, w.node)
		w.restart()
		if err := b.Close(); err != nil {
			t.Errorf("nothing is bound that could be unbound: %v", err)
		}
		wantKind(t, b.Err(), rmi.KindNotBound)
		ends.Close()
		wantKind(t, other.Err(), rmi.KindNotBound)
		pass(time.Minute)
		w.wantOwner("a", nil)
		w.wantOwner("b", nil)
	})
}

// A claim that is refused says who has the name.
func TestWhoIsRefusedANameIsToldWhoseItIs(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, hidden, other := w.Node(), w.Client(), w.Node()
		for name, b := range map[string]*registry.Binding{
			"leased":  w.bind(owner, "leased"),
			"kept":    w.bind(owner, "kept", registry.BindOptions{Permanent: true}),
			"relayed": w.bind(hidden, "relayed", registry.BindOptions{Relayed: true}),
		} {
			where := " at " + owner.Endpoint().String()
			if name == "relayed" {
				where = ", which listens nowhere"
			}
			want := "a registry_test.Account of node " + b.Ref().Node.Short() + where
			_, err := registry.Bind[Account](t.Context(), other, w.reg.URL(name), &account{}, nil)
			if wantKind(t, err, rmi.KindAlreadyBound); !strings.Contains(err.Error(), want) {
				t.Errorf("%v does not say %q", err, want)
			}
			// By the remote interface, with a revision that the node never had.
			reg, err := registry.At(other, w.reg.URL(""))
			if err != nil {
				t.Fatal(err)
			}
			grants, err := reg.Acquire(t.Context(), []registry.Claim{{Name: name, Entry: registry.Entry{Ref: b.Ref()}, Held: 1 << 62}})
			if err != nil || rmi.KindOf(grants[0].Refused) != rmi.KindAlreadyBound || !strings.Contains(grants[0].Refused.Error(), want) {
				t.Errorf("%v, %v does not say %q", grants, err, want)
			}
			// The former holder is told who took the name.
			if name != "leased" {
				continue
			}
			again, err := registry.Rebind[Account](t.Context(), other, w.reg.URL(name), &account{}, nil)
			if err != nil {
				t.Fatal(err)
			}
			<-b.Done()
			if want := again.Ref().Node.Short() + " at " + other.Endpoint().String(); !strings.Contains(b.Err().Error(), want) {
				t.Errorf("%v does not say %q", b.Err(), want)
			}
		}
	})
}

// deaf is a registry that does not get to the end of releasing a name.
type deaf struct {
	registry.Registry
	entered chan struct{}
}

func (s *deaf) Release(ctx context.Context, _ []registry.Held) ([]registry.Lost, error) {
	close(s.entered)
	<-ctx.Done()
	return nil, ctx.Err()
}

// A registry is killed while it unbinds a name, and started again. It is asked again: Close says
// that nothing is bound.
func TestARegistryIsKilledWhileABindingIsClosed(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		w.reg.Close()
		s := &deaf{registry.NewStore(w.node), make(chan struct{})}
		if _, err := rmi.Export[registry.Registry](w.node, s, &rmi.ExportOptions{Number: refs.RegistryObject}); err != nil {
			t.Fatal(err)
		}
		b := w.bind(owner, "a")
		closed := make(chan error, 1)
		go func() { closed <- b.Close() }()
		<-s.entered
		w.Partition(owner, w.node)
		w.Cut(owner, w.node)
		w.node.Close()
		w.Heal(owner, w.node)
		w.restart()
		if err := <-closed; err != nil {
			t.Errorf("nothing is bound that could be unbound: %v", err)
		}
		wantKind(t, b.Err(), rmi.KindNotBound)
	})
}

// A binding that is being closed is not ended again when its node closes meanwhile. Its name is
// released once, and both wait for that.
func TestANodeIsClosedWhileABindingIsClosed(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		w.reg.Close()
		entered := make(chan struct{}, 10)
		f := &fake{
			acquire: func([]registry.Claim) ([]registry.Grant, error) {
				return []registry.Grant{{Revision: 1, Lease: time.Minute}}, nil
			},
			release: func([]registry.Held) ([]registry.Lost, error) {
				entered <- struct{}{}
				pass(100 * time.Millisecond)
				return nil, nil
			},
		}
		f.serveOn(t, w.node)
		b := w.bind(owner, "a")
		closed := make(chan error, 1)
		go func() { closed <- b.Close() }()
		<-entered
		if err := owner.Close(); err != nil {
			t.Error(err)
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if len(entered) != 0 {
			t.Errorf("the name was released %d times more", len(entered))
		}
		wantKind(t, b.Err(), rmi.KindClosed)
	})
}

// A binding that is being closed is neither renewed nor bound again. Otherwise a registry that was
// restarted meanwhile would keep the name.
func TestABindingThatIsBeingClosedIsNotRenewed(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.reg.Close()
		var closing atomic.Bool
		var renewed atomic.Int64
		f := &fake{
			acquire: func([]registry.Claim) ([]registry.Grant, error) {
				return []registry.Grant{{Revision: 1, Lease: time.Second}}, nil
			},
			renew: func(held []registry.Held) ([]registry.Lost, error) {
				if closing.Load() {
					renewed.Add(int64(len(held)))
				}
				return nil, nil
			},
			release: func([]registry.Held) ([]registry.Lost, error) {
				closing.Store(true)
				pass(4 * time.Second)
				return nil, nil
			},
		}
		f.serveOn(t, w.node)
		b := w.bind(w.Node(), "a")
		pass(time.Minute)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		if n := renewed.Load(); n != 0 {
			t.Errorf("it was renewed %d times", n)
		}
	})
}

// counted counts the calls of a registry, and reports when names were claimed.
type counted struct {
	registry.Registry

	mu       sync.Mutex // guards the fields below
	calls    map[string]int
	acquired []time.Time
	late     time.Duration // that answers to Acquire take
}

// called is how often a method was called.
func (c *counted) called(method string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[method]
}

// claimed is when Acquire was called.
func (c *counted) claimed() []time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.acquired)
}

func (c *counted) setLate(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late = d
}

func (c *counted) count(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[method]++
}

func (c *counted) Acquire(ctx context.Context, claims []registry.Claim) ([]registry.Grant, error) {
	c.count("Acquire")
	c.mu.Lock()
	c.acquired = append(c.acquired, time.Now())
	late := c.late
	c.mu.Unlock()
	defer pass(late)
	return c.Registry.Acquire(ctx, claims)
}

func (c *counted) Renew(ctx context.Context, held []registry.Held) ([]registry.Lost, error) {
	c.count("Renew")
	return c.Registry.Renew(ctx, held)
}

func (c *counted) Release(ctx context.Context, held []registry.Held) ([]registry.Lost, error) {
	c.count("Release")
	return c.Registry.Release(ctx, held)
}

func (c *counted) Lookup(ctx context.Context, name string) (registry.Entry, error) {
	c.count("Lookup")
	return c.Registry.Lookup(ctx, name)
}

// serveCounted serves a registry whose calls are counted in the place of the town's.
func (w *town) serveCounted() *counted {
	w.t.Helper()
	c := &counted{calls: make(map[string]int)}
	c.Registry = registry.NewStore(w.node)
	if _, err := rmi.Export[registry.Registry](w.node, c, &rmi.ExportOptions{Number: refs.RegistryObject, MaxMessage: registry.MaxMessage}); err != nil {
		w.t.Fatal(err)
	}
	return c
}

func TestBindingsAreMadeAgainAfterARestart(t *testing.T) {
	for what, c := range map[string]struct {
		down   time.Duration
		killed bool // its sessions do not end, but are cut
	}{
		"at once": {}, "after a minute": {down: time.Minute},
		"killed": {killed: true}, "killed, and nobody listens for 10 s": {10 * time.Second, true}, "killed, and nobody listens for long": {10 * time.Minute, true},
	} {
		t.Run(what, func(t *testing.T) {
			down, killed := c.down, c.killed
			inTown(t, func(t *testing.T, w *town) {
				const nodes, each = 20, 100
				var all []*registry.Binding
				var owners []*rmi.Node
				for i := range nodes {
					owner := w.Node()
					owners = append(owners, owner)
					for j := range each {
						all = append(all, w.bind(owner, fmt.Sprintf("%d/%d", i, j)))
					}
				}
				pass(30 * time.Second)
				before := all[0].Revision()
				if killed {
					for _, owner := range owners {
						w.kill(owner)
					}
				}
				w.node.Close()
				for _, owner := range owners {
					w.Heal(owner, w.node)
				}
				pass(down)
				w.node = w.Restart(w.node, nil)
				c := w.serveCounted()
				start := time.Now()
				pass(10 * time.Second)
				page, err := c.List(t.Context(), "", "", registry.MaxBatch)
				if err != nil || len(page.Names) != registry.MaxBatch || !page.More {
					t.Fatalf("%d names are bound, %v", len(page.Names), err)
				}
				for _, b := range all {
					w.wantOwner(b.Name()[len(w.reg.URL(""))+1:], w.nodeOf(b))
					if b.Err() != nil || b.Revision() <= before {
						t.Errorf("%v, revision %d after %d", b.Err(), b.Revision(), before)
					}
				}
				claimed := c.claimed()
				if got := len(claimed); got < nodes || got > 2*nodes {
					t.Errorf("%d nodes claimed %d names in %d calls", nodes, nodes*each, got)
				}
				if span := claimed[len(claimed)-1].Sub(claimed[0]); span < time.Second/2 { // each waits for up to a second, at random
					t.Errorf("all came within %v, the first after %v", span, claimed[0].Sub(start))
				}
				renewed := c.called("Renew")
				pass(time.Minute)
				if got := c.called("Renew") - renewed; len(c.claimed()) != len(claimed) || got < nodes*12 || got > nodes*16 {
					t.Errorf("in a minute without trouble %d claims, %d renewals", len(c.claimed())-len(claimed), got)
				}
			})
		})
	}
}

// Names so long that one call does not hold them all.
func TestLongNamesAreRenewedAndMadeAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.reg.Close()
		c, owner := w.serveCounted(), w.Node()
		for i := range 600 {
			w.bind(owner, strings.Repeat("x", registry.MaxName-4)+fmt.Sprint(1000+i))
		}
		pass(time.Minute)
		if c.called("Acquire") != 600 || c.called("Renew") < 3*12 {
			t.Errorf("%d claims, %d renewals", c.called("Acquire"), c.called("Renew"))
		}
		w.node = w.Restart(w.node, nil)
		c = w.serveCounted()
		pass(10 * time.Second)
		names := 0
		for _, err := range registry.List(t.Context(), w.caller, w.reg.URL("")) {
			if err != nil {
				t.Fatal(err)
			}
			names++
		}
		if n := c.called("Acquire"); names != 600 || n < 3 || n > 5 {
			t.Errorf("%d names, in %d calls", names, n)
		}
		owner.Close()
		if n := c.called("Release"); n != 3 {
			t.Errorf("released in %d calls", n)
		}
		if page, err := c.List(t.Context(), "", "", 1); err != nil || len(page.Names) != 0 {
			t.Errorf("%v, %v", page, err)
		}
	})
}

// TestALostGrant: a claim whose answer comes too late is repeated, and is not taken for somebody
// else's.
func TestALostGrant(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		b := w.bind(owner, "a")
		w.reg.Close()
		c := w.serveCounted()
		c.setLate(8 * time.Second)
		pass(20 * time.Second)
		w.wantOwner("a", owner)
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		c.setLate(0)
		pass(time.Minute)
		w.wantOwner("a", owner)
		if b.Err() != nil {
			t.Fatal(b.Err())
		}
		acquired := c.called("Acquire")
		pass(time.Minute)
		if acquired < 2 || c.called("Acquire") != acquired {
			t.Errorf("claimed %d times, then %d", acquired, c.called("Acquire"))
		}
	})
}

// A name was granted in an answer that was lost. It is released with the others, by its object,
// because its revision is not known.
func TestANameWhoseGrantWasLostIsUnbound(t *testing.T) {
	for what, end := range map[string]func(b *registry.Binding, owner *rmi.Node) error{
		"its binding is closed": func(b *registry.Binding, _ *rmi.Node) error { return b.Close() },
		"its node is closed":    func(_ *registry.Binding, owner *rmi.Node) error { return owner.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				owner := w.Node()
				b := w.bind(owner, "a")
				pass(time.Minute) // so that the next registry begins with other revisions
				w.reg.Close()
				c := w.serveCounted()
				c.setLate(8 * time.Second)
				for len(c.claimed()) == 0 {
					pass(100 * time.Millisecond)
				}
				pass(5*time.Second + time.Millisecond - time.Since(c.claimed()[0])) // the claim is given up
				w.wantOwner("a", owner)
				if err := end(b, owner); err != nil {
					t.Error(err)
				}
				w.wantOwner("a", nil)
				pass(10 * time.Second)
			})
		})
	}
}

func TestABindingIsClosedWhileItIsMadeAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, other := w.Node(), w.Node()
		b, kept := w.bind(owner, "a"), w.bind(owner, "b")
		closes := w.bind(other, "c")
		w.reg.Close()
		c := w.serveCounted()
		c.setLate(4900 * time.Millisecond)
		pass(5 * time.Second) // each has sent its claim, and most likely waits
		closed := make(chan error, 2)
		go func() { closed <- b.Close() }()
		go func() { closed <- other.Close() }()
		for range 2 {
			if err := <-closed; err != nil {
				t.Error(err)
			}
		}
		<-b.Done()
		<-closes.Done()
		pass(10 * time.Second)
		w.wantOwner("a", nil)
		w.wantOwner("b", owner)
		if kept.Err() != nil {
			t.Error(kept.Err())
		}
		pass(20 * time.Second) // at the latest: the answer to its claim found nobody
		w.wantOwner("c", nil)
	})
}

func TestAFullRegistryIsAskedAgain(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, other := w.Node(), w.Node()
		b := w.bind(owner, "a")
		w.node = w.Restart(w.node, nil)
		reg, err := registry.Serve(t.Context(), w.node, &registry.ServeOptions{MaxNames: 1})
		if err != nil {
			t.Fatal(err)
		}
		w.reg = reg
		full := w.bind(other, "z")
		pass(time.Minute)
		w.wantOwner("a", nil)
		full.Close()
		pass(10 * time.Second)
		w.wantOwner("a", owner)
		if b.Err() != nil {
			t.Error(b.Err())
		}
	})
}

// A registry that refuses for good what it is to have again.
func TestARegistryThatRefusesABindingOnItsRestart(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		b := w.bind(w.Node(), "a")
		w.reg.Close()
		f := &fake{
			acquire: func([]registry.Claim) ([]registry.Grant, error) {
				return []registry.Grant{{Refused: &rmi.Error{Kind: rmi.KindDenied, Msg: "not you"}}}, nil
			},
			renew: func([]registry.Held) ([]registry.Lost, error) { return []registry.Lost{{}}, nil },
		}
		f.serveOn(t, w.node)
		pass(10 * time.Second)
		<-b.Done()
		wantKind(t, b.Err(), rmi.KindDenied)
		if err := b.Close(); err != nil {
			t.Errorf("nothing is bound that could be unbound: %v", err)
		}
	})
}

// A client that knows no leases: what it binds is permanent, and it can
// replace and unbind what is leased.
func TestAClientThatKnowsNoLeases(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner, old := w.Node(), w.Client()
		reg, err := rmi.Resolve[struct {
			Bind, Rebind func(ctx context.Context, name string, e registry.Entry) error
			Unbind       func(ctx context.Context, name string, only refs.Ref) error
		}](old, refs.WellKnown(w.node.Endpoint(), refs.RegistryObject), nil)
		if err != nil {
			t.Fatal(err)
		}
		rebound, unbound := w.bind(owner, "rebound"), w.bind(owner, "unbound")
		e := registry.Entry{Ref: refs.Ref{Endpoint: refs.Endpoint{Host: "far", Port: 1}, ID: refs.ID{Node: refs.NodeID{1}, Object: 1 << 40}}}
		if err := errors.Join(reg.Bind(t.Context(), "a", e), reg.Rebind(t.Context(), "rebound", e), reg.Unbind(t.Context(), "unbound", refs.Ref{})); err != nil {
			t.Fatal(err)
		}
		old.Close()
		pass(time.Hour)
		for name, want := range map[string]refs.NodeID{"a": {1}, "rebound": {1}, "unbound": {}} {
			if got := w.owner(name); got != want {
				t.Errorf("%s is bound to %v", name, got)
			}
		}
		<-rebound.Done()
		<-unbound.Done()
	})
}

// Renewals of an owner that listens nowhere bring its session back, through
// which it is called.
func TestARelayedBindingSurvivesACut(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Client()
		w.bind(owner, "a", registry.BindOptions{Relayed: true})
		w.Cut(owner, w.node)
		pass(5 * time.Second)
		a, err := registry.Lookup[accountFuncs](t.Context(), w.caller, w.reg.URL("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := a.Deposit(t.Context(), 1); err != nil {
			t.Error(err)
		}
	})
}
