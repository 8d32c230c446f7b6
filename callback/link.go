package callback

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"gormi/rmi"
	"gormi/rmi/multicast"
)

// group is the subscriptions of one receiver of a peer, or one of this process.
// Its first fields do not change; subs is guarded by Topic.mu.
type group[E any] struct {
	match  string
	slow   bool // it overflowed, and has the policy Disconnect; guarded by Topic.mu
	local  *inbox[E]
	one    [1]*Event[E] // for local
	link   *link[E]     // nil of a local one
	to     [1]multicast.ReceiverID
	ask    selection
	subs   map[subID]struct{}
	q      queue[*entry[E]] // guarded by link.mu
	queued bool             // in link.ready; guarded by link.mu
	newest Seq              // of the events that were queued or lost; guarded by link.mu
	behind *group[E]        // of the same receiver, goes first; guarded by link.mu
}

// selection is what the subscriptions of a group have in common.
type selection struct {
	match    string
	queue    int
	policy   Policy
	snapshot bool
}

// publish queues an event. It reports false if that is the end of the group.
func (g *group[E]) publish(e *entry[E]) bool {
	if g.local != nil {
		g.one[0] = &e.Event
		return g.local.push(g.one[:])
	}
	l := g.link
	l.mu.Lock()
	ok := g.q.push(e)
	g.newest = e.Event.Seq
	start := l.queue(g)
	l.mu.Unlock()
	if start {
		go l.run()
	}
	return ok
}

// clear forgets what is queued. If the link has g in ready, it finds nothing.
func (g *group[E]) clear() {
	if g.link != nil {
		g.link.mu.Lock()
		g.q.clear()
		g.link.mu.Unlock()
	}
}

// end queues the last that the group gets. Topic.mu is held.
func (g *group[E]) end(last *entry[E], err error) {
	if g.local != nil {
		g.local.end(err)
		return
	}
	l := g.link
	l.mu.Lock()
	g.q.keep(last)
	start := l.queue(g)
	l.mu.Unlock()
	if start {
		go l.run()
	}
}

// link is a peer with subscriptions.
type link[E any] struct {
	topic  *Topic[E]
	peer   *multicast.Peer
	groups map[multicast.ReceiverID]*group[E] // guarded by Topic.mu
	count  int                                // subscriptions; guarded by Topic.mu
	unhook func()                             // takes the hook for the connection's end back; guarded by Topic.mu

	mu      sync.Mutex // guards the fields below and the groups' queues
	ready   []*group[E]
	running bool // run runs
	dead    bool // nothing can be sent any more
	closing bool // the topic is closed: it forgets the link when nothing is left to send
}

// queue notes that g has something to send. It tells whether the caller, once it has
// unlocked mu, must start run, which then counts as running. mu is held.
func (l *link[E]) queue(g *group[E]) (start bool) {
	if l.dead {
		g.q.clear()
		return false
	}
	if !g.queued {
		g.queued = true
		l.ready = append(l.ready, g)
	}
	start = !l.running
	l.running = true
	return start
}

// batchEvents is how many entries of a group are taken out of its queue at once.
const batchEvents = 256

// run sends what is queued, and ends when there is nothing left or the session
// is over.
func (l *link[E]) run() {
	b, _ := l.topic.batches.Get().(*batch[E])
	if b == nil {
		b = new(batch[E])
	}
	defer func() {
		b.clear()
		l.topic.batches.Put(b)
	}()
	for {
		l.mu.Lock()
		if len(l.ready) == 0 {
			l.running = false
			closing := l.closing
			l.mu.Unlock()
			if closing {
				l.topic.sent(l)
			}
			return
		}
		b.take(l)
		l.mu.Unlock()
		b.merge()
		for ms := b.messages; len(ms) > 0; {
			n, err := l.peer.Send(ms)
			if rmi.KindOf(err) == rmi.KindTooLarge {
				// Larger than the peer accepts: to it, the event is lost.
				ms[n].Head, ms[n].Packet = lostHead(ms[n].Head), nil
				ms = ms[n:]
				continue
			}
			if err != nil {
				l.mu.Lock()
				l.dead, l.running = true, false
				l.mu.Unlock()
				l.topic.drop(l)
				return
			}
			break
		}
	}
}

// idle tells whether nothing is left to send.
func (l *link[E]) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.running && len(l.ready) == 0
}

// lostHead is sent in place of an event or a part of a state.
func lostHead(b []byte) []byte {
	h, _ := parseHead(b)
	last := Seq(0)
	if h.kind == headEvent {
		last = Seq(h.number)
	}
	return appendGapHead(nil, 1, last, false)
}

