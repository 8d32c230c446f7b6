package callback_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/rmitest"
)

// What one subscriber does to itself leaves the others alone.
func TestMisbehavingSubscribers(t *testing.T) {
	oops := errors.New("oops")
	for _, c := range []struct {
		name string
		f    func(ctx context.Context, sub *callback.Consumer[int]) error
		err  func(error) bool // how the subscription ends; nil: it does not
	}{
		{"panics", func(context.Context, *callback.Consumer[int]) error { panic("oops") }, func(err error) bool { return errors.Is(err, rmi.KindPanic) }},
		{"returns an error", func(context.Context, *callback.Consumer[int]) error { return oops }, func(err error) bool { return err == oops }},
		{"blocks for ever", func(ctx context.Context, _ *callback.Consumer[int]) error { <-ctx.Done(); return ctx.Err() }, nil},
		{"unsubscribes inside its callback", func(ctx context.Context, sub *callback.Consumer[int]) error { return sub.Cancel(ctx) }, func(err error) bool { return err == nil }},
	} {
		for _, where := range []string{"remote", "local"} {
			t.Run(c.name+"/"+where, func(t *testing.T) {
				net := rmitest.New(t)
				owner, user := net.Node(), net.Client()
				topic, src := exported[int](t, owner, user, nil)
				if where == "local" {
					src = topic
				}
				var bad *callback.Consumer[int]
				ready := make(chan struct{})
				bad, err := callback.Subscribe(t.Context(), src, func(ctx context.Context, e callback.Event[int]) error {
					<-ready
					return c.f(ctx, bad)
				}, nil)
				if err != nil {
					t.Fatal(err)
				}
				close(ready)
				good := collect(t, src, nil)
				for i := range 100 {
					publish(t, topic, i)
				}
				for i := range 100 {
					if e := good.next(t); e.Value != i {
						t.Fatalf("got %+v, want %d", e, i)
					}
				}
				left := 2
				if c.err != nil {
					left = 1
					<-bad.Done()
					if !c.err(bad.Err()) {
						t.Errorf("ended with %v", bad.Err())
					}
				}
				waitFor(t, "the owner knows", func() bool { return topic.Len() == left })
				bad.Cancel(t.Context())
				good.Cancel(t.Context())
			})
		}
	}
}

func TestSubscribingInsideACallback(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{})
	inner := make(chan int, 10)
	outer, err := callback.Subscribe(t.Context(), src, func(ctx context.Context, e callback.Event[int]) error {
		if e.Value != 1 {
			return nil
		}
		_, err := callback.Subscribe(ctx, src, func(_ context.Context, e callback.Event[int]) error {
			inner <- e.Value
			return nil
		}, &callback.SubscribeOptions{Start: callback.StartOldest})
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, topic, 1)
	for i := range 3 {
		if got := <-inner; got != i+1 {
			t.Errorf("got %d, want %d", got, i+1)
		}
		publish(t, topic, i+2)
	}
	outer.Cancel(t.Context())
	waitFor(t, "both are over", func() bool { return topic.Len() == 0 })
}

// A peer that takes nothing delays nobody and costs a bounded queue. It learns exactly how much it
// lost when it wakes up.
func TestSubscriberThatNeverReads(t *testing.T) {
	net := rmitest.New(t)
	owner, user, other := net.Node(), net.Client(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[string]{Keep: 4})
	stuck := collect(t, src, nil)
	good := collect(t, remote(t, owner, other, topic), &callback.SubscribeOptions{Queue: 1 << 20})
	net.Partition(owner, user)
	const n = 6000
	text := strings.Repeat("x", 1000)
	for i := range n {
		publish(t, topic, text)
		if i%1000 == 999 {
			for range 1000 {
				if e := good.next(t); e.Kind == callback.KindGap {
					t.Fatalf("the other one got %+v", e)
				}
			}
		}
	}
	net.Heal(owner, user)
	got, missed := 0, 0
	for got+missed < n {
		e := stuck.next(t)
		if e.Kind == callback.KindGap {
			missed += int(e.Missed)
			continue
		}
		if got++; int(e.Seq) != got+missed {
			t.Fatalf("event %d after %d events and %d missed", e.Seq, got-1, missed)
		}
	}
	if missed == 0 || got < 1024 {
		t.Errorf("%d came, %d were missed", got, missed)
	}
}

