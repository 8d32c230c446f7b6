package rmi_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/codec"
	"gormi/rmi/rmitest"
	"gormi/rmi/stub"
)

// Desk is the interface of the tests of methods' semantics. It declares none.
type Desk interface {
	Do(ctx context.Context, n int64) (int64, error)
	Note(ctx context.Context, n int64) error
}

// DeskFuncs is Desk as a struct.
type DeskFuncs struct {
	Do   func(ctx context.Context, n int64) (int64, error)
	Note func(ctx context.Context, n int64) error
}

// stubbedDesk is Desk, called through a stub everywhere.
type stubbedDesk interface {
	Do(ctx context.Context, n int64) (int64, error)
	Note(ctx context.Context, n int64) error
}

// eagerDesk is Desk for callers who would like to have other semantics than the owner's.
type eagerDesk interface {
	Do(ctx context.Context, n int64) (int64, error)
	Note(ctx context.Context, n int64) error
}

type deskStub struct{ stub.Object }

func (s deskStub) Do(ctx context.Context, n int64) (m int64, err error) {
	err = s.Invoke(ctx, "Do", stub.Args(n), &m)
	return
}

func (s deskStub) Note(ctx context.Context, n int64) error {
	return s.Invoke(ctx, "Note", stub.Args(n))
}

func init() {
	stub.Register(func(o stub.Object) stubbedDesk { return deskStub{o} })
	codec.Declare(reflect.TypeFor[eagerDesk](), map[string]rmi.Semantics{
		"Do": {Idempotent: true, Timeout: time.Second}, "Note": {OneWay: true},
	})
}

// desk is a Desk whose methods are the test's, and that counts its calls.
type desk struct {
	do   func(ctx context.Context, n int64) (int64, error)
	note func(ctx context.Context, n int64) error
	ran  ledger
}

func (d *desk) Do(ctx context.Context, n int64) (int64, error) {
	d.ran.enter(n)
	if d.do != nil {
		return d.do(ctx, n)
	}
	return n, nil
}

func (d *desk) Note(ctx context.Context, n int64) error {
	d.ran.enter(n)
	if d.note != nil {
		return d.note(ctx, n)
	}
	return nil
}

var (
	idempotent = map[string]rmi.Semantics{"Do": {Idempotent: true}}
	oneWay     = map[string]rmi.Semantics{"Note": {OneWay: true}}
)

// staff exports d with semantics on owner and returns caller's proxy of it.
func staff(t *testing.T, owner, caller *rmi.Node, d *desk, methods map[string]rmi.Semantics) Desk {
	t.Helper()
	return resolve[Desk](t, caller, export[Desk](t, owner, d, &rmi.ExportOptions{Methods: methods}))
}

func TestAOneWayCallIsOverWhenItWasSent(t *testing.T) {
	overCarriers(t, aOneWayCallIsOverWhenItWasSent)
}

