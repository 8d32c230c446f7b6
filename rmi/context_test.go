package rmi_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

func TestTheDeadlineTravels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		var seen time.Time
		w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
			seen, _ = ctx.Deadline()
			return n, nil
		}})
		want := time.Now().Add(7 * time.Second)
		ctx, cancel := context.WithDeadline(t.Context(), want)
		defer cancel()
		if _, err := w.Do(ctx, 1); err != nil {
			t.Fatal(err)
		}
		if d := seen.Sub(want); d < 0 || d > time.Millisecond {
			t.Errorf("the method's deadline is off by %v", d)
		}
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if d := time.Until(seen); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("without a deadline the method has %v, want the default 30 s", d)
		}
	})
}

// block waits for the end of its context, and tells how that came.
func block(ended chan<- error) func(ctx context.Context, n int64) (int64, error) {
	return func(ctx context.Context, n int64) (int64, error) {
		<-ctx.Done()
		ended <- ctx.Err()
		return n, ctx.Err()
	}
}

func TestACallerReturnsByItsDeadline(t *testing.T) {
	for _, c := range []struct {
		name    string
		timeout time.Duration // of the node; 0: the default
		ctx     time.Duration // of the context; 0: none
		least   time.Duration
		most    time.Duration
	}{
		{"the context's", 0, 3 * time.Second, 3 * time.Second, 3 * time.Second},
		{"the default", 0, 0, 30 * time.Second, 31 * time.Second},
		{"the node's", 2 * time.Second, 0, 2 * time.Second, 3 * time.Second},
		{"the context's, longer than the node's", 2 * time.Second, 5 * time.Second, 5 * time.Second, 5 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, caller := network.Node(), network.ClientWith(&rmi.Options{Timeout: c.timeout})
				ended := make(chan error, 1)
				w := hire(t, owner, caller, &worker{do: block(ended)})
				ctx := t.Context()
				if c.ctx > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.ctx)
					defer cancel()
				}
				start := time.Now()
				_, err := w.Do(ctx, 1)
				if c.ctx > 0 { // otherwise the method may be the first to notice
					expect{rmi.KindDeadline, rmi.OutcomeUnknown, context.DeadlineExceeded}.check(t, err)
				} else if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if d := time.Since(start); d < c.least || d > c.most {
					t.Errorf("it took %v", d)
				}
				<-ended // and the method ends too
				if d := time.Since(start); d > c.most+time.Second {
					t.Errorf("the method's context ended after %v", d)
				}
			})
		})
	}
}

func TestCancellingTheCallerCancelsTheMethod(t *testing.T) {
	overCarriers(t, cancellingTheCallerCancelsTheMethod)
}

func cancellingTheCallerCancelsTheMethod(t *testing.T, network carrier) {
	ended, running := make(chan error, 1), make(chan struct{})
	blocks := block(ended)
	w := hire(t, network.Node(), network.Client(), &worker{do: func(ctx context.Context, n int64) (int64, error) {
		close(running)
		return blocks(ctx, n)
	}})
	ctx, cancel := context.WithCancel(within(t))
	go func() {
		<-running
		cancel()
	}()
	_, err := w.Do(ctx, 1)
	expect{rmi.KindCancelled, rmi.OutcomeUnknown, context.Canceled}.check(t, err)
	if err := receive(t, ended); !errors.Is(err, context.Canceled) {
		t.Errorf("the method saw %v", err)
	}
}

func TestCancellingIsTransitive(t *testing.T) { overCarriers(t, cancellingIsTransitive) }

func cancellingIsTransitive(t *testing.T, network carrier) {
	back, front, client := network.Node(), network.Node(), network.Client()
	ended := make(chan error, 3)
	running := make(chan struct{})
	// client → front → back → client's function, which blocks.
	b := hire(t, back, front, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		_, err := f(ctx, n)
		ended <- ctx.Err()
		return 0, err
	}})
	f := hire(t, front, client, &worker{apply: func(ctx context.Context, f Func, n int64) (int64, error) {
		_, err := b.Apply(ctx, f, n)
		ended <- ctx.Err()
		return 0, err
	}})
	ctx, cancel := context.WithCancel(within(t))
	go func() {
		<-running
		cancel()
	}()
	_, err := f.Apply(ctx, func(ctx context.Context, n int64) (int64, error) {
		close(running)
		<-ctx.Done()
		ended <- ctx.Err()
		return 0, ctx.Err()
	}, 1)
	expect{rmi.KindCancelled, rmi.OutcomeUnknown, context.Canceled}.check(t, err)
	for range 3 {
		if err := receive(t, ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a method saw %v", err)
		}
	}
}

