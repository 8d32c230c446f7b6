package callback

import (
	"context"
	"reflect"
	"sync"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/multicast"
)

// hub is a node's subscriptions to other nodes' topics: one feed for all that
// have the same source and selection, so that what they get travels once.
type hub struct {
	node *rmi.Node
	ctx  context.Context // ends when the node begins to close

	mu    sync.Mutex // guards feeds; taken before a feed's
	feeds map[feedKey]any
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

// hubKey is under which a node keeps its hub.
type hubKey struct{}

func hubOf(n *rmi.Node) *hub {
	return n.Port().Attachment(hubKey{}, func() any {
		return &hub{node: n, ctx: n.Context(), feeds: make(map[feedKey]any)}
	}).(*hub)
}

// join adds a member to the feed of a key, which is made if there is none.
func join[E any](h *hub, key feedKey, find func(context.Context) (Source[E], error), src Source[E], m *member[E]) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	f, ok := h.feeds[key].(*feed[E])
	if !ok {
		codec, err := multicast.CodecOf[E]()
		if err != nil {
			return failed("subscribe", err)
		}
		f = &feed[E]{hub: h, key: key, find: find, src: src, codec: codec, wake: make(chan struct{}, 1)}
		f.id, f.stop = h.node.Port().Multicast().Register(f)
		h.feeds[key] = f
	}
	f.join(m)
	return nil
}
