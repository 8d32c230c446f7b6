package multicast_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/multicast"
	"gormi/rmi/rmitest"
	"gormi/rmi/wire"
)

// sink is a receiver that passes on what it gets.
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

// connected returns two nodes and the first one's view of the second.
func connected(t *testing.T) (from, to *rmi.Node, p *multicast.Peer) {
	t.Helper()
	net := rmitest.New(t)
	from, to = net.Node(), net.Node()
	if _, err := from.Describe(t.Context(), refs.WellKnown(to.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.KindNoSuchObject) {
		t.Fatal(err)
	}
	if p = from.Port().Multicast().Peer(to.ID()); p == nil || p.Node() != to.ID() {
		t.Fatalf("the peer is %v", p)
	}
	return from, to, p
}

func TestMulticastReachesItsReceiversInOrder(t *testing.T) {
	from, to, p := connected(t)
	a, b := newSink[string](t), newSink[string](t)
	ida, _ := to.Port().Multicast().Register(a)
	idb, stop := to.Port().Multicast().Register(b)
	var ms []multicast.Message
	for i := range 300 {
		packet, err := a.codec.Packet(from.Port().Multicast(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		m := multicast.Message{To: []multicast.ReceiverID{ida, idb}, Head: []byte("h"), Packet: packet}
		if i%2 == 1 {
			m.To = m.To[:1]
		}
		ms = append(ms, m)
	}
	if n, err := p.Send(ms); n != len(ms) || err != nil {
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
	if _, err := p.Send(ms[:1]); err != nil { // for a receiver that is gone too
		t.Fatal(err)
	}
	if got := <-a.got; got != "h 0" {
		t.Error(got)
	}
}

// A value with references: its own objects stay exported for the receivers, and a packet that
// nobody got gives them back.
func TestMulticastCarriesReferences(t *testing.T) {
	type call = func(ctx context.Context, n int) (int, error)
	type message struct{ F call }
	from, to, p := connected(t)
	codec, err := multicast.CodecOf[message]()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan *message, 1)
	id, _ := to.Port().Multicast().Register(receiverFunc(func(d *multicast.Delivery) {
		v, err := codec.Value(d)
		if err != nil {
			t.Error(err)
		}
		if again, _ := codec.Value(d); again != v {
			t.Error("decoded twice")
		}
		got <- v
	}))
	packet, err := codec.Packet(from.Port().Multicast(), message{func(_ context.Context, n int) (int, error) { return n + 1, nil }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send([]multicast.Message{{To: []multicast.ReceiverID{id}, Packet: packet}}); err != nil {
		t.Fatal(err)
	}
	if n, err := (<-got).F(t.Context(), 41); n != 42 || err != nil {
		t.Error(n, err)
	}
}

// thing is an object, and giver gives one.
type (
	thing interface {
		Do(ctx context.Context) error
	}
	giver interface {
		Give(ctx context.Context) (thing, error)
	}
	giverOf struct{ thing }
	watched struct{ unheld chan struct{} } // sent to when nobody holds it any more
)

func (g giverOf) Give(context.Context) (thing, error) { return g.thing, nil }
func (w *watched) Do(context.Context) error           { return nil }
func (w *watched) Unreferenced()                      { w.unheld <- struct{}{} }

// A packet holds the objects of others that it refers to, as a proxy does.
func TestAPacketHoldsTheObjectsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, from := net.Node(), net.Client()
		mine := &watched{unheld: make(chan struct{}, 1)}
		h, err := rmi.Export[giver](owner, giverOf{mine}, nil)
		if err != nil {
			t.Fatal(err)
		}
		giver, err := rmi.Resolve[giver](from, h.Ref(), nil)
		if err != nil {
			t.Fatal(err)
		}
		w, err := giver.Give(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		codec, err := multicast.CodecOf[thing]()
		if err != nil {
			t.Fatal(err)
		}
		packet, err := codec.Packet(from.Port().Multicast(), w)
		if err != nil {
			t.Fatal(err)
		}
		rmi.Release(w)
		time.Sleep(10 * time.Minute)
		select {
		case <-mine.unheld:
			t.Fatal("the owner hears that nobody holds what the packet refers to")
		default:
		}
		runtime.KeepAlive(packet)
	})
}

// References in packets count like those in calls, once for each frame.
func TestPacketsCount(t *testing.T) {
	from, to, p := connected(t)
	codec, err := multicast.CodecOf[func(context.Context) error]()
	if err != nil {
		t.Fatal(err)
	}
	packet, err := codec.Packet(from.Port().Multicast(), func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	granted := func() (count uint32) {
		for _, e := range from.Inventory().Exports {
			for _, h := range e.Holders {
				if h.Node == to.ID() {
					count += h.Count
				}
			}
		}
		return count
	}
	many := make([]multicast.ReceiverID, wire.MaxReceivers+1) // two frames
	for i := range many {
		many[i] = multicast.ReceiverID(i + 1)
	}
	undo, err := multicast.Counts(packet, p, 2)
	if err != nil || granted() != 2 {
		t.Errorf("for two frames %d are counted, %v", granted(), err)
	}
	if undo(); granted() != 0 {
		t.Errorf("%d are left of two that were not sent", granted())
	}
	if _, err := p.Send([]multicast.Message{{To: many, Packet: packet}}); err != nil {
		t.Fatal(err)
	}
	// Nobody receives them there: they come back.
	for granted() != 0 {
		<-time.After(time.Millisecond)
	}
	if from.Stats().Exports == 0 {
		t.Error("the packet does not pin what it refers to")
	}
	runtime.KeepAlive(packet)
	for range 1000 {
		if from.Stats().Exports == 0 {
			return
		}
		runtime.GC()
		<-time.After(time.Millisecond)
	}
	t.Error("what nobody can send any more is pinned for ever")
}

// An error that is not about the size of a packet is returned by the Send that meets it, and by
// each one after it: nothing is sent any more.
func TestSendErrorsAreForGood(t *testing.T) {
	for _, sentBefore := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a stream %t", sentBefore), func(t *testing.T) {
			from, to, p := connected(t)
			s := newSink[string](t)
			id, _ := to.Port().Multicast().Register(s)
			packet, err := s.codec.Packet(from.Port().Multicast(), "text")
			if err != nil {
				t.Fatal(err)
			}
			ms := []multicast.Message{{To: []multicast.ReceiverID{id}, Packet: packet}}
			if sentBefore {
				if n, err := p.Send(ms); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				<-s.got
			}
			over := make(chan struct{})
			p.OnEnd(func() { close(over) })
			to.Close()
			<-over
			n, first := p.Send(ms)
			if n != 0 || first == nil {
				t.Fatalf("to a peer that is gone: %d were sent, %v", n, first)
			}
			if n, again := p.Send(ms); n != 0 || again != first {
				t.Errorf("the next time: %d were sent, %v, want %v", n, again, first)
			}
		})
	}
}

type receiverFunc func(*multicast.Delivery)

func (f receiverFunc) Receive(d *multicast.Delivery) { f(d) }
func (f receiverFunc) Flush(*multicast.Peer)         {}

func TestPeerEnds(t *testing.T) {
	from, to, p := connected(t)
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
	codec, _ := multicast.CodecOf[int]()
	packet, _ := codec.Packet(from.Port().Multicast(), 1)
	if _, err := p.Send([]multicast.Message{{To: []multicast.ReceiverID{1}, Packet: packet}}); err == nil {
		t.Error("sent to a peer that is gone")
	}
}

func TestCodecOfWhatCannotTravel(t *testing.T) {
	if _, err := multicast.CodecOf[chan int](); !errors.Is(err, rmi.KindInvalid) {
		t.Errorf("%v", err)
	}
}

// A value that is larger than the peer accepts stops a Send. What is before it was sent, what
// is behind it was not, and the next Send goes on.
func TestSendOfWhatIsTooLarge(t *testing.T) {
	type message struct {
		Text string
		F    func(ctx context.Context) error
	}
	net := rmitest.New(t)
	o := new(rmi.Options)
	o.Limits.Message = 64 << 10
	from, to := net.Node(), net.NodeWith(o)
	if _, err := from.Describe(t.Context(), refs.WellKnown(to.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.KindNoSuchObject) {
		t.Fatal(err)
	}
	p := from.Port().Multicast().Peer(to.ID())
	if p.MaxMessage() != 64<<10 {
		t.Fatalf("the peer accepts %d bytes", p.MaxMessage())
	}
	codec, err := multicast.CodecOf[message]()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 10)
	id, _ := to.Port().Multicast().Register(receiverFunc(func(d *multicast.Delivery) {
		v, err := codec.Value(d)
		if err != nil {
			t.Error(err)
			return
		}
		got <- len(v.Text)
	}))
	send := func(sizes ...int) (int, error) {
		var ms []multicast.Message
		for _, n := range sizes {
			m := message{Text: strings.Repeat("x", n)}
			if n > 64<<10 {
				m.F = func(context.Context) error { return nil } // exported as long as somebody may have it
			}
			packet, err := codec.Packet(from.Port().Multicast(), m)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, multicast.Message{To: []multicast.ReceiverID{id}, Packet: packet})
		}
		return p.Send(ms)
	}
	rest := func(n int) int { // what stands around a text of n bytes
		packet, err := codec.Packet(from.Port().Multicast(), message{Text: strings.Repeat("x", n)})
		if err != nil {
			t.Fatal(err)
		}
		return packet.Size() - n
	}
	most := 64<<10 - rest(64<<10-100)
	for _, c := range []struct {
		sizes []int
		sent  int
	}{
		{[]int{1, 40 << 10, 2, 70 << 10, 3}, 3}, // a part of it was given to the stream already
		{[]int{70 << 10}, 0},
		{[]int{most, most + 1}, 1},
		{[]int{4, 5}, 2},
	} {
		n, err := send(c.sizes...)
		if n != c.sent || (n < len(c.sizes)) != errors.Is(err, rmi.KindTooLarge) || n == len(c.sizes) && err != nil {
			t.Fatalf("%v: %d were sent, %v", c.sizes, n, err)
		}
		for _, size := range c.sizes[:c.sent] {
			if g := <-got; g != size {
				t.Fatalf("%v: got %d", c.sizes, g)
			}
		}
	}
	for range 200 { // nobody was given what they held
		if from.Stats().Exports == 0 {
			return
		}
		runtime.GC()
		<-time.After(time.Millisecond)
	}
	t.Errorf("%d objects of values that were not sent are still exported", from.Stats().Exports)
}

