package callback

import (
	"context"
	"reflect"
	"sync"

	"gormi/refs"
	"gormi/rmi"
)

// hub has a node's subscriptions to other nodes' topics. All that have the same source and
// selection share a feed, so that their events travel once.
type hub struct {
	node *rmi.Node
	ctx  context.Context // ends when the node begins to close

	mu    sync.Mutex // taken before a feed's
	state hubState   // guarded by mu; reached by lock alone
}

// hubState is what the lock of a hub guards.
type hubState struct {
	feeds map[feedKey]any // values are *feed[E]
}

// lock returns the state, which the caller may use until it unlocks mu.
func (h *hub) lock() *hubState {
	h.mu.Lock()
	return &h.state
}

// feedKey is what subscriptions must have in common to share a feed.
type feedKey struct {
	events reflect.Type
	id     refs.ID       // of a source that was given
	at     refs.Endpoint // of a well-known one, whose id names no node
	name   string        // of a source that is looked up
	only   *int          // of a source that is found otherwise: not shared
	ask    selection
}

// hubKey is the key by which a node stores its hub.
type hubKey struct{}

func hubOf(n *rmi.Node) *hub {
	return n.Port().Attachment(hubKey{}, func() any {
		return &hub{node: n, ctx: n.Context(), state: hubState{feeds: make(map[feedKey]any)}}
	}).(*hub)
}

// join adds a member to the feed of a key, which is made if there is none.
func join[E any](h *hub, key feedKey, find func(context.Context) (Source[E], error), src Source[E], m *member[E]) error {
	if joined(h, key, nil, m) != nil {
		return nil
	}
	fresh, err := newFeed(h, key, find, src)
	if err != nil {
		return err
	}
	if joined(h, key, fresh, m) != fresh { // there is one by now
		fresh.stop()
	}
	return nil
}

// joined adds a member to the feed of a key and returns the feed. If there is none, it uses fresh.
// If that is nil too, it does nothing.
func joined[E any](h *hub, key feedKey, fresh *feed[E], m *member[E]) *feed[E] {
	s := h.lock()
	defer h.mu.Unlock()
	f, ok := s.feeds[key].(*feed[E])
	if !ok {
		if fresh == nil {
			return nil
		}
		f = fresh
		s.feeds[key] = f
	}
	f.join(m)
	return f
}
