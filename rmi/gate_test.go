package rmi_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/access"
	"gormi/rmi/internal/guard"
	"gormi/rmi/rmitest"
)

// warden is a gate that remembers what it was asked. It denies what deny says.
type warden struct {
	mu    sync.Mutex // guards the fields below
	deny  func(access.Call) bool
	asked []access.Call
}

func (w *warden) set(deny func(access.Call) bool) {
	w.mu.Lock()
	w.deny = deny
	w.mu.Unlock()
}

func (w *warden) gate(ctx context.Context, c access.Call) bool {
	if p, ok := rmi.PeerFrom(ctx); !ok || p.Principal != c.Principal || p.Node != c.Node || p.Local != c.Local {
		return false
	}
	w.mu.Lock()
	w.asked = append(w.asked, c)
	deny := w.deny
	w.mu.Unlock()
	return deny == nil || !deny(c)
}

// last is the last thing that was asked.
func (w *warden) last() access.Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.asked) == 0 {
		return access.Call{}
	}
	return w.asked[len(w.asked)-1]
}

// was reports whether c was asked.
func (w *warden) was(c access.Call) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.asked, c)
}

func (w *warden) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked)
}

func everything(access.Call) bool { return true }

// wantDenied checks that a call was refused by a gate, as one that did not run.
func wantDenied(t *testing.T, err error) {
	t.Helper()
	if rmi.KindOf(err) != rmi.KindDenied || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !strings.Contains(err.Error(), "Authorize") {
		t.Errorf("got %v (%v, %v), want Denied, NotExecuted", err, rmi.KindOf(err), rmi.OutcomeOf(err))
	}
}

func TestAGateIsAskedBeforeAMethodRuns(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		node, object := new(warden), new(warden)
		owner, caller := network.NodeWith(&rmi.Options{Authorize: node.gate}), network.Client()
		r := export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Authorize: object.gate})
		w := resolve[Worker](t, caller, r)
		if n, err := w.Do(within(t), 3); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		want := access.Call{Principal: object.last().Principal, Node: caller.ID(), Local: true, Object: r.Object, Interface: "rmi_test.Worker", Method: "Do"}
		if !node.was(want) || object.last() != want || want.Principal == "" {
			t.Errorf("asked %+v and %+v, want %+v", node.last(), object.last(), want)
		}
		object.set(func(c access.Call) bool { return c.Method == "Do" })
		_, err := w.Do(within(t), 3)
		wantDenied(t, err)
		if _, err := w.Sum(within(t), 3); err != nil {
			t.Errorf("another method: %v", err)
		}
		asked := object.count()
		node.set(func(c access.Call) bool { return c.Object == r.Object })
		_, err = w.Sum(within(t), 3)
		wantDenied(t, err)
		if object.count() != asked {
			t.Error("the object's gate was asked about what the node's denies")
		}
	})
}

// Arguments that are denied are not decoded: what would not decode is denied, and says so.
func TestNothingOfADeniedCallIsDecoded(t *testing.T) {
	network := rmitest.New(t)
	gate := &warden{deny: everything}
	owner, caller := network.Node(), network.Client()
	r := export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Authorize: gate.gate, MaxMessage: 100})
	_, err := caller.Invoke(within(t), r, "Do", "no number")
	wantDenied(t, err) // the description
	gate.set(func(c access.Call) bool { return c.Method != "" })
	_, err = caller.Invoke(within(t), r, "Do", "no number")
	wantDenied(t, err)
	_, err = caller.Invoke(within(t), r, "Bytes", make([]byte, 1000)) // more than MaxMessage
	wantDenied(t, err)
	gate.set(nil)
	if _, err = caller.Invoke(within(t), r, "Do", "no number"); rmi.KindOf(err) != rmi.KindBadArguments {
		t.Error(err)
	}
}

