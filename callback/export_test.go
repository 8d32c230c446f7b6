package callback

import "gormi/rmi"

// Links is how many peers a topic knows.
func Links[E any](t *Topic[E]) int {
	s := t.lock()
	defer t.mu.Unlock()
	return len(s.clients)
}

// Feeds is how many feeds a node has.
func Feeds(n *rmi.Node) int {
	h := hubOf(n)
	s := h.lock()
	defer h.mu.Unlock()
	return len(s.feeds)
}

// Groups is how many groups of subscriptions a topic has, of all peers: an event
// is one queue entry and one packet for each that it matches.
func Groups[E any](t *Topic[E]) int {
	s := t.lock()
	defer t.mu.Unlock()
	n := 0
	for _, l := range s.clients {
		n += len(l.groups)
	}
	return n
}

// What the methods of Source take and return, for tests that speak to a topic as nodes do.
type (
	Request = subscribeRequest
	Grant   = subscribeGrant
	SubID   = subID
)
