package rmi_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// watched is a Worker that tells when nobody holds it any more.
type watched struct {
	worker
	unheld chan struct{}
}

func newWatched() *watched { return &watched{unheld: make(chan struct{}, 100)} }

func (w *watched) Unreferenced() { w.unheld <- struct{}{} }

var _ rmi.Unreferencer = (*watched)(nil)

// collect runs the garbage collector until c tells that something is gone.
func collect(t testing.TB, c <-chan struct{}) {
	t.Helper()
	for ctx := within(t); ; {
		runtime.GC()
		select {
		case <-c:
			return
		case <-time.After(5 * time.Millisecond): // cleanups run, and batches gather
		case <-ctx.Done():
			t.Fatal("it is not collected")
		}
	}
}

// keeper is a Worker that keeps who it meets, while it is told to.
type keeper struct {
	worker
	kept Worker
}

func (k *keeper) Meet(_ context.Context, w Worker) (Worker, error) {
	if w != nil {
		k.kept = w
	}
	return k.kept, nil
}

func TestAnObjectIsCollectedWhenItsLastProxyIs(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	k := new(keeper)
	at := hire(t, owner, caller, k)
	ctx := within(t)
	mine := newWatched()
	if _, err := at.Meet(ctx, mine); err != nil {
		t.Fatal(err)
	}
	// Another one comes and goes: what was to be given back by then was.
	for range 2 {
		other := newWatched()
		if _, err := at.Apply(ctx, func(context.Context, int64) (int64, error) { return 0, nil }, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := at.Visit(ctx, Visit{Host: other, Guests: []Worker{other, other}}); err != nil {
			t.Fatal(err)
		}
		collect(t, other.unheld)
	}
	if n, err := k.kept.Do(ctx, 3); n != 3 || err != nil {
		t.Errorf("what is held: %d, %v", n, err)
	}
	select {
	case <-mine.unheld:
		t.Error("what is held was said to be unreferenced")
	default:
	}
	k.kept = nil
	collect(t, mine.unheld)
	for caller.Exports() > 0 { // the funcs
		runtime.GC()
	}
}

// The owner, too, forgets the object itself.
func TestLastArgumentsAreNotRetained(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	at := hire(t, owner, caller, &worker{})
	gone := make(chan struct{}, 2)
	func() {
		mine, result := newWatched(), newWatched()
		runtime.AddCleanup(mine, func(struct{}) { gone <- struct{}{} }, struct{}{})
		runtime.AddCleanup(result, func(struct{}) { gone <- struct{}{} }, struct{}{})
		if w, err := at.Meet(within(t), mine); w != Worker(mine) || err != nil {
			t.Errorf("%v, %v", w, err)
		}
		if _, err := at.Visit(within(t), Visit{Guests: []Worker{result}}); err != nil {
			t.Error(err)
		}
	}()
	collect(t, gone)
	collect(t, gone)
}

func TestReleaseGivesBackByHand(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	k := new(keeper)
	at := hire(t, owner, caller, k)
	mine := newWatched()
	ctx := within(t)
	for range 3 { // the same proxy holds again when the reference comes again
		if _, err := at.Meet(ctx, mine); err != nil {
			t.Fatal(err)
		}
		if err := rmi.Release(k.kept); err != nil {
			t.Error(err)
		}
		receive(t, mine.unheld)
		_, err := k.kept.Do(ctx, 1)
		expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
	}
	for _, v := range []any{mine, 3, nil} {
		if err := rmi.Release(v); rmi.KindOf(err) != rmi.KindInvalid {
			t.Errorf("what is no proxy was released: %v", err)
		}
	}
}

func TestExportsAndBindingsArePinned(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	w := newWatched()
	h, err := rmi.Export[Worker](owner, w, nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t)
	for range 2 {
		p := resolve[Worker](t, caller, h.Ref())
		if _, err := p.Do(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for !held(owner, h.Ref().Object.Hex()) { // it registers soon
			runtime.Gosched()
		}
		rmi.Release(p)
		receive(t, w.unheld) // and yet
		if _, err := p.Do(ctx, 1); err != nil {
			t.Errorf("an export with a handle: %v", err)
		}
	}
	h.Close()
	if owner.Exports() != 0 {
		t.Errorf("%d exports", owner.Exports())
	}
}

func held(n *rmi.Node, object string) bool {
	for _, e := range n.Inventory().Exports {
		if e.Object.Hex() == object {
			return len(e.Holders) > 0
		}
	}
	return false
}

func TestAHundredRoundsOfExportAndUnexport(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	ctx := within(t)
	at := hire(t, owner, caller, &worker{})
	for i := range 100 {
		w := &worker{}
		h, err := rmi.Export[Worker](owner, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := resolve[Worker](t, caller, h.Ref())
		if n, err := p.Do(ctx, int64(i)); n != int64(i) || err != nil {
			t.Fatal(n, err)
		}
		if _, err := at.Meet(ctx, p); err != nil { // it goes home and comes back
			t.Fatal(err)
		}
		h.Close()
		rmi.Release(p)
	}
	for owner.Exports() > 1 || len(owner.Inventory().Held) > 0 {
		runtime.GC()
	}
	for caller.Exports() > 0 || len(caller.Inventory().Held) > 1 {
		runtime.GC()
	}
}

// A third node takes what it was handed over from the one in the middle.
func TestHandedOnReferencesAreTakenOver(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, middle *rmi.Node, at Worker){
		"the middle forgets": func(t *testing.T, middle *rmi.Node, w Worker) { rmi.Release(w) },
		"the middle closes":  func(t *testing.T, middle *rmi.Node, w Worker) { middle.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, middle, third := network.Node(), network.Node(), network.Client()
				k := new(keeper)
				at := export[Worker](t, middle, k, nil)
				mine := newWatched()
				ctx := t.Context()
				if _, err := resolve[Worker](t, owner, at).Meet(ctx, mine); err != nil {
					t.Fatal(err)
				}
				got, err := resolve[Worker](t, third, at).Meet(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				end(t, middle, k.kept)
				time.Sleep(2 * time.Minute) // longer than anything lingers
				select {
				case <-mine.unheld:
					t.Error("it was collected while the third node held it")
				default:
				}
				if n, err := got.Do(ctx, 5); n != 5 || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
				time.Sleep(time.Second)
				for _, h := range third.Inventory().Held {
					if h.Ref.Node == owner.ID() && !h.Direct {
						t.Errorf("the owner does not know of the third node:\n%v", third.Inventory())
					}
				}
				for _, h := range middle.Inventory().Held {
					if h.Ref.Node == owner.ID() && len(h.To) > 0 {
						t.Errorf("the middle still holds for the third node:\n%v", middle.Inventory())
					}
				}
				rmi.Release(got)
				time.Sleep(time.Second)
				select {
				case <-mine.unheld:
				default:
					t.Errorf("it is not collected:\n%v", owner.Inventory())
				}
			})
		})
	}
}

