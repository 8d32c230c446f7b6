package lease

import (
	"slices"
	"time"

	"gormi/refs"
)

// Wanting lists the owners of objects that this node got from other nodes than the owner. This node
// should register for these objects as soon as it has a session with the owner; see Ask.
func (h *Holder[S]) Wanting() []refs.NodeID {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wanting) == 0 {
		return nil
	}
	owners := make([]refs.NodeID, 0, len(h.wanting))
	for n := range h.wanting {
		owners = append(owners, n)
	}
	return owners
}

// Ask queues the objects that this node should register for with the owner at the other end of s.
func (h *Holder[S]) Ask(s S) {
	h.mu.Lock()
	defer h.mu.Unlock()
	want := h.wanting[s.Peer()]
	if want == nil {
		return
	}
	p := h.peer(s)
	delete(h.wanting, s.Peer())
	for id, e := range want {
		if p.mute {
			e.refused = true
			continue
		}
		e.asking, e.asked = true, s
		p.register[id] = e
		p.queue = append(p.queue, id)
	}
}

// Due lists the sessions for which Next has a batch.
func (h *Holder[S]) Due() []S {
	h.mu.Lock()
	defer h.mu.Unlock()
	var due []S
	for s, p := range h.peers {
		if p.sending != nil || len(p.back) > 0 || len(p.register) > 0 {
			due = append(due, s)
		}
	}
	return due
}

// Next returns the batch to send to the peer of s now, or nil if there is nothing to send. It
// returns the same batch until Done or Mute is called. The caller must not change it.
func (h *Holder[S]) Next(s S) *Batch {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[s]
	if p == nil || p.sending != nil {
		if p != nil {
			return p.sending
		}
		return nil
	}
	b := p.batch(s)
	if b == nil {
		return nil
	}
	p.number++
	b.Number = p.number
	p.sending = b
	return b
}

// batch makes a batch of what is first in the queue. That is references to be given back, or
// objects to be registered, as many of the same kind as follow. mu is held.
func (p *peer[S]) batch(s S) *Batch {
	var b *Batch
	size, taken := 0, 0
	for _, id := range p.queue {
		n, e := p.back[id], p.register[id]
		switch {
		case n == 0 && e == nil: // not any more
			taken++
			continue
		case size > batchSize-countOfSize:
			p.queue = p.queue[taken:]
			return b
		case b == nil:
			b = new(Batch)
		}
		switch {
		case e != nil && size > 0 && len(b.Register) == 0, e == nil && len(b.Register) > 0:
			// Of the other kind.
			p.queue = p.queue[taken:]
			return b
		case e != nil:
			b.Register = append(b.Register, id.Object)
			p.asking = append(p.asking, e)
			delete(p.register, id)
			size += numberSize // what is also to be given back is in the queue once more
		case id.Node == s.Peer():
			b.Own = append(b.Own, Count{Object: id.Object, N: n})
			delete(p.back, id)
			size += countSize
		default:
			b.Others = append(b.Others, CountOf{Node: id.Node, Time: int64(id.Time), Number: id.Object, N: n})
			delete(p.back, id)
			size += countOfSize
		}
		taken++
	}
	p.queue = nil
	return b
}

// Done notes that the peer took the batch of s in. missing are the indices of the objects that it
// was asked to register and does not export.
func (h *Holder[S]) Done(s S, missing []uint32) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[s]
	if p == nil || p.sending == nil {
		return
	}
	asked := p.asking
	p.sending, p.asking = nil, nil
	denied := make(map[uint32]bool, len(missing))
	for _, i := range missing {
		denied[i] = true
	}
	for i, old := range asked {
		id := old.ref.ID
		old.asking = false
		if denied[uint32(i)] {
			if h.entries[id] == old {
				old.refused = true
				for _, f := range old.from { // what others hold of it is as dead
					h.giveBack(f, id)
				}
				old.from = nil
				h.settle(old)
			}
			continue
		}
		e := h.entries[id] // a new one, if the old one was dropped meanwhile
		if e == nil {
			p.due(id, 1)
			continue
		}
		h.add(e, s, 1)
		h.settle(e)
	}
}

