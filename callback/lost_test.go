package callback_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// waitFor waits until what Subscriptions says holds. It is asked again after each event of the
// sessions, so it polls by yielding.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := bounded(t)
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: never", what)
		case <-time.After(time.Millisecond): // the owner tells nobody when it noticed
		}
	}
}

func TestSubscriptionOutlivesItsConnection(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Keep: 10})
	a, b := collect(t, src, nil), collect(t, src, nil)
	filtered := collect(t, src, &callback.SubscribeOptions{Start: callback.StartOldest, Policy: callback.PolicyDropNewest})
	next := 0
	for round := range 5 {
		publish(t, topic, next, next+1)
		net.Cut(owner, user)
		publish(t, topic, next+2)
		waitFor(t, "subscribed again", func() bool { return topic.Len() == 3 })
		publish(t, topic, next+3)
		for i := range 4 {
			for _, c := range []*collector[int]{a, b, filtered} {
				if e := c.next(t); e.Kind != callback.KindPublished || e.Value != next+i {
					t.Fatalf("round %d: got %+v, want %d", round, e, next+i)
				}
			}
		}
		next += 4
	}
}

func TestWhatIsForgottenMeanwhileIsTold(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Keep: 2, Latest: true})
	plain := collect(t, src, nil)
	state := collect(t, src, &callback.SubscribeOptions{Start: callback.StartSnapshot})
	publish(t, topic, 1)
	if e := plain.next(t); e.Value != 1 {
		t.Fatal(e)
	}
	if e := state.next(t); e.Value != 1 {
		t.Fatal(e)
	}
	net.Partition(owner, user) // so that the subscriber cannot come back at once
	publish(t, topic, 2, 3)
	net.Cut(owner, user)
	publish(t, topic, 4, 5, 6)
	net.Heal(owner, user)
	for _, want := range []string{"gap3", "5", "6"} {
		if got := brief(plain.next(t)); got != want {
			t.Errorf("plain: got %s, want %s", got, want)
		}
	}
	for _, want := range []string{"gap3", "s6"} {
		if got := brief(state.next(t)); got != want {
			t.Errorf("with snapshot: got %s, want %s", got, want)
		}
	}
}

