package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// Calls with small and large arguments and with functions, cancelled before,
// while and after they are sent: afterwards everything is as it was.
func TestCancelledCallsLeaveNothingBehind(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{
		do: func(ctx context.Context, n int64) (int64, error) {
			if n%2 == 0 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return n, nil
		},
		apply: func(ctx context.Context, f Func, n int64) (int64, error) { return f(ctx, n) },
	})
	if _, err := w.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	large, medium := make([]byte, 1<<20), make([]byte, 40<<10)
	f := func(_ context.Context, n int64) (int64, error) { return n, nil }
	var wg sync.WaitGroup
	for c := range uint64(100) {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(c, 0))
			for range 100 {
				ctx, cancel := context.WithCancel(t.Context())
				stop := func() bool { return true }
				if random.IntN(20) > 0 {
					timer := time.AfterFunc(time.Duration(random.IntN(3000))*time.Microsecond, cancel)
					stop = timer.Stop
				} else {
					cancel()
				}
				var err error
				switch n := random.IntN(100); {
				case n == 0:
					_, err = w.Bytes(ctx, large)
				case n < 10:
					_, err = w.Bytes(ctx, medium)
				case n < 30:
					_, err = w.Apply(ctx, f, 3)
				default:
					_, err = w.Do(ctx, int64(n))
				}
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				stop()
				cancel()
			}
		})
	}
	wg.Wait()
	if n, err := w.Do(within(t), 3); n != 3 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
	if owner.Sessions() != 1 || caller.Sessions() != 1 {
		t.Errorf("%d and %d connections", owner.Sessions(), caller.Sessions())
	}
	// Shutdown waits until no slot is in use and no call is being served.
	for name, n := range map[string]*rmi.Node{"caller": caller, "owner": owner} {
		if err := n.Shutdown(within(t)); err != nil {
			t.Errorf("the %s: %v", name, err)
		}
	}
	if err := caller.Close(); err != nil {
		t.Error(err)
	}
	for owner.Sessions() > 0 { // its end is noticed soon
		runtime.Gosched()
	}
	if n := owner.Exports(); n != 1 {
		t.Errorf("the owner exports %d objects, want the worker", n)
	}
	if n := caller.Exports(); n != 0 {
		t.Errorf("the caller exports %d objects", n)
	}
}

// Connections are cut while calls and callbacks run, in rounds: half of what runs
// answers what is lost on its way, the other half runs through the cut. Every call
// comes again, runs once, and gets its result.
func TestCutConnectionsLoseNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, each = 20, 25
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Node()
		round := [2]chan struct{}{make(chan struct{}), make(chan struct{})} // what waits for its end
		var mu sync.Mutex                                                   // guards round
		wait := func(n int64) {
			mu.Lock()
			end := round[n/1000%2]
			mu.Unlock()
			<-end
		}
		var there, here ledger
		w := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
			there.enter(n)
			if f == nil {
				wait(n)
			} else if _, err := f(ctx, n); err != nil {
				return 0, fmt.Errorf("called back: %w", err)
			}
			return n, nil
		}})
		ctx := duration(t, time.Hour)
		var told tally
		var calls sync.WaitGroup
		ended := make(chan struct{})
		for c := range int64(callers) {
			calls.Go(func() {
				for i := range int64(each) {
					n := c*1000 + i
					var f Func
					if i%2 == 0 {
						f = func(_ context.Context, n int64) (int64, error) {
							here.enter(n)
							wait(n)
							return n, nil
						}
					}
					m, err := w.Apply(ctx, f, n)
					if err == nil && m != n {
						t.Errorf("call %d returned %d", n, m)
					}
					told.note(n, err)
				}
			})
		}
		go func() { calls.Wait(); close(ended) }()
		cuts := int64(0)
		for more := true; more; {
			synctest.Wait() // whatever is under way runs
			mu.Lock()
			old := round
			round = [2]chan struct{}{make(chan struct{}), make(chan struct{})}
			mu.Unlock()
			network.Partition(owner, caller)
			close(old[0])
			synctest.Wait() // and answers
			network.Cut(owner, caller)
			network.Heal(owner, caller)
			cuts++
			time.Sleep(time.Second) // there is a connection again
			close(old[1])
			select {
			case <-ended:
				more = false
			case <-time.After(time.Second):
			}
		}
		told.check(t, &there)
		told.allOK(t)
		for n := range here.ran {
			if times := here.times(n); times != 1 {
				t.Errorf("the callback of call %d ran %d times", n, times)
			}
		}
		a, b := owner.Stats(), caller.Stats()
		if cuts < each || a.Resumes < each || b.Resumes < each {
			t.Errorf("%d cuts; %d and %d resumes: this proves nothing", cuts, a.Resumes, b.Resumes)
		}
		for what, n := range map[string]int64{
			"call that ran": a.DuplicatesRunning, "answered call": a.DuplicatesRetained, "callback that ran": b.DuplicatesRunning, "answered callback": b.DuplicatesRetained,
		} {
			if n < each/2 {
				t.Errorf("%d times a %s came again: this proves nothing", n, what)
			}
		}
		t.Logf("%d cuts; %d + %d duplicates of calls, %d + %d of callbacks", cuts, a.DuplicatesRunning, a.DuplicatesRetained, b.DuplicatesRunning, b.DuplicatesRetained)
	})
}
