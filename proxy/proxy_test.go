package proxy_test

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
)

// Named is an interface whose proxies are stubs, so that the test controls how they are made.
type Named interface {
	Name(ctx context.Context) (string, error)
}

type namedStub struct{ c *proxy.Core }

func (s *namedStub) Name(context.Context) (string, error) { return "", nil }
func (s *namedStub) RMICore() *proxy.Core                 { return s.c }

// Plain is one whose proxies are made at run time.
type Plain interface {
	Name(ctx context.Context) (string, error)
}

// described is the description of T, whose proxies this platform can make.
func described[T any](t *testing.T) *codec.Interface {
	t.Helper()
	if err := proxy.Supported(reflect.TypeFor[T]()); err != nil {
		t.Skip(err)
	}
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func reference() refs.Ref {
	return refs.Ref{ID: refs.ID{Node: refs.NodeID{1}, Time: 1, Object: refs.NewObjNum()}}
}

// holds counts pins.
type holds struct{ pins map[refs.ID]int }

func (h *holds) Pin(r refs.Ref)   { h.pins[r.ID]++ }
func (h *holds) Unpin(id refs.ID) { h.pins[id]-- }

func TestOneReferenceHasOneProxy(t *testing.T) {
	var all proxy.Table
	r, i, j := reference(), described[Plain](t), described[func(ctx context.Context) error](t)
	get := func(r refs.Ref, i *codec.Interface) *proxy.Core {
		c, err := all.Get(r, i, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := get(r, i)
	if again := get(r, i); again != first || again.Value().Interface() != first.Value().Interface() {
		t.Error("the same reference gives another proxy")
	}
	if get(reference(), i) == first || get(r, j) == first {
		t.Error("another reference, or another interface, gives the same one")
	}
	moved := r
	moved.Port = 7000
	if again := get(moved, i); again != first || first.Ref() != moved {
		t.Errorf("of two references to one object the newer does not count: %v", first.Ref())
	}
	at := func(port uint16) refs.Ref {
		return refs.Ref{Endpoint: refs.Endpoint{Host: "h", Port: port}, ID: refs.ID{Object: 7}}
	}
	if get(at(1), i) == get(at(2), i) {
		t.Error("well-known objects at two addresses are one")
	}
	if all.CoreOf(first.Value()) != first || all.CoreOf(get(r, j).Value()) != get(r, j) || all.CoreOf(reflect.ValueOf(3)) != nil {
		t.Error("a proxy's core is not found by its value")
	}
}

// Both callers find no proxy and make one: the second to be ready is thrown away.
func TestProxiesOfOneReferenceThatAreMadeAtOnceAreEqual(t *testing.T) {
	var making sync.WaitGroup
	making.Add(2)
	cores := make(chan *proxy.Core, 2)
	proxy.Register(reflect.TypeFor[Named](), proxy.Registration{New: func(c *proxy.Core) any {
		cores <- c
		making.Done()
		making.Wait()
		return &namedStub{c}
	}})
	h := &holds{make(map[refs.ID]int)}
	all := proxy.Table{Holds: h}
	i, r := described[Named](t), reference()
	moved := r
	moved.Port = 7000
	got := make(chan *proxy.Core, 2)
	for _, r := range []refs.Ref{r, moved} {
		go func() {
			c, err := all.Get(r, i, nil)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
	}
	a, b := <-got, <-got
	if a != b || a.Value().Interface() != b.Value().Interface() {
		t.Error("they are two")
	}
	late := <-cores
	if late == a {
		late = <-cores
	}
	if a.Ref() != late.Ref() {
		t.Errorf("the reference that came last does not count: %v", a.Ref())
	}
	if n := all.Len(); n != 1 {
		t.Errorf("the table has %d proxies", n)
	}
	if h.pins[r.ID] != 1 {
		t.Errorf("the reference is held %d times", h.pins[r.ID])
	}
	runtime.KeepAlive(a)
}

func TestAReleasedProxyHoldsAgainWhenItsReferenceComesAgain(t *testing.T) {
	h := &holds{make(map[refs.ID]int)}
	all := proxy.Table{Holds: h}
	i, r := described[Plain](t), reference()
	for range 3 {
		c, err := all.Get(r, i, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := all.Get(r, i, nil); err != nil || h.pins[r.ID] != 1 {
			t.Errorf("held %d times, %v", h.pins[r.ID], err)
		}
		all.Release(c)
		all.Release(c)
		if h.pins[r.ID] != 0 {
			t.Errorf("released, it is held %d times", h.pins[r.ID])
		}
	}
}

// A following proxy is in no table, and holds through its target.
func TestAFollowingProxyLeadsToItsTarget(t *testing.T) {
	h := &holds{make(map[refs.ID]int)}
	all := proxy.Table{Holds: h}
	i, r, s := described[Plain](t), reference(), reference()
	first, err := all.Get(r, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := all.Get(s, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := all.Follow(first, func(context.Context, refs.Ref, error) (refs.Ref, error) { return s, nil })
	if err != nil {
		t.Fatal(err)
	}
	if f == first || f.Ref() != r || f.Target() != first || all.Len() != 2 {
		t.Errorf("it leads to %v", f.Ref())
	}
	f.Retarget(second)
	all.Release(f)
	if f.Ref() != s || h.pins[s.ID] != 0 || h.pins[r.ID] != 1 {
		t.Errorf("led on, it leads to %v; held: %v", f.Ref(), h.pins)
	}
}

func TestACollectedProxyHoldsNothing(t *testing.T) {
	unpinned := make(chan refs.ID, 10)
	all := proxy.Table{Holds: unpins{unpinned}}
	r := reference()
	func() {
		for _, i := range []*codec.Interface{described[Plain](t), described[func(ctx context.Context) error](t)} {
			if _, err := all.Get(r, i, nil); err != nil {
				t.Fatal(err)
			}
		}
	}()
	rounds := 0
	for n := 0; n < 2; {
		runtime.GC()
		select {
		case id := <-unpinned:
			if n++; id != r.ID {
				t.Errorf("unpinned %v", id)
			}
		case <-time.After(10 * time.Millisecond):
			if rounds++; rounds > 500 {
				t.Fatal("it is held for ever")
			}
		}
	}
	for all.Len() != 0 { // the entry goes under the same lock
		runtime.Gosched()
	}
}

// unpins tells of references that are held no more.
type unpins struct{ c chan<- refs.ID }

func (u unpins) Pin(refs.Ref)     {}
func (u unpins) Unpin(id refs.ID) { u.c <- id }
