package callback_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// told is a listener; as an interface it needs no proxy type made at run time.
type told = func(ctx context.Context, n int) error

// Board is a remote object with listeners.
type Board struct {
	Watch func(ctx context.Context, f told) (callback.Subscription, error)
}

type board struct{ set *callback.Listeners[told] }

func (b *board) watch(_ context.Context, f told) (callback.Subscription, error) { return b.set.Add(f) }

func newBoard(t testing.TB, owner *rmi.Node, o *callback.ListenersOptions[told]) (*board, func(user *rmi.Node) Board) {
	b := &board{callback.NewListeners(owner, o)}
	t.Cleanup(func() { b.set.Close() })
	h, err := rmi.Export(owner, b.watch, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b, func(user *rmi.Node) Board {
		f, err := rmi.Resolve[func(context.Context, told) (callback.Subscription, error)](user, h.Ref(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return Board{f}
	}
}

func (b *board) tell(n int) {
	b.set.Notify(func(ctx context.Context, f told) error { return f(ctx, n) })
}

func TestListenersAreCalledInOrder(t *testing.T) {
	net := rmitest.New(t)
	owner := net.Node()
	b, from := newBoard(t, owner, &callback.ListenersOptions[told]{Queue: 1000})
	var subs []callback.Subscription
	var got []chan int
	for range 3 {
		ch := make(chan int, 1000)
		s, err := from(net.Client()).Watch(t.Context(), func(_ context.Context, n int) error { ch <- n; return nil })
		if err != nil {
			t.Fatal(err)
		}
		subs, got = append(subs, s), append(got, ch)
	}
	for i := range 100 {
		b.tell(i)
	}
	for _, ch := range got {
		for i := range 100 {
			if n := <-ch; n != i {
				t.Fatalf("got %d, want %d", n, i)
			}
		}
	}
	if b.set.Len() != 3 {
		t.Errorf("%d listeners", b.set.Len())
	}
	if err := subs[0].Cancel(t.Context()); err != nil || b.set.Len() != 2 {
		t.Errorf("%v, %d listeners", err, b.set.Len())
	}
	b.tell(100)
	if n := <-got[1]; n != 100 || len(got[0]) > 0 {
		t.Errorf("got %d, and the removed one %d", n, len(got[0]))
	}
}

func TestMisbehavingListeners(t *testing.T) {
	oops := errors.New("oops")
	net := rmitest.New(t)
	owner := net.Node()
	failures := make(chan error, 1000)
	b, from := newBoard(t, owner, &callback.ListenersOptions[told]{
		Queue: 200, OnError: func(_ told, err error) { failures <- err }})
	user := net.Client()
	board := from(user)
	watch := func(f told) callback.Subscription {
		s, err := board.Watch(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	good, again := make(chan int, 100), make(chan int, 100)
	watch(func(context.Context, int) error { panic("oops") })
	watch(func(context.Context, int) error { return oops })
	watch(func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() })
	var once callback.Subscription
	ready := make(chan struct{})
	once = watch(func(ctx context.Context, _ int) error { <-ready; return once.Cancel(ctx) })
	close(ready)
	var first sync.Once
	watch(func(ctx context.Context, _ int) (err error) {
		first.Do(func() { _, err = board.Watch(ctx, func(_ context.Context, n int) error { again <- n; return nil }) })
		return err
	})
	watch(func(_ context.Context, n int) error { good <- n; return nil })

	for i := range 100 {
		b.tell(i)
	}
	for i := range 100 {
		if n := <-good; n != i {
			t.Fatalf("got %d, want %d", n, i)
		}
	}
	kinds := map[rmi.Kind]bool{}
	for !kinds[rmi.KindPanic] || !kinds[rmi.KindApplication] {
		kinds[rmi.KindOf(<-failures)] = true
	}
	waitFor(t, "one left, one came", func() bool { return b.set.Len() == 6 })
	b.tell(100)
	for n := range again {
		if n == 100 {
			break
		}
	}
}

func TestListenerWhoseNodeIsGoneIsDropped(t *testing.T) {
	net := rmitest.New(t)
	owner := net.Node()
	dropped := make(chan error, 10)
	b, from := newBoard(t, owner, &callback.ListenersOptions[told]{
		OnDrop: func(_ told, err error) { dropped <- err }})
	stays := net.Client()
	for _, user := range []*rmi.Node{net.Client(), net.Node(), stays} {
		if _, err := from(user).Watch(t.Context(), func(context.Context, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		if user != stays {
			defer func() {
				if err := <-dropped; !errors.Is(err, rmi.KindPeerGone) && !errors.Is(err, rmi.KindConnectFailed) {
					t.Errorf("dropped for %v", err)
				}
			}()
		}
		if user == stays {
			continue
		}
		if user.Endpoint().Listens() {
			// Its node may come back: it is given up after GiveUp, which is tested with virtual
			// time.
			if b.set.Len() != 2 {
				t.Logf("%d listeners", b.set.Len())
			}
		}
		user.Close()
	}
	waitFor(t, "the client that listens nowhere is dropped", func() bool { return b.set.Len() <= 2 })
	b.set.Close()
	dropped <- &rmi.Error{Kind: rmi.KindPeerGone} // for the one that is not given up yet
	if b.set.Len() != 0 {
		t.Error("listeners are left after Close")
	}
}

// A cut that is mended is not noticed; a session that is over is, once.
func TestListenersOutliveACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, user := net.NodeWith(&rmi.Options{SessionLease: 20 * time.Second}), net.Client()
		dropped := make(chan error, 10)
		b, from := newBoard(t, owner, &callback.ListenersOptions[told]{OnDrop: func(_ told, err error) { dropped <- err }})
		got := make(chan int, 10)
		if _, err := from(user).Watch(t.Context(), func(_ context.Context, n int) error { got <- n; return nil }); err != nil {
			t.Fatal(err)
		}
		for i, pause := range []time.Duration{0, 2 * time.Second, 8 * time.Second} {
			net.Partition(owner, user)
			net.Cut(owner, user)
			if pause > 5*time.Second { // a call that was sent by then would fail after Options.Grace
				synctest.Wait() // until the cut was noticed
			}
			b.tell(i)
			<-time.After(pause)
			net.Heal(owner, user)
			if n := <-got; n != i {
				t.Errorf("got %d, want %d", n, i)
			}
		}
		net.Partition(owner, user)
		net.Cut(owner, user)
		since := time.Now()
		if err := <-dropped; !errors.Is(err, rmi.KindPeerGone) || b.set.Len() != 0 || len(dropped) > 0 {
			t.Errorf("dropped for %v, %d are left", err, b.set.Len())
		}
		if d := time.Since(since); d < 20*time.Second || d > 22*time.Second {
			t.Errorf("dropped after %v", d)
		}
	})
}

// next is what comes next.
func next[T any](t *testing.T, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(time.Hour):
		t.Fatal("nothing came")
	}
	return v
}

// Notifications of a listener whose connection is lost for long wait in its queue. They are not
// spent on calls that fail, and the listener is not dropped.
func TestNotificationsKeepWhileAListenerIsAway(t *testing.T) {
	for _, listens := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			if listens {
				user = net.Node()
			}
			b, from := newBoard(t, owner, &callback.ListenersOptions[told]{
				OnDrop:  func(_ told, err error) { t.Errorf("dropped for %v", err) },
				OnError: func(_ told, err error) { t.Errorf("failed with %v", err) },
				OnLoss:  func(_ told, n uint64) { t.Errorf("%d lost", n) },
			})
			got := make(chan int, 10)
			if _, err := from(user).Watch(t.Context(), func(_ context.Context, n int) error { got <- n; return nil }); err != nil {
				t.Fatal(err)
			}
			b.tell(0)
			if n := next(t, got); n != 0 {
				t.Fatalf("got %d", n)
			}
			synctest.Wait() // and was answered
			net.Partition(owner, user)
			net.Cut(owner, user)
			synctest.Wait() // until that was noticed
			for n := 1; n <= 5; n++ {
				b.tell(n)
				<-time.After(8 * time.Second)
			}
			if len(got) != 0 || b.set.Len() != 1 {
				t.Fatalf("%d came, %d listeners", len(got), b.set.Len())
			}
			net.Heal(owner, user)
			for n := 1; n <= 5; n++ {
				if m := next(t, got); m != n {
					t.Errorf("got %d, want %d", m, n)
				}
			}
		})
	}
}

