package lease

import (
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"gormi/refs"
)

// Session names a session with a peer.
type Session interface {
	comparable
	Peer() refs.NodeID
}

// ErrTooMany says that a peer gave more references than a node accepts on one session.
var ErrTooMany = errors.New("lease: the peer gave more references than this node holds for one session")

// Holder lists the objects of other nodes that a node holds, who gave it the references, and to
// whom it handed them on. It is safe for concurrent use. No other lock is taken under its lock.
// References without node, to well-known objects, are not counted.
type Holder[S Session] struct {
	self  refs.NodeID
	limit int // objects that one session may have given
	now   func() time.Time

	mu        sync.Mutex // guards the fields below
	entries   map[refs.ID]*entry[S]
	peers     map[S]*peer[S]
	wanting   map[refs.NodeID]map[refs.ID]*entry[S] // to be registered with the owner; see settle
	lingering []lingering[S]
	kept      [2]map[*entry[S]]struct{} // see Keep: those of this period, and of the last
	period    time.Time                 // when this period began
}

// entry is one object that this node holds or handed on. The package comment says what its counts
// are.
type entry[S Session] struct {
	ref     refs.Ref
	since   time.Time
	from    []source[S]
	counted bool // some count was received for it: it is held, not only handed on
	pins    int
	frames  int
	offers  int  // pins that are offers
	kept    bool // it is in Holder.kept
	handed  int  // sessions with a count, and lingering
	relay   bool // handed on or offered to be called through this node; false if neither is left
	asking  bool // a Dirty for it is queued or on its way, on asked
	asked   S
	refused bool // the owner does not export it, or does not know of leases
}

// source is a session on which n references came that were not given back.
type source[S Session] struct {
	session S
	n       uint32
}

// peer is what the two ends of a session have of each other.
type peer[S Session] struct {
	received map[refs.ID]*entry[S] // those with a source for the session
	handed   map[refs.ID]uint32
	linger   map[refs.ID]struct{}  // of handed: to be kept for a while when the session is over
	back     map[refs.ID]uint32    // to be given back
	register map[refs.ID]*entry[S] // to be registered with the peer
	queue    []refs.ID             // those in back and in register, in order; some not any more
	sending  *Batch                // made by Next, not Done
	asking   []*entry[S]           // those that sending registers, in its order
	number   uint64                // of the last batch
	mute     bool                  // the peer does not know of leases
}

// lingering is what was handed on to a peer that closed.
type lingering[S Session] struct {
	entry *entry[S]
	until time.Time
}

// NewHolder returns the table of node self. limit bounds the objects that one session may have
// given and that were not given back.
func NewHolder[S Session](self refs.NodeID, limit int, now func() time.Time) *Holder[S] {
	return &Holder[S]{self: self, limit: limit, now: now, entries: make(map[refs.ID]*entry[S]), peers: make(map[S]*peer[S]),
		wanting: make(map[refs.NodeID]map[refs.ID]*entry[S])}
}

// peer returns the record of a session, made if there is none. mu is held.
func (h *Holder[S]) peer(s S) *peer[S] {
	p := h.peers[s]
	if p == nil {
		p = &peer[S]{received: make(map[refs.ID]*entry[S]), handed: make(map[refs.ID]uint32),
			back: make(map[refs.ID]uint32), register: make(map[refs.ID]*entry[S])}
		h.peers[s] = p
	}
	return p
}

// entry returns the entry of a reference, made if there is none. mu is held.
func (h *Holder[S]) entry(r refs.Ref) *entry[S] {
	e := h.entries[r.ID]
	if e == nil {
		e = &entry[S]{ref: r, since: h.now()}
		h.entries[r.ID] = e
	}
	return e
}

