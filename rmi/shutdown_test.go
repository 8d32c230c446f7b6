package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/internal/chaos"
	"gormi/rmi/internal/lossy"
	"gormi/rmi/rmitest"
	"gormi/rmi/transport/datagram"
)

// unixSockets is a chaos.Network of unix sockets.
type unixSockets struct{}

func (unixSockets) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "unix", address)
}

func (unixSockets) Listen(ctx context.Context, _, address string) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "unix", address)
}

// overSlowLinks runs a test with an owner and a caller whose connection takes so many
// bytes a second; ref makes a reference that leads over it. Datagrams are so slow that
// they get a tenth of the bytes.
func overSlowLinks(t *testing.T, rate int64, drain time.Duration, test func(t *testing.T, owner, caller *rmi.Node, ref func(refs.Ref) refs.Ref, tenth int)) {
	over := func(t *testing.T, network chaos.Network, near, at string) {
		f, err := chaos.Listen(network, near)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(f.Close)
		owner := quiet(t, &rmi.Options{Drain: drain})
		if _, err := owner.Listen(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		f.To(strings.TrimPrefix(owner.Endpoint().String(), "unix:"))
		f.Slow(rate)
		ep, err := refs.ParseEndpoint(f.Addr())
		if err != nil {
			t.Fatal(err)
		}
		test(t, owner, quiet(t, new(rmi.Options)), func(r refs.Ref) refs.Ref { r.Endpoint = ep; return r }, 1)
	}
	t.Run("TCP", func(t *testing.T) { over(t, chaos.TCP{}, "127.0.0.1:0", "127.0.0.1:0") })
	t.Run("unix sockets", func(t *testing.T) {
		dir := t.TempDir()
		over(t, unixSockets{}, filepath.Join(dir, "near"), filepath.Join(dir, "far"))
	})
	t.Run("datagrams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			link := lossy.Options{Loss: 0.02, Delay: 20 * time.Millisecond}
			d := &datagrams{t: t, packets: lossy.New(link), usual: link}
			owner := d.NodeWith(&rmi.Options{Drain: drain, Network: datagram.Network{Packets: d}})
			test(t, owner, d.Client(), func(r refs.Ref) refs.Ref { return r }, 10)
		})
	})
}

func TestRunWaitsForLargeRepliesOnASlowLink(t *testing.T) {
	overSlowLinks(t, 8<<20, 20*time.Second, func(t *testing.T, owner, caller *rmi.Node, ref func(refs.Ref) refs.Ref, tenth int) {
		calls, size := 32, 400_000/tenth
		var made sync.WaitGroup
		made.Add(calls)
		w := resolve[Worker](t, caller, ref(export[Worker](t, owner, &worker{bytes: func(context.Context, []byte) ([]byte, error) {
			made.Done()
			return make([]byte, size), nil
		}}, nil)))
		results := make(chan error, calls)
		for range calls {
			go func() {
				b, err := w.Bytes(within(t), nil)
				if err == nil && len(b) != size {
					err = fmt.Errorf("%d bytes", len(b))
				}
				results <- err
			}()
		}
		made.Wait() // all methods have run, and next to nothing has arrived
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := owner.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		for range calls {
			if err := <-results; err != nil {
				t.Errorf("a call whose method returned: %v", err)
			}
		}
	})
}

func TestRunServesCallsWhoseArgumentsArrive(t *testing.T) {
	overSlowLinks(t, 8<<20, 20*time.Second, func(t *testing.T, owner, caller *rmi.Node, ref func(refs.Ref) refs.Ref, tenth int) {
		const calls = 32
		first, once := make(chan struct{}), sync.Once{}
		var ran atomic.Int64
		w := resolve[Worker](t, caller, ref(export[Worker](t, owner, &worker{bytes: func(context.Context, []byte) ([]byte, error) {
			ran.Add(1)
			once.Do(func() { close(first) })
			return nil, nil
		}}, nil)))
		results := make(chan error, calls)
		for range calls {
			go func() {
				_, err := w.Bytes(within(t), make([]byte, 400_000/tenth))
				results <- err
			}()
		}
		<-first // the payloads go in turn: of the others much is here
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := owner.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
		good := int64(0)
		for range calls {
			switch err := <-results; {
			case err == nil:
				good++
			case rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || rmi.KindOf(err) != rmi.KindPeerGone:
				t.Errorf("a call under way: %v", err)
			}
		}
		if good != ran.Load() || good < 2 {
			t.Errorf("%d calls ran, %d returned", ran.Load(), good)
		}
	})
}

// What does not fit into Options.Drain is given up: Run tells how much, and the
// callers hear of it long before the session's lease is over.
func TestRunTellsWhatItGaveUp(t *testing.T) {
	overSlowLinks(t, 1<<20, 2*time.Second, func(t *testing.T, owner, caller *rmi.Node, ref func(refs.Ref) refs.Ref, tenth int) {
		const calls = 16
		var made sync.WaitGroup
		made.Add(calls + 1)
		w := resolve[Worker](t, caller, ref(export[Worker](t, owner, &worker{
			bytes: func(context.Context, []byte) ([]byte, error) {
				made.Done()
				return make([]byte, 2_000_000/tenth), nil
			},
			do: func(ctx context.Context, n int64) (int64, error) {
				made.Done()
				<-ctx.Done()
				return n, ctx.Err()
			},
		}, nil)))
		results := make(chan error, calls+1)
		for range calls {
			go func() {
				_, err := w.Bytes(within(t), nil)
				results <- err
			}()
		}
		go func() {
			_, err := w.Do(within(t), 1)
			results <- err
		}()
		made.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := owner.Run(ctx)
		if rmi.KindOf(err) != rmi.KindDeadline || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Run returned %v", err)
		}
		for _, part := range []string{"shutdown", "being served", "rmi_test.Worker.Do", "may not have arrived"} {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not tell %q", err, part)
			}
		}
		begun := time.Now()
		for range calls + 1 {
			if err := <-results; err != nil && (rmi.KindOf(err) != rmi.KindPeerGone || rmi.OutcomeOf(err) != rmi.OutcomeUnknown) {
				t.Errorf("a call that was given up: %v", err)
			}
		}
		if d := time.Since(begun); d > 30*time.Second {
			t.Errorf("the last caller heard of it after %v", d)
		}
	})
}

