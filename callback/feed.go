package callback

import (
	"context"
	"errors"
	"slices"
	"sync"

	"gormi/rmi"
	"gormi/rmi/fault"
	"gormi/rmi/multicast"
)

// feed is the receiving end of the subscriptions of one node that have the same source and
// selection. The owner sends each event once, and the feed puts it in every member's inbox.
//
// Packets come in the order in which the owner made them. What a member gets first (nothing, a
// replay, a snapshot) comes between begin and joined, whose token is that of the request. From
// joined on it gets what all members get. So it does not matter that the answer to the request does
// not come in that order.
//
// # Who does what
//
// Receive and Flush run on the goroutine that reads the peer's packets, and never wait for a
// subscriber. Decoding may run the program's codecs, so values are decoded without mu. Requests to
// the owner are made by one goroutine at a time (feed.work). It runs while there are members to be
// subscribed, resumed or unsubscribed, and ends by itself, at the latest with hub.ctx.
//
// Lock order: hub.mu, feed.mu, inbox.mu. No other package is called under them, except context.
// contexts.
type feed[E any] struct {
	feedConfig[E]
	stop func() // unregisters the receiver

	mu    sync.Mutex
	state feedState[E] // guarded by mu; reached by lock and change alone
}

// feedConfig is what does not change in a feed's life.
type feedConfig[E any] struct {
	hub   *hub
	key   feedKey
	find  func(context.Context) (Source[E], error) // nil: src is all there is
	id    multicast.ReceiverID
	codec *multicast.Codec[E]
	wake  chan struct{} // a member left: whoever waits between attempts looks again
}

// feedState is what the lock of a feed guards. So are the states of its members and requests. Its
// methods need that lock.
type feedState[E any] struct {
	*feedConfig[E]
	src       Source[E] // nil: to be found (again)
	joined    []*member[E]
	joining   []*member[E]
	leaving   []subID
	batch     *request[E]        // under way
	cancel    context.CancelFunc // ends its call; nil while there is none
	abandoned bool               // its call was cancelled, because the connection is lost
	private   bool               // what comes is for the members of to, up to joined
	to        *request[E]        // nil: of a request that was cancelled
	lost      bool               // the connection was lost under the joined
	peer      *multicast.Peer    // from which events come; nil: none yet, or it is over
	epoch     Epoch
	last      Seq // of epoch; the newest that all joined got, or were told is lost
	working   bool
	due       bool // work counts as running, and is to be started after the lock
	over      bool
	subs      subID  // the last one given out
	tokens    uint64 // the same
	pending   []*Event[E]
	fresh     []Event[E] // allocated and not used yet
	warned    bool       // the log has an event that could not be decoded
}

// lock returns the state, which the caller may use until it unlocks mu.
func (f *feed[E]) lock() *feedState[E] {
	f.mu.Lock()
	return &f.state
}

// change calls do with the state. After the lock it starts work, if do asked for that.
func (f *feed[E]) change(do func(s *feedState[E])) {
	s := f.lock()
	do(s)
	due := s.due
	s.due = false
	f.mu.Unlock()
	if due {
		go f.work()
	}
}

// newFeed returns a feed that is registered as a receiver.
func newFeed[E any](h *hub, key feedKey, find func(context.Context) (Source[E], error), src Source[E]) (*feed[E], error) {
	codec, err := multicast.CodecOf[E]()
	if err != nil {
		return nil, during("subscribe", err)
	}
	f := &feed[E]{feedConfig: feedConfig[E]{hub: h, key: key, find: find, codec: codec, wake: make(chan struct{}, 1)}}
	f.state = feedState[E]{feedConfig: &f.feedConfig, src: src}
	f.id, f.stop = h.node.Port().Multicast().Register(f)
	return f, nil
}