// Receive counts the references of a table that came on s. It pins them until Decoded is called
// with the same references. On error nothing was counted.
func (h *Holder[S]) Receive(s S, rs []refs.Ref) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peer(s)
	if len(p.received)+len(p.back)+len(rs) > h.limit {
		return ErrTooMany
	}
	for _, r := range rs {
		if r.ID.Node.IsZero() {
			continue
		}
		e := h.entry(r)
		own := e.ref.Origin == refs.OriginProgram && r.Origin != refs.OriginProgram // the program said it
		if !own && (len(e.from) == 0 || s.Peer() == r.ID.Node) {
			e.ref = r // where to find the owner: nobody else may say, once somebody has
		}
		e.frames++
		h.add(e, s, 1)
		if s.Peer() != r.ID.Node {
			e.refused = false // there may be a new way
		}
		h.settle(e)
	}
	return nil
}

// Decoded unpins what Receive pinned.
func (h *Holder[S]) Decoded(rs []refs.Ref) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rs {
		if e := h.entries[r.ID]; e != nil && e.frames > 0 {
			e.frames--
			h.settle(e)
		}
	}
}

// Pin holds a reference for a proxy, or for whatever else uses it, until Unpin.
func (h *Holder[S]) Pin(r refs.Ref) {
	if r.ID.Node.IsZero() || r.ID.Node == h.self {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entry(r)
	e.pins++
	h.settle(e)
}

// Unpin takes one Pin back.
func (h *Holder[S]) Unpin(id refs.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entries[id]; e != nil && e.pins > 0 {
		e.pins--
		h.settle(e)
	}
}

// Keep holds a reference that Receive pinned and that became a plain value, which holds nothing.
// Who got the value can then Pin it. Keep holds until Taken is called, and at most for twice
// KeepFor.
func (h *Holder[S]) Keep(id refs.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[id]
	if e == nil {
		return
	}
	if h.kept[0] == nil {
		h.kept[0] = make(map[*entry[S]]struct{})
		if h.kept[1] == nil {
			h.period = h.now()
		}
	}
	e.kept = true
	h.kept[0][e] = struct{}{}
	delete(h.kept[1], e)
	h.settle(e)
}

// Taken ends the hold that Keep began: the value was pinned, or nobody wants it.
func (h *Holder[S]) Taken(id refs.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entries[id]; e != nil && e.kept {
		delete(h.kept[0], e)
		delete(h.kept[1], e)
		e.kept = false
		h.settle(e)
	}
}

// KeepFor is how long Keep holds at least.
const KeepFor = 30 * time.Second

// unkeep ends what was kept for longer than KeepFor. mu is held.
func (h *Holder[S]) unkeep(now time.Time) {
	if h.kept[0] == nil && h.kept[1] == nil || now.Sub(h.period) < KeepFor {
		return
	}
	for e := range h.kept[1] {
		e.kept = false
		h.settle(e)
	}
	h.kept[0], h.kept[1], h.period = nil, h.kept[0], now
}

// Offer pins a reference, until Withdraw, that others will hand to whoever asks for it, as
// registries do. relay says that the reference leads through this node. Then this node relays the
// calls of all who have it until Withdraw.
func (h *Holder[S]) Offer(r refs.Ref, relay bool) {
	if r.ID.Node.IsZero() || r.ID.Node == h.self {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entry(r)
	e.pins++
	e.offers++
	e.relay = e.relay || relay
	h.settle(e)
}

// Withdraw takes one Offer back.
func (h *Holder[S]) Withdraw(id refs.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.entries[id]; e != nil && e.offers > 0 {
		e.pins--
		e.offers--
		if e.offers+e.handed == 0 {
			e.relay = false
		}
		h.settle(e)
	}
}

// Hand counts a reference to another node's object that is being sent on s. relay says that it
// leads through this node.
func (h *Holder[S]) Hand(s S, r refs.Ref, relay bool) {
	if r.ID.Node.IsZero() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p, e := h.peer(s), h.entry(r)
	n := p.handed[r.ID]
	if n == 0 {
		e.handed++
	}
	if n < math.MaxUint32 {
		n++
	}
	p.handed[r.ID] = n
	e.relay = e.relay || relay
	h.settle(e)
}

// Unhand takes one Hand back. The peer never took in its frame.
func (h *Holder[S]) Unhand(s S, id refs.ID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.takeBack(s, id, 1)
}

// GivenBack notes which of the handed references the peer of s gave back.
func (h *Holder[S]) GivenBack(s S, counts []CountOf) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range counts {
		h.takeBack(s, c.id(), c.N)
	}
}

// takeBack subtracts n, or what there is, from what s was handed, like Grants.Take. mu is held.
func (h *Holder[S]) takeBack(s S, id refs.ID, n uint32) {
	p := h.peers[s]
	if p == nil {
		return
	}
	had := p.handed[id]
	switch {
	case had == 0 || had == math.MaxUint32:
		return
	case had > n:
		p.handed[id] = had - n
		return
	}
	delete(p.handed, id)
	delete(p.linger, id)
	h.unhand(h.entries[id])
}

// unhand subtracts one from the sessions that an entry was handed to. mu is held.
func (h *Holder[S]) unhand(e *entry[S]) {
	if e.handed--; e.handed+e.offers == 0 {
		e.relay = false
	}
	h.settle(e)
}

// Relay returns the reference by which to relay a call to an object. The reference is pinned: call
// Unpin after the call. ok is true only if the object was handed on to be called through this node,
// and somebody still holds it.
func (h *Holder[S]) Relay(id refs.ID) (r refs.Ref, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e := h.entries[id]
	if e == nil || !e.relay {
		return r, false
	}
	e.pins++
	h.settle(e)
	return e.ref, true
}

// add counts n references that came on s. mu is held.
func (h *Holder[S]) add(e *entry[S], s S, n uint32) {
	e.counted = true
	for i := range e.from {
		if f := &e.from[i]; f.session == s {
			f.n += min(n, math.MaxUint32-f.n)
			return
		}
	}
	e.from = append(e.from, source[S]{s, n})
	h.peer(s).received[e.ref.ID] = e
}

// parent is the one session whose references an entry keeps. It is the owner's session, if the
// owner itself counts this node, else the first. References that come on other sessions go back at
// once. So nodes that hold an object through each other form a tree, and no circle of them keeps
// itself alive: a node that takes a parent has none. It has no children either, unless it lost a
// parent, or hands on what it does not hold.
func (e *entry[S]) parent() (s S, direct bool) {
	for _, f := range e.from {
		if f.session.Peer() == e.ref.ID.Node {
			return f.session, true
		}
	}
	if len(e.from) > 0 {
		s = e.from[0].session
	}
	return s, false
}

// settle does what follows from a change of an entry. mu is held.
func (h *Holder[S]) settle(e *entry[S]) {
	id := e.ref.ID
	used := e.pins+e.frames+e.handed > 0 || e.kept
	parent, direct := e.parent()
	if !used || len(e.from) > 1 {
		e.from = slices.DeleteFunc(e.from, func(f source[S]) bool {
			if used && f.session == parent {
				return false
			}
			h.giveBack(f, id)
			return true
		})
	}
	want := h.wanting[id.Node]
	switch {
	case used && !direct && !e.asking && !e.refused && id.Node != h.self && (e.pins > 0 || e.kept || e.handed > 0 && e.counted):
		if want == nil {
			want = make(map[refs.ID]*entry[S])
			h.wanting[id.Node] = want
		}
		want[id] = e
	case want[id] != nil:
		delete(want, id)
		if len(want) == 0 {
			delete(h.wanting, id.Node)
		}
	}
	if used {
		return
	}
	delete(h.entries, id)
	if e.asking {
		if p := h.peers[e.asked]; p != nil && p.register[id] == e {
			delete(p.register, id)
		}
	}
}

// giveBack queues what came from a source. mu is held.
func (h *Holder[S]) giveBack(f source[S], id refs.ID) {
	p := h.peers[f.session]
	if p == nil {
		return
	}
	delete(p.received, id)
	p.due(id, f.n)
}

// due queues n references to be given back.
func (p *peer[S]) due(id refs.ID, n uint32) {
	if p.mute {
		return
	}
	if p.back[id] == 0 {
		p.queue = append(p.queue, id)
	}
	p.back[id] += min(n, math.MaxUint32-p.back[id])
}