// What a gate is asked about the description of an interface, about a method that is not there, and
// about objects that are not.
func TestAGateIsAskedAboutWhatIsNotThere(t *testing.T) {
	network := rmitest.New(t)
	gate := new(warden)
	owner, caller := network.NodeWith(&rmi.Options{Authorize: gate.gate}), network.Client()
	r := export[Worker](t, owner, &worker{}, nil)
	secret := r
	secret.Object = refs.NewObjNum()

	if _, err := caller.Describe(within(t), r); err != nil {
		t.Fatal(err)
	}
	if c := gate.last(); c.Interface != "rmi_test.Worker" || c.Method != "" {
		t.Errorf("a description: %+v", c)
	}
	_, err := resolve[Worker](t, caller, secret).Do(within(t), 1)
	if rmi.KindOf(err) != rmi.KindNoSuchObject {
		t.Error(err)
	}
	if c := gate.last(); c.Interface != "" || c.Method != "" || c.Object != secret.Object {
		t.Errorf("no object: %+v", c)
	}

	// To whom nothing is allowed nothing is told.
	gate.set(everything)
	_, there := resolve[Worker](t, caller, r).Do(within(t), 1)
	_, nowhere := resolve[Worker](t, caller, secret).Do(within(t), 1)
	wantDenied(t, there)
	wantDenied(t, nowhere)
	var a, b *rmi.Error
	if !errors.As(there, &a) || !errors.As(nowhere, &b) || a.Msg != b.Msg || a.Origin != b.Origin {
		t.Errorf("a denied object answers %q, one that is not there %q", a.Msg, b.Msg)
	}
}

// References among the arguments of a denied call were given to the node all the same: they are
// counted, and given back.
func TestReferencesInADeniedCallAreGivenBack(t *testing.T) {
	network := rmitest.New(t)
	gate := &warden{deny: everything}
	owner, caller := network.NodeWith(&rmi.Options{Authorize: gate.gate}), network.Client()
	w := hire(t, owner, caller, &worker{})
	mine := newWatched()
	_, err := w.Visit(within(t), Visit{Host: mine, Guests: []Worker{mine, mine}})
	wantDenied(t, err)
	collect(t, mine.unheld)
}

func TestAGateIsAskedAboutOneWayCalls(t *testing.T) {
	synctest.Test(t, aGateIsAskedAboutOneWayCalls)
}

func aGateIsAskedAboutOneWayCalls(t *testing.T) {
	network := rmitest.New(t)
	gate := &warden{deny: everything}
	owner, caller := network.Node(), network.Client()
	ran := make(chan struct{}, 1)
	f := func(context.Context, int64) error { ran <- struct{}{}; return nil }
	h, err := rmi.Export[func(context.Context, int64) error](owner, f, &rmi.ExportOptions{
		Authorize: gate.gate, Methods: map[string]rmi.Semantics{"Call": {OneWay: true}}, Threading: rmi.ThreadingSerial})
	if err != nil {
		t.Fatal(err)
	}
	tell := resolve[func(context.Context, int64) error](t, caller, h.Ref())
	gate.set(func(c access.Call) bool { return c.Method == "Call" })
	if err := tell(within(t), 1); err != nil {
		t.Errorf("a one-way call waits for no answer: %v", err)
	}
	synctest.Wait()
	if gate.last().Method != "Call" || len(ran) > 0 {
		t.Errorf("the last that was asked is %v, and it ran %d times", gate.last(), len(ran))
	}
}

func TestAGateIsAskedAboutCallbacks(t *testing.T) {
	network := rmitest.New(t)
	gate := &warden{deny: everything}
	owner, caller := network.Node(), network.ClientWith(&rmi.Options{Authorize: gate.gate})
	w := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		_, err := f(ctx, n)
		wantDenied(t, err)
		return n, nil
	}})
	if n, err := w.Apply(within(t), func(context.Context, int64) (int64, error) { t.Error("called"); return 0, nil }, 5); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	if c := gate.last(); c.Node != owner.ID() || c.Method != "Call" || c.Interface == "" {
		t.Errorf("asked %+v", c)
	}
}