// A packet has a bounded number of receivers. More receivers need more packets.
func TestMulticastToVeryManyReceivers(t *testing.T) {
	from, to, p := connected(t)
	const n = 2*4096 + 1
	got := make(chan multicast.ReceiverID, n)
	codec, err := multicast.CodecOf[string]()
	if err != nil {
		t.Fatal(err)
	}
	var ids []multicast.ReceiverID
	flushed := new(atomic.Int64)
	for range n {
		r := &counting{got: got, flushed: flushed, codec: codec}
		r.id, _ = to.Port().Multicast().Register(r)
		ids = append(ids, r.id)
	}
	packet, err := codec.Packet(from.Port().Multicast(), "to all")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Send([]multicast.Message{{To: ids, Packet: packet}}); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if g := <-got; g != id {
			t.Fatalf("got %d, want %d", g, id)
		}
	}
	if p.Err() != nil {
		t.Error(p.Err())
	}
}

// counting is a receiver that tells its number.
type counting struct {
	id      multicast.ReceiverID
	got     chan multicast.ReceiverID
	flushed *atomic.Int64
	codec   *multicast.Codec[string]
}

func (c *counting) Receive(d *multicast.Delivery) {
	if v, err := c.codec.Value(d); err == nil && *v == "to all" {
		c.got <- c.id
	}
}

