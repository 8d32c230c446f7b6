package callback

import (
	"context"
	"fmt"
	"path"

	"gormi/rmi"
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
	t.mu.Lock()
	made, err := t.subscribe(p, &r)
	t.mu.Unlock()
	if made != nil {
		t.hook(made)
	}
	if err != nil {
		return subscribeGrant{}, err
	}
	return subscribeGrant{Node: t.node.ID(), Session: p.Connection()}, nil
}

// hook has a link dropped when its connection is lost.
func (t *Topic[E]) hook(l *link[E]) {
	unhook := l.peer.OnEnd(func() { t.drop(l) })
	t.mu.Lock()
	defer t.mu.Unlock()
	if l.unhook = unhook; t.links[l.peer] != l {
		unhook()
	}
}

// check finds what is wrong with a request whatever the topic's state.
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
	return &rmi.Error{Op: "subscribe", Kind: rmi.KindOverloaded, Outcome: rmi.OutcomeNotExecuted, Msg: fmt.Sprintf(
		"too many subscriptions: %d of %s are the limit (TopicOptions.%s)", limit, whose, option)}
}

// subscribe adds a request's subscriptions, and returns the peer's link if it
// made it. mu is held.
func (t *Topic[E]) subscribe(p *multicast.Peer, r *subscribeRequest) (made *link[E], err error) {
	if !t.serves(r) {
		return nil, failed("subscribe", ErrClosed)
	}
	l := t.links[p]
	if l == nil {
		l = &link[E]{topic: t, peer: p, groups: make(map[multicast.ReceiverID]*group[E]), closing: t.closed}
	}
	g := l.groups[r.Receiver]
	if g != nil && r.Resume {
		t.remove(g)
		g.clear()
		g = nil
	}
	ask := selection{r.Match, r.Queue, r.Policy, r.Snapshot}
	if g != nil && g.ask != ask {
		return nil, invalid("subscribe", "the receiver has subscriptions with another selection")
	}
	switch n := len(r.Subs); {
	case l.count+n > t.o.PerPeer:
		return nil, tooMany(t.o.PerPeer, "one client", "PerPeer")
	case t.count+n > t.o.Subscriptions:
		return nil, tooMany(t.o.Subscriptions, "all clients", "Subscriptions")
	}
	entries, err := t.begin(r)
	if err != nil {
		return nil, err
	}

	if t.links[p] == nil {
		t.links[p], made = l, l
	}
	if g == nil {
		g = &group[E]{match: r.Match, link: l, to: [1]multicast.ReceiverID{r.Receiver}, ask: ask, subs: make(map[subID]struct{}, len(r.Subs))}
		// What waits here waits for the connection, so a short queue for a slow
		// program is no reason for a short one here.
		g.q = newQueue(max(r.Queue, 1024), r.Policy, func(e *entry[E]) string { return e.Event.Key })
		l.groups[r.Receiver] = g
		if !t.closed {
			t.index.add(g)
		}
	}
	before := len(g.subs)
	for _, s := range r.Subs {
		g.subs[s] = struct{}{}
	}
	n := len(g.subs) - before
	l.count += n
	if !t.closed {
		t.count += n
	}

	l.mu.Lock()
	if before == 0 {
		for _, other := range l.ready {
			if other != g && other.to == g.to {
				g.behind = other // what is left of one that ended
			}
		}
	}
	g.q.keep(&entry[E]{head: headBegin, raw: beginHead(r.Token, t.epoch), Event: Event[E]{Seq: t.last + 1}})
	for _, e := range entries {
		g.q.keep(e)
	}
	g.q.keep(&entry[E]{head: headJoined, raw: joinedHead(r.Token, t.last+1)})
	if t.closed {
		g.q.keep(t.end())
	}
	start := l.queue(g)
	l.mu.Unlock()
	if start {
		go l.run()
	}
	return made, nil
}

// serves tells whether a request is served. A closed topic serves those who were
// there before: they know its epoch, and get what they missed. mu is held.
func (t *Topic[E]) serves(r *subscribeRequest) bool {
	return !t.closed || t.o.ServeClosed || r.Start == StartFromSeq && r.Epoch == t.epoch
}

// begin returns what a subscription gets before the first event that is
// published after it. mu is held.
func (t *Topic[E]) begin(r *subscribeRequest) ([]*entry[E], error) {
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

// replay returns the kept events from a number on that match. mu is held.
func (t *Topic[E]) replay(match string, from Seq) []*entry[E] {
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
	p := multicast.PeerOf(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if p == nil {
		return nil
	}
	l := t.links[p]
	if t.closed || l == nil || l.groups[r] == nil {
		return nil
	}
	g := l.groups[r]
	before := len(g.subs)
	for _, s := range subs {
		delete(g.subs, s)
	}
	n := before - len(g.subs)
	l.count -= n
	t.count -= n
	if len(g.subs) == 0 {
		t.remove(g)
		g.clear()
	}
	return nil
}

// remove takes a group out, with the subscriptions that it has. mu is held.
func (t *Topic[E]) remove(g *group[E]) {
	if !t.index.remove(g) {
		return
	}
	l := g.link
	if l == nil {
		t.count--
		return
	}
	delete(l.groups, g.to[0])
	l.count -= len(g.subs)
	t.count -= len(g.subs)
}

// drop forgets a peer whose connection is lost, or that takes no events.
func (t *Topic[E]) drop(l *link[E]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.links[l.peer] != l {
		return
	}
	t.unlink(l)
	for _, g := range l.groups {
		t.remove(g)
	}
	l.mu.Lock()
	l.dead, l.ready = true, nil
	l.mu.Unlock()
}

// dropSlow ends the groups that overflowed. mu is held.
func (t *Topic[E]) dropSlow() {
	t.index.slow = false
	end := &entry[E]{head: headEnd, raw: endHead(slowKind, ""), Event: Event[E]{Seq: t.last + 1}}
	for g := range t.index.groups {
		if g.slow {
			t.remove(g)
			g.end(end, ErrSlow)
		}
	}
}
