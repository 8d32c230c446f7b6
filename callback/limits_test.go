package callback_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/rmitest"
)

// first reads the first event of a subscription.
func first[E any](t *testing.T, src callback.Source[E], o *callback.SubscribeOptions) callback.Event[E] {
	t.Helper()
	for e, err := range callback.Events(bounded(t), src, o) {
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Fatal("no event came")
	panic("unreachable")
}

// numbers are the events that Read returns, as "from-to".
func numbers[E any](t *testing.T, src callback.Source[E], from callback.Seq, atMost int) string {
	t.Helper()
	events, err := src.Read(t.Context(), from, "", atMost)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range events {
		if e.Seq != events[0].Seq+callback.Seq(i) || e.Kind != callback.KindPublished {
			t.Fatalf("%v %d after %d others, the first of which is %d", e.Kind, e.Seq, i, events[0].Seq)
		}
	}
	if len(events) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d-%d", events[0].Seq, events[len(events)-1].Seq)
}

func TestWhatIsKeptIsBoundedInBytes(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	topic, src := exported(t, owner, user, &callback.TopicOptions[string]{KeepBytes: 100})
	text := strings.Repeat("x", 27) // 30 bytes with what stands around it
	for range 10 {
		publish(t, topic, text)
	}
	if got := numbers(t, src, 0, 0); got != "8-10" {
		t.Errorf("of ten events of 30 bytes, 100 bytes are %s, want 8-10", got)
	}
	publish(t, topic, strings.Repeat("x", 96)) // 99
	if got := numbers(t, src, 0, 0); got != "11-11" {
		t.Errorf("beside one of 99 bytes is %s", got)
	}
	publish(t, topic, strings.Repeat("x", 98)) // 101
	if got := numbers(t, src, 0, 0); got != "none" {
		t.Errorf("one of 101 bytes is %s", got)
	}
	publish(t, topic, text)
	if got := numbers(t, src, 0, 0); got != "13-13" {
		t.Errorf("after it is %s", got)
	}
	if e := first(t, src, &callback.SubscribeOptions{Start: callback.StartFromSeq, Seq: 10}); e.Missed != 3 || e.Seq != 12 {
		t.Errorf("from 10 on: %+v, want that three are missed", e)
	}
}

func TestKeepingNothing(t *testing.T) {
	net := rmitest.New(t)
	topic, src := exported(t, net.Node(), net.Client(), &callback.TopicOptions[int]{Keep: -1})
	publish(t, topic, 1, 2)
	if got := numbers(t, src, 0, 0); got != "none" {
		t.Errorf("%s is kept", got)
	}
}

func TestReadReturnsSoMuchAtMost(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	small, smallSrc := exported(t, owner, user, &callback.TopicOptions[int]{Keep: 3000})
	for i := range 2500 {
		publish(t, small, i)
	}
	for atMost, want := range map[int]string{0: "1-100", -1: "1-100", 999: "1-999", 1000: "1-1000", 1001: "1-1000", math.MaxInt: "1-1000"} {
		if got := numbers(t, smallSrc, 0, atMost); got != want {
			t.Errorf("at most %d: %s, want %s", atMost, got, want)
		}
	}
	if got := numbers(t, smallSrc, 2000, 1000); got != "2000-2500" {
		t.Errorf("from 2000 on: %s", got)
	}
	large, largeSrc := exported(t, owner, user, &callback.TopicOptions[string]{Keep: 10})
	for _, kib := range []int{300, 300, 300, 300, 2000, 1} {
		publish(t, large, strings.Repeat("x", kib<<10))
	}
	for from, want := range map[callback.Seq]string{1: "1-3", 4: "4-4", 5: "5-5", 6: "6-6"} {
		if got := numbers(t, largeSrc, from, 10); got != want {
			t.Errorf("about a MiB from %d on: %s, want %s", from, got, want)
		}
	}
}

// A Change that failed may have changed the state all the same: who comes next gets it as it is.
func TestAFailedChangeLeavesNoOldSnapshot(t *testing.T) {
	net := rmitest.New(t)
	owner, user := net.Node(), net.Client()
	state := "old"
	topic, src := exported(t, owner, user, &callback.TopicOptions[any]{Snapshot: func() []any { return []any{state} }})
	snapshot := &callback.SubscribeOptions{Start: callback.StartSnapshot}
	if e := first(t, src, snapshot); e.Value != "old" {
		t.Fatalf("the state is %v", e.Value)
	}
	oops := errors.New("oops")
	if _, err := topic.Change(func() (any, error) { state = "half"; return nil, oops }); err != oops {
		t.Errorf("it failed with %v", err)
	}
	if e := first(t, src, snapshot); e.Value != "half" {
		t.Errorf("after a change that failed the state is %v", e.Value)
	}
	type unknown struct{}
	if _, err := topic.Change(func() (any, error) { state = "whole"; return unknown{}, nil }); err == nil {
		t.Error("an event that cannot be encoded was published")
	}
	if e := first(t, src, snapshot); e.Value != "whole" {
		t.Errorf("after an event that cannot be encoded the state is %v", e.Value)
	}
	if topic.Last() != 0 {
		t.Errorf("event %d was published", topic.Last())
	}
}

// A listener is dropped when it was unreachable for all of GiveUp, not at its first failure. A call
// that reaches it begins the time anew.
func TestAListenerIsGivenUpOnlyAfterGiveUp(t *testing.T) {
	unreachable := []*rmi.Error{
		{Kind: rmi.KindConnectFailed, Outcome: rmi.OutcomeNotExecuted}, {Kind: rmi.KindPeerGone}, {Kind: rmi.KindDeadline, Outcome: rmi.OutcomeNotExecuted},
	}
	for _, reached := range []error{nil, errors.New("a failure of its own"), &rmi.Error{Kind: rmi.KindDeadline, Outcome: rmi.OutcomeUnknown}} {
		synctest.Test(t, func(t *testing.T) {
			node := rmi.NewNode(nil)
			defer node.Close()
			dropped := make(chan error, 1)
			begin := time.Now()
			set := callback.NewListeners(node, &callback.ListenersOptions[told]{GiveUp: 30 * time.Second,
				OnDrop:  func(_ told, err error) { dropped <- err },
				OnError: func(told, error) {}})
			if _, err := set.Add(func(context.Context, int) error { return nil }); err != nil {
				t.Fatal(err)
			}
			for second := range 100 {
				set.Notify(func(context.Context, told) error {
					if second == 29 || second == 58 {
						return reached
					}
					return unreachable[second%len(unreachable)]
				})
				<-time.After(time.Second)
				if len(dropped) > 0 {
					break
				}
			}
			// The last that reached it was 58 s after the beginning, the next failure at 59.
			if d := time.Since(begin); d != 90*time.Second {
				t.Errorf("after %v it was given up after %v, want 90 s", reached, d)
			}
			if err := <-dropped; !errors.Is(err, rmi.KindConnectFailed) && !errors.Is(err, rmi.KindPeerGone) && !errors.Is(err, rmi.KindDeadline) {
				t.Errorf("dropped for %v", err)
			}
			set.Close()
		})
	}
}

func TestKeysAreBounded(t *testing.T) {
	net := rmitest.New(t)
	topic, src := exported(t, net.Node(), net.Client(), &callback.TopicOptions[string]{Key: func(s string) string { return s }})
	if _, err := topic.Publish(strings.Repeat("x", 513)); !errors.Is(err, rmi.KindInvalid) || topic.Last() != 0 {
		t.Errorf("a key of 513 bytes: %v", err)
	}
	publish(t, topic, strings.Repeat("x", 512))
	if e := first(t, src, &callback.SubscribeOptions{Start: callback.StartOldest}); len(e.Key) != 512 {
		t.Errorf("the key has %d bytes", len(e.Key))
	}
}

// The limits count subscriptions, and those that ended no more.
func TestWhatIsCountedAgainstTheLimits(t *testing.T) {
	net := rmitest.New(t)
	topic, src := exported(t, net.Node(), net.Client(), &callback.TopicOptions[int]{PerPeer: 3, Subscriptions: 4})
	ask := func(receiver multicast.ReceiverID, resume bool, subs ...callback.SubID) error {
		_, err := src.Subscribe(t.Context(), callback.Request{Receiver: receiver, Subs: subs, Queue: 1, Token: 1, Resume: resume})
		return err
	}
	for range 5 {
		if err := ask(1, false, 1); err != nil || topic.Len() != 1 { // is the same one
			t.Fatalf("%d subscriptions, %v", topic.Len(), err)
		}
		if err := ask(2, false, 1, 2); err != nil || topic.Len() != 3 {
			t.Fatalf("%d subscriptions, %v", topic.Len(), err)
		}
		if err := ask(3, false, 1); !errors.Is(err, rmi.KindOverloaded) {
			t.Fatalf("a fourth: %v", err)
		}
		if err := src.Unsubscribe(t.Context(), 2, []callback.SubID{2, 77}); err != nil || topic.Len() != 2 {
			t.Fatalf("%d subscriptions, %v", topic.Len(), err)
		}
		if err := ask(2, true, 5, 6); err != nil || topic.Len() != 3 { // in place of the one that was left
			t.Fatalf("%d subscriptions, %v", topic.Len(), err)
		}
		if err := src.Unsubscribe(t.Context(), 2, []callback.SubID{5, 6}); err != nil || topic.Len() != 1 || callback.Groups(topic) != 1 {
			t.Fatalf("%d subscriptions, %v", topic.Len(), err)
		}
	}
}
