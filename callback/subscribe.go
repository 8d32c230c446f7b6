package callback

import (
	"context"
	"fmt"
	"path"

	"gormi/rmi/fault"
	"gormi/rmi/multicast"
)

// Subscribe implements Source.
func (t *Topic[E]) Subscribe(ctx context.Context, r subscribeRequest) (subscribeGrant, error) {
	p := multicast.PeerOf(ctx)
	if p == nil {
		return subscribeGrant{}, invalid("subscribe", "Subscribe is for other nodes: use callback.Events or callback.Subscribe")
	}
	if err := r.check(t.o.PerPeer); err != nil {
		return subscribeGrant{}, err
	}
	if multicast.Relayed(ctx) {
		return subscribeGrant{}, errRelayed
	}
	if !p.TakesStreams() {
		return subscribeGrant{}, invalid("subscribe", "the subscriber's node announced that it takes no streams, and events come by one")
	}
	l := &link[E]{topic: t, peer: p}
	made := false
	err := t.withSnapshot(func(s *topicState[E]) (err error) {
		made, err = s.subscribe(l, &r)
		return err
	})
	if made {
		t.hook(l)
	}
	if err != nil {
		return subscribeGrant{}, err
	}
	return subscribeGrant{Node: t.node.ID(), Session: p.Connection()}, nil
}

// hook makes a link be dropped when its connection is lost.
func (t *Topic[E]) hook(l *link[E]) {
	unhook := l.peer.OnEnd(func() { t.drop(l) })
	s := t.lock()
	c := s.clientOf(l)
	if c != nil {
		c.unhook = unhook
	}
	t.mu.Unlock()
	if c == nil {
		unhook()
	}
}

// check finds what is wrong with a request, whatever the topic's state.
func (r *subscribeRequest) check(most int) error {
	switch _, err := path.Match(r.Match, ""); {
	case r.Receiver == 0 || len(r.Subs) == 0:
		return invalid("subscribe", "the request names no receiver, or no subscription")
	case len(r.Subs) > most:
		return tooMany(most, "one client", "PerPeer")
	case err != nil:
		return badPattern("subscribe", r.Match)
	case len(r.Match) > maxKey:
		return invalid("subscribe", fmt.Sprintf("the pattern has %d bytes: at most %d are allowed", len(r.Match), maxKey))
	case r.Queue < 1 || r.Queue > maxQueue:
		return invalid("subscribe", fmt.Sprintf("a queue of %d events: 1 to %d are allowed", r.Queue, maxQueue))
	case r.Policy > PolicyDisconnect:
		return invalid("subscribe", "the policy is not known")
	case r.Start > StartFromSeq:
		return invalid("subscribe", "the start is not known")
	}
	return nil
}

func tooMany(limit int, whose, option string) error {
	return fault.Add(fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "too many subscriptions: %d of %s are the limit (TopicOptions.%s)", limit, whose, option), fault.Op("subscribe"))
}

// subscribe adds a request's subscriptions. made reports whether fresh became the peer's link,
// because there was none. The error may be errOutdated.
func (t *topicState[E]) subscribe(fresh *link[E], r *subscribeRequest) (made bool, err error) {
	if !t.serves(r) {
		return false, during("subscribe", ErrClosed)
	}
	c := t.clients[fresh.peer]
	if c == nil {
		c = &client[E]{link: fresh, groups: make(map[multicast.ReceiverID]*group[E])}
		made = true
	}
	g := c.groups[r.Receiver]
	if g != nil && r.Resume {
		t.remove(g)
		g.clear()
		g = nil
	}
	ask := selection{r.Match, r.Queue, r.Policy, r.Snapshot}
	if g != nil && g.ask != ask {
		return false, invalid("subscribe", "the receiver has subscriptions with another selection")
	}
	switch n := len(r.Subs); {
	case c.count+n > t.o.PerPeer:
		return false, tooMany(t.o.PerPeer, "one client", "PerPeer")
	case t.count+n > t.o.Subscriptions:
		return false, tooMany(t.o.Subscriptions, "all clients", "Subscriptions")
	}
	entries, err := t.begin(r)
	if err != nil {
		return false, err
	}

	if made {
		t.clients[fresh.peer] = c
	}
	if g == nil {
		g = &group[E]{match: r.Match, client: c, ask: ask, subs: make(map[subID]struct{}, len(r.Subs))}
		g.out.to[0] = r.Receiver
		// This queue waits for the connection. So it is not short just because a slow program asked
		// for a short queue.
		g.out.q = newQueue(max(r.Queue, 1024), r.Policy, func(e *entry[E]) string { return e.Event.Key })
		c.groups[r.Receiver] = g
		if !t.closed {
			t.index.add(g)
		}
	}
	before := len(g.subs)
	for _, s := range r.Subs {
		g.subs[s] = struct{}{}
	}
	n := len(g.subs) - before
	c.count += n
	if !t.closed {
		t.count += n
	}

	first := &entry[E]{head: headBegin, raw: beginHead(r.Token, t.epoch), Event: Event[E]{Seq: t.last + 1}}
	last := []*entry[E]{{head: headJoined, raw: joinedHead(r.Token, t.last+1)}}
	if t.closed {
		last = append(last, t.end())
	}
	s := c.link.lock()
	s.closing = t.closed
	if before == 0 {
		s.follow(&g.out)
	}
	start := s.keep(&g.out, first)
	s.keep(&g.out, entries...)
	s.keep(&g.out, last...)
	c.link.mu.Unlock()
	if start {
		go c.link.run()
	}
	return made, nil
}

