package registry_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/registry"
	"gormi/rmi"
)

// following looks a name up with Failover.
func (w *town) following(n *rmi.Node, name string) Account {
	w.t.Helper()
	a, err := registry.Lookup[Account](w.t.Context(), n, w.reg.URL(name), &registry.LookupOptions{Failover: true})
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// release has nobody hold the object of a proxy of the town's caller.
func (w *town) release(a Account) {
	w.t.Helper()
	if err := rmi.Release(a); err != nil {
		w.t.Fatal(err)
	}
	pass(time.Second) // its owner is told
}

func wantBalance(t *testing.T, a Account, want int64) {
	t.Helper()
	if got, err := a.Deposit(t.Context(), 1); got != want || err != nil {
		t.Errorf("the balance is %d, %v, want %d", got, err, want)
	}
}

func TestAProxyFollowsItsNameToARestartedOwner(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		w.bind(owner, "a")
		plain, err := registry.Lookup[accountFuncs](t.Context(), w.caller, w.reg.URL("a"), nil)
		if err != nil {
			t.Fatal(err)
		}
		a := w.following(w.caller, "a")
		if _, err := plain.Deposit(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		wantBalance(t, a, 2)

		owner = w.Restart(owner, nil)
		w.bind(owner, "a")
		synctest.Wait() // the caller knows that the session is over
		_, err = plain.Deposit(t.Context(), 1)
		wantKind(t, err, rmi.KindStaleReference)
		wantBalance(t, a, 1)
		wantBalance(t, a, 2)
	})
}

func TestAProxyFollowsItsNameToAnotherOwner(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		b := w.bind(first, "a")
		a := w.following(w.caller, "a")
		wantBalance(t, a, 1)

		// What a proxy holds is exported, bound or not.
		pass(time.Second) // until the holder has registered
		b.Close()
		w.bind(second, "a")
		wantBalance(t, a, 2)

		// The object is not exported any more: NoSuchObject.
		w.release(a)
		wantBalance(t, a, 1)

		// The owner is gone, and another takes over while the call waits.
		second.Close()
		synctest.Wait()
		go func() { // ends before the bubble does
			pass(10 * time.Second)
			w.bind(first, "a")
		}()
		start := time.Now()
		wantBalance(t, a, 1)
		if d := time.Since(start); d < 10*time.Second || d > 13*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// A killed owner stays bound for a while; the registry restarts too.
func TestAProxyFollowsItsNameThroughTrouble(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		first, second := w.Node(), w.Node()
		w.bind(first, "a")
		a := w.following(w.caller, "a")
		wantBalance(t, a, 1)
		w.kill(first)
		w.Partition(first, w.caller)
		w.Cut(first, w.caller)
		go func() { // ends before the bubble does
			pass(5 * time.Second)
			w.restart()
			pass(5 * time.Second)
			w.bind(second, "a")
		}()
		synctest.Wait()
		wantBalance(t, a, 1)
	})
}

// An owner that comes back is called again, even if the registry cannot be reached.
func TestAProxyGoesBackToTheSameOwner(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		w.bind(owner, "a")
		a := w.following(w.caller, "a")
		wantBalance(t, a, 1)
		for _, n := range []*rmi.Node{owner, w.node} {
			w.Partition(n, w.caller)
			w.Cut(n, w.caller)
		}
		synctest.Wait()
		time.AfterFunc(15*time.Second, func() { w.Heal(owner, w.caller) }) // one dial has failed by then
		start := time.Now()
		wantBalance(t, a, 2)
		if d := time.Since(start); d > 25*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestFailoverGivesUpAtTheDeadline(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		w.bind(owner, "a")
		a := w.following(w.caller, "a")
		wantBalance(t, a, 1)
		owner.Close()
		synctest.Wait()

		start := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 7*time.Second)
		defer cancel()
		_, err := a.Deposit(ctx, 1)
		if d := time.Since(start); d != 7*time.Second {
			t.Errorf("it took %v", d)
		}
		wantKind(t, err, rmi.KindDeadline)
		if rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), w.reg.URL("a")) {
			t.Errorf("outcome %v: %v", rmi.OutcomeOf(err), err)
		}

		start = time.Now()
		_, err = a.Deposit(context.WithoutCancel(t.Context()), 1)
		if d := time.Since(start); d != 30*time.Second || rmi.KindOf(err) != rmi.KindDeadline {
			t.Errorf("without a deadline: %v after %v", err, d)
		}

		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err = a.Deposit(ctx, 1)
		wantKind(t, err, rmi.KindCancelled)
		if rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("outcome %v", rmi.OutcomeOf(err))
		}
	})
}

// slow answers when it is told to.
type slow struct{ entered, proceed chan struct{} }

func (s slow) Deposit(context.Context, int64) (int64, error) {
	s.entered <- struct{}{}
	<-s.proceed
	return 0, nil
}