func TestAMethodsContextEndsWhenItReturns(t *testing.T) {
	overCarriers(t, aMethodsContextEndsWhenItReturns)
}

func aMethodsContextEndsWhenItReturns(t *testing.T, network carrier) {
	kept := make(chan context.Context, 1)
	after := make(chan struct{})
	w := hire(t, network.Node(), network.Client(), &worker{do: func(ctx context.Context, n int64) (int64, error) {
		derived, cancel := context.WithCancel(ctx)
		_ = cancel
		context.AfterFunc(derived, func() { close(after) })
		kept <- ctx
		return n, ctx.Err()
	}})
	if _, err := w.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	ctx := <-kept
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("it ended with %v", ctx.Err())
	}
	receive(t, after)
}

func TestACallWhoseContextIsOverIsNotMade(t *testing.T) {
	overCarriers(t, aCallWhoseContextIsOverIsNotMade)
}

func aCallWhoseContextIsOverIsNotMade(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{do: func(context.Context, int64) (int64, error) {
		t.Error("it was made")
		return 0, nil
	}})
	for range 2 { // without a connection, and with one
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.Do(cancelled, 1)
		expect{rmi.KindCancelled, rmi.OutcomeNotExecuted, context.Canceled}.check(t, err)
		late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		_, err = w.Do(late, 1)
		cancel()
		expect{rmi.KindDeadline, rmi.OutcomeNotExecuted, context.DeadlineExceeded}.check(t, err)
		if _, err := w.Sum(within(t), 1); err != nil {
			t.Fatal(err)
		}
	}
}

// A peer that is there but does not read: small calls fill the pipe, large ones
// get stuck in the middle of their fragments.
func TestACallerReturnsByItsDeadlineWhenThePipeIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{Timeout: 2 * time.Second})
		w := hire(t, owner, caller, &worker{})
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		network.Partition(owner, caller)
		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				c := ctx
				if i%2 == 0 {
					c = t.Context() // the node's own deadline
				}
				size := 3 << 20
				if i%4 > 1 {
					size = 30 << 10
				}
				_, err := w.Bytes(c, make([]byte, size))
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%d bytes: %v", size, err)
				}
				if d := time.Since(start); d > 3*time.Second {
					t.Errorf("%d bytes: it took %v", size, d)
				}
			})
		}
		wg.Wait()
		// What was given up in the middle does no harm to what follows.
		network.Heal(owner, caller)
		for range 3 {
			if b, err := w.Bytes(t.Context(), make([]byte, 3<<20)); len(b) != 3<<20 || err != nil {
				t.Fatalf("afterwards: %d bytes, %v", len(b), err)
			}
		}
		if owner.Sessions() != 1 || caller.Sessions() != 1 {
			t.Errorf("%d and %d sessions", owner.Sessions(), caller.Sessions())
		}
	})
}

// Payloads wait for the peer's assembly budget. One that is cancelled makes room for the next,
// whose first bytes must not overtake the cancellation.
func TestALargeCallThatIsGivenUpMakesRoomForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Assembly: 8 << 20}}), network.Client()
		w := hire(t, owner, caller, &worker{})
		if _, err := w.Do(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		network.Partition(owner, caller)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		call := func(ctx context.Context, want error) {
			wg.Go(func() {
				if _, err := w.Bytes(ctx, make([]byte, 4<<20-8)); !errors.Is(err, want) {
					t.Errorf("got %v, want %v", err, want)
				}
			})
			synctest.Wait()
		}
		call(ctx, context.Canceled)
		call(ctx, context.Canceled)
		call(t.Context(), nil) // waits for room
		call(t.Context(), nil)
		cancel()
		synctest.Wait()
		network.Heal(owner, caller)
		wg.Wait()
	})
}
