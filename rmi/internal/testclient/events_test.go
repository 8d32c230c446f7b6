package main

import (
	"errors"
	"strings"
	"testing"

	"gormi/callback"
	"gormi/rmi"
)

// Events come on a stream. A node that announced no streams is refused them: it is not left
// without an answer. It can read what is retained.
func TestANodeWithoutStreamsIsRefusedEvents(t *testing.T) {
	owner, err := rmi.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	topic, err := callback.NewTopic[string](owner, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Publish("news"); err != nil {
		t.Fatal(err)
	}
	h, err := rmi.Export[callback.Source[string]](owner, topic, nil)
	if err != nil {
		t.Fatal(err)
	}
	n, err := newNode(0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.dial(place{"127.0.0.1", owner.Endpoint().Port}, nodeID(h.Ref().ID.Node))
	if err != nil {
		t.Fatal(err)
	}
	number := uint64(h.Ref().ID.Object)
	_, err = s.call(request{object: number, method: "Subscribe", args: []any{map[string]any{
		"Receiver": 1, "Subs": []any{1}, "Token": 1, "Queue": 16}}})
	var refused *callError
	if !errors.As(err, &refused) || refused.inner() == nil || refused.inner().kind != int(rmi.KindInvalid) || !strings.Contains(refused.text, "takes no streams") {
		t.Errorf("Subscribe: %v", err)
	}
	if topic.Len() != 0 {
		t.Errorf("%d subscriptions", topic.Len())
	}
	kept, err := result[[]any](s.call(request{object: number, method: "Read", args: []any{0, "", 0}}))
	if err != nil || len(kept) != 1 || kept[0].(map[string]any)["Value"] != "news" {
		t.Errorf("Read: %v, %v", kept, err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}
