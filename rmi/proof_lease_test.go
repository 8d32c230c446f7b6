package rmi_test

import (
	"context"
	"errors"
	"gormi/rmi/transport"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/rmitest"
)

// lease is how long a session outlives its connection, by default.
const lease = time.Minute

// A session whose connection is lost holds for a minute: within, what was in
// flight is executed once and completes; past it, its outcome is unknown.
func TestProofSessionsOutliveConnectionsForAMinute(t *testing.T) {
	for _, c := range []struct {
		name   string
		cut    bool          // the connection is reset when the partition begins; else nobody is told
		away   time.Duration // until the partition heals
		runs   time.Duration // of the method, from the partition on
		resume bool
	}{
		{"59 s, answered before", true, 59 * time.Second, 0, true},
		{"59 s, answered meanwhile", true, 59 * time.Second, 30 * time.Second, true},
		{"59 s, answered afterwards", true, 59 * time.Second, 90 * time.Second, true},
		{"59 s, without a reset", false, 59 * time.Second, 30 * time.Second, true},
		{"10 s, without a reset", false, 10 * time.Second, 30 * time.Second, true},
		{"61 s, answered before", true, 61 * time.Second, 0, false},
		{"61 s, answered meanwhile", true, 61 * time.Second, 30 * time.Second, false},
		{"61 s, still running", true, 61 * time.Second, 5 * time.Minute, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := rmitest.New(t)
				owner, caller := network.Node(), network.Client()
				var ran ledger
				var told tally
				release, ended := make(chan struct{}), make(chan error, 1)
				w := hire(t, owner, caller, &worker{do: func(ctx context.Context, id int64) (int64, error) {
					ran.enter(id)
					if id > 1 {
						return id, nil
					}
					<-release
					err := work(ctx, c.runs)
					ended <- err
					return id, err
				}})
				ctx := duration(t, time.Hour)
				if _, err := w.Sum(ctx, 1); err != nil {
					t.Fatal(err)
				}
				var calls sync.WaitGroup
				call := func(id int64) {
					calls.Go(func() {
						n, err := w.Do(ctx, id)
						if err == nil && n != id {
							t.Errorf("call %d returned %d", id, n)
						}
						told.note(id, err)
					})
				}
				call(1)
				synctest.Wait() // it runs
				network.Partition(owner, caller)
				if c.cut {
					network.Cut(owner, caller)
				}
				close(release)
				time.Sleep(time.Second)
				call(2) // this one has to wait for the next connection
				time.Sleep(c.away - time.Second)
				network.Heal(owner, caller)
				start := time.Now()
				calls.Wait()
				figure(t, "%v; the last is answered %v after the partition's end", told.counts(), time.Since(start))
				told.check(t, &ran)
				if c.resume {
					told.allOK(t)
					if err := <-ended; err != nil {
						t.Errorf("the method's context ended: %v", err)
					}
					if n := caller.Stats().Resumes; c.cut && n == 0 {
						t.Error("no resume happened")
					}
				} else {
					if err := told.failed[1]; err == nil || rmi.OutcomeOf(err) != rmi.OutcomeUnknown {
						t.Errorf("what was in flight: %v, want an unknown outcome", err)
					}
					if err := <-ended; (c.runs > lease) != errors.Is(err, context.Canceled) {
						t.Errorf("the method's context ended with %v", err)
					}
					if n := caller.Stats().Resumes; n != 0 {
						t.Errorf("%d resumes", n)
					}
				}
				if n, err := w.Do(ctx, 3); n != 3 || err != nil { // the object is there all the same
					t.Errorf("afterwards: %d, %v", n, err)
				}
				time.Sleep(2 * lease)
				if a, b := owner.Stats(), caller.Stats(); a.Sessions != 1 || b.Sessions != 1 || a.Detached+b.Detached != 0 {
					t.Errorf("sessions %d and %d, want one; of them %d and %d without a connection", a.Sessions, b.Sessions, a.Detached, b.Detached)
				}
			})
		})
	}
}

// closedRoad is a network on which dials can be made to fail, and are counted.
type closedRoad struct {
	transport.Network
	mu     sync.Mutex
	closed bool
	dials  []time.Time // while it is closed
}

func (r *closedRoad) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	r.mu.Lock()
	closed := r.closed
	if closed {
		r.dials = append(r.dials, time.Now())
	}
	tooMany := len(r.dials) > 10_000
	r.mu.Unlock()
	if tooMany {
		<-ctx.Done() // or virtual time would never go on
	}
	if closed {
		return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
	}
	return r.Network.DialContext(ctx, network, address)
}

func (r *closedRoad) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// Whoever lost a connection dials again, less and less often, and stops when
// the session is over.
func TestProofBackoffEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		road := &closedRoad{Network: network.Host("caller")}
		owner := listening(t, "owner:0", &rmi.Options{Network: network.Host("owner")})
		caller := quiet(t, &rmi.Options{Network: road, RefusalsPass: true})
		ended := make(chan error, 1)
		w := hire(t, owner, caller, &worker{do: block(ended)})
		ctx := duration(t, time.Hour)
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(ctx, 1)
			result <- err
		}()
		synctest.Wait()
		start := time.Now()
		road.close()
		network.Cut("owner", "caller")
		err := <-result
		over := time.Since(start)
		if rmi.OutcomeOf(err) != rmi.OutcomeUnknown {
			t.Errorf("what was in flight: %v", err)
		}
		if over < lease-time.Second || over > lease+time.Second {
			t.Errorf("it failed after %v", over)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the method saw %v", err)
		}
		if d := time.Since(start); d < lease-time.Second || d > lease+time.Second {
			t.Errorf("the method's context ended after %v", d)
		}
		time.Sleep(10 * time.Minute)
		road.mu.Lock()
		defer road.mu.Unlock()
		figure(t, "%d dials in %v", len(road.dials), over)
		if n := len(road.dials); n < 3 || n > 1000 {
			t.Errorf("%d dials", n)
			return
		}
		if last := road.dials[len(road.dials)-1].Sub(start); last > lease+time.Second {
			t.Errorf("it still dialled after %v", last)
		}
		var gaps []time.Duration
		for i := range road.dials[1:] {
			gaps = append(gaps, road.dials[i+1].Sub(road.dials[i]))
		}
		if gaps[0] >= slices.Max(gaps[len(gaps)/2:]) {
			t.Errorf("the gaps do not grow: %v", gaps)
		}
		if a, b := owner.Stats(), caller.Stats(); a.Sessions+b.Sessions != 0 {
			t.Errorf("%d and %d sessions are left", a.Sessions, b.Sessions)
		}
	})
}
