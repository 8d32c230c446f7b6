package callback_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/rmitest"
)

// After Close, publishers and new subscribers get ErrClosed, wherever they are.
func TestAClosedTopicSaysSo(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Latest: true})
	publish(t, topic, 1)
	topic.Close()
	_, publishing := topic.Publish(2)
	_, changing := topic.Change(func() (int, error) { return 2, nil })
	subscribe := func(src callback.Source[int]) error {
		_, err := callback.Subscribe(bounded(t), src, func(context.Context, callback.Event[int]) error { return nil }, nil)
		return err
	}
	for what, err := range map[string]error{"Publish": publishing, "Change": changing, "remote": subscribe(src), "local": subscribe(topic)} {
		if !errors.Is(err, callback.ErrClosed) || !strings.HasSuffix(err.Error(), ": the topic is closed") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Only subscribers from before know the epoch.
func TestAClosedTopicServesThoseOfItsEpoch(t *testing.T) {
	net := rmitest.New(t)
	topic, src := exported[int](t, net.Node(), net.Client(), nil)
	publish(t, topic, 1)
	topic.Close()
	ask := func(receiver multicast.ReceiverID, epoch callback.Epoch) error {
		_, err := src.Subscribe(t.Context(), callback.Request{Receiver: receiver, Subs: []callback.SubID{1}, Queue: 1, Token: 1,
			Resume: true, Start: callback.StartFromSeq, Seq: 1, Epoch: epoch})
		return err
	}
	if err := ask(1, topic.Epoch()); err != nil {
		t.Errorf("of its epoch: %v", err)
	}
	for _, epoch := range []callback.Epoch{0, topic.Epoch() - 1} {
		if err := ask(2, epoch); !errors.Is(err, callback.ErrClosed) {
			t.Errorf("of another epoch: %v", err)
		}
	}
	if topic.Len() != 0 {
		t.Errorf("%d subscriptions", topic.Len())
	}
}

// If its owner wants it, a closed topic still gives what it has, and then the end.
func TestAClosedTopicServesItsLastState(t *testing.T) {
	for _, where := range []string{"remote", "local"} {
		t.Run(where, func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			topic, src := exported(t, owner, user, &callback.TopicOptions[int]{Latest: true, ServeClosed: true})
			if where == "local" {
				src = topic
			}
			before := collect(t, src, nil) // shares the way of those that follow
			publish(t, topic, 1, 2)
			topic.Close()
			<-before.Done()
			for start, want := range map[callback.Start][]string{callback.StartSnapshot: {"s2"}, callback.StartOldest: {"1", "2"}, callback.StartNewest: nil} {
				var got []string
				for e, err := range callback.Events(bounded(t), src, &callback.SubscribeOptions{Start: start}) {
					if err != nil {
						t.Fatal(err)
					}
					got = append(got, brief(e))
				}
				if strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("start %d: got %v, want %v", start, got, want)
				}
			}
			if events, err := src.Read(t.Context(), 0, "", 0); len(events) != 2 || err != nil {
				t.Errorf("read %v, %v", events, err)
			}
			waitFor(t, "the topic lets go of the connection", func() bool { return callback.Links(topic) == 0 })
			waitFor(t, "the feeds are gone", func() bool { return callback.Feeds(user) == 0 })
		})
	}
}

