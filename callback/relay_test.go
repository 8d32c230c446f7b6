package callback_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// Events are not relayed. Whoever would need that gets an error that says so, and can use Read.
func TestWhoHasOnlyARelayToTheOwnerIsRefused(t *testing.T) {
	net := rmitest.New(t)
	naming, owner, user := net.Node(), net.Client(), net.Client()
	reg, err := registry.Serve(t.Context(), naming, nil)
	if err != nil {
		t.Fatal(err)
	}
	topic, err := callback.NewTopic[int](owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, topic, 1)
	name := reg.URL("numbers")
	if _, err := registry.Bind[callback.Source[int]](t.Context(), owner, name, topic, &registry.BindOptions{Relayed: true}); err != nil {
		t.Fatal(err)
	}
	nothing := func(context.Context, callback.Event[int]) error { return nil }
	if _, err := callback.SubscribeByName(bounded(t), user, name, nothing, nil); !errors.Is(err, rmi.KindInvalid) || !strings.Contains(err.Error(), "not relayed") {
		t.Errorf("by name: %v", err)
	}
	src, err := registry.Lookup[callback.Source[int]](t.Context(), user, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Subscribe(t.Context(), callback.Request{Receiver: 1, Subs: []callback.SubID{1}, Queue: 1}); !strings.Contains(err.Error(), "not relayed") {
		t.Errorf("by hand: %v", err)
	}
	if events, err := src.Read(t.Context(), 0, "", 0); len(events) != 1 || err != nil {
		t.Errorf("read %v, %v", events, err)
	}
	if topic.Len() != 0 || callback.Links(topic) != 0 {
		t.Errorf("%d subscriptions, %d links", topic.Len(), callback.Links(topic))
	}
}