// Mute notes that the peer of s does not know of leases. So nothing is given back before the
// session is over.
func (h *Holder[S]) Mute(s S) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peer(s)
	p.mute, p.queue = true, nil
	clear(p.back)
	h.unask(p, true)
}

// unask takes back what was to be registered on s. mu is held.
func (h *Holder[S]) unask(p *peer[S], refused bool) {
	asked := p.asking
	for _, e := range p.register {
		asked = append(asked, e)
	}
	p.register, p.sending, p.asking = make(map[refs.ID]*entry[S]), nil, nil
	for _, e := range asked {
		e.asking, e.refused = false, refused
		if h.entries[e.ref.ID] == e {
			h.settle(e)
		}
	}
}

// Cut returns the references that this node holds through s and not from their owners. The
// connection of s is lost. The caller finds the owners, if they listen, before the session is over.
// Ask does the rest.
func (h *Holder[S]) Cut(s S) []refs.Ref {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[s]
	if p == nil {
		return nil
	}
	var orphans []refs.Ref
	for _, e := range p.received {
		if h.orphan(e) {
			orphans = append(orphans, e.ref)
		}
	}
	return orphans
}

// orphan reports whether a session with an entry's owner should be looked for.
func (h *Holder[S]) orphan(e *entry[S]) bool {
	want := h.wanting[e.ref.ID.Node]
	return want[e.ref.ID] == e && e.ref.Listens()
}

// Linger keeps objects that were handed on to s after the end of s, until the time that is given to
// Gone.
func (h *Holder[S]) Linger(s S, objects []Object) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[s]
	if p == nil {
		return
	}
	for _, o := range objects {
		if p.handed[o.id()] > 0 {
			if p.linger == nil {
				p.linger = make(map[refs.ID]struct{})
			}
			p.linger[o.id()] = struct{}{}
		}
	}
}

// Gone notes that a session is over for good. What was handed on to its peer counts as given back,
// except what lingers until the given time. Like Cut, it returns what came on no other session.
func (h *Holder[S]) Gone(s S, until time.Time) []refs.Ref {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.peers[s]
	if p == nil {
		return nil
	}
	delete(h.peers, s)
	h.unask(p, false)
	for id := range p.handed {
		e := h.entries[id]
		if _, ok := p.linger[id]; ok {
			h.lingering = append(h.lingering, lingering[S]{e, until})
		} else {
			h.unhand(e)
		}
	}
	var orphans []refs.Ref
	for _, e := range p.received {
		e.from = slices.DeleteFunc(e.from, func(f source[S]) bool { return f.session == s })
		h.settle(e)
		if len(e.from) == 0 && e.ref.ID.Node != s.Peer() && h.orphan(e) {
			orphans = append(orphans, e.ref)
		}
	}
	return orphans
}

// Expire ends the lingering that is due, and the holds of Keep that lasted long enough.
func (h *Holder[S]) Expire(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unkeep(now)
	h.lingering = slices.DeleteFunc(h.lingering, func(l lingering[S]) bool {
		if l.until.After(now) {
			return false
		}
		h.unhand(l.entry)
		return true
	})
}

// Farewell is what this node asks of one session's peer, by Linger, before it closes.
type Farewell struct {
	Own    []refs.ObjNum // the peer's objects
	Others []Object      // others', that the peer handed on to this node
}

// Farewells returns the references that this node handed on and that nobody has taken over yet, by
// the sessions on which they came.
func (h *Holder[S]) Farewells() map[S]Farewell {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[S]Farewell)
	for id, e := range h.entries {
		if e.handed == 0 {
			continue
		}
		for _, f := range e.from {
			to := all[f.session]
			if id.Node == f.session.Peer() {
				to.Own = append(to.Own, id.Object)
			} else {
				to.Others = append(to.Others, objectOf(id))
			}
			all[f.session] = to
		}
	}
	return all
}