// A subscriber whose connection is lost while the topic is closed gets the rest when it
// comes back, and then the end.
func TestTheRestOfAClosedTopicIsNotLost(t *testing.T) {
	for name, c := range map[string]struct {
		o     callback.TopicOptions[int]
		start callback.Start
		want  []string
	}{
		"kept":           {callback.TopicOptions[int]{}, callback.StartNewest, []string{"2", "3", "4"}},
		"forgotten":      {callback.TopicOptions[int]{Keep: 1}, callback.StartNewest, []string{"gap2", "4"}},
		"with its state": {callback.TopicOptions[int]{Keep: 1, Latest: true}, callback.StartSnapshot, []string{"gap2", "s4"}},
	} {
		t.Run(name, func(t *testing.T) {
			net := rmitest.New(t)
			owner, user := net.Node(), net.Client()
			topic, src := exported(t, owner, user, &c.o)
			sub := collect(t, src, &callback.SubscribeOptions{Start: c.start})
			publish(t, topic, 1)
			if got := brief(sub.next(t)); got != "1" {
				t.Fatal(got)
			}
			net.Partition(owner, user)
			publish(t, topic, 2, 3, 4)
			net.Cut(owner, user)
			topic.Close()
			net.Heal(owner, user)
			for _, want := range c.want {
				if got := brief(sub.next(t)); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
			<-sub.Done()
			if sub.Err() != nil || len(sub.events) > 0 {
				t.Errorf("it ended with %v, %d events are left", sub.Err(), len(sub.events))
			}
			waitFor(t, "the topic lets go of the connection", func() bool { return callback.Links(topic) == 0 })
		})
	}
}

// What a loop without the error takes for an event is none.
func TestTheEventBesideAnErrorIsNone(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	_, src := exported[int](t, owner, user, nil)
	rounds := 0
	for ev := range callback.Events(bounded(t), src, &callback.SubscribeOptions{Match: "["}) {
		if rounds++; ev.Kind == callback.KindPublished || ev.Kind.String() != "no event" {
			t.Errorf("got %+v, %v", ev, ev.Kind)
		}
	}
	if rounds != 1 {
		t.Errorf("%d rounds", rounds)
	}
}

// soon is what comes on a channel, which is not waited for for ever.
func soon[T any](t *testing.T, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// As of a method, the log has the stack of a panic, and the error's text has not.
func TestThePanicOfASubscriberIsToldAsAMethods(t *testing.T) {
	for what, f := range map[string]func(){"panicked: oops": func() { panic("oops") }, "ended its goroutine": runtime.Goexit} {
		for _, where := range []string{"remote", "local", "listener"} {
			t.Run(where+" "+what, func(t *testing.T) {
				net := rmitest.New(t)
				log := new(logged)
				owner, user := net.NodeWith(log.options()), net.ClientWith(log.options())
				var err error
				if where == "listener" {
					failures, got := make(chan error, 1), make(chan int, 1)
					set := callback.NewListeners(owner, &callback.ListenersOptions[told]{OnError: func(_ told, err error) { failures <- err }})
					if _, err := set.Add(func(_ context.Context, n int) error {
						if n == 1 {
							f()
						}
						got <- n
						return nil
					}); err != nil {
						t.Fatal(err)
					}
					for n := range 2 {
						set.Notify(func(ctx context.Context, f told) error { return f(ctx, n+1) })
					}
					err = soon(t, failures)
					if n := soon(t, got); n != 2 {
						t.Errorf("got %d after the one that failed", n)
					}
				} else {
					topic, src := exported[int](t, owner, user, nil)
					if where == "local" {
						src = topic
					}
					sub, bad := callback.Subscribe(t.Context(), src, func(context.Context, callback.Event[int]) error { f(); return nil }, nil)
					if bad != nil {
						t.Fatal(bad)
					}
					publish(t, topic, 1)
					<-sub.Done()
					err = sub.Err()
				}
				if !errors.Is(err, rmi.KindPanic) || !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), ".go:") {
					t.Errorf("the error is %v", err)
				}
				if text := log.String(); strings.Count(text, what) != 1 || !strings.Contains(text, "closed_test.go:") {
					t.Errorf("the log is %s", text)
				}
			})
		}
	}
}

func TestAListenerThatFailsIsLoggedOnce(t *testing.T) {
	net := rmitest.New(t)
	log := new(logged)
	owner := net.NodeWith(log.options())
	set := callback.NewListeners[told](owner, nil)
	done := make(chan struct{})
	for _, name := range []string{"one", "another"} {
		if _, err := set.Add(func(_ context.Context, n int) error {
			if n == 9 {
				done <- struct{}{}
				return nil
			}
			return errors.New(name + " fails")
		}); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		set.Notify(func(ctx context.Context, f told) error { return f(ctx, n) })
	}
	<-done
	<-done
	if text := log.String(); strings.Count(text, "one fails") != 1 || strings.Count(text, "another fails") != 1 {
		t.Errorf("the log is %s", text)
	}
	if _, err := callback.NewListeners[told](owner, nil), set.Close(); err != nil {
		t.Error(err)
	}
	if _, err := set.Add(func(context.Context, int) error { return nil }); !errors.Is(err, rmi.KindClosed) || strings.Contains(err.Error(), "network connection") {
		t.Errorf("added to a closed set: %v", err)
	}
}
