package rmi_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// overlap counts how many calls run concurrently.
type overlap struct{ now, most atomic.Int64 }

func (o *overlap) enter() {
	n := o.now.Add(1)
	for {
		m := o.most.Load()
		if n <= m || o.most.CompareAndSwap(m, n) {
			return
		}
	}
}

func (o *overlap) leave() { o.now.Add(-1) }

func TestConcurrentCallsRunAtTheSameTime(t *testing.T) {
	network := rmitest.New(t)
	var together sync.WaitGroup
	together.Add(3)
	w := hire(t, network.Node(), network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
		together.Done()
		together.Wait() // comes back only if three are here
		return n, nil
	}})
	ctx := within(t)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := w.Do(ctx, 1); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPerConnectionCallsOfOneClientDoNotOverlap(t *testing.T) {
	overCarriers(t, perConnectionCallsOfOneClientDoNotOverlap)
}

func perConnectionCallsOfOneClientDoNotOverlap(t *testing.T, network carrier) {
	owner := network.Node()
	var mine, all overlap // of the client with number 0; of all
	both := make(chan struct{})
	var meeting sync.Once
	var here sync.WaitGroup
	here.Add(2)
	r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
		all.enter()
		defer all.leave()
		if n == 0 {
			mine.enter()
			defer mine.leave()
		}
		select {
		case <-both:
		default: // the first call of each client: they do run at the same time
			here.Done()
			here.Wait()
			meeting.Do(func() { close(both) })
		}
		return n, nil
	}}, &rmi.ExportOptions{Threading: rmi.ThreadingPerConnection})
	ctx := within(t)
	var wg sync.WaitGroup
	for client := range int64(2) {
		w := resolve[Worker](t, network.Client(), r)
		for range 50 {
			wg.Go(func() {
				if _, err := w.Do(ctx, client); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if n := mine.most.Load(); n != 1 {
		t.Errorf("%d calls of one client at a time", n)
	}
	if n := all.most.Load(); n != 2 {
		t.Errorf("%d calls of two clients at a time", n)
	}
}

func TestPerConnectionCallsRunInTheirOrder(t *testing.T) {
	for name, cut := range map[string]bool{"one connection": false, "a connection that is lost": true} {
		t.Run(name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) { perConnectionCallsRunInTheirOrder(t, network, cut) })
		})
	}
}

func perConnectionCallsRunInTheirOrder(t *testing.T, network carrier, cut bool) {
	var got []int64 // the calls do not overlap, so no lock
	first := make(chan struct{})
	owner, caller := network.Node(), network.Client()
	r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
		if n == 0 {
			<-first
		}
		got = append(got, n)
		return n, nil
	}}, &rmi.ExportOptions{Threading: rmi.ThreadingPerConnection})
	w := resolve[Worker](t, caller, r)
	if _, err := w.Sum(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for round := range int64(2) {
		for n := range int64(50) { // in the second round in slots that were used, last in first out
			if cut && n == 20 {
				network.Partition(owner, caller)
			}
			wg.Go(func() {
				if _, err := w.Do(t.Context(), 50*round+n); err != nil {
					t.Error(err)
				}
			})
			synctest.Wait() // it is on its way
		}
		if cut {
			network.Cut(owner, caller)
			network.Heal(owner, caller)
		}
		if round == 0 {
			time.Sleep(time.Second)
			close(first)
		}
		wg.Wait()
	}
	for i, n := range got {
		if int64(i) != n {
			t.Fatalf("the order is %v", got)
		}
	}
}

// Mail is for calls of which nobody waits for the end.
type Mail interface {
	Send(ctx context.Context, n int64, b []byte) error
	Sent(ctx context.Context) ([]int64, error)
}

type mail struct {
	got     []int64
	running atomic.Int32
}

func (m *mail) Send(_ context.Context, n int64, _ []byte) error {
	if m.running.Add(1) > 1 {
		n = -n
	}
	m.got = append(m.got, n)
	m.running.Add(-1)
	return nil
}

func (m *mail) Sent(context.Context) ([]int64, error) { return m.got, nil }

