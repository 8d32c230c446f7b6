package rmi

import (
	"context"
	"sync"
	"time"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/backoff"
	"gormi/rmi/fault"
)

// refreshTimeout is the longest that one refresh of a following proxy takes.
const refreshTimeout = 5 * time.Second

// searches are the pauses after each refresh of a following proxy in a row.
var searches = backoff.Policy{Min: 50 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5}

// ResolveWith is Resolve for an object that may be replaced by another. When the object that the
// proxy stood for is gone, the proxy calls refresh to learn where to send its calls. The proxy
// equals no other, even if the object is n's. It holds another node's object, as every proxy does.
// It does not hold one of n's: a Handle or a binding has to.
//
// The proxy calls refresh in two cases: when a call was NotExecuted and the kind of its error is
// StaleReference, NoSuchObject, PeerGone or ConnectFailed; and when a call would have to wait for a
// connection that was lost. Then the call is retried. This goes on until its deadline, with pauses
// of up to 2 s while refresh leads to the same object.
//
// Only one call of refresh runs at a time, for all calls that wait, and it gets 5 s. If its error
// is of one of the kinds above, or NotBound, Overloaded or Deadline, refresh is called again
// later. Any other error becomes the call's error. A call that runs out of time meanwhile fails
// with Deadline (or Cancelled) and NotExecuted.
func ResolveWith[T any](n *Node, r refs.Ref, d *Description, refresh func(ctx context.Context, failed refs.Ref, cause error) (refs.Ref, error)) (T, error) {
	var zero T
	i, err := fitting[T](n, r, d)
	if err != nil {
		return zero, err
	}
	target, err := n.proxies.Get(r, i, (*proxyCaller)(n))
	if err != nil {
		return zero, err
	}
	n.leases.table.Taken(r.ID)
	f := &following{node: n, find: refresh}
	if f.core, err = n.proxies.Follow(target, f.refresh); err != nil {
		return zero, err
	}
	return f.core.Value().Interface().(T), nil
}

// errDetached is why a following proxy does not use a session that has no connection. Other proxies
// wait for the connection.
var errDetached = fault.New(KindPeerGone, OutcomeNotExecuted, "the connection with the owner is lost")

// ownerGone reports whether a call that failed with err may be retried at another object. unknown
// says that the method may run twice.
func ownerGone(err error, unknown bool) bool {
	if OutcomeOf(err) != OutcomeNotExecuted && !unknown {
		return false
	}
	switch KindOf(err) {
	case KindStaleReference, KindNoSuchObject, KindPeerGone, KindConnectFailed:
		return true
	}
	return false
}

// following is the state of a following proxy. All its calls share one look-up.
type following struct {
	node *Node
	core *proxy.Core
	find proxy.RefreshFunc

	mu     sync.Mutex // guards the fields below
	search *search    // under way; nil if none is
	tries  int        // searches in a row
	next   time.Time  // before which no search begins
	last   error      // what the last call of find said
}

// search is one call of find, and the pause before it.
type search struct {
	done chan struct{}
	// Written before done is closed, read after.
	over bool  // find answered; false if the context of the call that made the search ended
	err  error // why no search will help
}

// refresh implements proxy.RefreshFunc. It returns nil when the call should be retried.
func (f *following) refresh(ctx context.Context, failed refs.Ref, cause error) (refs.Ref, error) {
	for {
		f.mu.Lock()
		if now := f.core.Ref(); now.ID != failed.ID {
			f.mu.Unlock()
			return now, nil // another call was led on
		}
		s := f.search
		if s == nil {
			s = &search{done: make(chan struct{})}
			f.search = s
			wait := f.begin()
			f.mu.Unlock()
			f.run(ctx, s, wait, failed, cause)
		} else {
			f.mu.Unlock()
			select {
			case <-s.done:
			case <-ctx.Done():
			}
		}
		if err := ctx.Err(); err != nil {
			return failed, f.gaveUp(err, cause)
		}
		if s.over {
			return f.core.Ref(), s.err
		}
	}
}

// begin returns how long to wait before a search. mu is held.
func (f *following) begin() time.Duration {
	wait := time.Until(f.next)
	if wait < -searches.Max { // the last trouble is over
		f.tries = 0
	}
	f.tries++
	return max(wait, 0)
}

// run makes a search and ends it.
func (f *following) run(ctx context.Context, s *search, wait time.Duration, failed refs.Ref, cause error) {
	asked, lookup := false, error(nil)
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.search = nil
		if asked {
			f.last = lookup
			f.next = time.Now().Add(searches.Delay(f.tries))
		}
		close(s.done)
	}()
	if !backoff.Sleep(ctx, wait) {
		return
	}
	// Bounded, because the owner may be back before the registry is.
	finding, cancel := context.WithTimeout(ctx, refreshTimeout)
	now, err := f.find(finding, failed, cause)
	cancel()
	if ctx.Err() != nil && err != nil {
		return // of this call; the others search themselves
	}
	asked, lookup, s.over = true, err, true
	if err == nil {
		var target *proxy.Core
		if target, err = f.node.proxies.Get(now, f.core.Interface, (*proxyCaller)(f.node)); err == nil {
			f.core.Retarget(target)
			f.node.leases.table.Taken(now.ID)
		}
	}
	if err != nil && !temporary(err) {
		s.err = fault.Add(err, fault.OutcomeNotExecuted)
	}
}

// temporary reports whether another look-up may succeed after one that failed with err.
func temporary(err error) bool {
	switch KindOf(err) {
	case KindNotBound, KindConnectFailed, KindPeerGone, KindNoSuchObject, KindStaleReference, KindOverloaded, KindDeadline:
		return true
	}
	return false
}

// gaveUp is the error of a call whose context ended before the object was found.
func (f *following) gaveUp(why, cause error) error {
	kind := fault.ContextKind(why)
	f.mu.Lock()
	last := f.last
	f.mu.Unlock()
	if last != nil {
		return fault.New(kind, OutcomeNotExecuted, "no object was found in the place of the one that is gone: %w; the last look-up: %v", cause, last)
	}
	return fault.New(kind, OutcomeNotExecuted, "the look-up led to no other object than the one that cannot be reached: %w", cause)
}