// What a queue has no room for while its listener is away is lost by the queue's policy, the oldest
// too: none is taken out for a call that cannot be made.
func TestNotificationsOfAListenerThatIsAwayStayInItsQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, user := net.Node(), net.Client()
		lost := make(chan uint64, 10)
		b, from := newBoard(t, owner, &callback.ListenersOptions[told]{Queue: 3, OnLoss: func(_ told, n uint64) { lost <- n }})
		got := make(chan int, 10)
		if _, err := from(user).Watch(t.Context(), func(_ context.Context, n int) error { got <- n; return nil }); err != nil {
			t.Fatal(err)
		}
		net.Partition(owner, user)
		net.Cut(owner, user)
		synctest.Wait() // until that was noticed
		for n := 1; n <= 5; n++ {
			b.tell(n)
			synctest.Wait()
		}
		net.Heal(owner, user)
		for n := 3; n <= 5; n++ {
			if m := next(t, got); m != n {
				t.Errorf("got %d, want %d", m, n)
			}
		}
		if n := next(t, lost); n != 2 || len(lost) > 0 {
			t.Errorf("%d were lost, and %d times more some, want 2", n, len(lost))
		}
	})
}

// A listener whose object is gone is dropped at its first call, not told as one that fails.
func TestAListenerWhoseObjectIsGoneIsDroppedAtOnce(t *testing.T) {
	for _, c := range []struct {
		kind rmi.Kind
		gone bool
	}{{rmi.KindNoSuchObject, true}, {rmi.KindStaleReference, true}, {rmi.KindClosed, true}, {rmi.KindOverloaded, false}, {rmi.KindApplication, false}} {
		dropped, failed := make(chan error, 1), make(chan error, 1)
		set := callback.NewListeners(rmitest.New(t).Client(), &callback.ListenersOptions[told]{
			OnDrop: func(_ told, err error) { dropped <- err }, OnError: func(_ told, err error) { failed <- err }})
		if _, err := set.Add(func(context.Context, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		set.Notify(func(context.Context, told) error { return &rmi.Error{Kind: c.kind} })
		select {
		case err := <-dropped:
			if !c.gone || !errors.Is(err, c.kind) || set.Len() != 0 {
				t.Errorf("%v: dropped for %v, %d are left", c.kind, err, set.Len())
			}
		case err := <-failed:
			if c.gone || !errors.Is(err, c.kind) || set.Len() != 1 {
				t.Errorf("%v: failed with %v, %d are left", c.kind, err, set.Len())
			}
		}
		set.Close()
	}
}

// A call under way when the connection is lost may have run: it is told, and not made again.
func TestANotificationThatMayHaveArrivedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, user := net.Node(), net.Client()
		failures := make(chan error, 10)
		b, from := newBoard(t, owner, &callback.ListenersOptions[told]{
			OnDrop:  func(_ told, err error) { t.Errorf("dropped for %v", err) },
			OnError: func(_ told, err error) { failures <- err },
		})
		got := make(chan int, 10)
		if _, err := from(user).Watch(t.Context(), func(ctx context.Context, n int) error {
			if got <- n; n == 0 {
				<-ctx.Done()
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		b.tell(0)
		if n := next(t, got); n != 0 {
			t.Fatalf("got %d", n)
		}
		net.Partition(owner, user)
		net.Cut(owner, user)
		b.tell(1)
		if err := next(t, failures); rmi.KindOf(err) != rmi.KindPeerGone || rmi.OutcomeOf(err) != rmi.OutcomeUnknown {
			t.Errorf("it failed with %v", err)
		}
		<-time.After(20 * time.Second)
		net.Heal(owner, user)
		if n := next(t, got); n != 1 || len(failures) != 0 {
			t.Errorf("got %d, and %d failures", n, len(failures))
		}
	})
}

// A set whose listeners are away is closed at once.
func TestASetWhoseListenersAreAwayIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, user := net.Node(), net.Client()
		b, from := newBoard(t, owner, nil)
		if _, err := from(user).Watch(t.Context(), func(context.Context, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		net.Partition(owner, user)
		net.Cut(owner, user)
		b.tell(1)
		synctest.Wait()
		start := time.Now()
		b.set.Close()
		owner.Close()
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestListenersGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, user := net.Node(), net.Node()
		var reason error
		b, from := newBoard(t, owner, &callback.ListenersOptions[told]{
			GiveUp: 30 * time.Second, OnDrop: func(_ told, err error) { reason = err }})
		if _, err := from(user).Watch(t.Context(), func(context.Context, int) error { return nil }); err != nil {
			t.Fatal(err)
		}
		user.Close()
		for i := range 40 {
			b.tell(i)
			<-time.After(time.Second)
			if b.set.Len() == 0 {
				break
			}
		}
		synctest.Wait()
		if reason == nil || b.set.Len() != 0 {
			t.Errorf("dropped for %v, %d are left", reason, b.set.Len())
		}
		b.set.Close()
	})
}

func TestStuckListenerLosesItsOwn(t *testing.T) {
	for _, c := range []struct {
		policy  callback.Policy
		lost    uint64
		dropped bool
		got     []int
	}{
		{callback.PolicyDropOldest, 6, false, []int{0, 7, 8, 9}},
		{callback.PolicyDropNewest, 6, false, []int{0, 1, 2, 3}},
		{callback.PolicyDisconnect, 0, true, []int{0}},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			node := rmitest.New(t).Client()
			losses, drops := make(chan uint64, 1), make(chan error, 1)
			set := callback.NewListeners(node, &callback.ListenersOptions[told]{Queue: 3, Policy: c.policy,
				OnLoss: func(_ told, n uint64) { losses <- n }, OnDrop: func(_ told, err error) { drops <- err }})
			var got []int
			busy, goOn, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
			if _, err := set.Add(func(_ context.Context, n int) error {
				if got = append(got, n); n == 0 {
					close(busy)
					<-goOn
				}
				if len(got) == len(c.got) {
					close(done)
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			for i := range 10 {
				set.Notify(func(ctx context.Context, f told) error { return f(ctx, i) })
				if i == 0 {
					<-busy
				}
			}
			close(goOn)
			if c.dropped {
				if err := <-drops; err != callback.ErrSlow {
					t.Errorf("dropped for %v", err)
				}
			} else if n := <-losses; n != c.lost {
				t.Errorf("%d lost, want %d", n, c.lost)
			}
			<-done
			if !slices.Equal(got, c.got) {
				t.Errorf("got %v, want %v", got, c.got)
			}
			set.Close()
		})
	}
}

func TestRemove(t *testing.T) {
	node := rmitest.New(t).Client()
	set := callback.NewListeners[told](node, nil)
	n := 0
	a := func(context.Context, int) error { n++; return nil }
	b := func(context.Context, int) error { n--; return nil }
	for _, f := range []told{a, b, a} {
		if _, err := set.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if !set.Remove(a) || set.Len() != 1 || set.Remove(a) || !set.Remove(b) || set.Len() != 0 {
		t.Errorf("%d are left", set.Len())
	}
	if _, err := set.Add(nil); err == nil {
		t.Error("nil was added")
	}
	set.Close()
	if _, err := set.Add(a); err == nil {
		t.Error("added to a closed set")
	}
}

// listening is a listener of an interface type; as a struct it may hold what cannot be compared.
type (
	listening interface {
		Told(ctx context.Context) error
	}
	ears struct{ by any }
)

func (ears) Told(context.Context) error { return nil }

func TestRemoveOfWhatCannotBeComparedFindsNothing(t *testing.T) {
	set := callback.NewListeners[listening](rmitest.New(t).Node(), nil)
	defer set.Close()
	for _, v := range []listening{ears{[]int{1}}, ears{7}} {
		if _, err := set.Add(v); err != nil {
			t.Fatal(err)
		}
	}
	if set.Remove(ears{[]int{1}}) {
		t.Error("it is equal to another")
	}
	if !set.Remove(ears{7}) || set.Len() != 1 {
		t.Errorf("%d listeners are left", set.Len())
	}
}

func TestListenerThatBlocksForEver(t *testing.T) {
	net := rmitest.New(t)
	failures := make(chan error, 10)
	b, from := newBoard(t, net.Node(), &callback.ListenersOptions[told]{
		Timeout: 50 * time.Millisecond, OnError: func(_ told, err error) { failures <- err }})
	board := from(net.Client())
	release := make(chan struct{})
	defer close(release)
	good := make(chan int, 10)
	for _, f := range []told{
		func(context.Context, int) error { <-release; return nil }, // whatever its context says
		func(_ context.Context, n int) error { good <- n; return nil },
	} {
		if _, err := board.Watch(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	b.tell(1)
	b.tell(2)
	if <-good != 1 || <-good != 2 {
		t.Error("the other listener was not told in order")
	}
	for range 2 { // the owner gives each call up and goes on to the next
		if err := <-failures; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want that the call's time is over", err)
		}
	}
}

// A listener may end its own subscription while it is called. It is not called again, whatever
// the threading of the object that it listens to.
func TestAListenerCancelsItself(t *testing.T) {
	for name, threading := range map[string]rmi.Threading{"concurrent": rmi.ThreadingConcurrent, "per connection": rmi.ThreadingPerConnection, "serial": rmi.ThreadingSerial} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := rmitest.New(t)
				owner, user := net.Node(), net.Client()
				set := callback.NewListeners[told](owner, nil)
				type watched = func(ctx context.Context, n int, f told) (callback.Subscription, error)
				h, err := rmi.Export(owner, watched(func(_ context.Context, n int, f told) (callback.Subscription, error) {
					if f != nil {
						return set.Add(f)
					}
					set.Notify(func(ctx context.Context, f told) error { return f(ctx, n) })
					return nil, nil
				}), &rmi.ExportOptions{Threading: threading})
				if err != nil {
					t.Fatal(err)
				}
				call, err := rmi.Resolve[watched](user, h.Ref(), nil)
				if err != nil {
					t.Fatal(err)
				}
				var sub callback.Subscription
				ready, over := make(chan struct{}), make(chan error, 10)
				sub, err = call(t.Context(), 0, func(ctx context.Context, _ int) error {
					<-ready
					over <- sub.Cancel(ctx)
					return nil
				})
				if err != nil {
					t.Fatal(err)
				}
				close(ready)
				if _, err := call(t.Context(), 1, nil); err != nil {
					t.Error(err)
				}
				if err := <-over; err != nil {
					t.Errorf("Cancel: %v", err)
				}
				for n := range 3 {
					if _, err := call(t.Context(), n, nil); err != nil {
						t.Error(err)
					}
				}
				synctest.Wait()
				if len(over) > 0 || set.Len() != 0 {
					t.Errorf("called %d times more, %d listeners", len(over), set.Len())
				}
				set.Close()
			})
		})
	}
}
