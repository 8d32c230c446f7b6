package rmi_test

import (
	"fmt"
	"testing"

	"gormi/rmi/multicast"
)

// sink is a receiver of packets that passes on what it gets.
type sink[T any] struct {
	codec *multicast.Codec[T]
	got   chan string
}

func newSink[T any](t *testing.T) *sink[T] {
	c, err := multicast.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return &sink[T]{c, make(chan string, 1000)}
}

func (s *sink[T]) Receive(d *multicast.Delivery) {
	v, err := s.codec.Value(d)
	if err != nil {
		s.got <- "error: " + err.Error()
		return
	}
	s.got <- fmt.Sprintf("%s %v", d.Head, *v)
}

func (s *sink[T]) Flush(*multicast.Peer) {}
