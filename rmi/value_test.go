package rmi_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// shelf is an object that keeps references as values, as registries do.
type Shelf interface {
	Put(ctx context.Context, r refs.Ref) error
	Get(ctx context.Context) (refs.Ref, error)
}

type shelf struct{ r refs.Ref }

func (s *shelf) Put(_ context.Context, r refs.Ref) error { s.r = r; return nil }
func (s *shelf) Get(context.Context) (refs.Ref, error)   { return s.r, nil }
func get(t *testing.T, n *rmi.Node, at refs.Ref) refs.Ref {
	t.Helper()
	r, err := resolve[Shelf](t, n, at).Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A reference that is the result of a call, as a value, holds the object for long
// enough to make a proxy of it; then the proxy does.
func TestAReferenceThatIsAResultCanBeResolvedForAWhile(t *testing.T) {
	for what, fetch := range map[string]func(t *testing.T, caller *rmi.Node, at refs.Ref) refs.Ref{
		"by a proxy": get,
		"by name": func(t *testing.T, caller *rmi.Node, at refs.Ref) refs.Ref {
			out, err := caller.Invoke(t.Context(), at, "Get")
			if err != nil {
				t.Fatal(err)
			}
			return out[0].(refs.Ref)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, middle, caller := network.Client(), network.Node(), network.Client()
				at := export[Shelf](t, middle, new(shelf), nil)
				mine := newWatched()
				h, err := rmi.Export[Worker](owner, mine, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := resolve[Shelf](t, owner, at).Put(t.Context(), h.Ref()); err != nil {
					t.Fatal(err)
				}
				r := fetch(t, caller, at)
				time.Sleep(29 * time.Second)
				w := resolve[Worker](t, caller, r)
				time.Sleep(10 * time.Minute)
				if _, err := w.Do(t.Context(), 1); err != nil {
					t.Errorf("the middle does not relay what is held: %v", err)
				}
				rmi.Release(w)
				time.Sleep(time.Second)
				if _, err := w.Do(t.Context(), 1); !errors.Is(err, rmi.KindNoSuchObject) {
					t.Errorf("the middle relays what nobody holds: %v", err)
				}
				// A value that nobody makes a proxy of is given back, in a while.
				fetch(t, caller, at)
				time.Sleep(61 * time.Second)
				for _, held := range caller.Inventory().Held {
					if held.Ref.ID == r.ID {
						t.Errorf("still held: %v", held)
					}
				}
			})
		})
	}
}

// A reference as a value is kept for a limited time. To resolve or hold it ends that: once the
// proxy or the hold is released, the owner learns it at once, not when the time is over.
func TestAValueThatWasTakenUpIsNotKept(t *testing.T) {
	for what, take := range map[string]func(t *testing.T, caller *rmi.Node, r, absent refs.Ref){
		"by Resolve": func(t *testing.T, caller *rmi.Node, r, _ refs.Ref) { rmi.Release(resolve[Worker](t, caller, r)) },
		"by Hold":    func(_ *testing.T, caller *rmi.Node, r, _ refs.Ref) { caller.Hold(r)() },
		"by ResolveWith": func(t *testing.T, caller *rmi.Node, r, _ refs.Ref) {
			w, err := rmi.ResolveWith[Worker](caller, r, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			rmi.Release(w)
		},
		"by a proxy that follows": func(t *testing.T, caller *rmi.Node, r, absent refs.Ref) {
			w, err := rmi.ResolveWith[Worker](caller, absent, nil, func(context.Context, refs.Ref, error) (refs.Ref, error) { return r, nil })
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Do(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			rmi.Release(w)
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, caller := network.Node(), network.Client()
				at := export[Shelf](t, owner, new(shelf), nil)
				mine := newWatched()
				h, err := rmi.Export[Worker](owner, mine, nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := resolve[Shelf](t, caller, at).Put(t.Context(), h.Ref()); err != nil {
					t.Fatal(err)
				}
				r := get(t, caller, at)
				h.Close()
				time.Sleep(5 * time.Second)
				select {
				case <-mine.unheld:
					t.Fatal("a value that is kept holds nothing")
				default:
				}
				absent := r
				absent.Object += 1000
				take(t, caller, r, absent)
				time.Sleep(5 * time.Second)
				select {
				case <-mine.unheld:
				default:
					t.Errorf("it is still held:\n%v", caller.Inventory())
				}
			})
		})
	}
}

// The proxy whose reference is taken need not live until the other one is made.
func TestHoldKeepsAnObjectWithoutAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, middle, caller := network.Client(), network.Node(), network.Client()
		k := new(keeper)
		at := export[Worker](t, middle, k, nil)
		mine := newWatched()
		if _, err := resolve[Worker](t, owner, at).Meet(t.Context(), mine); err != nil {
			t.Fatal(err)
		}
		r, _ := rmi.RefOf(k.kept)
		release := middle.Hold(r)
		rmi.Release(k.kept)
		time.Sleep(10 * time.Minute)
		if r.Via.Node.IsZero() {
			r.Via = refs.Via{Node: middle.ID(), Endpoint: middle.Endpoint()}
		}
		w := resolve[Worker](t, caller, r)
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Errorf("what is held is not relayed: %v", err)
		}
		release()
		release()
		time.Sleep(time.Second)
		select {
		case <-mine.unheld:
		default:
			t.Errorf("it is not collected:\n%v\n%v", owner.Inventory(), middle.Inventory())
		}
		if _, err := w.Do(t.Context(), 1); !errors.Is(err, rmi.KindNoSuchObject) {
			t.Errorf("what is not held any more is relayed: %v", err)
		}

		// An object of the node's own.
		h, err := rmi.Export[Worker](middle, &worker{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		release = middle.Hold(h.Ref())
		h.Close()
		w = resolve[Worker](t, caller, h.Ref())
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Errorf("an own object that is held: %v", err)
		}
		rmi.Release(w)
		time.Sleep(time.Second)
		release()
		if _, err := w.Do(t.Context(), 1); !errors.Is(err, rmi.KindNoSuchObject) {
			t.Errorf("an own object that is not held any more: %v", err)
		}
		middle.Hold(h.Ref())()
	})
}

// Gone is told of the node, not of the one object by which it is watched.
func TestGoneOfARelayedNodeOutlastsTheProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, middle, caller := network.Client(), network.Node(), network.Client()
		k := new(keeper)
		at := export[Worker](t, middle, k, nil)
		if _, err := resolve[Worker](t, owner, at).Meet(t.Context(), newWatched()); err != nil {
			t.Fatal(err)
		}
		w, err := resolve[Worker](t, caller, at).Meet(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		gone := goneOf(t, w)
		rmi.Release(w)
		rmi.Release(k.kept)
		time.Sleep(10 * time.Minute)
		select {
		case <-gone:
			t.Error("the owner lives, and is told to be gone")
		default:
		}
		owner.Close()
		<-gone
	})
}