// serves reports whether a request is served. A closed topic serves subscribers from before. They
// know its epoch, and get what they missed.
func (t *topicState[E]) serves(r *subscribeRequest) bool {
	return !t.closed || t.o.ServeClosed || r.Start == StartFromSeq && r.Epoch == t.epoch
}

// begin returns what a subscription gets before the first event that is
// published after it. The error may be errOutdated.
func (t *topicState[E]) begin(r *subscribeRequest) ([]*entry[E], error) {
	switch r.Start {
	case StartNewest:
		return nil, nil
	case StartSnapshot:
		return t.snapshot(r.Match)
	case StartOldest:
		return t.replay(r.Match, 0), nil
	}
	restarted := r.Epoch != 0 && r.Epoch != t.epoch
	from := max(r.Seq, 1)
	switch {
	case restarted:
		from = 1 // all of this epoch is news
	case from > t.last+1:
		return nil, invalid("subscribe", fmt.Sprintf("event %d is not published yet: the newest is %d", from, t.last))
	}
	first := t.last + 1 - Seq(len(t.kept(from))) // that can be had
	if first == from && !restarted {
		return t.replay(r.Match, from), nil
	}
	missed := uint64(first - from)
	if restarted {
		missed = 0 // nobody knows
	}
	gap := &entry[E]{head: headGap, raw: appendGapHead(nil, missed, first-1, restarted)}
	gap.Event = Event[E]{Kind: KindGap, Seq: first - 1, Epoch: t.epoch, Missed: missed, Restarted: restarted}
	if r.Snapshot && t.hasSnapshot() {
		state, err := t.snapshot(r.Match)
		return append([]*entry[E]{gap}, state...), err
	}
	return append([]*entry[E]{gap}, t.replay(r.Match, from)...), nil
}

// replay returns the kept events from a number on that match.
func (t *topicState[E]) replay(match string, from Seq) []*entry[E] {
	var entries []*entry[E]
	for _, e := range t.kept(from) {
		if matches(match, e.Event.Key) {
			entries = append(entries, e)
		}
	}
	return entries
}

// Unsubscribe implements Source.
func (t *Topic[E]) Unsubscribe(ctx context.Context, r multicast.ReceiverID, subs []subID) error {
	if p := multicast.PeerOf(ctx); p != nil {
		s := t.lock()
		defer t.mu.Unlock()
		s.unsubscribe(p, r, subs)
	}
	return nil
}

func (t *topicState[E]) unsubscribe(p *multicast.Peer, r multicast.ReceiverID, subs []subID) {
	c := t.clients[p]
	if t.closed || c == nil || c.groups[r] == nil {
		return
	}
	g := c.groups[r]
	before := len(g.subs)
	for _, s := range subs {
		delete(g.subs, s)
	}
	n := before - len(g.subs)
	c.count -= n
	t.count -= n
	if len(g.subs) == 0 {
		t.remove(g)
		g.clear()
	}
}

// remove takes a group out, with the subscriptions that it has.
func (t *topicState[E]) remove(g *group[E]) {
	if !t.index.remove(g) {
		return
	}
	c := g.client
	if c == nil {
		t.count--
		return
	}
	delete(c.groups, g.out.to[0])
	c.count -= len(g.subs)
	t.count -= len(g.subs)
}

// drop forgets a peer whose connection is lost, or that takes no events.
func (t *Topic[E]) drop(l *link[E]) {
	s := t.lock()
	unhook := s.drop(l)
	t.mu.Unlock()
	unhook()
}

// drop forgets a client. The caller runs unhook after the lock.
func (t *topicState[E]) drop(l *link[E]) (unhook func()) {
	c := t.clientOf(l)
	if c == nil {
		return func() {}
	}
	unhook = t.forget(c)
	for _, g := range c.groups {
		t.remove(g)
	}
	l.cut()
	return unhook
}

// dropSlow ends the groups that overflowed.
func (t *topicState[E]) dropSlow() {
	t.index.slow = false
	end := &entry[E]{head: headEnd, raw: endHead(slowKind, ""), Event: Event[E]{Seq: t.last + 1}}
	for g := range t.index.groups {
		if g.slow {
			t.remove(g)
			g.end(end, ErrSlow)
		}
	}
}