// A relay's gate is asked about calls to what it handed on, and the owner's about what the relay
// passes on, in the relay's name.
func TestGatesAreAskedAboutRelayedCalls(t *testing.T) {
	network := rmitest.New(t)
	relay, owned := new(warden), new(warden)
	middle, owner, third := network.NodeWith(&rmi.Options{Authorize: relay.gate}), network.ClientWith(&rmi.Options{Authorize: owned.gate}), network.Client()
	r := export[Worker](t, middle, meetingPoint(), nil)
	mine := newWatched()
	if _, err := resolve[Worker](t, owner, r).Meet(within(t), mine); err != nil {
		t.Fatal(err)
	}
	got, err := resolve[Worker](t, third, r).Meet(within(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := got.Do(within(t), 4); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	at, _ := rmi.RefOf(got)
	if c := relay.last(); !c.Onward || c.Relayed || c.Node != third.ID() || c.Interface != "rmi_test.Worker" || c.Object != at.Object || !c.Local {
		t.Errorf("the relay was asked %+v", c)
	}
	if c := owned.last(); c.Onward || !c.Relayed || c.Node != middle.ID() || c.Method != "Do" || c.Local {
		t.Errorf("the owner was asked %+v", c)
	}
	owned.set(everything)
	_, err = got.Do(within(t), 4)
	wantDenied(t, err)
	relay.set(everything)
	asked := owned.count()
	another := newWatched()
	_, err = got.Meet(within(t), another)
	wantDenied(t, err)
	if owned.count() != asked {
		t.Error("the relay passed a call on that it denies")
	}
	collect(t, another.unheld)

	// What the relay never handed on is denied in the same words.
	guess := at
	guess.Object = refs.NewObjNum()
	_, unknown := resolve[Worker](t, third, guess).Do(within(t), 4)
	wantDenied(t, unknown)
}

// References are given back past any gate.
func TestNoGateStopsLeases(t *testing.T) {
	network := rmitest.New(t)
	gate := &warden{deny: func(c access.Call) bool { return c.Method != "Meet" }}
	owner, caller := network.NodeWith(&rmi.Options{Authorize: gate.gate}), network.Client()
	mine := newWatched()
	w := hire(t, owner, caller, &worker{meet: func(context.Context, Worker) (Worker, error) { return mine, nil }})
	if _, err := w.Meet(within(t), nil); err != nil {
		t.Fatal(err)
	}
	collect(t, mine.unheld)
}

func TestAGateThatPanicsDenies(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.NodeWith(&rmi.Options{Authorize: func(context.Context, access.Call) bool { panic("oh") }}), network.Client()
	_, err := hire(t, owner, caller, &worker{}).Do(within(t), 1)
	wantDenied(t, err)
}

func TestANodeFarAwayIsNotLocal(t *testing.T) {
	network := rmitest.New(t)
	gate := new(warden)
	owner, caller := network.NodeWith(&rmi.Options{Authorize: gate.gate}), network.Client()
	network.Far(caller)
	if _, err := hire(t, owner, caller, &worker{}).Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if gate.last().Local {
		t.Errorf("asked %+v", gate.last())
	}
}

// An object's gate is one of its options: it is not changed behind the back of who set it.
func TestAnObjectHasOneGate(t *testing.T) {
	owner := rmitest.New(t).Node()
	w, gate := new(worker), new(warden)
	if _, err := rmi.Export[Worker](owner, w, &rmi.ExportOptions{Authorize: gate.gate}); err != nil {
		t.Fatal(err)
	}
	if _, err := rmi.Export[Worker](owner, w, nil); err != nil {
		t.Errorf("without options: %v", err)
	}
	if _, err := rmi.Export[Worker](owner, w, &rmi.ExportOptions{Authorize: gate.gate}); rmi.KindOf(err) != rmi.KindInvalid {
		t.Errorf("with another gate: %v", err)
	}
}

func TestAGateCostsNoAllocation(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes pools forget")
	}
	if guard.Checked {
		t.Skip("the check of the order of locks allocates")
	}
	measure := func(gate access.Gate) float64 {
		owner, caller := listening(t, "127.0.0.1:0", &rmi.Options{Authorize: gate}), client(t, nil)
		h, err := rmi.Export[Func](owner, func(_ context.Context, n int64) (int64, error) { return n, nil }, &rmi.ExportOptions{Authorize: gate})
		if err != nil {
			t.Fatal(err)
		}
		f := resolve[Func](t, caller, h.Ref())
		ctx := within(t)
		least := math.Inf(1)
		for range 5 { // what else runs allocates too
			least = min(least, testing.AllocsPerRun(200, func() {
				if _, err := f(ctx, 1); err != nil {
					t.Fatal(err)
				}
			}))
		}
		return least
	}
	without, with := measure(nil), measure(func(_ context.Context, c access.Call) bool { return c.Method == "Call" && c.Local })
	if with > without+0.5 {
		t.Errorf("%.1f allocations a call with gates, %.1f without", with, without)
	}
}

func BenchmarkGate(b *testing.B) {
	for name, gate := range map[string]access.Gate{"none": nil, "both": func(_ context.Context, c access.Call) bool { return c.Local }} {
		b.Run(name, func(b *testing.B) {
			network := rmitest.New(b)
			owner, caller := network.NodeWith(&rmi.Options{Authorize: gate}), network.Client()
			h, err := rmi.Export[Func](owner, func(_ context.Context, n int64) (int64, error) { return n, nil }, &rmi.ExportOptions{Authorize: gate})
			if err != nil {
				b.Fatal(err)
			}
			f := resolve[Func](b, caller, h.Ref())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f(b.Context(), 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
