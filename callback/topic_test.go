package callback_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// Quote is the event of the tests.
type Quote struct {
	Symbol string
	Cents  int
}

func quoteKey(q Quote) string { return q.Symbol }

// patience bounds what a test waits for; it never runs out in one that passes.
const patience = 20 * time.Second

func bounded(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// exported makes a topic of owner, and returns what another node sees of it.
func exported[E any](t testing.TB, owner, user *rmi.Node, o *callback.TopicOptions[E]) (*callback.Topic[E], callback.Source[E]) {
	t.Helper()
	topic, err := callback.NewTopic(owner, o)
	if err != nil {
		t.Fatal(err)
	}
	return topic, remote[E](t, owner, user, topic)
}

func remote[E any](t testing.TB, owner, user *rmi.Node, topic callback.Source[E]) callback.Source[E] {
	t.Helper()
	h, err := rmi.Export(owner, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	src, err := rmi.Resolve[callback.Source[E]](user, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// collector takes events by a Consumer.
type collector[E any] struct {
	*callback.Consumer[E]
	events chan callback.Event[E]
}

func collect[E any](t testing.TB, src callback.Source[E], o *callback.SubscribeOptions) *collector[E] {
	t.Helper()
	c := &collector[E]{events: make(chan callback.Event[E], 1<<16)}
	var err error
	c.Consumer, err = callback.Subscribe(t.Context(), src, func(_ context.Context, e callback.Event[E]) error {
		c.events <- e
		return nil
	}, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *collector[E]) next(t testing.TB) callback.Event[E] {
	t.Helper()
	select {
	case e := <-c.events:
		return e
	case <-time.After(patience):
		t.Fatal("no event came")
	}
	panic("unreachable")
}

func publish[E any](t testing.TB, topic *callback.Topic[E], events ...E) {
	t.Helper()
	for _, e := range events {
		if _, err := topic.Publish(e); err != nil {
			t.Fatal(err)
		}
	}
}

func TestEverySubscriberSeesEveryEventOnceInOrder(t *testing.T) {
	net := rmitest.New(t)
	owner := net.Node()
	topic, err := callback.NewTopic[int](owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	var all []*collector[int]
	for range 3 {
		user := net.Client()
		src := remote(t, owner, user, topic)
		for range 4 {
			all = append(all, collect(t, src, nil))
		}
	}
	all = append(all, collect(t, callback.Source[int](topic), nil))
	if topic.Len() != 13 {
		t.Fatalf("%d subscriptions", topic.Len())
	}
	const n = 500
	for i := range n {
		publish(t, topic, i)
	}
	for _, c := range all {
		for i := range n {
			if e := c.next(t); e.Kind != callback.KindPublished || e.Value != i || e.Seq != callback.Seq(i+1) || e.Epoch != topic.Epoch() {
				t.Fatalf("event %d is %+v", i, e)
			}
		}
	}
	for _, c := range all {
		c.Cancel(t.Context())
	}
}

// counted counts how often one of its values was encoded.
type counted struct{ N int }

var encoded atomic.Int64

func (c counted) MarshalBinary() ([]byte, error) {
	encoded.Add(1)
	return []byte{byte(c.N)}, nil
}

func (c *counted) UnmarshalBinary(b []byte) error {
	c.N = int(b[0])
	return nil
}

func TestAnEventIsEncodedOnce(t *testing.T) {
	net := rmitest.New(t)
	owner := net.Node()
	topic, first := exported[counted](t, owner, net.Client(), nil)
	var all []*collector[counted]
	for range 5 {
		all = append(all, collect(t, first, nil), collect(t, first, &callback.SubscribeOptions{Policy: callback.PolicyDisconnect}))
	}
	encoded.Store(0)
	publish(t, topic, counted{7})
	for _, c := range all {
		if e := c.next(t); e.Value.N != 7 {
			t.Fatalf("got %+v", e)
		}
	}
	if n := encoded.Load(); n != 1 {
		t.Errorf("an event to %d subscriptions was encoded %d times", len(all), n)
	}
}

func TestSubscribingOnAClosedNode(t *testing.T) {
	net := rmitest.New(t)
	user := net.Client()
	_, src := exported[int](t, net.Node(), user, nil)
	user.Close()
	_, err := callback.Subscribe(bounded(t), src, func(context.Context, callback.Event[int]) error { return nil }, nil)
	if rmi.KindOf(err) != rmi.KindClosed {
		t.Errorf("got %v, want that the node is closed", err)
	}
}

func TestEqualSubscriptionsOfAProcessShareWhatIsSent(t *testing.T) {
	net := rmitest.New(t)
	owner, one, other := net.Node(), net.Client(), net.Client()
	topic, src := exported[int](t, owner, one, nil)
	for range 100 {
		collect(t, src, nil)
	}
	if n := callback.Groups(topic); n != 1 || topic.Len() != 100 {
		t.Errorf("%d subscriptions of one process are sent %d copies", topic.Len(), n)
	}
	r, _ := rmi.RefOf(src)
	elsewhere, err := rmi.Resolve[callback.Source[int]](other, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	collect(t, elsewhere, nil)
	if n := callback.Groups(topic); n != 2 {
		t.Errorf("subscriptions of two processes are sent %d copies", n)
	}
}