func aOneWayCallIsOverWhenItWasSent(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	release, ended := make(chan struct{}), make(chan error, 50)
	d := &desk{note: func(ctx context.Context, _ int64) error {
		<-release
		ended <- ctx.Err()
		return errors.New("which nobody hears")
	}}
	w := staff(t, owner, caller, d, oneWay)
	ctx := within(t)
	for id := range int64(50) {
		if err := w.Note(ctx, id); err != nil {
			t.Errorf("call %d: %v", id, err)
		}
	}
	for id := int64(50); id < 60; id++ { // the methods still block
		if n, err := w.Do(ctx, id); n != id || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	close(release)
	for range 50 {
		if err := receive(t, ended); err != nil {
			t.Errorf("a method's context ended with %v", err)
		}
	}
	for id := range int64(60) {
		if n := d.ran.times(id); n != 1 {
			t.Errorf("call %d ran %d times", id, n)
		}
	}
	if err := caller.Shutdown(ctx); err != nil { // it waits until no slot is in use
		t.Error(err)
	}
}

// A call whose context is over is not sent, one-way or not.
func TestAOneWayCallThatWasNotSentIsAnError(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	d := new(desk)
	w := staff(t, owner, caller, d, oneWay)
	if err := w.Note(within(t), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	expect{rmi.KindCancelled, rmi.OutcomeNotExecuted, context.Canceled}.check(t, w.Note(ctx, 2))
	owner.Close()
	err := w.Note(within(t), 3)
	for rmi.KindOf(err) == rmi.KindPeerGone || err == nil { // until the end is noticed
		err = w.Note(within(t), 3)
	}
	expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if n := d.ran.times(2) + d.ran.times(3); n != 0 {
		t.Errorf("%d of them ran", n)
	}
}

// What was on its way when the connection was lost is not sent again, and
// leaves nothing behind.
func TestALostOneWayCallIsLost(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Slots: 16}}), network.Client()
		d := new(desk)
		w := staff(t, owner, caller, d, oneWay)
		ctx := duration(t, time.Hour)
		if _, err := w.Do(ctx, 1000); err != nil {
			t.Fatal(err)
		}
		for id := range int64(20) {
			network.Partition(owner, caller)
			if err := w.Note(ctx, id); err != nil {
				t.Fatal(err)
			}
			network.Cut(owner, caller)
			network.Heal(owner, caller)
			if n, err := w.Do(ctx, 100+id); n != 100+id || err != nil {
				t.Fatalf("afterwards: %d, %v", n, err)
			}
		}
		if err := caller.Shutdown(ctx); err != nil { // it waits until no slot is in use
			t.Error(err)
		}
		for id := range int64(20) {
			if n := d.ran.times(id); n != 0 {
				t.Errorf("the lost call %d ran %d times", id, n)
			}
			if n := d.ran.times(100 + id); n != 1 {
				t.Errorf("call %d ran %d times", 100+id, n)
			}
		}
		if s := owner.Stats(); s.Resumes < 20 || s.Sessions != 1 {
			t.Errorf("%d resumes of %d sessions", s.Resumes, s.Sessions)
		}
	})
}

func TestSemanticsThatMakeNoSenseAreRefusedAtExport(t *testing.T) {
	n := client(t, nil)
	for _, c := range []struct {
		methods map[string]rmi.Semantics
		text    string
	}{
		{map[string]rmi.Semantics{"Do": {OneWay: true}}, "Desk.Do: it is declared one-way and has results"},
		{map[string]rmi.Semantics{"Fly": {}}, "Fly, which is no method of rmi_test.Desk"},
	} {
		_, err := rmi.Export[Desk](n, new(desk), &rmi.ExportOptions{Methods: c.methods})
		expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("the text does not say %q: %v", c.text, err)
		}
	}
	if n.Exports() != 0 {
		t.Errorf("%d objects are exported", n.Exports())
	}
}