// A caller whose connection is cut while its peer shuts down comes back, and has its
// reply; new peers are not let in.
func TestShutdownWaitsForConnectionsThatAreMadeAgain(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.Node(), network.Client()
		release, running := make(chan struct{}), make(chan struct{})
		w := hire(t, owner, caller, &worker{do: func(_ context.Context, n int64) (int64, error) {
			close(running)
			<-release
			return n, nil
		}})
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 1)
			result <- err
		}()
		<-running
		down := make(chan error, 1)
		go func() { down <- owner.Shutdown(within(t)) }()
		synctest.Wait()
		network.Cut(owner, caller)
		close(release)
		if err := <-result; err != nil {
			t.Errorf("the call in flight: %v", err)
		}
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownInsideAMethodDoesNotWaitForIt(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.Node(), network.Client()
		other := make(chan struct{})
		running := make(chan struct{})
		down := make(chan error, 1)
		v := &worker{do: func(ctx context.Context, n int64) (int64, error) {
			if n == 2 { // of another chain: this one is waited for
				close(running)
				<-other
				return n, nil
			}
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
			defer cancel()
			go func() {
				synctest.Wait()
				close(other)
			}()
			down <- owner.Shutdown(ctx)
			return n, nil
		}}
		// The method is called by a call of the same chain, on another session and back.
		w := hire(t, owner, caller, v)
		result := make(chan error, 2)
		go func() {
			_, err := w.Do(within(t), 2)
			result <- err
		}()
		<-running
		begun := time.Now()
		go func() {
			_, err := w.Apply(within(t), func(ctx context.Context, n int64) (int64, error) { return w.Do(ctx, n) }, 1)
			result <- err
		}()
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		for range 2 {
			if err := <-result; err != nil {
				t.Errorf("a call: %v", err)
			}
		}
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

func TestShutdownWaitsForTheNodesOwnCallsAndNamesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		ended := make(chan error, 1)
		w := hire(t, owner, caller, &worker{do: block(ended)})
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 1)
			result <- err
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := caller.Shutdown(ctx)
		want := "1 call of this node is not answered (rmi_test.Worker.Do at node " + owner.ID().Short() + ")"
		if rmi.KindOf(err) != rmi.KindDeadline || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
		caller.Close()
		expect{rmi.KindClosed, rmi.OutcomeUnknown, nil}.check(t, <-result)
	})
}

// Whoever closes a node while it shuts down cuts off what that waits for, and the shutdown says so.
func TestShutdownTellsWhatCloseCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		ended := make(chan error, 1)
		w := hire(t, owner, caller, &worker{do: block(ended)})
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 1)
			result <- err
		}()
		synctest.Wait()
		shut := make(chan error, 1)
		go func() { shut <- owner.Shutdown(within(t)) }()
		synctest.Wait()
		owner.Close()
		err := <-shut
		const want = "gave up what was in flight: 1 call is being served (rmi_test.Worker.Do)"
		if rmi.KindOf(err) != rmi.KindClosed || !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say %q", err, want)
		}
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, <-result)

		// A node that has nothing to do is shut down without an error, whenever it is closed.
		idle := network.Node()
		go func() { shut <- idle.Shutdown(within(t)) }()
		idle.Close()
		if err := <-shut; err != nil {
			t.Error(err)
		}
	})
}

// One-way calls are over for their callers; a node that closes at once may take them along.
func TestShutdownWaitsForOneWayCalls(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.Node(), network.Client()
		release, ended := make(chan struct{}), make(chan error, 1)
		w := staff(t, owner, caller, &desk{note: func(ctx context.Context, n int64) error {
			<-release
			ended <- ctx.Err()
			return nil
		}}, oneWay)
		if err := w.Note(within(t), 1); err != nil {
			t.Fatal(err)
		}
		down := make(chan error, 1)
		go func() { down <- caller.Shutdown(within(t)) }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-down:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
		close(release)
		if err := <-down; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("the method saw %v", err)
		}
	})
}

// A peer that stands still delays Shutdown only if it got its last reply just before: then until
// the time is over. If it had its replies long ago, it delays nobody.
func TestAPeerThatStandsStillIsWaitedForOnlyForItsReplies(t *testing.T) {
	for name, c := range map[string]struct {
		idle time.Duration
		ok   bool
	}{"idle": {10 * time.Second, true}, "in use": {0, false}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, caller := network.Node(), network.Client()
				w := hire(t, owner, caller, &worker{})
				if _, err := w.Do(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.idle)
				network.Partition(owner, caller)
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				defer cancel()
				begun := time.Now()
				err := owner.Shutdown(ctx)
				d := time.Since(begun)
				if c.ok && (err != nil || d > 3*time.Second) {
					t.Errorf("%v after %v", err, d)
				}
				if !c.ok && (err == nil || !strings.Contains(err.Error(), "1 reply may not have arrived")) {
					t.Errorf("got %v after %v", err, d)
				}
			})
		})
	}
}