// Where the owner listens nowhere, the middle keeps and relays what was handed
// on through it, and nothing for longer.
func TestARelayHoldsAsLongAsItsHolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, middle, third := network.Client(), network.Node(), network.Client()
		k := new(keeper)
		at := export[Worker](t, middle, k, nil)
		mine := newWatched()
		ctx := t.Context()
		if _, err := resolve[Worker](t, owner, at).Meet(ctx, mine); err != nil {
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, third, at).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		rmi.Release(k.kept)
		time.Sleep(5 * time.Minute)
		// References pass the relay, and are given back through it.
		other := newWatched()
		if w, err := got.Meet(ctx, other); w != Worker(other) || err != nil {
			t.Fatalf("%v, %v", w, err)
		}
		if !strings.Contains(middle.Inventory().String(), "relayed") {
			t.Errorf("no relay in\n%v", middle.Inventory())
		}
		rmi.Release(got)
		time.Sleep(time.Second)
		select {
		case <-mine.unheld:
		default:
			t.Errorf("it is not collected:\n%v\n%v\n%v", owner.Inventory(), middle.Inventory(), third.Inventory())
		}
		if _, err := got.Do(ctx, 1); !errors.Is(err, rmi.KindNoSuchObject) {
			t.Errorf("the relay relays what nobody holds: %v", err)
		}
	})
}

func TestWhatAVanishedHolderHeldIsCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, holder := network.NodeWith(&rmi.Options{SessionLease: 10 * time.Second}), network.Client()
		k := new(keeper)
		mine := newWatched()
		k.kept = mine
		got, err := hire(t, owner, holder, k).Meet(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 6 { // a connection that is cut and made again ends no lease
			network.Cut(owner, holder)
			time.Sleep(20 * time.Second)
		}
		if n, err := got.Do(t.Context(), 2); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		network.Partition(owner, holder)
		network.Cut(owner, holder)
		start := time.Now()
		<-mine.unheld
		took := time.Since(start)
		t.Logf("figure: Unreferenced %v after the holder vanished, with a lease of 10s", took)
		if took > 20*time.Second {
			t.Error("two leases passed")
		}
		network.Heal(owner, holder)
	})
}

// If the node in the middle vanishes, a holder registers with the owner while the middle's own hold
// is still valid.
func TestAVanishedMiddleIsPassedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, middle, third := network.Node(), network.Node(), network.Client()
		k := new(keeper)
		at := export[Worker](t, middle, k, nil)
		mine := newWatched()
		ctx := t.Context()
		if _, err := resolve[Worker](t, owner, at).Meet(ctx, mine); err != nil {
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, third, at).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []*rmi.Node{owner, third} {
			network.Partition(n, middle)
			network.Cut(n, middle)
		}
		time.Sleep(5 * time.Minute)
		select {
		case <-mine.unheld:
			t.Error("it was collected while the third node held it")
		default:
		}
		if n, err := got.Do(ctx, 5); n != 5 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		rmi.Release(got)
		time.Sleep(time.Second)
		select {
		case <-mine.unheld:
		default:
			t.Errorf("it is not collected:\n%v", owner.Inventory())
		}
		for _, n := range []*rmi.Node{owner, third} {
			network.Heal(n, middle)
		}
	})
}

func TestUnreferencedMayPanicAndIsNotCalledAtClose(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	bad := &panics{called: make(chan struct{}, 1)}
	k := &keeper{kept: bad}
	at := hire(t, owner, caller, k)
	ctx := within(t)
	w, err := at.Meet(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	rmi.Release(w)
	receive(t, bad.called)
	good := newWatched()
	k.kept = good
	if w, err = at.Meet(ctx, nil); err != nil {
		t.Fatal(err)
	}
	rmi.Release(w)
	receive(t, good.unheld)
	if w, err = at.Meet(ctx, nil); err != nil {
		t.Fatal(err)
	}
	owner.Close()
	select {
	case <-good.unheld:
		t.Error("the node's own end is no news for its objects")
	default:
	}
	runtime.KeepAlive(w)
}

type panics struct {
	worker
	called chan struct{}
}

func (p *panics) Unreferenced() {
	p.called <- struct{}{}
	panic("on purpose")
}

// 100,000 references are given to one client and dropped.
func TestProofHundredThousandReferences(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	calls, each := 10, 10_000
	if raceEnabled {
		each = 1000
	}
	at := hire(t, owner, caller, &worker{visit: func(context.Context, Visit) (v Visit, err error) {
		for range each {
			v.Guests = append(v.Guests, new(worker))
		}
		return v, nil
	}})
	var all []Visit
	for range calls {
		v, err := at.Visit(within(t), Visit{})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	if n := owner.Exports(); n != calls*each+1 {
		t.Fatalf("%d exports", n)
	}
	if n, err := all[calls-1].Guests[each-1].Do(within(t), 4); n != 4 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	before, start := caller.Batches(), time.Now()
	runtime.KeepAlive(all)
	all = nil
	for owner.Exports() > 1 {
		runtime.GC()
		<-time.After(200 * time.Millisecond)
		if time.Since(start) > time.Minute {
			t.Fatalf("%d objects are not collected", owner.Exports()-1)
		}
	}
	frames := caller.Batches() - before
	t.Logf("figure: %d references given back in %d frames, %v after they were dropped", calls*each, frames, time.Since(start).Round(time.Millisecond))
	if frames > int64(calls*each/1000) {
		t.Errorf("%d frames: more than one for a thousand references", frames)
	}
}