// The lease of a session ends while a call runs: nobody knows whether it did.
// It is made again if its method is declared so, and only then.
func TestOnlyIdempotentCallsOfUnknownOutcomeAreMadeAgain(t *testing.T) {
	for _, c := range []struct {
		name     string
		methods  map[string]rmi.Semantics
		healed   time.Duration // after the partition began; 0: when the owner is closed, too
		deadline time.Duration
		want     expect // zero: OK
		ran      int
	}{
		{"idempotent", idempotent, 8 * time.Second, time.Minute, expect{}, 2},
		{"idempotent, and the network is away for longer than a dial waits", idempotent, 25 * time.Second, time.Minute, expect{}, 2},
		{"at most once", nil, 8 * time.Second, time.Minute, expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}, 1},
		{"idempotent, and the owner is gone", idempotent, 0, time.Minute, expect{rmi.KindConnectFailed, rmi.OutcomeUnknown, syscall.ECONNREFUSED}, 1},
		{"idempotent, and there is no time", idempotent, 20 * time.Second, 6 * time.Second, expect{rmi.KindDeadline, rmi.OutcomeUnknown, context.DeadlineExceeded}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				if _, stream := network.(*rmitest.Network); c.healed == 0 && !stream {
					t.Skip("on the network in memory, nobody says that nobody is there")
				}
				c := c
				o := &rmi.Options{SessionLease: 5 * time.Second}
				owner, caller := network.NodeWith(o), network.ClientWith(o)
				running, cancelled := make(chan struct{}, 2), make(chan struct{})
				d := new(desk)
				d.do = func(ctx context.Context, n int64) (int64, error) {
					running <- struct{}{}
					if d.ran.times(n) == 1 {
						<-ctx.Done()
						close(cancelled)
						return 0, ctx.Err()
					}
					return n, nil
				}
				w := staff(t, owner, caller, d, c.methods)
				start := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), c.deadline)
				defer cancel()
				result := make(chan error, 1)
				go func() {
					n, err := w.Do(ctx, 7)
					if err == nil && n != 7 {
						t.Errorf("it returned %d", n)
					}
					result <- err
				}()
				<-running
				network.Partition(owner, caller)
				network.Cut(owner, caller)
				if c.healed == 0 {
					<-cancelled
					owner.Close()
					c.healed = time.Second
				}
				time.Sleep(c.healed)
				network.Heal(owner, caller)
				err := <-result
				if c.want == (expect{}) {
					if err != nil {
						t.Errorf("it ended with %v", err)
					}
				} else {
					c.want.check(t, err)
					again := err != nil && strings.Contains(err.Error(), "an attempt may have run (connection to the peer lost: ")
					if again != (c.methods != nil) || err != nil && strings.Count(err.Error(), "rmi: ") != 1 ||
						again && !strings.Contains(err.Error(), "and the last failed: ") {
						t.Errorf("the text is %v", err)
					}
				}
				if d := time.Since(start); d > c.deadline+c.healed {
					t.Errorf("it took %v", d)
				}
				synctest.Wait()
				if n := d.ran.times(7); n != c.ran {
					t.Errorf("it ran %d times, want %d", n, c.ran)
				}
			})
		})
	}
}

func TestTheOwnersTimeoutIsTheDefault(t *testing.T) {
	for _, c := range []struct {
		name string
		ctx  time.Duration // of the context; 0: none
		want time.Duration
	}{{"no deadline", 0, 2 * time.Second}, {"a longer deadline", 5 * time.Second, 5 * time.Second}, {"a shorter one", time.Second, time.Second}} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				owner, caller := network.Node(), network.Client()
				ended := make(chan error, 1)
				w := staff(t, owner, caller, &desk{do: block(ended)}, map[string]rmi.Semantics{"Do": {Timeout: 2 * time.Second}})
				for range 2 { // the first learns of it
					ctx := t.Context()
					if c.ctx > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, c.ctx)
						defer cancel()
					}
					start := time.Now()
					_, err := w.Do(ctx, 1)
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v", err)
					}
					if d := time.Since(start); d < c.want || d > c.want+time.Second {
						t.Errorf("it took %v, want %v", d, c.want)
					}
					<-ended
				}
			})
		})
	}
}

