package callback

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/rmitest"
)

// probe is an event whose decoding runs code of the program's.
type probe struct{ n byte }

var probed atomic.Pointer[func()]

func (p probe) MarshalBinary() ([]byte, error) { return []byte{p.n}, nil }

func (p *probe) UnmarshalBinary(b []byte) error {
	(*probed.Load())()
	if p.n = b[0]; p.n == 0 {
		return errors.New("zero cannot be decoded")
	}
	return nil
}

// lookingLog runs a function whenever a record is written.
type lookingLog struct {
	slog.Handler
	f func()
}

func (h lookingLog) Enabled(context.Context, slog.Level) bool { return true }

func (h lookingLog) Handle(ctx context.Context, r slog.Record) error {
	h.f()
	return h.Handler.Handle(ctx, r)
}

// A decoder or a log that is slow, or that looks at subscriptions, holds up nothing but its events.
func TestNothingOfTheProgramsRunsUnderAFeedsLock(t *testing.T) {
	net := rmitest.New(t)
	var f atomic.Pointer[feed[probe]]
	var decoded, logged atomic.Int64
	free := func(what string, n *atomic.Int64) func() {
		return func() {
			f := f.Load()
			if f == nil {
				return // of something else
			}
			for range 1000 { // others hold it for moments
				if f.mu.TryLock() {
					f.mu.Unlock()
					n.Add(1)
					return
				}
				runtime.Gosched()
			}
			t.Errorf("the feed is locked while %s", what)
		}
	}
	decode := free("a value is decoded", &decoded)
	probed.Store(&decode)
	owner := net.Node()
	user := net.ClientWith(&rmi.Options{Logger: slog.New(lookingLog{slog.DiscardHandler, free("the log is told", &logged)})})
	topic, src := pair[probe](t, owner, user, nil)
	got := make(chan Kind, 10)
	sub, err := Subscribe(t.Context(), src, func(_ context.Context, e Event[probe]) error { got <- e.Kind; return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Cancel(t.Context())
	f.Store(onlyFeed[probe](t, user))
	for _, n := range []byte{1, 0, 2} {
		if _, err := topic.Publish(probe{n}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []Kind{KindPublished, KindGap, KindPublished} {
		if k := soon(t, got); k != want {
			t.Errorf("got %v, want %v", k, want)
		}
	}
	if decoded.Load() != 3 || logged.Load() != 1 {
		t.Errorf("%d were decoded, %d logged", decoded.Load(), logged.Load())
	}
}

// soon is what comes on a channel, which is not waited for for ever.
func soon[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// pair makes a topic of owner, and what user sees of it.
func pair[E any](t *testing.T, owner, user *rmi.Node, o *TopicOptions[E]) (*Topic[E], Source[E]) {
	t.Helper()
	topic, err := NewTopic(owner, o)
	if err != nil {
		t.Fatal(err)
	}
	h, err := rmi.Export[Source[E]](owner, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := rmi.Resolve[Source[E]](user, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return topic, src
}

func onlyFeed[E any](t *testing.T, n *rmi.Node) *feed[E] {
	t.Helper()
	h := hubOf(n)
	s := h.lock()
	defer h.mu.Unlock()
	for _, f := range s.feeds {
		return f.(*feed[E])
	}
	t.Fatal("there is no feed")
	panic("unreachable")
}

// start starts a subscription and tells what it gets, and its end.
func start[E any](t *testing.T, src Source[E], o *SubscribeOptions) (got chan Event[E], ended chan error) {
	t.Helper()
	got, ended = make(chan Event[E], 4096), make(chan error, 1)
	sub, err := Subscribe(t.Context(), src, func(_ context.Context, e Event[E]) error { got <- e; return nil }, o)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends with the subscription
		<-sub.Done()
		ended <- sub.Err()
	}()
	t.Cleanup(func() { sub.Cancel(context.Background()) })
	return got, ended
}

// The end of a receiver's subscriptions ends those that joined, not one that was requested after
// it.
func TestAnEndIsOfThoseWhoJoined(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := pair[int](t, owner, user, nil)
	o := &SubscribeOptions{Policy: PolicyDisconnect, Queue: 1024} // so many fit at the subscriber, too
	_, ended := start(t, src, o)
	l := onlyLink(topic)
	for held := false; !held; runtime.Gosched() {
		s := l.lock()
		if held = !s.running; held { // what began the subscription is sent
			s.running = true // nothing more is sent until this test does
		}
		l.mu.Unlock()
	}
	for i := range 1025 {
		if _, err := topic.Publish(i); err != nil {
			t.Fatal(err)
		}
	}
	if topic.Len() != 0 {
		t.Fatalf("%d subscriptions: nobody was too slow", topic.Len())
	}
	begun := make(chan chan Event[int])
	go func() { // ends when it joined
		got, _ := start(t, src, o)
		begun <- got
	}()
	for asked := false; !asked; runtime.Gosched() {
		asked = topic.Len() == 1
	}
	l.run()
	if err := soon(t, ended); err != ErrSlow {
		t.Errorf("the slow one ended with %v", err)
	}
	got := soon(t, begun)
	if _, err := topic.Publish(-1); err != nil {
		t.Fatal(err)
	}
	if e := soon(t, got); e.Value != -1 || e.Kind != KindPublished {
		t.Errorf("the one that came after it got %v %+v", e.Kind, e)
	}
}

func onlyLink[E any](topic *Topic[E]) *link[E] {
	s := topic.lock()
	defer topic.mu.Unlock()
	for _, c := range s.clients {
		return c.link
	}
	return nil
}

// A feed whose members were ended by the owner is forgotten, and one that joins
// meanwhile does not wait for the connection's end.
func TestAnEndedFeedIsForgotten(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := pair[int](t, owner, user, nil)
	_, ended := start(t, src, nil)
	topic.Close()
	if err := soon(t, ended); err != nil {
		t.Error(err)
	}
	for begun := time.Now(); ; runtime.Gosched() {
		n := Feeds(user)
		if n == 0 {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Fatalf("%d feeds are left", n)
		}
	}
}

// Packets of a request that ended in the middle, or of one that was never made, reach nobody.
func TestFeedsTakeOnlyWhatIsForThem(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	_, src := pair[int](t, owner, user, nil)
	got, ended := start(t, src, nil)
	f := onlyFeed[int](t, user)
	s := f.lock()
	p, epoch, last := s.peer, s.epoch, s.last
	f.mu.Unlock()
	send := func(head []byte) { f.Receive(&multicast.Delivery{Peer: p, Head: head}) }

	send(beginHead(99, 1)) // nobody's
	send(appendGapHead(nil, 5, 50, false))
	send(joinedHead(99, 77))
	s = f.lock()
	if s.epoch != epoch || s.last != last || s.private {
		t.Errorf("epoch %d, last %d after what was nobody's", s.epoch, s.last)
	}
	s.lost = true // as between the end of a connection and the request that resumes
	f.mu.Unlock()
	send(appendGapHead(nil, 5, 50, false))
	s = f.lock()
	if s.last != last {
		t.Errorf("last %d after what came before the members were resumed", s.last)
	}
	s.lost = false
	f.mu.Unlock()
	other := user.Port().Multicast().Peer(owner.ID())
	f.Receive(&multicast.Delivery{Peer: new(multicast.Peer), Head: appendGapHead(nil, 5, 50, false)})
	if other != p {
		t.Fatal("the connection is another")
	}
	send(appendGapHead(nil, 0, 0, false)) // of another implementation, perhaps
	if e := soon(t, got); e.Kind != KindGap || e.Missed != 0 || e.Epoch != epoch {
		t.Errorf("got %v %+v, want the only gap that was for it", e.Kind, e)
	}
	send(appendGapHead(nil, 2, 7, false))
	if e := soon(t, got); e.Kind != KindGap || e.Missed != 2 || e.Seq != 7 {
		t.Errorf("got %v %+v", e.Kind, e)
	}
	// Another node knows the token, perhaps.
	third := net.Node()
	if _, err := user.Describe(t.Context(), refs.WellKnown(third.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.KindNoSuchObject) {
		t.Fatal(err)
	}
	asked := &request[int]{token: 4, joined: make(chan struct{}), rejected: make(chan struct{})}
	s = f.lock()
	s.batch = asked
	f.mu.Unlock()
	f.Receive(&multicast.Delivery{Peer: user.Port().Multicast().Peer(third.ID()), Head: beginHead(4, epoch)})
	select {
	case <-asked.rejected:
		t.Error("another node than the owner answered a request")
	default:
	}

	// A request's packets come on a new connection, before the end of the old one is known. Its
	// members must wait until those who have joined are resumed.
	early := &request[int]{token: 5, joined: make(chan struct{}), rejected: make(chan struct{})}
	s = f.lock()
	src = s.src
	s.src, s.batch = nil, early
	s.mark(new(multicast.Peer), &head{kind: headBegin, number: 5, epoch: epoch})
	select {
	case <-early.rejected:
	default:
		t.Error("a request was taken up over a connection that its members are not on")
	}
	if s.peer != p {
		t.Error("the connection was replaced before its end was known")
	}
	s.src, s.batch = src, &request[int]{token: 6, joined: make(chan struct{}), rejected: make(chan struct{})}
	under := s.batch
	f.mu.Unlock()

	send(beginHead(6, epoch))
	send(endHead(uint8(rmi.KindDenied), "go away"))
	if err := soon(t, ended); !errors.Is(err, rmi.KindDenied) {
		t.Errorf("it ended with %v", err)
	}
	select {
	case <-under.joined:
	default:
		t.Error("the request under way waits for what cannot come")
	}
}

// A name may lead to another topic of the same node. Subscribers of the first topic have lost
// theirs, and are told.
func TestAnotherTopicOfTheSameNodeIsARestart(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	one, src1 := pair[int](t, owner, user, nil)
	two, src2 := pair(t, owner, user, &TopicOptions[int]{})
	if _, err := one.Publish(1); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	src := src1
	find := func(context.Context) (Source[int], error) {
		mu.Lock()
		defer mu.Unlock()
		return src, nil
	}
	only := new(int)
	member := func() (*Consumer[int], chan Event[int]) {
		got := make(chan Event[int], 100)
		c, err := consume(t.Context(), target[int]{find: find, key: feedKey{only: only}}, func(_ context.Context, e Event[int]) error { got <- e; return nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Cancel(context.Background()) })
		return c, got
	}
	_, first := member()
	mu.Lock()
	src = src2
	mu.Unlock()
	f := onlyFeed[int](t, user)
	f.forget() // as after an attempt that failed
	_, second := member()
	if e := soon(t, first); e.Kind != KindGap || !e.Restarted || e.Epoch != two.Epoch() {
		t.Errorf("the first got %v %+v, want that it is another epoch", e.Kind, e)
	}
	if _, err := two.Publish(7); err != nil {
		t.Fatal(err)
	}
	for _, got := range []chan Event[int]{first, second} {
		if e := soon(t, got); e.Value != 7 || e.Epoch != two.Epoch() {
			t.Errorf("got %v %+v", e.Kind, e)
		}
	}
}

// A request that resumes takes the place of what there was for its receiver, sent or not.
func TestResumingTakesNothingFromBefore(t *testing.T) {
	node := rmi.NewNode(nil)
	defer node.Close()
	topic, err := NewTopic[int](node, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &link[int]{topic: topic, state: linkState[int]{running: true}} // the test is its run
	ask := func(r subscribeRequest) {
		t.Helper()
		s := topic.lock()
		defer topic.mu.Unlock()
		r.Receiver, r.Queue, r.Subs = 3, 1, []subID{1}
		if _, err := s.subscribe(l, &r); err != nil {
			t.Fatal(err)
		}
	}
	ask(subscribeRequest{Token: 1})
	for i := range 3 {
		if _, err := topic.Publish(i); err != nil {
			t.Fatal(err)
		}
	}
	ask(subscribeRequest{Token: 2, Resume: true, Start: StartFromSeq, Seq: 3, Epoch: topic.Epoch()})
	var kinds []headKind
	var tokens []uint64
	for {
		var b batch[int]
		s := l.lock()
		more, _ := s.next(&b)
		l.mu.Unlock()
		if !more {
			break
		}
		b.merge()
		for _, m := range b.messages {
			h, _ := parseHead(m.Head)
			kinds, tokens = append(kinds, h.kind), append(tokens, h.number)
		}
	}
	if !slices.Equal(kinds, []headKind{headBegin, headEvent, headJoined}) || !slices.Equal(tokens, []uint64{2, 3, 2}) {
		t.Errorf("sent are %v %v, want begin 2, event 3, joined 2", kinds, tokens)
	}
}

func TestWhichRequestsAreRepeated(t *testing.T) {
	kinds := func(b *request[int], finds bool, failures int) (again []rmi.Kind) {
		for k := rmi.KindInvalid; k <= rmi.KindInternal; k++ {
			if b.repeat(&rmi.Error{Kind: k}, finds, failures) {
				again = append(again, k)
			}
		}
		return again
	}
	for _, c := range []struct {
		name     string
		b        request[int]
		finds    bool
		failures int
		want     []rmi.Kind
	}{
		{"first, for the last time", request[int]{}, true, quickTries - 1, []rmi.Kind{rmi.KindPeerGone}},
		{"first, too often", request[int]{}, true, quickTries, nil},
		{"waiting", request[int]{waits: true}, true, 1000,
			[]rmi.Kind{rmi.KindNotBound, rmi.KindNoSuchObject, rmi.KindStaleReference, rmi.KindDeadline, rmi.KindConnectFailed, rmi.KindPeerGone}},
		{"resuming a source", request[int]{patient: true}, false, 1000,
			[]rmi.Kind{rmi.KindOverloaded, rmi.KindDeadline, rmi.KindCancelled, rmi.KindConnectFailed, rmi.KindPeerGone}},
		{"resuming a name", request[int]{patient: true, waits: true}, true, 1000,
			[]rmi.Kind{rmi.KindNotBound, rmi.KindNoSuchObject, rmi.KindStaleReference, rmi.KindDenied, rmi.KindOverloaded, rmi.KindDeadline, rmi.KindCancelled,
				rmi.KindConnectFailed, rmi.KindPeerGone, rmi.KindProtocol}},
	} {
		if got := kinds(&c.b, c.finds, c.failures); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if !c.b.repeat(errUnconfirmed, c.finds, c.failures) {
			t.Errorf("%s: not after a connection that ended in between", c.name)
		}
	}
}

func newMember(id subID) *member[int] {
	return &member[int]{in: newInbox[int](&SubscribeOptions{Queue: 10}, func() {}), id: id, done: make(chan struct{})}
}

// A member that leaves while it is being subscribed is unsubscribed afterwards.
func TestWhoLeftWhileItJoined(t *testing.T) {
	stays, left := newMember(1), newMember(2)
	left.left = true
	b := &request[int]{token: 7, epoch: 9, members: []*member[int]{stays, left}, joined: make(chan struct{})}
	f := &feedState[int]{batch: b, to: b, private: true}
	f.admit(&head{kind: headJoined, number: 7, last: 5})
	if !slices.Equal(f.joined, []*member[int]{stays}) || !slices.Equal(f.leaving, []subID{2}) || f.last != 4 || f.epoch != 9 {
		t.Errorf("joined %d, leaving %v, last %d of %d", len(f.joined), f.leaving, f.last, f.epoch)
	}
}

// A request for the rest of a replay names the epoch: another topic has other numbers.
func TestAReplayGoesOnInItsEpoch(t *testing.T) {
	events := []*Event[int]{{Kind: KindPublished, Seq: 4, Epoch: 9}, {Kind: KindPublished, Seq: 5, Epoch: 9}}
	m := newMember(1)
	f := &feedState[int]{feedConfig: new(feedConfig[int])}
	if !f.advance(&request[int]{epoch: 9, members: []*member[int]{m}, events: events}) {
		t.Fatal("it does not")
	}
	if m.start != StartFromSeq || m.seq != 6 || m.epoch != 9 || !m.begun() || f.last != 0 {
		t.Errorf("a new one goes on with start %d, %d of %d", m.start, m.seq, m.epoch)
	}
	if !f.advance(&request[int]{epoch: 9, resume: true, members: []*member[int]{m}, events: events}) || f.last != 5 || f.epoch != 9 {
		t.Errorf("one that resumes goes on behind %d of %d", f.last, f.epoch)
	}
	if got, _, _ := m.in.take(nil); len(got) != 4 {
		t.Errorf("%d events were handed out", len(got))
	}
	if f.advance(&request[int]{epoch: 9, members: []*member[int]{m}}) {
		t.Error("it goes on behind nothing")
	}
	f.key.ask.snapshot = true
	if f.advance(&request[int]{epoch: 9, members: []*member[int]{m}, events: []*Event[int]{{Kind: KindGap, Seq: 5, Epoch: 9}}}) {
		t.Error("it goes on behind a gap that a state follows")
	}
}

func TestNothingIsQueuedAfterTheEnd(t *testing.T) {
	in := newInbox[int](&SubscribeOptions{Queue: 10}, func() {})
	in.end(ErrSlow)
	e := []*Event[int]{{Kind: KindPublished, Seq: 1}}
	ok := in.push(e)
	in.keep(e)
	in.lose(5, place{1, 2})
	in.end(nil)
	if got, over, err := in.take(nil); ok || len(got) != 0 || !over || err != ErrSlow {
		t.Errorf("push %v, then %v, %v, %v", ok, got, over, err)
	}
}

// Receivers of a packet ascend, whatever the order in which they asked.
func TestReceiversAscend(t *testing.T) {
	node := rmi.NewNode(nil)
	defer node.Close()
	topic, err := NewTopic[int](node, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &link[int]{topic: topic, state: linkState[int]{running: true}} // the test is its run
	for _, receiver := range []multicast.ReceiverID{5, 3, 4} {
		s := topic.lock()
		_, err := s.subscribe(l, &subscribeRequest{Receiver: receiver, Subs: []subID{1}, Queue: 1})
		topic.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := topic.Publish(1); err != nil {
		t.Fatal(err)
	}
	var b batch[int]
	b.take(l.lock())
	l.mu.Unlock()
	b.merge()
	if m := b.messages[len(b.messages)-1]; m.Packet == nil || !slices.Equal(m.To, []multicast.ReceiverID{3, 4, 5}) {
		t.Errorf("the event goes to %v", m.To)
	}
}

// asked is a source of which only Subscribe is called.
type asked struct {
	Source[int]
	subscribe func(context.Context, subscribeRequest) (subscribeGrant, error)
}

func (a asked) Subscribe(ctx context.Context, r subscribeRequest) (subscribeGrant, error) {
	return a.subscribe(ctx, r)
}

// newTestFeed is a feed without a node.
func newTestFeed(h *hub, src Source[int]) *feed[int] {
	f := &feed[int]{feedConfig: feedConfig[int]{hub: h, wake: make(chan struct{}, 1)}, stop: func() {}}
	f.state = feedState[int]{feedConfig: &f.feedConfig, src: src}
	return f
}

// The answer to a request whose connection ended may be lost. The call is cancelled then, and the
// request made again at once.
func TestACallWhoseAnswerMayBeLostIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		called := make(chan struct{})
		src := asked{subscribe: func(ctx context.Context, _ subscribeRequest) (subscribeGrant, error) {
			close(called)
			<-ctx.Done() // nobody answers
			return subscribeGrant{}, ctx.Err()
		}}
		f := newTestFeed(&hub{ctx: t.Context()}, src)
		f.state.working = true // the test is its work
		b := &request[int]{members: []*member[int]{newMember(1)}}
		requested := make(chan error)
		go func() { requested <- f.request(b) }()
		<-called
		begin := time.Now()
		f.ended(nil)
		if err := <-requested; err != errUnconfirmed || time.Since(begin) != 0 {
			t.Errorf("after %v the request ended with %v, want %v at once", time.Since(begin), err, errUnconfirmed)
		}
	})
}

// Attempts that each bring a part of a replay are no failures in a row: the pauses between them
// stay short.
func TestProgressKeepsPausesShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const attempts = 8
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		f := newTestFeed(&hub{ctx: ctx}, nil)
		n := Seq(0)
		enough := make(chan struct{})
		f.state.src = asked{subscribe: func(ctx context.Context, r subscribeRequest) (subscribeGrant, error) {
			if n++; n == attempts {
				close(enough)
				<-ctx.Done()
				return subscribeGrant{}, ctx.Err()
			}
			if n > 1 && (r.Start != StartFromSeq || r.Seq != n) {
				t.Errorf("attempt %d begins with %v %d", n, r.Start, r.Seq)
			}
			s := f.lock()
			s.batch.events = append(s.batch.events, &Event[int]{Kind: KindPublished, Seq: n})
			f.mu.Unlock()
			return subscribeGrant{}, &rmi.Error{Kind: rmi.KindPeerGone}
		}}
		begin := time.Now()
		f.join(newMember(0))
		<-enough
		if d := time.Since(begin); d > (attempts-1)*firstPause {
			t.Errorf("%d attempts took %v, want at most %v between two", attempts, d, firstPause)
		}
		cancel()
		synctest.Wait()
		if !f.state.over {
			t.Error("the feed goes on")
		}
	})
}
