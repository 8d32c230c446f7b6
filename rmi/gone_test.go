package rmi_test

import (
	"context"
	"gormi/refs"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// closed reports whether c is closed, when all that can happen now has.
func closed(c <-chan struct{}) bool {
	synctest.Wait()
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// watching counts the goroutines that watch nodes.
func watching() int {
	b := make([]byte, 1<<20)
	return strings.Count(string(b[:runtime.Stack(b, true)]), "rmi.(*Node).watchFor(")
}

// goneAfter waits for the channel, and returns how long that took.
func goneAfter(t *testing.T, c <-chan struct{}) time.Duration {
	t.Helper()
	start := time.Now()
	select {
	case <-c:
	case <-time.After(time.Hour):
		t.Fatal("it is not closed after an hour")
	}
	return time.Since(start)
}

// How soon an owner's end is known, by the way it comes.
func TestGone(t *testing.T) {
	const short = 10 * time.Second // lease
	for _, c := range []struct {
		name  string
		end   func(network *rmitest.Network, owner, caller *rmi.Node)
		least time.Duration
		most  time.Duration
	}{
		{"closed", func(_ *rmitest.Network, owner, _ *rmi.Node) { owner.Close() }, 0, 0},
		{"shut down and closed", func(_ *rmitest.Network, owner, _ *rmi.Node) {
			_ = owner.Shutdown(context.Background())
			owner.Close()
		}, 0, 0},
		{"the caller's node is closed", func(_ *rmitest.Network, _, caller *rmi.Node) { caller.Close() }, 0, 0},
		{"restarted", func(network *rmitest.Network, owner, _ *rmi.Node) { network.Restart(owner, nil) }, 0, 0},
		{"killed and restarted", func(network *rmitest.Network, owner, caller *rmi.Node) {
			network.Partition(owner, caller) // nobody says goodbye
			network.Cut(owner, caller)
			network.Restart(owner, nil)
			network.Heal(owner, caller)
		}, 0, time.Second},
		{"killed", func(network *rmitest.Network, owner, caller *rmi.Node) {
			network.Partition(owner, caller)
			network.Cut(owner, caller)
			owner.Close()
			network.Heal(owner, caller)
		}, 0, time.Second},
		{"killed with its machine", func(network *rmitest.Network, owner, caller *rmi.Node) {
			network.Partition(owner, caller)
			network.Cut(owner, caller)
		}, short, short + 1250*time.Millisecond}, // a lease is counted in ticks of 250 ms
		{"without a trace", func(network *rmitest.Network, owner, caller *rmi.Node) { // noticed after 15 s without a byte
			network.Partition(owner, caller)
		}, short + 10*time.Second, short + 16250*time.Millisecond},
	} {
		for _, called := range []bool{true, false} {
			name := c.name
			if !called {
				name += ", never called"
			}
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := rmitest.New(t)
					o := &rmi.Options{SessionLease: short}
					owner, caller := network.NodeWith(o), network.ClientWith(o)
					w := hire(t, owner, caller, &worker{})
					if called {
						if _, err := w.Do(t.Context(), 1); err != nil {
							t.Fatal(err)
						}
					}
					gone := goneOf(t, w)
					time.Sleep(time.Minute)
					if closed(gone) {
						t.Fatal("it is closed before the end")
					}
					c.end(network, owner, caller)
					d := goneAfter(t, gone)
					if d < c.least || d > c.most {
						t.Errorf("it took %v, want %v to %v", d, c.least, c.most)
					}
					if n := watching(); n != 0 {
						t.Errorf("%d watches are left", n)
					}
				})
			})
		}
	}
}

// Connections that are lost and made again close nothing.
func TestACutIsNotTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		w := hire(t, owner, caller, &worker{})
		gone := goneOf(t, w)
		for i := range int64(100) {
			network.Cut(owner, caller)
			if i%10 == 0 { // almost too long
				network.Partition(owner, caller)
				time.Sleep(lease - 10*time.Second)
				network.Heal(owner, caller)
			}
			if n, err := w.Do(t.Context(), i); n != i || err != nil {
				t.Fatalf("got %d, %v", n, err)
			}
			if closed(gone) {
				t.Fatalf("it is closed after %d cuts", i+1)
			}
		}
		if n := caller.Stats().Resumes; n < 99 { // the first cut may come before there is a session
			t.Errorf("%d resumes", n)
		}
		time.Sleep(time.Hour)
		if closed(gone) || goneOf(t, w) != gone {
			t.Error("an idle hour ended it")
		}
		owner.Close()
		if !closed(gone) {
			t.Error("the end closes nothing")
		}
	})
}