// member is one subscription.
type member[E any] struct {
	in    *inbox[E]
	start Start // with seq and epoch; the feed's state, for they change when a part of a replay came
	seq   Seq
	epoch Epoch
	waits bool // for a source that is not up yet

	feed *feed[E]
	id   subID
	left bool          // the feed's state
	done chan struct{} // closed when its events began to come, or it failed
	err  error         // set before done is closed
}

// request is a subscribeRequest in flight, and for whom it is.
type request[E any] struct {
	members []*member[E]
	resume  bool
	token   uint64
	waits   bool        // for a source that is not up yet
	patient bool        // events came to the members before: their owner is waited for
	epoch   Epoch       // since begin
	events  []*Event[E] // between begin and joined
	joined  chan struct{}

	rejected chan struct{} // closed when its packets came over a connection that could not be used yet
}

// reject makes the request in flight fail, so that it is made again.
func (f *feedState[E]) reject() {
	select {
	case <-f.batch.rejected:
	default:
		close(f.batch.rejected)
	}
}

// join adds a member that is to be subscribed. hub.mu is held, so the feed is not over.
func (f *feed[E]) join(m *member[E]) {
	f.change(func(s *feedState[E]) {
		s.subs++
		m.feed, m.id = f, s.subs
		s.joining = append(s.joining, m)
		s.start()
	})
}

// start asks for work to be started after the lock, if it does not run.
func (f *feedState[E]) start() {
	if !f.working && !f.over {
		f.working, f.due = true, true
	}
}

// leave takes a member out. Nothing is put in its inbox after that.
func (f *feed[E]) leave(m *member[E]) {
	m.in.end(nil)
	f.change(func(s *feedState[E]) { s.leave(m) })
}