// What only the owner declares counts for every kind of caller.
func TestSemanticsAreTheOwners(t *testing.T) {
	methods := map[string]rmi.Semantics{"Do": {Idempotent: true, Timeout: 2 * time.Second}, "Note": {OneWay: true}}
	for name, bind := range map[string]func(t *testing.T, n *rmi.Node, r refs.Ref) Desk{
		"proxy": func(t *testing.T, n *rmi.Node, r refs.Ref) Desk { return resolve[Desk](t, n, r) },
		"struct of funcs": func(t *testing.T, n *rmi.Node, r refs.Ref) Desk {
			f := resolve[DeskFuncs](t, n, r)
			return &desk{do: f.Do, note: f.Note}
		},
		"stub":                        func(t *testing.T, n *rmi.Node, r refs.Ref) Desk { return resolve[stubbedDesk](t, n, r) },
		"caller with others declared": func(t *testing.T, n *rmi.Node, r refs.Ref) Desk { return resolve[eagerDesk](t, n, r) },
	} {
		t.Run(name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				owner, caller := network.Node(), network.Client()
				release := make(chan struct{})
				defer close(release)
				ended := make(chan error, 1)
				d := &desk{do: block(ended), note: func(context.Context, int64) error {
					<-release
					return nil
				}}
				r := export[Desk](t, owner, d, &rmi.ExportOptions{Methods: methods})
				w := bind(t, caller, r)
				start := time.Now()
				if err := w.Note(t.Context(), 1); err != nil || time.Since(start) > time.Second { // the method does not return
					t.Errorf("the one-way call took %v: %v", time.Since(start), err)
				}
				_, err := w.Do(t.Context(), 2)
				if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took < 2*time.Second || took > 3*time.Second {
					t.Errorf("the call with a timeout took %v: %v", took, err)
				}
				<-ended
				described, err := caller.Describe(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				for _, text := range []string{"Do(int64) (int64) // idempotent, timeout 2s", "Note(int64) // oneway"} {
					if !strings.Contains(described.String(), text) {
						t.Errorf("the description does not say %q:\n%v", text, described)
					}
				}
			})
		})
	}
}

// The owner's declaration counts, not the caller's: also where it is that of
// the zero value.
func TestACallersDeclarationDoesNotCount(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		o := &rmi.Options{SessionLease: 5 * time.Second}
		owner, caller := network.NodeWith(o), network.ClientWith(o)
		running := make(chan struct{}, 2)
		d := &desk{
			do: func(ctx context.Context, n int64) (int64, error) {
				running <- struct{}{}
				return n, work(ctx, 20*time.Second)
			},
			note: func(context.Context, int64) error { return errPoor },
		}
		w := resolve[eagerDesk](t, caller, export[Desk](t, owner, d, nil))
		expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}.check(t, w.Note(t.Context(), 1))
		if n, err := w.Do(t.Context(), 2); n != 2 || err != nil { // though the caller says 1 s
			t.Errorf("got %d, %v", n, err)
		}
		<-running
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(t.Context(), 3)
			result <- err
		}()
		<-running
		network.Partition(owner, caller)
		network.Cut(owner, caller)
		time.Sleep(8 * time.Second)
		network.Heal(owner, caller)
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, <-result)
		synctest.Wait()
		if n := d.ran.times(3); n != 1 {
			t.Errorf("it ran %d times", n)
		}
	})
}

// A nested call that the peer has no room for is made again, with growing
// pauses, until there is room or its deadline.
func TestARefusedNestedCallIsMadeAgain(t *testing.T) {
	for _, c := range []struct {
		name  string
		frees time.Duration // when there is room
		ok    bool
	}{{"room in time", 2 * time.Second, true}, {"no room in time", time.Minute, false}} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				owner, caller := network.Node(), network.ClientWith(&rmi.Options{Limits: rmi.Limits{Handlers: 1, Nested: 1}}) // two nested calls
				running := make(chan struct{}, 3)
				back := &desk{do: func(ctx context.Context, n int64) (int64, error) {
					running <- struct{}{}
					return n, work(ctx, c.frees)
				}}
				apply := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) { return f(ctx, n) }})
				var wg sync.WaitGroup
				blocker, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				for range 2 {
					wg.Go(func() {
						if _, err := apply.Apply(blocker, back.Do, 1); err != nil {
							t.Errorf("those before: %v", err)
						}
					})
				}
				<-running
				<-running
				loses := false
				if d, ok := network.(*datagrams); ok {
					loses = d.usual.Loss > 0
				}
				limit := 5 * time.Second // for the nested call
				if c.ok && loses {
					limit = time.Minute // what is lost is sent again later and later
				}
				var err error
				var took time.Duration
				probe := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (m int64, _ error) {
					ctx, cancel := context.WithTimeout(ctx, limit)
					defer cancel()
					start := time.Now()
					m, err = f(ctx, n)
					took = time.Since(start)
					return m, nil
				}})
				if _, err := probe.Apply(within(t), back.Do, 2); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				switch {
				case c.ok:
					if err != nil || took < c.frees/2 || took > limit {
						t.Errorf("after %v: %v", took, err)
					}
				default:
					if !loses || rmi.KindOf(err) != rmi.KindDeadline { // else that came while the last attempt was on its way
						expect{rmi.KindOverloaded, rmi.OutcomeNotExecuted, nil}.check(t, err)
					}
					if took < 3*time.Second || took > 5*time.Second { // the last pause is a second at most
						t.Errorf("it gave up after %v", took)
					}
				}
				if n := back.ran.times(2); n != map[bool]int{true: 1}[c.ok] {
					t.Errorf("it ran %d times", n)
				}
				wg.Wait()
			})
		})
	}
}