func TestWhatMayHaveRunIsNotMadeAgain(t *testing.T) {
	for what, end := range map[string]func(w *town, owner *rmi.Node){
		"the owner is out of reach": func(w *town, owner *rmi.Node) { w.Partition(owner, w.caller) },
		"the owner ends":            func(w *town, owner *rmi.Node) { owner.Close() },
	} {
		t.Run(what, func(t *testing.T) {
			inTown(t, func(t *testing.T, w *town) {
				owner, next := w.Node(), w.Node()
				v := slow{make(chan struct{}), make(chan struct{})}
				if _, err := registry.Bind[Account](t.Context(), owner, w.reg.URL("a"), v, nil); err != nil {
					t.Fatal(err)
				}
				a := w.following(w.caller, "a")
				failed := make(chan error)
				go func() { // ends with the call
					_, err := a.Deposit(t.Context(), 1)
					failed <- err
				}()
				<-v.entered
				other := new(account)
				if _, err := registry.Rebind[Account](t.Context(), next, w.reg.URL("a"), other, nil); err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() { end(w, owner); close(ended) }()
				err := <-failed
				if rmi.OutcomeOf(err) != rmi.OutcomeUnknown || other.balance != 0 {
					t.Errorf("outcome %v: %v; the other's balance is %d", rmi.OutcomeOf(err), err, other.balance)
				}
				close(v.proceed)
				<-ended
			})
		})
	}
}

func TestANameThatIsBoundToAnotherInterfaceLater(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		b := w.bind(w.Node(), "a")
		a := w.following(w.caller, "a")
		w.release(a)
		b.Close()
		pass(time.Second) // the registry gives back what it was told
		_, err := registry.Bind[func(context.Context) error](t.Context(), w.Node(), w.reg.URL("a"), func(context.Context) error { return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Deposit(t.Context(), 1)
		wantKind(t, err, rmi.KindMismatch)
		if rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("outcome %v", rmi.OutcomeOf(err))
		}
		// It may be put right.
		if err := registry.Unbind(t.Context(), w.caller, w.reg.URL("a")); err != nil {
			t.Fatal(err)
		}
		w.bind(w.Node(), "a")
		wantBalance(t, a, 1)
	})
}

func TestCallsThatFailTogetherLookUpOnce(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		w.reg.Close()
		c := w.serveCounted()
		owner, next := w.Node(), w.Node()
		w.bind(owner, "a")
		a := w.following(w.caller, "a")
		owner.Close()
		w.bind(next, "a")
		synctest.Wait()
		w.Delay(w.caller, w.node, 100*time.Millisecond)
		before := c.called("Lookup")
		var calls sync.WaitGroup
		for range 100 {
			calls.Go(func() {
				if _, err := a.Deposit(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := c.called("Lookup") - before; n != 1 {
			t.Errorf("100 calls looked the name up %d times", n)
		}

		// While nobody is there, calls share the pauses too. The call that makes the look-up may
		// give up: the others go on.
		next.Close()
		synctest.Wait()
		before = c.called("Lookup")
		for i := range 100 {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*100*time.Millisecond)
				defer cancel()
				if _, err := a.Deposit(ctx, 1); rmi.KindOf(err) != rmi.KindDeadline {
					t.Error(err)
				}
			})
		}
		calls.Wait()
		if n := c.called("Lookup") - before; n < 5 || n > 30 {
			t.Errorf("in 10 s the name was looked up %d times", n)
		}
	})
}

// A following proxy is a proxy: it travels by reference, as an interface, a struct of funcs, and a
// func. It also stands for the object in its owner's process.
func TestAFollowingProxyIsAProxy(t *testing.T) {
	inTown(t, func(t *testing.T, w *town) {
		owner := w.Node()
		b := w.bind(owner, "a")
		a, err := registry.Lookup[Account](t.Context(), w.caller, w.reg.URL("a"), &registry.LookupOptions{Failover: true})
		if err != nil {
			t.Fatal(err)
		}
		again, err := registry.Lookup[Account](t.Context(), w.caller, w.reg.URL("a"), &registry.LookupOptions{Failover: true})
		if err != nil {
			t.Fatal(err)
		}
		if a == again {
			t.Error("two following proxies are one")
		}
		if r, ok := rmi.RefOf(a); !ok || r.ID != b.Ref().ID {
			t.Errorf("its reference is %v", r)
		}
		if n, err := a.Deposit(t.Context(), 1); n != 1 || err != nil {
			t.Error(n, err)
		}
		own, err := registry.Lookup[Account](t.Context(), owner, w.reg.URL("a"), &registry.LookupOptions{Failover: true})
		if err != nil {
			t.Fatal(err)
		}
		if n, err := own.Deposit(t.Context(), 1); n != 2 || err != nil {
			t.Error(n, err)
		}

		type double = func(ctx context.Context, n int) (int, error)
		d, err := registry.Bind[double](t.Context(), owner, w.reg.URL("double"), func(_ context.Context, n int) (int, error) { return 2 * n, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		f, err := registry.Lookup[double](t.Context(), w.caller, w.reg.URL("double"), &registry.LookupOptions{Failover: true})
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := rmi.RefOf(f); !ok || r.ID != d.Ref().ID {
			t.Errorf("the func's reference is %v, %v", r, ok)
		}
		if n, err := f(t.Context(), 21); n != 42 || err != nil {
			t.Error(n, err)
		}
	})
}