// An owner that is called through a relay.
func TestGoneBehindARelay(t *testing.T) {
	const short = 8 * time.Second // lease
	for _, c := range []struct {
		name string
		end  func(network *rmitest.Network, middle, owner, third *rmi.Node)
		most time.Duration
	}{
		{"closed", func(_ *rmitest.Network, _, owner, _ *rmi.Node) { owner.Close() }, short / 4},
		{"killed", func(network *rmitest.Network, middle, owner, _ *rmi.Node) {
			network.Partition(middle, owner)
			network.Cut(middle, owner)
		}, short + short/4 + time.Second},
		{"the relay is closed", func(_ *rmitest.Network, middle, _, _ *rmi.Node) { middle.Close() }, short / 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				o := &rmi.Options{SessionLease: short}
				middle, owner, third := network.NodeWith(o), network.ClientWith(o), network.ClientWith(o)
				r := export[Worker](t, middle, meetingPoint(), nil)
				ctx := within(t)
				if _, err := resolve[Worker](t, owner, r).Meet(ctx, &worker{}); err != nil {
					t.Fatal(err)
				}
				w, err := resolve[Worker](t, third, r).Meet(ctx, nil)
				if err != nil {
					t.Fatal(err)
				}
				gone := goneOf(t, w)
				for range 10 {
					time.Sleep(time.Minute)
					network.Cut(middle, third)
					network.Cut(middle, owner)
					if closed(gone) {
						t.Fatal("it is closed before the end")
					}
				}
				if n, err := w.Do(t.Context(), 7); n != 7 || err != nil {
					t.Fatalf("through the relay: %d, %v", n, err)
				}
				c.end(network, middle, owner, third)
				if d := goneAfter(t, gone); d > c.most {
					t.Errorf("it took %v, want at most %v", d, c.most)
				}
				runtime.KeepAlive(w)
			})
		})
	}
}

// All that is known of a node is watched once.
func TestManyProxiesAreOneWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, other, caller := network.Node(), network.Node(), network.Client()
		first := goneOf(t, hire(t, owner, caller, &worker{}))
		for range 1000 {
			if goneOf(t, hire(t, owner, caller, &worker{})) != first {
				t.Fatal("another channel for the same node")
			}
		}
		second := goneOf(t, hire(t, other, caller, &worker{}))
		synctest.Wait()
		if n := watching(); n != 2 {
			t.Errorf("%d watches of 2 nodes", n)
		}
		owner.Close()
		if !closed(first) || closed(second) {
			t.Error("one node's end is not its own")
		}
		if n := watching(); n != 1 {
			t.Errorf("%d watches of a node", n)
		}
		caller.Close()
		if !closed(second) {
			t.Error("the end of the proxy's node closes nothing")
		}
		w := hire(t, other, caller, &worker{})
		if !closed(goneOf(t, w)) {
			t.Error("a closed node has hope")
		}
	})
}

// A node that came back is watched anew, and one that was never there is gone
// when the lease is over.
func TestGoneAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.ClientWith(&rmi.Options{SessionLease: 10 * time.Second})
		export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Number: 7})
		w := resolve[Worker](t, caller, refs.WellKnown(owner.Endpoint(), 7)) // whoever is there
		if n, err := w.Do(t.Context(), 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		gone := goneOf(t, w)
		synctest.Wait() // the watch has begun, so it sees the end
		owner.Close()
		if !closed(gone) {
			t.Fatal("the end closes nothing")
		}
		gone = goneOf(t, w)
		if d := goneAfter(t, gone); d < 10*time.Second || d > 11*time.Second {
			t.Errorf("an absent node is given up after %v", d)
		}
		gone = goneOf(t, w)
		time.Sleep(5 * time.Second)
		network.Restart(owner, nil)
		time.Sleep(time.Minute)
		if closed(gone) {
			t.Error("a node that came in time is given up")
		}
	})
}

// Objects of the process, and what is no proxy, do not go.
func TestOfWhatIsNoProxyGoneTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner := network.Node()
		v := &worker{}
		r := export[Worker](t, owner, v, nil)
		for name, x := range map[string]any{
			"an object": v, "an object resolved at home": resolve[Worker](t, owner, r), "nil": nil, "a number": 3, "a func": func() {},
		} {
			if gone, err := rmi.Gone(x); gone != nil || rmi.KindOf(err) != rmi.KindInvalid {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := watching(); n != 0 {
			t.Errorf("%d watches", n)
		}
	})
}

// A call waits for an owner that turns out to be dead. It did not run, and goes to no other node,
// unless the object is well-known and any owner will do.
func TestACallThatWaitsForADeadOwnerIsTold(t *testing.T) {
	for _, wellKnown := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := rmitest.New(t)
			owner, caller := network.Node(), network.Client()
			r := export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Number: 7})
			want := rmi.KindPeerGone
			if wellKnown {
				r, want = refs.WellKnown(owner.Endpoint(), 7), rmi.KindConnectFailed
			}
			w := resolve[Worker](t, caller, r)
			if _, err := w.Do(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			network.Partition(owner, caller)
			network.Cut(owner, caller)
			synctest.Wait() // it was noticed
			result := make(chan error, 1)
			go func() { _, err := w.Do(t.Context(), 2); result <- err }()
			synctest.Wait()
			owner.Close()
			start := time.Now()
			network.Heal(owner, caller)
			expect{want, rmi.OutcomeNotExecuted, nil}.check(t, <-result)
			if d := time.Since(start); d > time.Second {
				t.Errorf("it took %v", d)
			}
		})
	}
}

// goneOf is Gone of a proxy.
func goneOf(t *testing.T, p any) <-chan struct{} {
	t.Helper()
	gone, err := rmi.Gone(p)
	if err != nil {
		t.Fatal(err)
	}
	return gone
}
