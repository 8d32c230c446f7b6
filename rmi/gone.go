package rmi

import (
	"context"
	"runtime"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi/backoff"
)

// Gone returns a channel that is closed when the node behind a proxy is gone for good. That is when
// the node was closed or killed, or could not be reached for the session lease
// (Options.SessionLease); in the last case at most a second after the lease. If this node had
// dialled the other one, it learns within a fraction of a second that the other was killed, because
// the address refuses connections. If the other node had dialled this one, it learns that only when
// the lease is over. A connection that is lost and made again closes nothing. When the proxy's own
// node is closed, the channel is closed too.
//
// From the first call of Gone on, the node has a session with the other one: it dials now if
// there is none. If the owner is called through a relay, the node asks the relay every few
// seconds. All proxies of a node's objects share a channel. v may be of the forms that RefOf takes.
// If it is no proxy, Gone returns an error of kind Invalid.
func Gone(v any) (<-chan struct{}, error) {
	c, n, err := coreOf("gone", v)
	if err != nil {
		return nil, err
	}
	defer runtime.KeepAlive(c) // until the watch holds
	return n.watch(c.Ref()), nil
}

// watched is what a watch looks at: a node, or for a well-known object its address.
type watched struct {
	node refs.NodeID
	at   refs.Endpoint
}

// goneWait bounds the last attempt to reach a node whose session ended.
const goneWait = time.Second

// contacts are the pauses between attempts at the first contact with a node that is watched.
var contacts = backoff.Policy{Min: 50 * time.Millisecond, Max: 2 * time.Second}

// watch returns the channel for the owner of r, whose watch is started if there is none.
func (n *Node) watch(r refs.Ref) <-chan struct{} {
	key := watched{node: r.ID.Node}
	if key.node.IsZero() {
		key.at = r.Endpoint
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if w, ok := n.watches[key]; ok {
		return w
	}
	gone := make(chan struct{})
	if n.watches == nil {
		n.watches = make(map[watched]chan struct{})
	}
	n.watches[key] = gone
	if n.ctx.Err() != nil {
		close(gone)
		return gone
	}
	// A relay answers only for what somebody holds, and the program may drop the proxy.
	n.leases.Pin(r)
	unpin := sync.OnceFunc(func() { n.leases.Unpin(r.ID) })
	n.watchers.Go(func() {
		n.watchFor(r, unpin)
		unpin()
		n.mu.Lock()
		delete(n.watches, key) // a new proxy may be of a node that came back
		n.mu.Unlock()
		close(gone)
	})
	return gone
}

// watchFor returns when the owner of r is gone, or the node closes. It calls
// unpin if the owner is reached without a relay, and r need not be held.
func (n *Node) watchFor(r refs.Ref, unpin func()) {
	for first := true; n.ctx.Err() == nil; first = false {
		to, ok := n.reach(r, first)
		if !ok {
			return
		}
		if to.relay {
			if !n.askRelay(r, to) {
				return
			}
		} else {
			unpin()
			select {
			case <-to.session.Done():
			case <-n.ctx.Done():
			}
		}
	}
}

// reach finds a route to the owner of r. It tries the first contact for a session lease, unless the
// owner is known to be gone, and later contacts once.
func (n *Node) reach(r refs.Ref, first bool) (to route, ok bool) {
	limit := goneWait
	if first {
		limit = n.transport.SessionLease
	}
	ctx, cancel := context.WithTimeout(n.ctx, limit)
	defer cancel()
	for failures := 1; ; failures++ {
		to, err := n.route(ctx, r)
		if err == nil {
			return to, true
		}
		if KindOf(err) == KindStaleReference || !first || !backoff.Sleep(ctx, contacts.Delay(failures)) {
			return to, false
		}
	}
}

// askRelay asks a relay for an object, again and again. It reports true when the session with the
// relay is over, false when the relay cannot reach the owner any more.
func (n *Node) askRelay(r refs.Ref, to route) bool {
	ticker := time.NewTicker(min(n.transport.SessionLease/4, 5*time.Second))
	defer ticker.Stop()
	for {
		select {
		case <-to.session.Done():
			return true
		case <-n.ctx.Done():
			return false
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(n.ctx, n.transport.SessionLease)
		_, err := n.describe(ctx, r, to)
		cancel()
		switch KindOf(err) {
		case KindNoSuchObject, KindStaleReference, KindPeerGone, KindConnectFailed:
			if to.session.Err() == nil {
				return false
			}
		}
	}
}
