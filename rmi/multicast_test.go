package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// sink is a receiver that passes on what it gets.
type sink[T any] struct {
	codec *rmi.Codec[T]
	got   chan string
}

func newSink[T any](t *testing.T) *sink[T] {
	c, err := rmi.CodecOf[T]()
	if err != nil {
		t.Fatal(err)
	}
	return &sink[T]{c, make(chan string, 1000)}
}

func (s *sink[T]) Receive(d *rmi.Delivery) {
	v, err := s.codec.Value(d)
	if err != nil {
		s.got <- "error: " + err.Error()
		return
	}
	s.got <- fmt.Sprintf("%s %v", d.Head, *v)
}

func (s *sink[T]) Flush(*rmi.Peer) {}

// connected returns two nodes and the first one's view of the second.
func connected(t *testing.T) (from, to *rmi.Node, p *rmi.Peer) {
	t.Helper()
	net := rmitest.New(t)
	from, to = net.Node(), net.Node()
	if _, err := from.Describe(t.Context(), rmi.WellKnown(to.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.NoSuchObject) {
		t.Fatal(err)
	}
	if p = from.Peer(to.ID()); p == nil || p.Node() != to.ID() || p.Local() != from {
		t.Fatalf("the peer is %v", p)
	}
	return from, to, p
}

func TestMulticastReachesItsReceiversInOrder(t *testing.T) {
	from, to, p := connected(t)
	a, b := newSink[string](t), newSink[string](t)
	ida, _ := to.Receive(a)
	idb, stop := to.Receive(b)
	var ms []rmi.Message
	for i := range 300 {
		packet, err := a.codec.Packet(from, fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		m := rmi.Message{To: []rmi.ReceiverID{ida, idb}, Head: []byte("h"), Packet: packet}
		if i%2 == 1 {
			m.To = m.To[:1]
		}
		ms = append(ms, m)
	}
	if n, err := p.Multicast(ms); n != len(ms) || err != nil {
		t.Fatal(n, err)
	}
	for i := range 300 {
		want := fmt.Sprintf("h %d", i)
		if got := <-a.got; got != want {
			t.Fatalf("a got %s, want %s", got, want)
		}
		if i%2 == 0 {
			if got := <-b.got; got != want {
				t.Fatalf("b got %s, want %s", got, want)
			}
		}
	}
	stop()
	if _, err := p.Multicast(ms[:1]); err != nil { // for a receiver that is gone too
		t.Fatal(err)
	}
	if got := <-a.got; got != "h 0" {
		t.Error(got)
	}
}

// A value with references: its own objects stay exported for the receivers, and
// a packet that nobody got gives them back.
func TestMulticastCarriesReferences(t *testing.T) {
	type call = func(ctx context.Context, n int) (int, error)
	type message struct{ F call }
	from, to, p := connected(t)
	codec, err := rmi.CodecOf[message]()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *message, 1)
	id, _ := to.Receive(receiverFunc(func(d *rmi.Delivery) {
		v, err := codec.Value(d)
		if err != nil {
			t.Error(err)
		}
		if again, _ := codec.Value(d); again != v {
			t.Error("decoded twice")
		}
		got <- v
	}))
	packet, err := codec.Packet(from, message{func(_ context.Context, n int) (int, error) { return n + 1, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Multicast([]rmi.Message{{To: []rmi.ReceiverID{id}, Packet: packet}}); err != nil {
		t.Fatal(err)
	}
	if n, err := (<-got).F(t.Context(), 41); n != 42 || err != nil {
		t.Error(n, err)
	}
}

type receiverFunc func(*rmi.Delivery)

func (f receiverFunc) Receive(d *rmi.Delivery) { f(d) }
func (f receiverFunc) Flush(*rmi.Peer)         {}

func TestPeerEnds(t *testing.T) {
	_, to, p := connected(t)
	var order []string
	over := make(chan struct{})
	p.OnEnd(func() { order = append(order, "kept"); close(over) })
	remove := p.OnEnd(func() { order = append(order, "removed") })
	remove()
	to.Close()
	<-over
	if !slices.Equal(order, []string{"kept"}) || p.Err() == nil {
		t.Errorf("%v, %v", order, p.Err())
	}
	late := false
	p.OnEnd(func() { late = true })
	if !late {
		t.Error("a hook on a session that is over was not called")
	}
	codec, _ := rmi.CodecOf[int]()
	packet, _ := codec.Packet(p.Local(), 1)
	if _, err := p.Multicast([]rmi.Message{{To: []rmi.ReceiverID{1}, Packet: packet}}); err == nil {
		t.Error("sent to a peer that is gone")
	}
}

func TestCodecOfWhatCannotTravel(t *testing.T) {
	if _, err := rmi.CodecOf[chan int](); !errors.Is(err, rmi.Invalid) {
		t.Errorf("%v", err)
	}
}
