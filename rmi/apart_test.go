package rmi_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// What a program passes and drops lives as long as the other side holds it, and can be called after
// the call that passed it.
func TestWhatOnlyItsHolderRefersToLivesOn(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	k := new(keeper)
	var kept Func
	k.apply = func(_ context.Context, f Func, n int64) (int64, error) {
		kept = f
		return n, nil
	}
	at := hire(t, owner, caller, k)
	ctx := within(t)
	unheld := func() <-chan struct{} {
		mine := newWatched()
		mine.do = func(_ context.Context, n int64) (int64, error) { return n + 1, nil }
		if _, err := at.Meet(ctx, mine); err != nil {
			t.Fatal(err)
		}
		if _, err := at.Apply(ctx, func(_ context.Context, n int64) (int64, error) { return n + 2, nil }, 1); err != nil {
			t.Fatal(err)
		}
		return mine.unheld
	}()
	for range 2 { // what is not kept is collected meanwhile
		other := newWatched()
		if _, err := at.Visit(ctx, Visit{Host: other}); err != nil {
			t.Fatal(err)
		}
		collect(t, other.unheld)
	}
	if n, err := k.kept.Do(ctx, 1); n != 2 || err != nil {
		t.Errorf("the object: %d, %v", n, err)
	}
	if n, err := kept(ctx, 1); n != 3 || err != nil {
		t.Errorf("the function: %d, %v", n, err)
	}
	if len(unheld) > 0 {
		t.Error("the object was said to be unreferenced")
	}
}

// A chain of calls goes back and forth between two nodes, and enters the same object again,
// whatever its threading.
func TestChainsComeBackWhateverTheThreading(t *testing.T) {
	for name, threading := range map[string]rmi.Threading{"concurrent": rmi.ThreadingConcurrent, "per connection": rmi.ThreadingPerConnection, "serial": rmi.ThreadingSerial} {
		t.Run(name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				r := export[Worker](t, network.Node(), &worker{}, &rmi.ExportOptions{Threading: threading})
				w := resolve[Worker](t, network.Client(), r)
				var back Func
				back = func(ctx context.Context, n int64) (int64, error) {
					if n == 0 {
						return 0, nil
					}
					m, err := w.Apply(ctx, back, n-1)
					return m + 1, err
				}
				if n, err := w.Apply(within(t), back, 10); n != 10 || err != nil {
					t.Errorf("%d, %v", n, err)
				}
			})
		})
	}
}

// A callback passes a relay the other way, to a caller that listens nowhere; and a call that is
// given up on its way through a relay harms none that follows.
func TestCallbacksPassARelay(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		middle, owner, third := network.Node(), network.Client(), network.Client()
		r := export[Worker](t, middle, meetingPoint(), nil)
		var kept Func
		guest := &worker{
			do: func(ctx context.Context, n int64) (int64, error) {
				if n < 0 {
					<-ctx.Done()
					return 0, ctx.Err()
				}
				return kept(ctx, n)
			},
			apply: func(ctx context.Context, f Func, n int64) (int64, error) {
				kept = f
				return f(ctx, n)
			},
		}
		ctx := within(t)
		if _, err := resolve[Worker](t, owner, r).Meet(ctx, guest); err != nil {
			t.Fatal(err)
		}
		got, err := resolve[Worker](t, third, r).Meet(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		sum := int64(0)
		if n, err := got.Apply(ctx, func(_ context.Context, n int64) (int64, error) { sum += n; return sum, nil }, 1); n != 1 || err != nil {
			t.Fatalf("within the call that brought the function: %d, %v", n, err)
		}
		for i := range 40 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*500*time.Microsecond)
			_, err := got.Do(ctx, -1)
			cancel()
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("a call of %d half milliseconds: %v", i, err)
			}
		}
		for i := range int64(5) {
			if n, err := got.Do(within(t), 1); n != i+2 || err != nil {
				t.Fatalf("later: %d, %v", n, err)
			}
		}
	})
}

