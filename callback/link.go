package callback

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"gormi/rmi"
	"gormi/rmi/multicast"
)

// group is the subscriptions of one receiver of a peer, or one of this process. It is part of the
// topic's state, except for out and for what does not change.
type group[E any] struct {
	match  string
	local  *inbox[E]
	one    [1]*Event[E] // for local
	client *client[E]   // nil of a local one
	ask    selection
	subs   map[subID]struct{}
	slow   bool      // it overflowed, and has the policy Disconnect
	out    outlet[E] // not of a local one
}

// client is what a topic knows of a peer with subscriptions. It is part of the topic's state.
type client[E any] struct {
	link   *link[E]
	groups map[multicast.ReceiverID]*group[E]
	count  int    // subscriptions
	unhook func() // removes the hook for the connection's end
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
	l := g.client.link
	s := l.lock()
	ok, start := s.push(&g.out, e)
	l.mu.Unlock()
	if start {
		go l.run()
	}
	return ok
}

// clear forgets what is queued. If the link has the group in ready, it finds nothing.
func (g *group[E]) clear() {
	if g.client != nil {
		s := g.client.link.lock()
		s.clear(&g.out)
		g.client.link.mu.Unlock()
	}
}

// end queues the last that the group gets.
func (g *group[E]) end(last *entry[E], err error) {
	if g.local != nil {
		g.local.end(err)
		return
	}
	l := g.client.link
	s := l.lock()
	start := s.keep(&g.out, last)
	l.mu.Unlock()
	if start {
		go l.run()
	}
}

// link is a connection with a peer that has subscriptions.
type link[E any] struct {
	topic *Topic[E]
	peer  *multicast.Peer

	mu    sync.Mutex
	state linkState[E] // guarded by mu, with the outlets of its groups; reached by lock alone
}

// outlet is the queue of one group. Only methods of its link's state use it, except for to, which
// does not change.
type outlet[E any] struct {
	to     [1]multicast.ReceiverID
	q      queue[*entry[E]]
	queued bool       // in ready
	newest Seq        // of the events that were queued or lost
	behind *outlet[E] // of the same receiver, goes first
}

// linkState is what the lock of a link guards. Its methods need that lock. Those that return start
// ask the caller to start run after the lock; run counts as running from then on.
type linkState[E any] struct {
	ready   []*outlet[E]
	running bool // run runs
	dead    bool // nothing can be sent any more
	closing bool // the topic is closed: it forgets the link when nothing is left to send
}

// lock returns the state, which the caller may use until it unlocks mu.
func (l *link[E]) lock() *linkState[E] {
	l.mu.Lock()
	return &l.state
}

// push queues an event for a group. It reports false if the group's queue is full and its
// policy is Disconnect.
func (s *linkState[E]) push(o *outlet[E], e *entry[E]) (ok, start bool) {
	ok = o.q.push(e)
	o.newest = e.Event.Seq
	return ok, s.queue(o)
}

// keep queues entries that are not dropped.
func (s *linkState[E]) keep(o *outlet[E], entries ...*entry[E]) (start bool) {
	for _, e := range entries {
		o.q.keep(e)
	}
	return s.queue(o)
}

func (s *linkState[E]) clear(o *outlet[E]) { o.q.clear() }

// follow lets a new group wait for what is left of a group of the same receiver that ended.
func (s *linkState[E]) follow(o *outlet[E]) {
	for _, other := range s.ready {
		if other != o && other.to == o.to {
			o.behind = other
		}
	}
}

// queue notes that a group has something to send.
func (s *linkState[E]) queue(o *outlet[E]) (start bool) {
	if s.dead {
		o.q.clear()
		return false
	}
	if !o.queued {
		o.queued = true
		s.ready = append(s.ready, o)
	}
	start = !s.running
	s.running = true
	return start
}

// idle reports whether nothing is left to send.
func (s *linkState[E]) idle() bool { return !s.running && len(s.ready) == 0 }

// next takes what is to be sent next into b. It reports false if there is nothing: run must
// end then, and tell the topic if closing is true.
func (s *linkState[E]) next(b *batch[E]) (more, closing bool) {
	if len(s.ready) == 0 {
		s.running = false
		return false, s.closing
	}
	b.take(s)
	return true, false
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
		s := l.lock()
		more, closing := s.next(b)
		l.mu.Unlock()
		if closing {
			l.topic.sent(l)
		}
		if !more {
			return
		}
		b.merge()
		for ms := b.messages; len(ms) > 0; {
			n, err := l.peer.Send(ms)
			if rmi.KindOf(err) == rmi.KindTooLarge {
				// An event that is larger than the peer accepts is lost to it.
				ms[n].Head, ms[n].Packet = lostHead(ms[n].Head), nil
				ms = ms[n:]
				continue
			}
			if err != nil {
				l.die()
				l.topic.drop(l)
				return
			}
			break
		}
	}
}

