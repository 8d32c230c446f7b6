package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
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

// Connections are cut at random while calls and callbacks run: every call ends,
// with its result or with an error that is true of it.
func TestCutConnectionsLoseNoCall(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Node()
	var mu sync.Mutex
	ran := make(map[int64]int)
	w := hire(t, owner, caller, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		mu.Lock()
		ran[n]++
		mu.Unlock()
		if f != nil {
			if _, err := f(ctx, n); err != nil {
				return 0, fmt.Errorf("called back: %w", err)
			}
		}
		return n, nil
	}})
	ctx := within(t)
	stop := make(chan struct{})
	var cutter, wg sync.WaitGroup
	cutter.Go(func() {
		for range 100 { // with time between them to dial, on a slow machine too
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				network.Cut(owner, caller)
			}
		}
	})
	for c := range int64(20) {
		wg.Go(func() {
			for i := range int64(50) {
				n := c*1000 + i
				var f Func
				if i%2 == 0 {
					f = func(_ context.Context, n int64) (int64, error) { return n, nil }
				}
				m, err := w.Apply(ctx, f, n)
				if err == nil && m != n {
					t.Errorf("call %d returned %d", n, m)
				}
				if err != nil {
					t.Errorf("call %d: %v", n, err)
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	cutter.Wait()
	mu.Lock()
	defer mu.Unlock()
	for n, times := range ran {
		if times != 1 {
			t.Errorf("call %d ran %d times", n, times)
		}
	}
	if len(ran) != 1000 {
		t.Errorf("%d calls ran, want 1000", len(ran))
	}
}