// A caller's one-way call is over before the next is made, though nobody hears of its end. They run
// in that order, small or large, and so do calls that wait for them.
func TestOneWayCallsThatTakeTurnsRunInTheirOrder(t *testing.T) {
	for _, threading := range []rmi.Threading{rmi.ThreadingPerConnection, rmi.ThreadingSerial} {
		t.Run(threading.String(), func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				r := export[Mail](t, network.Node(), new(mail), &rmi.ExportOptions{
					Threading: threading, Methods: map[string]rmi.Semantics{"Send": {OneWay: true}},
				})
				m := resolve[Mail](t, network.Client(), r)
				ctx := duration(t, time.Hour)
				var want []int64
				for n := int64(1); n <= 300; n++ {
					if err := m.Send(ctx, n, make([]byte, []int{0, 100, 1000, 2000, 40_000, 0, 0}[n%7])); err != nil {
						t.Fatal(err)
					}
					if want = append(want, n); n%50 != 0 {
						continue
					}
					if got, err := m.Sent(ctx); err != nil || !slices.Equal(got, want) {
						t.Fatalf("after %d: %v, %v", n, got, err)
					}
				}
			})
		})
	}
}

func TestSerialCallsDoNotOverlap(t *testing.T) { overCarriers(t, serialCallsDoNotOverlap) }

func serialCallsDoNotOverlap(t *testing.T, network carrier) {
	owner := network.Node()
	counter := int64(0) // no lock: the race detector watches
	r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
		counter += n
		return counter, nil
	}}, &rmi.ExportOptions{Threading: rmi.ThreadingSerial})
	ctx := within(t)
	var wg sync.WaitGroup
	for range 4 {
		w := resolve[Worker](t, network.Client(), r)
		for range 100 {
			wg.Go(func() {
				if _, err := w.Do(ctx, 1); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if counter != 400 {
		t.Errorf("counted %d", counter)
	}
}

// A serial object calls its caller, whose function calls the object again: that
// call is let in. One of another chain waits until the first is done.
func TestASerialObjectLetsTheChainBackInAndNobodyElse(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		inside := false
		v := &worker{do: func(_ context.Context, n int64) (int64, error) {
			if n == 2 && inside {
				t.Error("a call of another chain came in")
			}
			return n, nil
		}}
		v.apply = func(ctx context.Context, f Func, n int64) (int64, error) {
			was := inside
			inside = true
			m, err := f(ctx, n)
			inside = was
			return m, err
		}
		r := export[Worker](t, network.Node(), v, &rmi.ExportOptions{Threading: rmi.ThreadingSerial})
		w, other := resolve[Worker](t, network.Client(), r), resolve[Worker](t, network.Client(), r)
		result := make(chan error, 1)
		n, err := w.Apply(t.Context(), func(ctx context.Context, n int64) (int64, error) {
			go func() {
				_, err := other.Do(t.Context(), 2)
				result <- err
			}()
			synctest.Wait() // it is there, and waits
			return w.Apply(ctx, func(ctx context.Context, n int64) (int64, error) { return w.Do(ctx, n) }, n)
		}, 7)
		if n != 7 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		if err := <-result; err != nil {
			t.Error(err)
		}
	})
}

func TestASerialObjectGoesOnAfterACallerGaveUp(t *testing.T) {
	network := rmitest.New(t)
	owner := network.Node()
	running, release := make(chan struct{}), make(chan struct{})
	r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
		if n == 0 {
			close(running)
			<-release
		}
		return n, nil
	}}, &rmi.ExportOptions{Threading: rmi.ThreadingSerial})
	w := resolve[Worker](t, network.Client(), r)
	done := make(chan error, 1)
	go func() {
		_, err := w.Do(within(t), 0)
		done <- err
	}()
	<-running
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	for range 3 { // waits for its turn, and gives up
		if _, err := w.Do(ctx, 1); err == nil {
			t.Error("a call came in")
		}
	}
	close(release)
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
	if n, err := w.Do(within(t), 5); n != 5 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}
