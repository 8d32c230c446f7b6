package rmi_test

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

func TestARemoteArgumentIsCalledBackOverTheCallersConnection(t *testing.T) {
	overCarriers(t, aRemoteArgumentIsCalledBackOverTheCallersConnection)
}

func aRemoteArgumentIsCalledBackOverTheCallersConnection(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client() // the caller listens nowhere
	w := hire(t, owner, caller, &worker{
		meet: func(ctx context.Context, guest Worker) (Worker, error) {
			n, err := guest.Do(ctx, 20)
			if err != nil || n != 21 {
				t.Errorf("the guest said %d, %v", n, err)
			}
			return guest, nil
		},
	})
	guest := &worker{do: func(_ context.Context, n int64) (int64, error) { return n + 1, nil }}
	back, err := w.Meet(within(t), guest)
	if err != nil {
		t.Fatal(err)
	}
	if back != Worker(guest) {
		t.Error("what went out did not come home as the same object")
	}
	n, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n * n, nil }, 12)
	if n != 144 || err != nil {
		t.Errorf("the function gave %d, %v", n, err)
	}
	if owner.Sessions() != 1 || caller.Sessions() != 1 {
		t.Errorf("%d and %d connections", owner.Sessions(), caller.Sessions())
	}
}

func TestNilRemoteValuesStayNil(t *testing.T) { overCarriers(t, nilRemoteValuesStayNil) }

func nilRemoteValuesStayNil(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{
		meet: func(_ context.Context, guest Worker) (Worker, error) {
			if guest != nil {
				t.Errorf("a nil interface arrived as %v", guest)
			}
			return nil, nil
		},
		apply: func(_ context.Context, f Func, n int64) (int64, error) {
			if f != nil {
				t.Error("a nil func arrived as one that is not")
			}
			return n, nil
		},
		visit: func(_ context.Context, v Visit) (Visit, error) {
			if v.Host != nil || v.Tell != nil || len(v.Guests) != 2 || v.Guests[0] != nil {
				t.Errorf("got %+v", v)
			}
			return Visit{}, nil
		},
	})
	ctx := within(t)
	if back, err := w.Meet(ctx, nil); back != nil || err != nil {
		t.Errorf("got %v, %v", back, err)
	}
	if n, err := w.Apply(ctx, nil, 3); n != 3 || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
	if v, err := w.Visit(ctx, Visit{Guests: []Worker{nil, nil}}); !reflect.DeepEqual(v, Visit{}) || err != nil {
		t.Errorf("got %+v, %v", v, err)
	}
	if r, err := w.Refer(ctx, refs.Ref{}); !r.IsZero() || err != nil {
		t.Errorf("got %v, %v", r, err)
	}
}

// A nil pointer in an interface that is returned is no object: the callee is told
// so, as by Bind, and the caller gets no proxy that fails later.
func TestANilPointerIsNotReturnedAsAnObject(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{meet: func(context.Context, Worker) (Worker, error) {
		var none *worker
		return none, nil
	}})
	before := len(owner.Inventory().Exports)
	got, err := w.Meet(within(t), nil)
	if got != nil || rmi.KindOf(err) != rmi.KindInvalid || rmi.OutcomeOf(err) != rmi.OutcomeExecuted || !strings.Contains(err.Error(), "result 1: a nil *rmi_test.worker is no rmi_test.Worker") {
		t.Errorf("got %v, %v", got, err)
	}
	var none *worker
	if got, err = w.Meet(within(t), none); got != nil || rmi.KindOf(err) != rmi.KindInvalid || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
		t.Errorf("passing one: %v, %v", got, err)
	}
	if after := len(owner.Inventory().Exports); after != before {
		t.Errorf("%d exports, %d before", after, before)
	}
}