func TestRestartedOwnerIsANewEpoch(t *testing.T) {
	net := rmitest.New(t)
	naming := net.Node()
	reg, err := registry.Serve(t.Context(), naming, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	start := func(n *rmi.Node, first int) *callback.Topic[int] {
		topic, err := callback.NewTopic(n, &callback.TopicOptions[int]{Latest: true})
		if err != nil {
			t.Fatal(err)
		}
		publish(t, topic, first)
		if _, err := registry.Rebind[callback.Source[int]](t.Context(), n, reg.URL("numbers"), topic, nil); err != nil {
			t.Fatal(err)
		}
		return topic
	}
	owner, user := net.Node(), net.Client()
	old := start(owner, 1)
	events := make(chan callback.Event[int], 100)
	sub, err := callback.SubscribeByName(t.Context(), user, reg.URL("numbers"), func(_ context.Context, e callback.Event[int]) error {
		events <- e
		return nil
	}, &callback.SubscribeOptions{Start: callback.StartSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Cancel(t.Context())
	c := &collector[int]{events: events}
	if got := brief(c.next(t)); got != "s1" {
		t.Fatal(got)
	}
	publish(t, old, 2)
	if got := brief(c.next(t)); got != "2" {
		t.Fatal(got)
	}
	owner = net.Restart(owner, nil)
	topic := start(owner, 10)
	for _, want := range []string{"restart", "s10"} {
		if e := c.next(t); brief(e) != want || e.Epoch != topic.Epoch() {
			t.Errorf("got %+v, want %s of %d", e, want, topic.Epoch())
		}
	}
	publish(t, topic, 11)
	if e := c.next(t); brief(e) != "11" || e.Seq != 2 {
		t.Errorf("got %+v", e)
	}
}

// If a source can be found again, nobody waits for an owner that vanished. When the owner is back,
// nobody waits for the registry.
func TestWhatCanBeFoundAgainIsNotWaitedFor(t *testing.T) {
	net := rmitest.New(t)
	first, second, user := net.Node(), net.Node(), net.Client()
	old, src := exported(t, first, user, &callback.TopicOptions[int]{Latest: true})
	topic, replacement := exported(t, second, user, &callback.TopicOptions[int]{Latest: true})
	var bound atomic.Pointer[callback.Source[int]] // nil: the registry does not answer
	bound.Store(&src)
	lookups := make(chan struct{}, 100)
	find := func(context.Context) (callback.Source[int], error) {
		select {
		case lookups <- struct{}{}:
		default:
		}
		if s := bound.Load(); s != nil {
			return *s, nil
		}
		return nil, &rmi.Error{Kind: rmi.KindConnectFailed, Outcome: rmi.OutcomeNotExecuted}
	}
	events := make(chan callback.Event[int], 100)
	sub, err := callback.SubscribeFrom(t.Context(), find, func(_ context.Context, e callback.Event[int]) error {
		events <- e
		return nil
	}, &callback.SubscribeOptions{Start: callback.StartSnapshot})
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Cancel(t.Context())
	c := &collector[int]{events: events}
	publish(t, old, 1)
	if got := brief(c.next(t)); got != "1" {
		t.Fatal(got)
	}
	vanish := func(n *rmi.Node) { // and two attempts find nothing else
		net.Partition(n, user)
		net.Cut(n, user)
		for range cap(lookups) {
			select {
			case <-lookups:
				continue
			default:
			}
			break
		}
		<-lookups
		<-lookups
	}

	vanish(first)
	publish(t, topic, 2)
	bound.Store(&replacement)
	for _, want := range []string{"restart", "s2"} {
		if got := brief(c.next(t)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if user.Port().Multicast().Peer(first.ID()) == nil {
		t.Error("the session with the first owner was over: it may have been waited for")
	}

	bound.Store(nil)
	vanish(second)
	publish(t, topic, 3)
	net.Heal(second, user)
	if got := brief(c.next(t)); got != "3" {
		t.Errorf("got %s", got)
	}
}

func TestSourceThatIsGoneForGoodEndsTheSubscription(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, err := callback.NewTopic[int](owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := rmi.Export[callback.Source[int]](owner, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := rmi.Resolve[callback.Source[int]](user, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := collect(t, src, nil)
	h.Close()
	net.Cut(owner, user)
	<-c.Done()
	if err := c.Err(); !errors.Is(err, rmi.KindNoSuchObject) {
		t.Errorf("%v", err)
	}
}

func TestClosedTopicEndsLoopsSilently(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported[int](t, owner, user, nil)
	for _, s := range []callback.Source[int]{src, topic} {
		c := collect(t, s, nil)
		defer func() {
			<-c.Done()
			if c.Err() != nil || c.next(t).Value != 7 {
				t.Errorf("%v", c.Err())
			}
		}()
	}
	publish(t, topic, 7)
	topic.Close()
	if _, err := topic.Publish(8); err == nil {
		t.Error("published to a closed topic")
	}
}

func TestVanishedSubscribersAreForgotten(t *testing.T) {
	net := rmitest.New(t)
	owner := net.Node()
	topic, err := callback.NewTopic[int](owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	users := []*rmi.Node{net.Client(), net.Client()}
	for _, user := range users {
		src := remote(t, owner, user, topic)
		for range 10 {
			collect(t, src, nil)
		}
	}
	if topic.Len() != 20 {
		t.Fatal(topic.Len())
	}
	users[0].Close()
	waitFor(t, "the closed one's are forgotten", func() bool { return topic.Len() == 10 })
	if callback.Links(topic) != 1 {
		t.Errorf("%d links", callback.Links(topic))
	}
}

func TestLeavingTheLoopUnsubscribes(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{})
	publish(t, topic, 1)
	for _, s := range []callback.Source[int]{src, topic} {
		for e, err := range callback.Events(bounded(t), s, &callback.SubscribeOptions{Start: callback.StartOldest}) {
			if err != nil || e.Value != 1 {
				t.Fatal(e, err)
			}
			break
		}
		waitFor(t, "unsubscribed", func() bool { return topic.Len() == 0 })
	}
	if callback.Feeds(user) != 0 {
		waitFor(t, "the feed is gone", func() bool { return callback.Feeds(user) == 0 })
	}
}

func TestEventsEndsWithItsContext(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	_, src := exported[int](t, owner, user, nil)
	ctx, cancel := context.WithCancelCause(bounded(t))
	cancel(nil)
	n := 0
	for _, err := range callback.Events(ctx, src, nil) {
		if n++; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d rounds", n)
	}
}

// Events of different selections of a peer are encoded and sent once.
func TestFiltersRunAtTheOwner(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	var asked atomic.Int64
	topic, src := exported(t, owner, user, &callback.TopicOptions[Quote]{Key: func(q Quote) string { asked.Add(1); return q.Symbol }})
	subs := map[string]*collector[Quote]{}
	for _, match := range []string{"", "ACME", "AC*", "[B-D]*", "ACDC", "nothing*"} {
		subs[match] = collect(t, src, &callback.SubscribeOptions{Match: match})
	}
	publish(t, topic, Quote{"ACME", 1}, Quote{"BEEF", 2}, Quote{"ACDC", 3}, Quote{"ZZ", 4})
	publish(t, topic, Quote{"ACME", 9}, Quote{"BEEF", 9}, Quote{"ACDC", 9}, Quote{"ZZ", 9}) // an end for each
	for match, want := range map[string][]int{"": {1, 2, 3, 4}, "ACME": {1}, "AC*": {1, 3}, "[B-D]*": {2}, "ACDC": {3}} {
		for _, cents := range append(want, 9) {
			if e := subs[match].next(t); e.Value.Cents != cents || e.Key != e.Value.Symbol || int(e.Seq) != cents && cents != 9 {
				t.Errorf("%q: got %+v, want %d", match, e, cents)
			}
		}
	}
	if len(subs["nothing*"].events) > 0 {
		t.Error("something came that does not match")
	}
	if asked.Load() != 8 {
		t.Errorf("Key was called %d times for 8 events", asked.Load())
	}
}

// Cuts at any moment, while events are published and subscriptions come and go,
// lose and double nothing that the topic keeps.
func TestCutsUnderLoad(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Keep: 1 << 20})
	ctx, stop := context.WithCancel(t.Context())
	var publisher, subscribers sync.WaitGroup
	publisher.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			publish(t, topic, i)
			if i%64 == 0 {
				<-time.After(100 * time.Microsecond)
			}
		}
	})
	var seen atomic.Int64
	for i := range 8 {
		subscribers.Go(func() {
			for round := range 4 {
				last, n := callback.Seq(0), 0
				o := &callback.SubscribeOptions{Queue: 1 << 20}
				if (i+round)%2 == 0 {
					o.Start = callback.StartOldest
				}
				for e, err := range callback.Events(bounded(t), src, o) {
					if err != nil && (rmi.KindOf(err) == rmi.KindPeerGone || rmi.KindOf(err) == rmi.KindConnectFailed) {
						break // the first attempt hit a cut too often
					}
					if err != nil || e.Kind != callback.KindPublished || last > 0 && e.Seq != last+1 || int(e.Seq) != e.Value+1 {
						t.Errorf("after %d: %+v, %v", last, e, err)
						return
					}
					last = e.Seq
					seen.Add(1)
					if n++; n == 3000 {
						break
					}
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { subscribers.Wait(); close(done) }()
	for cut := int64(1); ; cut++ {
		waitFor(t, "events", func() bool {
			select {
			case <-done:
				return true
			default:
				return seen.Load() > cut*2000
			}
		})
		net.Cut(owner, user)
		select {
		case <-done:
			stop()
			publisher.Wait()
			t.Logf("%d cuts, %d events", cut, seen.Load())
			return
		default:
		}
	}
}