// batch is what run sends at once.
type batch[E any] struct {
	parts    []part[E]
	messages []multicast.Message
	heads    []byte
	to       []multicast.ReceiverID
}

// part is what one group contributes.
type part[E any] struct {
	group   *group[E]
	entries []taken[E]
	at      int
}

type taken[E any] struct {
	e      *entry[E] // nil: there was none behind what was missed
	missed uint64    // events before e
	last   Seq       // the last of them
}

// clear lets go of everything but memory, for the next use.
func (b *batch[E]) clear() {
	b.parts = b.parts[:cap(b.parts)]
	for i := range b.parts {
		clear(b.parts[i].entries)
		b.parts[i].group, b.parts[i].entries = nil, b.parts[i].entries[:0]
	}
	if len(b.parts) > maxKeptParts {
		b.parts = nil
	}
	b.parts = b.parts[:0]
	clear(b.messages)
	b.messages, b.heads, b.to = b.messages[:0], b.heads[:0], b.to[:0]
}

// maxKeptParts is how many parts' memory an unused batch keeps.
const maxKeptParts = 64

// take takes entries out of the queues of the groups that are ready. link.mu is held.
func (b *batch[E]) take(l *link[E]) {
	n, used := 0, 0
	for _, g := range l.ready {
		if g.behind != nil { // the other one is before it in ready, if it has anything
			if !g.behind.queued {
				g.behind = nil
			}
			l.ready[n] = g
			n++
			continue
		}
		i := used
		used++
		if i == len(b.parts) {
			if i < cap(b.parts) {
				b.parts = b.parts[:i+1] // with its memory
			} else {
				b.parts = append(b.parts, part[E]{})
			}
		}
		p := &b.parts[i]
		p.group, p.at = g, 0
		clear(p.entries)
		p.entries = p.entries[:0]
		for len(p.entries) < batchEvents {
			e, missed, ok := g.q.pop()
			if !ok {
				if missed > 0 {
					p.entries = append(p.entries, taken[E]{nil, missed, g.newest})
				}
				break
			}
			p.entries = append(p.entries, taken[E]{e, missed, e.Event.Seq - 1})
		}
		if g.q.waiting() {
			l.ready[n] = g
			n++
		} else {
			g.queued = false
		}
	}
	b.parts = b.parts[:used]
	clear(l.ready[n:])
	l.ready = l.ready[:n]
}

// merge makes messages of the parts: an event that several groups get is one
// message to all of them; each group's order is kept.
func (b *batch[E]) merge() {
	clear(b.messages)
	b.messages, b.heads, b.to = b.messages[:0], b.heads[:0], b.to[:0]
	if len(b.parts) > 1 {
		slices.SortFunc(b.parts, func(x, y part[E]) int { return cmp.Compare(x.group.to[0], y.group.to[0]) })
	}
	for {
		next := Seq(math.MaxUint64)
		for i := range b.parts {
			if p := &b.parts[i]; b.own(p) {
				next = min(next, p.entries[p.at].e.Event.Seq)
			}
		}
		if next == math.MaxUint64 {
			return
		}
		from := len(b.to)
		var e *entry[E]
		for i := range b.parts {
			p := &b.parts[i]
			if p.at == len(p.entries) {
				continue
			}
			if c := p.entries[p.at].e; c.Event.Seq == next {
				e = c
				p.at++
				b.to = append(b.to, p.group.to[0])
			}
		}
		at := len(b.heads)
		b.heads = appendEventHead(b.heads, headEvent, next, e.Event.Key)
		b.messages = append(b.messages, multicast.Message{To: b.to[from:], Head: b.heads[at:], Packet: e.packet})
	}
}

// own makes messages of what only this group gets, up to its next event, and
// tells whether there is one.
func (b *batch[E]) own(p *part[E]) bool {
	for ; p.at < len(p.entries); p.at++ {
		x := &p.entries[p.at]
		if x.missed > 0 {
			at := len(b.heads)
			b.heads = appendGapHead(b.heads, x.missed, x.last, false)
			b.messages = append(b.messages, multicast.Message{To: p.group.to[:], Head: b.heads[at:]})
			x.missed = 0
		}
		switch {
		case x.e == nil:
		case x.e.head == headEvent:
			return true
		case x.e.head == headState:
			at := len(b.heads)
			b.heads = appendEventHead(b.heads, headState, x.e.Event.Seq, x.e.Event.Key)
			b.messages = append(b.messages, multicast.Message{To: p.group.to[:], Head: b.heads[at:], Packet: x.e.packet})
		default:
			b.messages = append(b.messages, multicast.Message{To: p.group.to[:], Head: x.e.raw})
		}
	}
	return false
}