func (f *feedState[E]) leave(m *member[E]) {
	if m.left || f.over {
		return
	}
	m.left = true
	switch {
	case slices.Contains(f.joining, m):
		f.joining = without(f.joining, m)
	case f.batch != nil && slices.Contains(f.batch.members, m):
		// It is taken out when the request is over.
	default:
		f.joined = without(f.joined, m)
		if f.peer != nil {
			f.leaving = append(f.leaving, m.id)
		}
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
	f.start()
}

// Receive implements multicast.Receiver.
func (f *feed[E]) Receive(d *multicast.Delivery) {
	h, ok := parseHead(d.Head)
	if !ok {
		return // of a later version
	}
	if h.kind != headEvent && h.kind != headState {
		f.marked(d.Peer, &h)
		return
	}
	s := f.lock()
	wanted := s.wants(d.Peer)
	f.mu.Unlock()
	if !wanted {
		return
	}
	v, err := f.codec.Value(d)
	s = f.lock()
	warn := err != nil && !s.warned
	s.warned = s.warned || warn
	if s.wants(d.Peer) { // as before, unless the connection was lost meanwhile
		s.event(&h, v, err)
	}
	f.mu.Unlock()
	if warn {
		f.hub.node.Logger().Warn("an event could not be decoded, and is reported as lost; there may be more", "type", f.key.events.String(), "err", err)
	}
}

// marked handles a packet that is no event. If it is among a peer's first packets, the feed watches
// for the connection's end from here on.
func (f *feed[E]) marked(p *multicast.Peer, h *head) {
	fresh := false
	f.change(func(s *feedState[E]) { fresh = s.mark(p, h) })
	if fresh {
		p.OnEnd(func() { f.ended(p) }) // not at once: this is its reader
	}
}

// wants reports whether a member wants what a peer sends.
func (f *feedState[E]) wants(p *multicast.Peer) bool {
	if f.peer != p {
		return false // of a connection that is lost, or of nobody we asked
	}
	if f.private {
		return f.to != nil && f.to == f.batch
	}
	return len(f.joined) > 0 && !f.lost // those who lost their connection must first be resumed
}

// mark handles a packet that is no event. It reports whether events come from p from now on.
func (f *feedState[E]) mark(p *multicast.Peer, h *head) (fresh bool) {
	if f.peer != p {
		if h.kind != headBegin || f.batch == nil || f.batch.token != h.number || !f.from(p) {
			return false
		}
		if f.peer != nil || f.lost && !f.batch.resume {
			// The members that exist must first learn that their connection is lost, and be
			// resumed: otherwise they would miss what was between.
			f.reject()
			return false
		}
		f.peer, fresh = p, true
	}
	switch h.kind {
	case headBegin:
		f.flush()
		f.private, f.to = true, nil
		if f.batch == nil || f.batch.token != h.number {
			break
		}
		if len(f.joined) > 0 && h.epoch != f.epoch {
			// The source that was found is another topic of the same node: the existing members
			// have lost theirs.
			f.lost = true
			f.reject()
			break
		}
		f.to, f.batch.epoch = f.batch, h.epoch
	case headJoined:
		f.flush()
		f.admit(h)
		f.private, f.to = false, nil
	case headGap:
		if f.wants(p) {
			f.gap(h)
		}
	case headEnd:
		f.flush()
		f.fail(f.subscribed(), endError(h))
		f.start()
	}
	return fresh
}

// subscribed returns the members that the owner has, as far as its packets tell. It forgets them.
func (f *feedState[E]) subscribed() []*member[E] {
	all := f.joined
	f.joined, f.lost = nil, false
	if f.to != nil && f.to == f.batch {
		all = append(all, f.batch.members...)
		close(f.batch.joined) // nobody waits for that any more
		f.batch = nil
	}
	return all
}

// from reports whether a peer is the one that was asked. Any node may own a well-known source.
func (f *feedState[E]) from(p *multicast.Peer) bool {
	r, ok := rmi.RefOf(f.src)
	return !ok || r.ID.Node.IsZero() || r.ID.Node == p.Node()
}

// eventChunk is how many events are allocated at once. An event that a program keeps in memory
// keeps its neighbours there too: few, so that it does not matter.
const eventChunk = 16

// event handles an event that is wanted: v, or err if it could not be decoded.
func (f *feedState[E]) event(h *head, v *E, err error) {
	if err != nil {
		lost := &head{number: 1}
		if h.kind == headEvent {
			lost.last = Seq(h.number)
		}
		f.gap(lost)
		return
	}
	if len(f.fresh) == 0 {
		f.fresh = make([]Event[E], eventChunk)
	}
	e := &f.fresh[0]
	f.fresh = f.fresh[1:]
	*e = Event[E]{Kind: KindPublished, Seq: Seq(h.number), Epoch: f.epoch, Key: string(h.text), Value: *v}
	if h.kind == headState {
		e.Kind = KindState
	}
	if f.private {
		f.hold(e)
		return
	}
	f.last = e.Seq
	f.pending = append(f.pending, e)
}

// gap handles a gap that is wanted.
func (f *feedState[E]) gap(h *head) {
	if f.private {
		f.hold(&Event[E]{Kind: KindGap, Missed: h.number, Seq: h.last, Restarted: h.restarted})
		return
	}
	f.flush()
	// A member that resumes must not be told of this gap again.
	f.last = max(f.last, h.last)
	if h.number == 0 {
		unknown := []*Event[E]{{Kind: KindGap, Seq: h.last, Epoch: f.epoch}}
		for _, m := range f.joined {
			m.in.keep(unknown)
		}
		return
	}
	for _, m := range f.joined {
		m.in.lose(h.number, place{f.epoch, h.last})
	}
}

// hold keeps what comes between begin and joined.
func (f *feedState[E]) hold(e *Event[E]) {
	e.Epoch = f.to.epoch
	f.to.events = append(f.to.events, e)
}

// admit makes the members of the request in flight ordinary ones.
func (f *feedState[E]) admit(h *head) {
	b := f.to
	if b == nil || b != f.batch || b.token != h.number {
		return
	}
	f.batch = nil
	f.epoch, f.last = b.epoch, h.last-1
	for _, m := range b.members {
		if m.left {
			f.leaving = append(f.leaving, m.id)
			continue
		}
		f.joined = append(f.joined, m)
		m.in.keep(b.events)
		f.begin(m)
	}
	close(b.joined)
}

// advance delivers what came of a replay whose connection was lost, so that the next request
// continues after it: a replay may take longer than connections live. It reports whether there was
// something. A part of a state is of no use, and neither is a gap that a state follows. They begin
// anew.
func (f *feedState[E]) advance(b *request[E]) bool {
	last := Seq(0)
	for _, e := range b.events {
		if e.Kind == KindState || e.Kind == KindGap && f.key.ask.snapshot {
			return false
		}
		last = max(last, e.Seq)
	}
	if last == 0 {
		return false
	}
	if b.resume {
		f.epoch, f.last = b.epoch, last
	}
	for _, m := range b.members {
		if m.left {
			continue
		}
		m.in.keep(b.events)
		m.start, m.seq, m.epoch = StartFromSeq, last+1, b.epoch
		f.begin(m)
	}
	return true
}

// begin tells a member that events come.
func (f *feedState[E]) begin(m *member[E]) {
	if !m.begun() {
		close(m.done)
	}
}

// begun reports whether events came, or the subscription failed.
func (m *member[E]) begun() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// Flush implements multicast.Receiver.
func (f *feed[E]) Flush(p *multicast.Peer) { f.change((*feedState[E]).flush) }

// flush puts what came in the inboxes.
func (f *feedState[E]) flush() {
	if len(f.pending) == 0 {
		return
	}
	slow := false
	for _, m := range f.joined {
		if !m.in.push(f.pending) {
			m.left, slow = true, true
		}
	}
	clear(f.pending)
	f.pending = f.pending[:0]
	if slow {
		f.joined = slices.DeleteFunc(f.joined, func(m *member[E]) bool {
			if m.left {
				f.leaving = append(f.leaving, m.id)
			}
			return m.left
		})
		f.start()
	}
}

// ended is called when a connection is lost and nothing more comes from it.
func (f *feed[E]) ended(p *multicast.Peer) {
	var giveUp context.CancelFunc
	f.change(func(s *feedState[E]) { giveUp = s.ended(p) })
	if giveUp != nil {
		giveUp()
	}
}

// ended returns how to cancel the call in flight, if there is one. The call is made again. Its
// answer may be lost, and must not be waited for.
func (f *feedState[E]) ended(p *multicast.Peer) (giveUp context.CancelFunc) {
	if f.peer != p || f.over {
		return nil
	}
	f.flush()
	f.peer, f.leaving = nil, nil
	f.private, f.to = false, nil
	f.lost = len(f.joined) > 0
	f.abandoned = true
	f.start()
	return f.cancel
}

// all returns the members, whatever their state. It forgets them.
func (f *feedState[E]) all() []*member[E] {
	all := slices.Concat(f.joined, f.joining)
	if f.batch != nil {
		all = append(all, f.batch.members...)
	}
	f.joined, f.joining, f.batch, f.lost = nil, nil, nil, false
	return all
}

// fail ends members' subscriptions.
func (f *feedState[E]) fail(members []*member[E], err error) {
	for _, m := range members {
		m.left = true
		m.in.end(err)
		if m.begun() {
			continue
		}
		if m.err = err; err == nil {
			m.err = during("subscribe", ErrClosed)
		}
		close(m.done)
	}
}

// endError is what an end head says.
func endError(h *head) error {
	switch h.reason {
	case 0:
		return nil
	case slowKind:
		return ErrSlow
	}
	return fault.Add(fault.New(fault.Kind(h.reason), fault.OutcomeUnknown, "%s", h.text), fault.Op("subscribe"))
}

// errUnconfirmed is the error of a request that was granted, but whose connection ended before its
// events began.
var errUnconfirmed = errors.New("the connection ended before the subscription began")