// die ends run: the peer takes nothing any more.
func (l *link[E]) die() {
	s := l.lock()
	defer l.mu.Unlock()
	s.dead, s.running = true, false
}

// cut drops what is to be sent: the connection is lost.
func (l *link[E]) cut() {
	s := l.lock()
	defer l.mu.Unlock()
	s.dead, s.ready = true, nil
}

// topicClosed makes run tell the topic when nothing is left to send.
func (l *link[E]) topicClosed() {
	s := l.lock()
	defer l.mu.Unlock()
	s.closing = true
}

// idle reports whether nothing is left to send.
func (l *link[E]) idle() bool {
	s := l.lock()
	defer l.mu.Unlock()
	return s.idle()
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
	to      *[1]multicast.ReceiverID
	entries []taken[E]
	at      int
}

type taken[E any] struct {
	e      *entry[E] // nil: there was none behind what was missed
	missed uint64    // events before e
	last   Seq       // the last of them
}

// clear releases everything but memory, for the next use.
func (b *batch[E]) clear() {
	b.parts = b.parts[:cap(b.parts)]
	for i := range b.parts {
		clear(b.parts[i].entries)
		b.parts[i].to, b.parts[i].entries = nil, b.parts[i].entries[:0]
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

// take takes entries out of the queues of the groups that are ready.
func (b *batch[E]) take(s *linkState[E]) {
	n, used := 0, 0
	for _, o := range s.ready {
		if o.behind != nil { // the other one is before it in ready, if it has anything
			if !o.behind.queued {
				o.behind = nil
			}
			s.ready[n] = o
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
		p.to, p.at = &o.to, 0
		clear(p.entries)
		p.entries = p.entries[:0]
		for len(p.entries) < batchEvents {
			e, missed, ok := o.q.pop()
			if !ok {
				if missed > 0 {
					p.entries = append(p.entries, taken[E]{nil, missed, o.newest})
				}
				break
			}
			p.entries = append(p.entries, taken[E]{e, missed, e.Event.Seq - 1})
		}
		if o.q.waiting() {
			s.ready[n] = o
			n++
		} else {
			o.queued = false
		}
	}
	b.parts = b.parts[:used]
	clear(s.ready[n:])
	s.ready = s.ready[:n]
}

// merge makes messages of the parts. An event that several groups get is one message to all of
// them. Each group's order is kept.
func (b *batch[E]) merge() {
	clear(b.messages)
	b.messages, b.heads, b.to = b.messages[:0], b.heads[:0], b.to[:0]
	if len(b.parts) > 1 {
		slices.SortFunc(b.parts, func(x, y part[E]) int { return cmp.Compare(x.to[0], y.to[0]) })
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
				b.to = append(b.to, p.to[0])
			}
		}
		at := len(b.heads)
		b.heads = appendEventHead(b.heads, headEvent, next, e.Event.Key)
		b.messages = append(b.messages, multicast.Message{To: b.to[from:], Head: b.heads[at:], Packet: e.packet})
	}
}

// own makes messages of what only this group gets, up to its next event, and reports whether there
// is one.
func (b *batch[E]) own(p *part[E]) bool {
	for ; p.at < len(p.entries); p.at++ {
		x := &p.entries[p.at]
		if x.missed > 0 {
			at := len(b.heads)
			b.heads = appendGapHead(b.heads, x.missed, x.last, false)
			b.messages = append(b.messages, multicast.Message{To: p.to[:], Head: b.heads[at:]})
			x.missed = 0
		}
		switch {
		case x.e == nil:
		case x.e.head == headEvent:
			return true
		case x.e.head == headState:
			at := len(b.heads)
			b.heads = appendEventHead(b.heads, headState, x.e.Event.Seq, x.e.Event.Key)
			b.messages = append(b.messages, multicast.Message{To: p.to[:], Head: b.heads[at:], Packet: x.e.packet})
		default:
			b.messages = append(b.messages, multicast.Message{To: p.to[:], Head: x.e.raw})
		}
	}
	return false
}