func TestSlowSubscriberByPolicy(t *testing.T) {
	for _, c := range []struct {
		policy callback.Policy
		want   []string
		err    error
	}{
		{callback.PolicyDropOldest, []string{"0", "gap7", "8", "9", "10"}, nil},
		{callback.PolicyDropNewest, []string{"0", "1", "2", "3", "gap7"}, nil},
		{callback.PolicyCoalesce, []string{"0", "gap8", "9", "10"}, nil},
		{callback.PolicyDisconnect, []string{"0", "1", "2", "3", "gap1"}, callback.ErrSlow},
	} {
		for _, where := range []string{"remote", "local"} {
			t.Run(c.policy.String()+"/"+where, func(t *testing.T) {
				net := rmitest.New(t)
				owner, user := net.Node(), net.Client()
				topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Key: func(i int) string { return fmt.Sprint(i % 2) }})
				if where == "local" {
					src = topic
				}
				busy, goOn := make(chan struct{}), make(chan struct{})
				var got []string
				sub, err := callback.Subscribe(t.Context(), src, func(_ context.Context, e callback.Event[int]) error {
					if got = append(got, brief(e)); len(got) == 1 {
						close(busy)
						<-goOn
					}
					return nil
				}, &callback.SubscribeOptions{Queue: 3, Policy: c.policy})
				if err != nil {
					t.Fatal(err)
				}
				// Of the same selection and later, so what it got, the other one's queue got.
				watch := collect(t, src, &callback.SubscribeOptions{Queue: 3, Policy: c.policy})
				for i := range 11 {
					publish(t, topic, i)
					if e := watch.next(t); e.Value != i {
						t.Fatalf("got %+v, want %d", e, i)
					}
					if i == 0 {
						<-busy
					}
				}
				close(goOn)
				topic.Close()
				<-sub.Done()
				if !slices.Equal(got, c.want) {
					t.Errorf("got %v, want %v", got, c.want)
				}
				if !errors.Is(sub.Err(), c.err) {
					t.Errorf("ended with %v", sub.Err())
				}
			})
		}
	}
}