// What a method returns beside an error does not travel.
func TestResultsBesideAnErrorAreZero(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	guest := &worker{}
	w := hire(t, owner, caller, &worker{
		do:   func(context.Context, int64) (int64, error) { return 7, errPoor },
		meet: func(context.Context, Worker) (Worker, error) { return guest, errPoor },
	})
	if n, err := w.Do(within(t), 1); n != 0 || !errors.Is(err, errPoor) {
		t.Errorf("got %d, %v", n, err)
	}
	if got, err := w.Meet(within(t), nil); got != nil || !errors.Is(err, errPoor) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestDataWithRemoteValuesInside(t *testing.T) { overCarriers(t, dataWithRemoteValuesInside) }

func dataWithRemoteValuesInside(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	guest := &worker{do: func(_ context.Context, n int64) (int64, error) { return n + 1, nil }}
	host := &worker{}
	host.visit = func(ctx context.Context, v Visit) (Visit, error) {
		if v.Host != Worker(host) {
			t.Error("the host is not itself any more")
		}
		if len(v.Guests) != 2 || v.Guests[0] != v.Guests[1] || v.By["first"] != v.Guests[0] || v.Past.Host != v.Guests[0] {
			t.Error("the same guest is not ==")
		}
		n, err := v.Guests[0].Do(ctx, 1)
		if err != nil {
			return v, err
		}
		n, err = v.Tell(ctx, n)
		if n != 4 || err != nil {
			t.Errorf("told %d, %v", n, err)
		}
		return v, nil
	}
	w := hire(t, owner, caller, host)
	v, err := w.Visit(within(t), Visit{
		Name: "hello", Host: w, Guests: []Worker{guest, guest}, By: map[string]Worker{"first": guest}, Past: &Visit{Host: guest},
		Tell: func(_ context.Context, n int64) (int64, error) { return n * 2, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if v.Name != "hello" || v.Host != w || v.Guests[1] != Worker(guest) || v.By["first"] != Worker(guest) || v.Past.Host != Worker(guest) {
		t.Errorf("came back as %+v", v)
	}
	if n, err := v.Tell(t.Context(), 5); n != 10 || err != nil {
		t.Errorf("the function came back as one that gives %d, %v", n, err)
	}
}

func TestProxiesOfOneObjectAreEqual(t *testing.T) { overCarriers(t, proxiesOfOneObjectAreEqual) }

func proxiesOfOneObjectAreEqual(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	r, other := export[Worker](t, owner, &worker{}, nil), export[Worker](t, owner, &worker{}, nil)
	a, b, c := resolve[Worker](t, caller, r), resolve[Worker](t, caller, r), resolve[Worker](t, caller, other)
	if a != b || a == c {
		t.Errorf("== says %v of one object and %v of two", a == b, a == c)
	}
	if m := map[Worker]int{a: 1}; m[b] != 1 || m[c] != 0 {
		t.Error("proxies are no good as keys of a map")
	}
	got, ok := rmi.RefOf(a)
	if !ok || got != r {
		t.Errorf("RefOf gives %v, %v", got, ok)
	}
	f := resolve[Func](t, caller, export[Func](t, owner, func(_ context.Context, n int64) (int64, error) { return n, nil }, nil))
	if _, ok := rmi.RefOf(f); !ok {
		t.Error("RefOf does not know a func's proxy")
	}
	for _, v := range []any{nil, 3, &worker{}, Func(nil), func() {}} {
		if r, ok := rmi.RefOf(v); ok {
			t.Errorf("RefOf(%T) is %v", v, r)
		}
	}
	runtime.KeepAlive(f)
}

func TestAReferenceAsDataIsCompletedAndUsable(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	v := &worker{}
	r := export[Worker](t, owner, v, nil)
	w := resolve[Worker](t, caller, r)
	back, err := w.Refer(within(t), r)
	if back.Origin == refs.OriginProgram {
		t.Error("what came from a peer looks like the program's own choice")
	}
	if back.Origin = r.Origin; err != nil || back != r {
		t.Fatalf("got %v, %v, want %v", back, err, r)
	}
	// The caller's own object, as data: the owner calls it over the session.
	mine := export[Worker](t, caller, &worker{do: func(context.Context, int64) (int64, error) { return 99, nil }}, nil)
	v.refer = func(ctx context.Context, r refs.Ref) (refs.Ref, error) {
		guest, err := rmi.Resolve[Worker](owner, r, nil)
		if err != nil {
			return r, err
		}
		if n, err := guest.Do(ctx, 1); n != 99 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		return r, nil
	}
	back, err = w.Refer(within(t), mine)
	if err != nil || back.ID != mine.ID {
		t.Errorf("got %v, %v, want %v", back, err, mine)
	}
}

func TestAFunctionIsExportedAsLongAsItsHolderIsConnected(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	kept := make(chan Func, 1)
	w := hire(t, owner, caller, &worker{apply: func(_ context.Context, f Func, n int64) (int64, error) {
		kept <- f
		return n, nil
	}})
	if _, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n, nil }, 1); err != nil {
		t.Fatal(err)
	}
	f := <-kept
	if n, err := f(within(t), 4); n != 4 || err != nil {
		t.Fatalf("after the call that brought it: %d, %v", n, err)
	}
	if caller.Exports() != 1 {
		t.Errorf("%d exports, want the function", caller.Exports())
	}
	caller.Close()
	for owner.Sessions() > 0 { // the end is noticed soon
		runtime.Gosched()
	}
	_, err := f(within(t), 5)
	if !errors.Is(err, rmi.KindPeerGone) || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
		t.Errorf("calling a client that is gone: %v", err)
	}
}

func TestAReferenceHomeToWhatIsNotExportedAnyMore(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{})
	h, err := rmi.Export[Worker](owner, &worker{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := resolve[Worker](t, caller, h.Ref())
	h.Close()
	_, err = w.Meet(within(t), gone)
	expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
}

func TestAProxyOfAnotherNodeOfTheProcessIsHandedOn(t *testing.T) {
	network := rmitest.New(t)
	owner, a, b, server := network.Node(), network.Client(), network.Client(), network.Node()
	guest := hire(t, owner, a, &worker{})
	w := hire(t, server, b, &worker{meet: func(ctx context.Context, g Worker) (Worker, error) {
		_, err := g.Do(ctx, 1)
		return g, err
	}})
	if _, err := w.Meet(within(t), guest); err != nil { // a's proxy through b's
		t.Error(err)
	}
}
