package rmi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// A thousand calls are cancelled at each of the places where a call can be. The caller returns at
// once, which in virtual time is the same instant. What it is told is true. The method, if it runs,
// sees its context end.
func TestProofCancelledCalls(t *testing.T) {
	const (
		calls  = 1000
		travel = 10 * time.Millisecond // of a byte between the nodes
	)
	for _, c := range []struct {
		name     string
		slots    int           // that the owner grants; a quarter is for calls of depth 0; 0: enough
		handlers int           // that the owner has; 0: enough
		blockers int           // calls that take them all
		runs     time.Duration // of the method, if it is not cancelled
		cancel   time.Duration // from the call on
		outcome  rmi.Outcome
		ran      bool // each did; else none
		ended    bool // by its context
	}{
		{name: "before they are sent", cancel: 0, outcome: rmi.OutcomeNotExecuted},
		{name: "queued for a slot", slots: 16, blockers: 4, cancel: travel, outcome: rmi.OutcomeNotExecuted},
		{name: "on their way", cancel: travel / 2, runs: time.Hour, outcome: rmi.OutcomeUnknown, ran: true, ended: true},
		{name: "queued for a handler", handlers: 4, blockers: 4, cancel: 2 * travel, outcome: rmi.OutcomeUnknown},
		{name: "running", cancel: 2 * travel, runs: time.Hour, outcome: rmi.OutcomeUnknown, ran: true, ended: true},
		{name: "while the reply is on its way", cancel: travel + travel/2, outcome: rmi.OutcomeUnknown, ran: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				limits := rmi.Limits{Slots: c.slots, Handlers: c.handlers}
				owner, caller := network.NodeWith(&rmi.Options{Limits: limits}), network.Client()
				var ran, ended ledger
				release := make(chan struct{})
				w := hire(t, owner, caller, &worker{
					do: func(ctx context.Context, id int64) (int64, error) {
						ran.enter(id)
						if c.runs == 0 {
							return id, nil
						}
						err := work(ctx, c.runs)
						if errors.Is(err, context.Canceled) {
							ended.enter(id)
						}
						return id, err
					},
					bytes: func(context.Context, []byte) ([]byte, error) {
						<-release
						return nil, nil
					},
				})
				ctx := duration(t, time.Hour)
				if _, err := w.Sum(ctx, 1); err != nil {
					t.Fatal(err)
				}
				network.Delay(owner, caller, travel)
				var blockers, callers sync.WaitGroup
				for range c.blockers {
					blockers.Go(func() {
						if _, err := w.Bytes(ctx, nil); err != nil {
							t.Error(err)
						}
					})
				}
				time.Sleep(2 * travel)
				var told tally
				for id := range int64(calls) {
					callers.Go(func() {
						cancelled, cancel := context.WithCancel(ctx)
						defer cancel()
						if c.cancel == 0 {
							cancel()
						} else {
							time.AfterFunc(c.cancel, cancel)
						}
						start := time.Now()
						_, err := w.Do(cancelled, id)
						told.note(id, err)
						if d := time.Since(start); d != c.cancel {
							t.Errorf("the caller of %d is back after %v, and cancelled after %v", id, d, c.cancel)
						}
						if !errors.Is(err, context.Canceled) || rmi.OutcomeOf(err) != c.outcome {
							t.Errorf("call %d: %v, want %v", id, err, c.outcome)
						}
					})
				}
				callers.Wait()
				time.Sleep(2 * travel)
				close(release)
				blockers.Wait()
				time.Sleep(2 * travel)
				synctest.Wait()
				told.check(t, &ran)
				if want := map[bool]int{true: calls}[c.ran]; len(ran.ran) != want {
					t.Errorf("%d methods ran, want %d", len(ran.ran), want)
				}
				if want := map[bool]int{true: calls}[c.ended]; len(ended.ran) != want {
					t.Errorf("%d methods saw their context end, want %d", len(ended.ran), want)
				}
				if err := caller.Shutdown(ctx); err != nil { // it waits until no slot is in use
					t.Error(err)
				}
				figure(t, "%v; %d methods ran, %d saw their context end", told.counts(), len(ran.ran), len(ended.ran))
			})
		})
	}
}

// Calls with deadlines of 1 ms to 2 s to a peer that takes no byte: their
// callers are back at the deadline, to the nanosecond of virtual time.
func TestProofDeadlinesOfAStoppedPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		var ran ledger
		var told tally
		w := hire(t, owner, caller, &worker{
			do: func(_ context.Context, id int64) (int64, error) {
				ran.enter(id)
				return id, nil
			},
			bytes: func(_ context.Context, b []byte) ([]byte, error) {
				ran.enter(int64(binary.BigEndian.Uint64(b)))
				return nil, nil
			},
		})
		if _, err := w.Sum(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		network.Partition(owner, caller)
		var callers sync.WaitGroup
		for id := range int64(20) { // the bytes that may be under way are, from now on
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				b := make([]byte, 1<<20)
				binary.BigEndian.PutUint64(b, uint64(2000+id))
				_, err := w.Bytes(ctx, b)
				told.note(2000+id, err)
			})
		}
		synctest.Wait()
		for id := range int64(1000) {
			callers.Go(func() {
				d := time.Millisecond + time.Duration(id)*2*time.Millisecond
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				start := time.Now()
				var err error
				if id%10 == 0 { // the buffers on the way fill up
					b := make([]byte, 1<<20)
					binary.BigEndian.PutUint64(b, uint64(id))
					_, err = w.Bytes(ctx, b)
				} else {
					_, err = w.Do(ctx, id)
				}
				told.note(id, err)
				if after := time.Since(start); after != d {
					t.Errorf("a call with a deadline of %v returned after %v", d, after)
				}
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("call %d: %v", id, err)
				}
			})
		}
		callers.Wait()
		network.Heal(owner, caller)
		id, err := w.Do(t.Context(), 1<<40)
		if told.note(1<<40, err); id != 1<<40 {
			t.Errorf("after the peer went on: %d, %v", id, err)
		}
		synctest.Wait()
		told.check(t, &ran)
		c := told.counts()
		figure(t, "%v; %d ran when the peer went on", c, len(ran.ran)-1)
		if c.Unknown == 0 || c.NotExecuted == 0 || c.OK != 1 {
			t.Error("the outcomes are all alike: this proves nothing")
		}
	})
}

// BenchmarkCancelledCall is how long a caller takes to be back after it
// cancelled a call that runs.
func BenchmarkCancelledCall(b *testing.B) {
	owner, err := rmi.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer owner.Close()
	caller := rmi.NewNode(nil)
	defer caller.Close()
	running := make(chan struct{}, 1)
	w := hire(b, owner, caller, &worker{do: func(ctx context.Context, id int64) (int64, error) {
		running <- struct{}{}
		<-ctx.Done()
		return id, ctx.Err()
	}})
	var took []time.Duration
	back := make(chan time.Time)
	for b.Loop() {
		ctx, cancel := context.WithCancel(b.Context())
		go func() {
			_, _ = w.Do(ctx, 1)
			back <- time.Now()
		}()
		<-running
		start := time.Now()
		cancel()
		took = append(took, (<-back).Sub(start))
	}
	slices.Sort(took)
	for name, n := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
		b.ReportMetric(float64(took[(len(took)-1)*n/100].Nanoseconds())/1e3, name)
	}
	b.ReportMetric(float64(took[len(took)-1].Nanoseconds())/1e3, "max-µs")
}
