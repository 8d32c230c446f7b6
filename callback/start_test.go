package callback_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// brief writes events shortly: "5" published, "s5" state, "gap3" with 3 missed.
func brief(e callback.Event[int]) string {
	switch e.Kind {
	case callback.KindGap:
		if e.Restarted {
			return "restart"
		}
		return fmt.Sprintf("gap%d", e.Missed)
	case callback.KindState:
		return fmt.Sprintf("s%d", e.Value)
	}
	return fmt.Sprint(e.Value)
}

func TestWhereASubscriptionBegins(t *testing.T) {
	for _, c := range []struct {
		name string
		o    callback.SubscribeOptions
		want []string // of the events 1 to 10, of which 5 are kept, and 11 and 12 after it began
		kind rmi.Kind
	}{
		{"newest", callback.SubscribeOptions{}, []string{"11", "12"}, 0},
		{"oldest", callback.SubscribeOptions{Start: callback.StartOldest}, []string{"6", "7", "8", "9", "10", "11", "12"}, 0},
		{"oldest of a key", callback.SubscribeOptions{Start: callback.StartOldest, Match: "0"}, []string{"6", "9", "12"}, 0},
		{"from", callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 8}, []string{"8", "9", "10", "11", "12"}, 0},
		{"the next", callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 11}, []string{"11", "12"}, 0},
		{"forgotten", callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 2}, []string{"gap4", "6", "7", "8", "9", "10", "11", "12"}, 0},
		{"from the future", callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 12}, nil, rmi.KindInvalid},
		{"another epoch", callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 99, Epoch: 1}, []string{"restart", "6", "7", "8", "9", "10", "11", "12"}, 0},
		{"snapshot", callback.SubscribeOptions{Start: callback.StartSnapshot}, []string{"s8", "s9", "s10", "11", "12"}, 0},
		{"snapshot of a key", callback.SubscribeOptions{Start: callback.StartSnapshot, Match: "0"}, []string{"s9", "12"}, 0},
		{"pattern", callback.SubscribeOptions{Match: "[01]"}, []string{"12"}, 0},
		{"bad pattern", callback.SubscribeOptions{Match: "["}, nil, rmi.KindInvalid},
		{"bad queue", callback.SubscribeOptions{Queue: -1}, nil, rmi.KindInvalid},
		{"bad start", callback.SubscribeOptions{Start: 17}, nil, rmi.KindInvalid},
		{"bad policy", callback.SubscribeOptions{Policy: 17}, nil, rmi.KindInvalid},
	} {
		for _, where := range []string{"remote", "local"} {
			t.Run(c.name+"/"+where, func(t *testing.T) {
				net := rmitest.New(t)
				owner, user := net.Node(), net.Client()
				topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Keep: 5, Latest: true, Key: func(i int) string { return fmt.Sprint(i % 3) }})
				if where == "local" {
					src = topic
				}
				for i := range 10 {
					publish(t, topic, i+1)
				}
				got := make(chan string, 100)
				sub, err := callback.Subscribe(t.Context(), src, func(_ context.Context, e callback.Event[int]) error {
					got <- brief(e)
					return nil
				}, &c.o)
				if c.kind != 0 {
					if !errors.Is(err, c.kind) {
						t.Fatalf("%v", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				publish(t, topic, 11, 12)
				topic.Close()
				<-sub.Done()
				close(got)
				if all := slices.Collect(chanValues(got)); !slices.Equal(all, c.want) {
					t.Errorf("got %v, want %v", all, c.want)
				}
			})
		}
	}
}

func chanValues[T any](ch <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for v := range ch {
			if !yield(v) {
				return
			}
		}
	}
}

// A snapshot and the events after it give the state at every moment. Nothing is lost or doubled,
// though events are published all the time.
func TestSnapshotThenEveryChange(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	sum := 0 // the state; guarded by Change
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Snapshot: func() []int { return []int{sum} }})
	ctx, stop := context.WithCancel(t.Context())
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(func() {
			for ctx.Err() == nil {
				if _, err := topic.Change(func() (int, error) { sum++; return sum, nil }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var subscribers sync.WaitGroup
	for i := range 20 {
		s := src
		if i%4 == 0 {
			s = topic
		}
		subscribers.Go(func() {
			n, state := 0, -1
			for e, err := range callback.Events(bounded(t), s, &callback.SubscribeOptions{Start: callback.StartSnapshot, Queue: 1 << 20}) {
				switch {
				case err != nil:
					t.Error(err)
					return
				case e.Kind == callback.KindState && state < 0:
				case e.Kind == callback.KindPublished && state >= 0 && e.Value == state+1:
				case e.Kind == callback.KindGap:
					// The queue of the connection may overflow: this is no test of that.
					return
				default:
					t.Errorf("%+v after %d", e, state)
					return
				}
				if state = e.Value; n == 200 {
					return
				}
				n++
			}
		})
	}
	subscribers.Wait()
	stop()
	publishers.Wait()
}

func TestLatestForgetsWhatIsRemoved(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[Quote]{
		Latest: true, Key: quoteKey, MaxKeys: 2, Removes: func(q Quote) bool { return q.Cents < 0 }})
	publish(t, topic, Quote{"A", 1}, Quote{"B", 2}, Quote{"A", 3}, Quote{"B", -1}, Quote{"C", 4})
	if _, err := topic.Publish(Quote{"D", 1}); !errors.Is(err, rmi.KindOverloaded) {
		t.Errorf("a third key: %v", err)
	}
	var got []Quote
	for e, err := range callback.Events(bounded(t), src, &callback.SubscribeOptions{Start: callback.StartSnapshot}) {
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, e.Value); len(got) == 2 {
			break
		}
	}
	if want := []Quote{{"A", 3}, {"C", 4}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReadReturnsWhatIsKept(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[Quote]{Keep: 3, Key: quoteKey})
	publish(t, topic, Quote{"A", 1}, Quote{"B", 2}, Quote{"A", 3}, Quote{"AB", 4})
	for _, c := range []struct {
		from   callback.Seq
		match  string
		atMost int
		want   []callback.Seq
	}{
		{0, "", 0, []callback.Seq{2, 3, 4}}, {3, "", 0, []callback.Seq{3, 4}}, {0, "A*", 0, []callback.Seq{3, 4}},
		{0, "", 1, []callback.Seq{2}}, {9, "", 0, nil},
	} {
		events, err := src.Read(t.Context(), c.from, c.match, c.atMost)
		if err != nil {
			t.Fatal(err)
		}
		var got []callback.Seq
		for _, e := range events {
			got = append(got, e.Seq)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("from %d, %q, %d: got %v, want %v", c.from, c.match, c.atMost, got, c.want)
		}
	}
}
