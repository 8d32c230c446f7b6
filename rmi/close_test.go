package rmi_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

func TestCloseFailsWhatIsInFlight(t *testing.T) {
	for _, c := range []struct {
		name  string
		owner bool // closes
		want  expect
	}{
		{"at the node that closes", false, expect{rmi.KindClosed, rmi.OutcomeUnknown, net.ErrClosed}},
		{"at its peer", true, expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}},
	} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				owner, caller := network.Node(), network.Client()
				ended, running := make(chan error, 1), make(chan struct{})
				blocks := block(ended)
				w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
					close(running)
					return blocks(ctx, n)
				}})
				result := make(chan error, 1)
				go func() {
					_, err := w.Do(within(t), 1)
					result <- err
				}()
				<-running
				closing := caller
				if c.owner {
					closing = owner
				}
				if err := closing.Close(); err != nil {
					t.Error(err)
				}
				c.want.check(t, receive(t, result))
				if err := receive(t, ended); !errors.Is(err, context.Canceled) {
					t.Errorf("the method saw %v", err)
				}
				if err := closing.Close(); err != nil {
					t.Errorf("closing again: %v", err)
				}
			})
		})
	}
}

func TestAClosedNodeMakesNoCalls(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	listening, unused := hire(t, owner, caller, &worker{}), hire(t, network.Node(), caller, &worker{})
	got := make(chan Worker, 1)
	w := hire(t, owner, network.Client(), &worker{meet: func(_ context.Context, w Worker) (Worker, error) {
		got <- w
		return nil, nil
	}})
	if _, err := w.Meet(within(t), &worker{}); err != nil {
		t.Fatal(err)
	}
	guest := <-got // owner's proxy of an object whose owner does not listen
	if _, err := listening.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	caller.Close()
	owner.Close()
	for name, p := range map[string]Worker{"a peer that was connected": listening, "one that was not": unused, "one that listens nowhere": guest} {
		_, err := p.Do(within(t), 1)
		if !errors.Is(err, rmi.KindClosed) || !errors.Is(err, net.ErrClosed) || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("calling %s: %v", name, err)
		}
	}
	if _, err := caller.Listen(t.Context(), "node-2:0"); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listening: %v", err)
	}
}

func TestShutdownLetsCallsInFlightFinishAndTakesNoNewOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		release := make(chan struct{})
		w := hire(t, owner, caller, &worker{
			apply: func(ctx context.Context, f Func, n int64) (int64, error) {
				<-release
				return f(ctx, n) // a call nested in one in flight goes on
			},
			bytes: func(ctx context.Context, b []byte) ([]byte, error) {
				<-release
				return b, nil
			},
		})
		results := make(chan error, 2)
		go func() {
			_, err := w.Apply(t.Context(), func(ctx context.Context, n int64) (int64, error) { return w.Do(ctx, n) }, 1)
			results <- err
		}()
		go func() {
			b, err := w.Bytes(t.Context(), make([]byte, 2<<20))
			if len(b) != 2<<20 {
				t.Errorf("%d bytes came back", len(b))
			}
			results <- err
		}()
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- owner.Shutdown(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-down:
			t.Errorf("it did not wait: %v", err)
		default:
		}
		_, err := w.Do(t.Context(), 1)
		expect{rmi.KindPeerGone, rmi.OutcomeNotExecuted, nil}.check(t, err)
		_, err = resolve[Func](t, network.Client(), export[Func](t, owner, func(context.Context, int64) (int64, error) { return 0, nil }, nil))(t.Context(), 1)
		expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
		close(release)
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("a call in flight: %v", err)
			}
		}
		if err := <-down; err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
}

func TestShutdownWaitsNoLongerThanItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		w := hire(t, owner, caller, &worker{do: block(make(chan error, 1))})
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(t.Context(), 1)
			result <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := owner.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		owner.Close()
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, <-result)
	})
}

func TestRunServesUntilItsContextEnds(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	running, release := make(chan struct{}), make(chan struct{})
	w := hire(t, owner, caller, &worker{do: func(_ context.Context, n int64) (int64, error) {
		close(running)
		<-release
		return n, nil
	}})
	hooked := make(chan error, 1)
	self := hire(t, network.Node(), owner, &worker{})
	owner.Port().BeforeClose(func(ctx context.Context) {
		_, err := self.Do(ctx, 1) // calls can still be made
		hooked <- err
	})
	remove := owner.Port().BeforeClose(func(context.Context) { t.Error("what was taken back was called") })
	remove()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- owner.Run(ctx) }()
	result := make(chan error, 1)
	go func() {
		_, err := w.Do(within(t), 1)
		result <- err
	}()
	<-running
	cancel()
	if err := receive(t, hooked); err != nil {
		t.Errorf("in BeforeClose: %v", err)
	}
	close(release)
	if err := receive(t, result); err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := receive(t, ended); err != nil {
		t.Errorf("Run: %v", err)
	}
	if err := owner.Run(t.Context()); err != nil {
		t.Errorf("Run of a closed node: %v", err)
	}
}

func TestCloseFromInsideAMethod(t *testing.T) {
	network := rmitest.New(t)
	owner := network.NodeWith(&rmi.Options{CloseWait: 10 * time.Millisecond})
	closed := make(chan error, 1)
	w := hire(t, owner, network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
		closed <- owner.Close()
		return n, nil
	}})
	_, err := w.Do(within(t), 1)
	expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, err)
	if err := receive(t, closed); err != nil {
		t.Error(err)
	}
}

func TestNodesCloseWhileTheyCallEachOther(t *testing.T) {
	for range 10 {
		network := rmitest.New(t)
		a, b := network.Node(), network.Node()
		onB, onA := hire(t, b, a, &worker{}), hire(t, a, b, &worker{})
		var wg sync.WaitGroup
		var started sync.WaitGroup
		started.Add(20)
		for i := range 20 {
			wg.Go(func() {
				w := onA
				if i%2 == 0 {
					w = onB
				}
				_, err := w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n, nil }, 1)
				started.Done()
				for err == nil {
					_, err = w.Apply(within(t), func(_ context.Context, n int64) (int64, error) { return n, nil }, 1)
				}
				if k := rmi.KindOf(err); k != rmi.KindClosed && k != rmi.KindPeerGone && k != rmi.KindConnectFailed && k != rmi.KindApplication && k != rmi.KindNoSuchObject && k != rmi.KindCancelled {
					t.Errorf("the last call: %v", err)
				}
			})
		}
		started.Wait()
		wg.Go(func() { a.Close() })
		wg.Go(func() { b.Close() })
		wg.Wait()
	}
}
