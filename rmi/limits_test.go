package rmi_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

func TestAMessageOverTheLimitIsRefused(t *testing.T) { overCarriers(t, aMessageOverTheLimitIsRefused) }

func aMessageOverTheLimitIsRefused(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{bytes: func(_ context.Context, b []byte) ([]byte, error) {
		if len(b) == 0 {
			return make([]byte, 5<<20), nil
		}
		return nil, nil
	}})
	ctx := within(t)
	if _, err := w.Bytes(ctx, make([]byte, 4<<20-8)); err != nil {
		t.Errorf("just under 4 MiB: %v", err)
	}
	for _, c := range []struct {
		name    string
		send    int
		outcome rmi.Outcome
	}{{"arguments", 5 << 20, rmi.OutcomeNotExecuted}, {"results", 0, rmi.OutcomeExecuted}} {
		_, err := w.Bytes(ctx, make([]byte, c.send))
		expect{rmi.KindTooLarge, c.outcome, nil}.check(t, err)
		if err != nil && (!strings.Contains(err.Error(), "4194304") || !strings.Contains(err.Error(), "52428")) {
			t.Errorf("%s: the text names not both limit and size: %v", c.name, err)
		}
	}
	if n, err := w.Do(ctx, 1); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestThePeersLimitCounts(t *testing.T) {
	network := rmitest.New(t)
	small := &rmi.Options{Limits: rmi.Limits{Message: 100 << 10}}
	owner, caller := network.NodeWith(small), network.Client()
	w := hire(t, owner, caller, &worker{})
	_, err := w.Bytes(within(t), make([]byte, 200<<10))
	expect{rmi.KindTooLarge, rmi.OutcomeNotExecuted, nil}.check(t, err)
	// The other way round: what the caller accepts bounds the reply.
	back := hire(t, caller, owner, &worker{bytes: func(context.Context, []byte) ([]byte, error) { return make([]byte, 200<<10), nil }})
	if _, err := w.Apply(within(t), func(ctx context.Context, n int64) (int64, error) { return n, nil }, 1); err != nil {
		t.Fatal(err)
	}
	_, err = back.Bytes(within(t), nil)
	expect{rmi.KindTooLarge, rmi.OutcomeExecuted, nil}.check(t, err)
}

// A result asks for room as it grows: not when it is encoded as a whole, with its like in all
// handlers. The nil in this one is not reached.
func TestAResultForWhichThereIsNoRoomIsNotEncoded(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.NodeWith(&rmi.Options{Limits: rmi.Limits{RetainedTotal: 1 << 20}}), network.Client()
	size := 800 << 10
	w := hire(t, owner, caller, &worker{visit: func(context.Context, Visit) (Visit, error) {
		return Visit{Name: strings.Repeat("x", size), Host: (*worker)(nil)}, nil
	}})
	_, err := w.Visit(within(t), Visit{})
	expect{rmi.KindTooLarge, rmi.OutcomeExecuted, nil}.check(t, err)
	if err == nil || !strings.Contains(err.Error(), "RetainedTotal") {
		t.Errorf("the text does not name the limit: %v", err)
	}
	size = 400 << 10
	_, err = w.Visit(within(t), Visit{})
	expect{rmi.KindInvalid, rmi.OutcomeExecuted, nil}.check(t, err)
}

func TestAnObjectsOwnLimit(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	r := export[Worker](t, owner, &worker{}, &rmi.ExportOptions{MaxMessage: 1000})
	w := resolve[Worker](t, caller, r)
	if _, err := w.Bytes(within(t), make([]byte, 900)); err != nil {
		t.Error(err)
	}
	_, err := w.Bytes(within(t), make([]byte, 1100))
	expect{rmi.KindTooLarge, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if err != nil && !strings.Contains(err.Error(), "1000") {
		t.Errorf("the text does not name the limit: %v", err)
	}
}

func TestExportsAreBounded(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.ClientWith(&rmi.Options{MaxExports: 2})
	w := hire(t, owner, caller, &worker{apply: func(_ context.Context, _ Func, n int64) (int64, error) { return n, nil }})
	f := func(_ context.Context, n int64) (int64, error) { return n, nil }
	for range 2 {
		if _, err := w.Apply(within(t), f, 1); err != nil {
			t.Fatal(err)
		}
	}
	_, err := w.Apply(within(t), f, 1)
	expect{rmi.KindOverloaded, rmi.OutcomeNotExecuted, nil}.check(t, err)
}

// Two handlers and room for three in the queue: of more calls, the rest is
// refused at once, the queued ones are served when handlers become free.
func TestHandlersAndTheirQueueAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Handlers: 2, Queue: 3}})
		running, release := 0, make(chan struct{})
		var mu sync.Mutex
		w := hire(t, owner, network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
			mu.Lock()
			if running++; running > 2 {
				t.Error("a third call runs")
			}
			mu.Unlock()
			<-release
			mu.Lock()
			running--
			mu.Unlock()
			return n, nil
		}})
		results := make(chan error, 8)
		call := func(d time.Duration) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			go func() {
				defer cancel()
				_, err := w.Do(ctx, 1)
				results <- err
			}()
			synctest.Wait()
		}
		for range 5 { // two run, three wait
			call(time.Minute)
		}
		call(3 * time.Second) // refused, and made again until its deadline
		expect{rmi.KindOverloaded, rmi.OutcomeNotExecuted, nil}.check(t, <-results)
		call(time.Minute) // refused, and made again until there is room
		<-time.After(5 * time.Second)
		close(release)
		for range 6 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAQueuedCallWaitsUntilItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner := network.NodeWith(&rmi.Options{Limits: rmi.Limits{HandlersTotal: 1}})
		release := make(chan struct{})
		ran := 0
		r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
			ran++
			<-release
			return n, nil
		}}, nil)
		// The bound on all peers together, so the second call is another's.
		first, second := resolve[Worker](t, network.Client(), r), resolve[Worker](t, network.Client(), r)
		done := make(chan error, 1)
		go func() {
			_, err := first.Do(t.Context(), 1)
			done <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := second.Do(ctx, 1)
		if !errors.Is(err, rmi.KindDeadline) && !errors.Is(err, rmi.KindOverloaded) {
			t.Errorf("got %v", err)
		}
		later := make(chan error, 1)
		go func() {
			_, err := second.Do(t.Context(), 1)
			later <- err
		}()
		synctest.Wait()
		close(release)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := <-later; err != nil {
			t.Errorf("the queued call of the other peer: %v", err)
		}
		if ran != 2 {
			t.Errorf("%d calls ran, want 2: the one that was late not", ran)
		}
	})
}

func TestSlotsAreBoundedAndCallersWaitForThem(t *testing.T) {
	overCarriers(t, slotsAreBoundedAndCallersWaitForThem)
}

func slotsAreBoundedAndCallersWaitForThem(t *testing.T, network carrier) {
	owner := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Slots: 1}}) // the least is 16, four of them for calls from outside
	w := hire(t, owner, network.Client(), &worker{})
	ctx := within(t)
	var wg sync.WaitGroup
	for i := range 500 {
		wg.Go(func() {
			if n, err := w.Do(ctx, int64(i)); n != int64(i) || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	wg.Wait()
}
