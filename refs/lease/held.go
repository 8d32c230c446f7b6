package lease

import (
	"bytes"
	"cmp"
	"slices"
	"time"

	"gormi/refs"
)

// Held is one object of another node that this node holds or handed on.
type Held[S Session] struct {
	Ref    refs.Ref
	Since  time.Time
	Pins   int // proxies, packets, relayed calls and frames that use it here
	From   []Share[S]
	Handed []Share[S]
	Relay  bool // calls to it are relayed
}

// Share is a number of references that came or went on one session.
type Share[S Session] struct {
	Session S
	Count   uint32
}

// Direct reports whether the owner itself counts this node as a holder.
func (x *Held[S]) Direct() bool {
	return slices.ContainsFunc(x.From, func(f Share[S]) bool { return f.Session.Peer() == x.Ref.ID.Node })
}

// All lists the entries, by owner and age.
func (h *Holder[S]) All() []Held[S] {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]Held[S], 0, len(h.entries))
	index := make(map[refs.ID]int, len(h.entries))
	for id, e := range h.entries {
		x := Held[S]{Ref: e.ref, Since: e.since, Pins: e.pins + e.frames, Relay: e.relay}
		for _, f := range e.from {
			x.From = append(x.From, Share[S]{f.session, f.n})
		}
		index[id] = len(all)
		all = append(all, x)
	}
	for s, p := range h.peers {
		for id, n := range p.handed {
			x := &all[index[id]]
			x.Handed = append(x.Handed, Share[S]{s, n})
		}
	}
	slices.SortFunc(all, func(a, b Held[S]) int {
		return cmp.Or(bytes.Compare(a.Ref.ID.Node[:], b.Ref.ID.Node[:]), a.Since.Compare(b.Since), cmp.Compare(a.Ref.Object, b.Ref.Object))
	})
	return all
}

// Len is the number of entries.
func (h *Holder[S]) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.entries)
}