func (c *counting) Flush(*multicast.Peer) { c.flushed.Add(1) }

// Receivers are flushed once for packets that came together, and after 128 packets at the
// latest.
func TestReceiversAreFlushedNowAndThen(t *testing.T) {
	from, to, p := connected(t)
	codec, err := multicast.CodecOf[int]()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	r := &flushes{done: make(chan struct{}), n: n}
	id, _ := to.Port().Multicast().Register(r)
	var ms []multicast.Message
	for i := range n {
		packet, err := codec.Packet(from.Port().Multicast(), i)
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, multicast.Message{To: []multicast.ReceiverID{id}, Packet: packet})
	}
	if _, err := p.Send(ms); err != nil {
		t.Fatal(err)
	}
	<-r.done
	if r.most > 128 || r.flushes > n/8 || r.empty > 0 {
		t.Errorf("%d packets in %d flushes, at most %d in one; %d flushes of nothing", n, r.flushes, r.most, r.empty)
	}
}

// flushes counts; all on the goroutine that reads, until done.
type flushes struct {
	n, got, since, most, flushes, empty int
	done                                chan struct{}
}

func (f *flushes) Receive(*multicast.Delivery) {
	f.got++
	f.since++
	f.most = max(f.most, f.since)
}

func (f *flushes) Flush(*multicast.Peer) {
	f.flushes++
	if f.since == 0 {
		f.empty++
	}
	f.since = 0
	if f.got == f.n {
		close(f.done)
		f.n = -1
	}
}