func TestTooManySubscriptions(t *testing.T) {
	net := rmitest.New(t)
	owner, user, other := net.Node(), net.Client(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{PerPeer: 100, Subscriptions: 150})
	subscribe := func(src callback.Source[int]) error {
		_, err := callback.Subscribe(t.Context(), src, func(context.Context, callback.Event[int]) error { return nil }, nil)
		return err
	}
	for range 100 {
		if err := subscribe(src); err != nil {
			t.Fatal(err)
		}
	}
	err := subscribe(src)
	if !errors.Is(err, rmi.KindOverloaded) || !strings.Contains(err.Error(), "100 of one client") {
		t.Errorf("one more: %v", err)
	}
	elsewhere := remote(t, owner, other, topic)
	for range 50 {
		if err := subscribe(elsewhere); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []callback.Source[int]{elsewhere, topic} {
		if err := subscribe(s); !errors.Is(err, rmi.KindOverloaded) || !strings.Contains(err.Error(), "150 of all clients") {
			t.Errorf("one more elsewhere: %v", err)
		}
	}
	if topic.Len() != 150 {
		t.Errorf("%d subscriptions", topic.Len())
	}
}

// A million subscriptions of one client stop at the default limit, also when they are not asked for
// through the functions of this package.
func TestAMillionSubscriptions(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported[int](t, owner, user, nil)
	var err error
	asked := 0
	for receiver := multicast.ReceiverID(1); err == nil && asked < 1_000_000; receiver++ {
		r := callback.Request{Receiver: receiver, Queue: 16, Token: 1}
		for range 4096 {
			asked++
			r.Subs = append(r.Subs, callback.SubID(asked))
		}
		_, err = src.Subscribe(t.Context(), r)
	}
	if !strings.Contains(fmt.Sprint(err), "65536 of one client") || topic.Len() != 65_536 {
		t.Errorf("after %d: %d, %v", asked, topic.Len(), err)
	}
}

func TestHostileRequests(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported[int](t, owner, user, nil)
	good := callback.Request{Receiver: 1, Subs: []callback.SubID{1}, Queue: 1}
	for name, spoil := range map[string]func(*callback.Request){
		"no receiver":  func(r *callback.Request) { r.Receiver = 0 },
		"no subs":      func(r *callback.Request) { r.Subs = nil },
		"no queue":     func(r *callback.Request) { r.Queue = 0 },
		"huge queue":   func(r *callback.Request) { r.Queue = 1 << 30 },
		"policy":       func(r *callback.Request) { r.Policy = 9 },
		"start":        func(r *callback.Request) { r.Start = 9 },
		"pattern":      func(r *callback.Request) { r.Match = "[" },
		"long pattern": func(r *callback.Request) { r.Match = strings.Repeat("x", 1000) },
		"future":       func(r *callback.Request) { r.Start, r.Seq = callback.StartFromSeq, 1<<63 },
		"no snapshot":  func(r *callback.Request) { r.Start = callback.StartSnapshot },
	} {
		r := good
		spoil(&r)
		if _, err := src.Subscribe(t.Context(), r); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := src.Subscribe(t.Context(), good); err != nil {
		t.Error(err)
	}
	good.Match = "x"
	if _, err := src.Subscribe(t.Context(), good); err == nil {
		t.Error("another selection for the same receiver: accepted")
	}
	if err := src.Unsubscribe(t.Context(), 77, []callback.SubID{5}); err != nil {
		t.Error(err)
	}
	if _, err := topic.Subscribe(t.Context(), good); err == nil {
		t.Error("a call that is no remote one: accepted")
	}
	if topic.Len() != 1 {
		t.Errorf("%d subscriptions", topic.Len())
	}
}

func TestEventThatCannotBeEncoded(t *testing.T) {
	type unknown struct{ N int }
	type box struct{ V any }
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported[box](t, owner, user, nil)
	c := collect(t, src, nil)
	publish(t, topic, box{"one"})
	for _, bad := range []any{unknown{1}, []any{"half", unknown{2}}, strings.Repeat("x", 5<<20)} {
		if seq, err := topic.Publish(box{bad}); err == nil {
			t.Errorf("%T was published as %d", bad, seq)
		}
	}
	publish(t, topic, box{"two"})
	for i, want := range []string{"one", "two"} {
		if e := c.next(t); e.Value.V != want || e.Seq != callback.Seq(i+1) {
			t.Errorf("got %+v, want %s", e, want)
		}
	}
	if _, err := callback.NewTopic[chan int](owner, nil); err == nil {
		t.Error("a topic of channels was made")
	}
}

// An event that is larger than a subscriber's node accepts is a gap to it alone.
func TestEventLargerThanAPeerAccepts(t *testing.T) {
	net := rmitest.New(t)
	owner, other := net.Node(), net.Client()
	o := rmi.Options{}
	o.Limits.Message = 64 << 10
	small := net.ClientWith(&o)
	topic, src := exported[string](t, owner, small, nil)
	a, b := collect(t, src, nil), collect(t, remote(t, owner, other, topic), nil)
	large := strings.Repeat("x", 100<<10)
	publish(t, topic, "1", large, "3")
	for _, want := range []string{"1", large, "3"} {
		if e := b.next(t); e.Value != want {
			t.Errorf("the other got %d bytes", len(e.Value))
		}
	}
	if e := a.next(t); e.Value != "1" {
		t.Errorf("got %+v", e)
	}
	if e := a.next(t); e.Kind != callback.KindGap || e.Missed != 1 {
		t.Errorf("got %+v", e)
	}
	if e := a.next(t); e.Value != "3" {
		t.Errorf("got %+v", e)
	}
}