// Where nobody listens, waiting would help nobody: the first contact fails at once.
func TestTheFirstContactFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		gone, caller := network.Node(), network.Client()
		r := export[Desk](t, gone, new(desk), &rmi.ExportOptions{Methods: idempotent})
		at := gone.Endpoint()
		gone.Close()
		start := time.Now()
		for _, r := range []refs.Ref{r, refs.WellKnown(at, 7), refs.WellKnown(refs.Endpoint{Host: "nowhere", Port: 1}, 7)} {
			_, err := resolve[Desk](t, caller, r).Do(t.Context(), 1)
			expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, syscall.ECONNREFUSED}.check(t, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// An error that says "deadline exceeded" says whose deadline it was, and what
// the call waited for.
func TestWhatIsSaidOfDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{Timeout: 3 * time.Second})
		methods := map[string]rmi.Semantics{"Do": {Timeout: 2 * time.Second}, "Note": {OneWay: true}}
		w, timed := hire(t, owner, caller, &worker{}), staff(t, owner, caller, new(desk), methods)
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if _, err := timed.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		says := func(name string, err error, o rmi.Outcome, texts ...string) {
			t.Helper()
			expect{rmi.KindDeadline, o, context.DeadlineExceeded}.check(t, err)
			for _, text := range texts {
				if err != nil && (!strings.Contains(err.Error(), text) || strings.Count(err.Error(), "rmi: ") != 1) {
					t.Errorf("%s: the text does not say %q: %v", name, text, err)
				}
			}
		}
		soon := func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			t.Cleanup(cancel)
			return ctx
		}
		const ours, owners = "within the default of 3s (Options.Timeout)", "within the default of 2s (the owner's, for this method)"

		network.Partition(owner, caller)
		_, err := w.Do(t.Context(), 1)
		says("no reply", err, rmi.OutcomeUnknown, "no reply "+ours)
		_, err = timed.Do(t.Context(), 1)
		says("no reply by the owner's", err, rmi.OutcomeUnknown, "no reply "+owners)
		network.Cut(owner, caller)
		synctest.Wait()
		const lost = "the connection was lost and could not be made again in time"
		_, err = w.Do(t.Context(), 1)
		says("no connection", err, rmi.OutcomeNotExecuted, lost, "connection reset", "not sent "+ours)
		_, err = timed.Do(t.Context(), 1)
		says("no connection, the owner's", err, rmi.OutcomeNotExecuted, lost, "not sent "+owners)
		_, err = w.Do(soon(), 1)
		says("no connection, the context's", err, rmi.OutcomeNotExecuted, lost)
		says("no connection, one-way", timed.Note(t.Context(), 1), rmi.OutcomeNotExecuted, lost, "not sent "+ours)
		says("no connection, one-way, the context's", timed.Note(soon(), 1), rmi.OutcomeNotExecuted, lost)
		time.Sleep(2 * lease) // the session is over: the next call dials
		_, err = w.Do(t.Context(), 1)
		says("dialling", err, rmi.OutcomeNotExecuted, "while dialling node-1:", "not sent "+ours)
	})
}
