package rmi_test

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

// A packet holds the objects of others that it refers to, as a proxy does.
func TestAPacketHoldsTheObjectsOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := rmitest.New(t)
		owner, from := net.Node(), net.Client()
		mine := newWatched()
		w, err := hire(t, owner, from, &worker{meet: func(context.Context, Worker) (Worker, error) { return mine, nil }}).Meet(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		codec, err := rmi.CodecOf[Worker]()
		if err != nil {
			t.Fatal(err)
		}
		packet, err := codec.Packet(from, w)
		if err != nil {
			t.Fatal(err)
		}
		from.Release(w)
		time.Sleep(10 * time.Minute)
		select {
		case <-mine.unheld:
			t.Fatal("the owner hears that nobody holds what the packet refers to")
		default:
		}
		runtime.KeepAlive(packet)
	})
}

// An error that is not about the size of a packet is told by the Multicast that meets
// it, and by each one after it: nothing is sent any more.
func TestMulticastErrorsAreForGood(t *testing.T) {
	for _, sentBefore := range []bool{false, true} {
		t.Run(fmt.Sprintf("with a stream %t", sentBefore), func(t *testing.T) {
			_, to, p := connected(t)
			s := newSink[string](t)
			id, _ := to.Receive(s)
			packet, err := s.codec.Packet(p.Local(), "text")
			if err != nil {
				t.Fatal(err)
			}
			ms := []rmi.Message{{To: []rmi.ReceiverID{id}, Packet: packet}}
			if sentBefore {
				if n, err := p.Multicast(ms); n != 1 || err != nil {
					t.Fatal(n, err)
				}
				<-s.got
			}
			over := make(chan struct{})
			p.OnEnd(func() { close(over) })
			to.Close()
			<-over
			n, first := p.Multicast(ms)
			if n != 0 || first == nil {
				t.Fatalf("to a peer that is gone: %d were sent, %v", n, first)
			}
			if n, again := p.Multicast(ms); n != 0 || again != first {
				t.Errorf("the next time: %d were sent, %v, want %v", n, again, first)
			}
		})
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

// A value that is larger than the peer accepts stops a Multicast there: what is before
// it was sent, what is behind it was not, and the next Multicast goes on.
func TestMulticastOfWhatIsTooLarge(t *testing.T) {
	type message struct {
		Text string
		F    func(ctx context.Context) error
	}
	net := rmitest.New(t)
	o := new(rmi.Options)
	o.Limits.Message = 64 << 10
	from, to := net.Node(), net.NodeWith(o)
	if _, err := from.Describe(t.Context(), rmi.WellKnown(to.Endpoint(), refs.RegistryObject)); !errors.Is(err, rmi.NoSuchObject) {
		t.Fatal(err)
	}
	p := from.Peer(to.ID())
	if p.MaxMessage() != 64<<10 {
		t.Fatalf("the peer accepts %d bytes", p.MaxMessage())
	}
	codec, err := rmi.CodecOf[message]()
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 10)
	id, _ := to.Receive(receiverFunc(func(d *rmi.Delivery) {
		v, err := codec.Value(d)
		if err != nil {
			t.Error(err)
			return
		}
		got <- len(v.Text)
	}))
	send := func(sizes ...int) (int, error) {
		var ms []rmi.Message
		for _, n := range sizes {
			m := message{Text: strings.Repeat("x", n)}
			if n > 64<<10 {
				m.F = func(context.Context) error { return nil } // exported as long as somebody may have it
			}
			packet, err := codec.Packet(from, m)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, rmi.Message{To: []rmi.ReceiverID{id}, Packet: packet})
		}
		return p.Multicast(ms)
	}
	rest := func(n int) int { // what stands around a text of n bytes
		packet, err := codec.Packet(from, message{Text: strings.Repeat("x", n)})
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
		if n != c.sent || (n < len(c.sizes)) != errors.Is(err, rmi.TooLarge) || n == len(c.sizes) && err != nil {
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

// A packet has a bounded number of receivers; more are told by more packets.
func TestMulticastToVeryManyReceivers(t *testing.T) {
	from, to, p := connected(t)
	const n = 2*4096 + 1
	got := make(chan rmi.ReceiverID, n)
	codec, err := rmi.CodecOf[string]()
	if err != nil {
		t.Fatal(err)
	}
	var ids []rmi.ReceiverID
	flushed := new(atomic.Int64)
	for range n {
		r := &counting{got: got, flushed: flushed, codec: codec}
		r.id, _ = to.Receive(r)
		ids = append(ids, r.id)
	}
	packet, err := codec.Packet(from, "to all")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Multicast([]rmi.Message{{To: ids, Packet: packet}}); err != nil {
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
	id      rmi.ReceiverID
	got     chan rmi.ReceiverID
	flushed *atomic.Int64
	codec   *rmi.Codec[string]
}

func (c *counting) Receive(d *rmi.Delivery) {
	if v, err := c.codec.Value(d); err == nil && *v == "to all" {
		c.got <- c.id
	}
}

func (c *counting) Flush(*rmi.Peer) { c.flushed.Add(1) }

// Receivers are flushed once for what came together, and at the latest after 128 packets.
func TestReceiversAreFlushedNowAndThen(t *testing.T) {
	from, to, p := connected(t)
	codec, err := rmi.CodecOf[int]()
	if err != nil {
		t.Fatal(err)
	}
	const n = 3000
	r := &flushes{done: make(chan struct{}), n: n}
	id, _ := to.Receive(r)
	var ms []rmi.Message
	for i := range n {
		packet, err := codec.Packet(from, i)
		if err != nil {
			t.Fatal(err)
		}
		ms = append(ms, rmi.Message{To: []rmi.ReceiverID{id}, Packet: packet})
	}
	if _, err := p.Multicast(ms); err != nil {
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

func (f *flushes) Receive(*rmi.Delivery) {
	f.got++
	f.since++
	f.most = max(f.most, f.since)
}

func (f *flushes) Flush(*rmi.Peer) {
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