// By default a node serves as many concurrent calls as a program makes: some wait, none fails.
func TestVeryManyConcurrentCallsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		var ran atomic.Int64
		w := hire(t, network.Node(), network.Client(), &worker{do: func(ctx context.Context, n int64) (int64, error) {
			ran.Add(1)
			return n, work(ctx, 5*time.Millisecond)
		}})
		const calls = 5_000
		var wg sync.WaitGroup
		for i := range int64(calls) {
			wg.Go(func() {
				if n, err := w.Do(t.Context(), i); n != i || err != nil {
					t.Errorf("call %d: %d, %v", i, n, err)
				}
			})
		}
		wg.Wait()
		if n := ran.Load(); n != calls {
			t.Errorf("%d calls ran, want %d", n, calls)
		}
	})
}

// Close does not wait for a Shutdown, and ends it.
func TestCloseEndsAShutdownThatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner := network.NodeWith(&rmi.Options{Drain: time.Second})
		entered, release := make(chan struct{}), make(chan struct{})
		w := hire(t, owner, network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
			close(entered)
			<-release // whatever its context says
			return n, nil
		}})
		called, down := make(chan error, 1), make(chan error, 2)
		go func() {
			_, err := w.Do(t.Context(), 1)
			called <- err
		}()
		<-entered
		for range 2 {
			go func() { down <- owner.Shutdown(t.Context()) }()
		}
		synctest.Wait()
		if len(down) > 0 {
			t.Fatalf("Shutdown did not wait: %v", <-down)
		}
		begin := time.Now()
		if err := owner.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		for range 2 {
			<-down
		}
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, <-called)
		if d := time.Since(begin); d > 2*time.Second {
			t.Errorf("it took %v", d)
		}
		close(release)
	})
}

// A call that waits for its connection ends at once when its own node is closed.
func TestACallThatDialsEndsWithItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		w := hire(t, owner, caller, &worker{})
		network.Partition(owner, caller) // the handshake meets silence
		called := make(chan error, 1)
		go func() {
			_, err := w.Do(t.Context(), 1)
			called <- err
		}()
		synctest.Wait()
		begin := time.Now()
		if err := caller.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		expect{rmi.KindClosed, rmi.OutcomeNotExecuted, nil}.check(t, <-called)
		if d := time.Since(begin); d > 0 {
			t.Errorf("it took %v", d)
		}
	})
}

// Clients that come and go, calls that fail and calls that are given up are no news for the log.
func TestNothingIsLoggedOfClientsThatComeAndGo(t *testing.T) {
	network := rmitest.New(t)
	var log bytes.Buffer
	var mu sync.Mutex
	quiet := &rmi.Options{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))}
	owner := network.NodeWith(quiet)
	r := export[Worker](t, owner, fails(errPoor), nil)
	for range 20 {
		n := network.ClientWith(quiet)
		w := resolve[Worker](t, n, r)
		if _, err := w.Do(within(t), 0); !errors.Is(err, errPoor) {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Do(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	for owner.Sessions() > 0 {
		runtime.Gosched()
	}
	mu.Lock()
	defer mu.Unlock()
	if log.Len() > 0 {
		t.Errorf("the log says\n%s", log.String())
	}
}

// vague is what a method panics with whose text cannot be told.
type vague struct{}

func (vague) String() string { panic("no text") }

// Whatever a method panics with is an error of its caller, and nothing more.
func TestEveryPanicIsAnError(t *testing.T) {
	network := rmitest.New(t)
	w := hire(t, network.Node(), network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
		switch n {
		case 1:
			new(struct{ m map[string]int }).m["a"] = 1 // which is nil
		case 2:
			var p *watched
			return 0, p.unheldErr()
		case 3:
			panic(nil)
		case 4:
			panic(vague{})
		case 5:
			panic(func() {})
		}
		return n, nil
	}})
	for n := int64(1); n <= 5; n++ {
		_, err := w.Do(within(t), n)
		expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}.check(t, err)
	}
	if n, err := w.Do(within(t), 9); n != 9 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

// unheldErr needs what it points to.
func (w *watched) unheldErr() error { w.unheld <- struct{}{}; return nil }
