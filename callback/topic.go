package callback

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"gormi/rmi"
	"gormi/rmi/multicast"
)

// TopicOptions say what a topic keeps, and for how many. The zero value is a
// topic without keys and snapshots.
type TopicOptions[E any] struct {
	// Key returns what SubscribeOptions.Match and the policy Coalesce look at.
	// If nil, every key is "". Keys are at most 512 bytes long.
	Key func(E) string

	// Keep is how many events are kept for replay. If zero, 1024; if negative, none.
	Keep int
	// KeepFor is how long they are kept. If zero, that is no bound.
	KeepFor time.Duration
	// KeepBytes bounds them in encoded bytes. If zero, 16 MiB.
	KeepBytes int

	// Latest makes the newest event of each key the topic's snapshot.
	Latest bool
	// Removes tells, with Latest, that an event takes its key out of the snapshot.
	Removes func(E) bool
	// MaxKeys bounds the keys of Latest: publishing another fails. If zero, 100,000.
	MaxKeys int
	// Snapshot returns the state as the program keeps it, instead of Latest. It is
	// called while nothing is published; for a snapshot in which nothing is lost or
	// doubled, change that state in Topic.Change only. It must not use the topic.
	Snapshot func() []E

	// ServeClosed lets subscribers come after Close: they get what they ask for, the
	// last state or the kept events, and then the end. If false, they are refused with
	// ErrClosed. With Snapshot, that is called for them.
	ServeClosed bool

	// Subscriptions bounds those of the topic. If zero, a million.
	Subscriptions int
	// PerPeer bounds those of one client's connection. If zero, 65,536.
	PerPeer int
}

// maxKey is the longest key, in bytes.
const maxKey = 512

// maxQueue bounds SubscribeOptions.Queue.
const maxQueue = 1 << 20

// Topic is the owner's end of a stream of events. It is safe for concurrent use.
//
// # Who does what
//
// Publish encodes the event, numbers it, puts it in the log and in the queue of
// every group that wants it. A group is the subscriptions of one receiver of a
// peer, which have the same selection, so it stands for any number of them. A
// link is a connection with subscribers; while something is queued for its groups,
// a goroutine of its own sends it (link.run), and waits there when the peer
// is slow. It ends when there is nothing left, or with the connection.
//
// Lock order: Topic.mu, link.mu. Neither is held during I/O; Topic.mu is held
// while Key, Removes, Snapshot and the function given to Change run.
type Topic[E any] struct {
	node     *rmi.Node
	exchange *multicast.Exchange // the node's
	o        TopicOptions[E]
	codec    *multicast.Codec[E]
	epoch    Epoch

	batches sync.Pool // of *batch[E], see link.run

	mu     sync.Mutex // guards the fields below
	closed bool
	last   Seq
	log    []*entry[E] // the kept events, without gaps, up to last
	bytes  int         // of log
	latest map[string]*entry[E]
	shot   []*entry[E] // the last snapshot made by Snapshot
	shotAt Seq         // what last was then
	shotOK bool
	links  map[*multicast.Peer]*link[E] // after Close: those with something left to send
	index  index[E]
	count  int // subscriptions
}

// entry is an event of the log, or what else goes through a group's queue.
type entry[E any] struct {
	Event  Event[E]
	packet *multicast.Packet
	at     time.Time // with KeepFor
	head   headKind
	raw    []byte // the whole head, of what is neither event nor state
}

var _ Source[any] = (*Topic[any])(nil)

// epochs makes the epochs of a process differ.
var epochs atomic.Int64

func newEpoch() Epoch {
	for {
		last := epochs.Load()
		now := max(time.Now().UnixNano(), last+1)
		if epochs.CompareAndSwap(last, now) {
			return Epoch(now)
		}
	}
}

// NewTopic returns a topic of node n; o may be nil. The error tells why values
// of E cannot travel. A topic needs no Close if it lives as long as its node.
func NewTopic[E any](n *rmi.Node, o *TopicOptions[E]) (*Topic[E], error) {
	codec, err := multicast.CodecOf[E]()
	if err != nil {
		return nil, failed("topic", err)
	}
	Register[E]()
	t := &Topic[E]{node: n, exchange: n.Port().Multicast(), codec: codec, epoch: newEpoch(), links: make(map[*multicast.Peer]*link[E])}
	if o != nil {
		t.o = *o
	}
	if t.o.Latest && t.o.Snapshot != nil {
		return nil, invalid("topic", "TopicOptions has both Latest and Snapshot: choose one")
	}
	for _, f := range []struct {
		field *int
		value int
	}{{&t.o.KeepBytes, 16 << 20}, {&t.o.MaxKeys, 100_000}, {&t.o.Subscriptions, 1_000_000}, {&t.o.PerPeer, 65_536}} {
		if *f.field <= 0 {
			*f.field = f.value
		}
	}
	if t.o.Keep == 0 {
		t.o.Keep = 1024
	}
	if t.o.Latest {
		t.latest = make(map[string]*entry[E])
	}
	return t, nil
}

// Epoch is the topic's epoch.
func (t *Topic[E]) Epoch() Epoch { return t.epoch }

// Last is the number of the newest event, 0 if there is none.
func (t *Topic[E]) Last() Seq {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.last
}

// Len is the number of subscriptions.
func (t *Topic[E]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Publish sends an event to the subscribers and returns its number. It never
// waits for them. If the event cannot be encoded, or its key is too long, the
// error says so, and nobody gets anything.
func (t *Topic[E]) Publish(e E) (Seq, error) {
	p, err := t.codec.Packet(t.exchange, e)
	if err != nil {
		return 0, failed("publish", err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.publish(e, p)
}

// Change calls f, which changes state that TopicOptions.Snapshot shows and
// returns the event that tells of it, and publishes that: to snapshots, both are
// one step. If f fails nothing is published; if its event cannot be encoded f has
// run all the same. f must not use the topic.
func (t *Topic[E]) Change(f func() (E, error)) (Seq, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.shotOK = false
	e, err := f()
	if err != nil {
		return 0, err
	}
	p, err := t.codec.Packet(t.exchange, e)
	if err != nil {
		return 0, failed("publish", err)
	}
	return t.publish(e, p)
}

// publish numbers and queues an event. mu is held.
func (t *Topic[E]) publish(v E, p *multicast.Packet) (Seq, error) {
	if t.closed {
		return 0, failed("publish", ErrClosed)
	}
	e := &entry[E]{packet: p, head: headEvent, Event: Event[E]{Kind: KindPublished, Seq: t.last + 1, Epoch: t.epoch, Value: v}}
	if t.o.Key != nil {
		if e.Event.Key = t.o.Key(v); len(e.Event.Key) > maxKey {
			return 0, invalid("publish", fmt.Sprintf("the key has %d bytes: at most %d are allowed", len(e.Event.Key), maxKey))
		}
	}
	if t.latest != nil {
		if err := t.remember(e); err != nil {
			return 0, err
		}
	}
	t.last++
	t.keep(e)
	t.index.each(e.Event.Key, func(g *group[E]) {
		if !g.publish(e) {
			g.slow, t.index.slow = true, true
		}
	})
	if t.index.slow {
		t.dropSlow()
	}
	return t.last, nil
}

// remember makes e its key's part of the snapshot. mu is held.
func (t *Topic[E]) remember(e *entry[E]) error {
	key := e.Event.Key
	if t.o.Removes != nil && t.o.Removes(e.Event.Value) {
		delete(t.latest, key)
		return nil
	}
	if _, known := t.latest[key]; !known && len(t.latest) >= t.o.MaxKeys {
		return &rmi.Error{Op: "publish", Kind: rmi.KindOverloaded, Outcome: rmi.OutcomeNotExecuted, Msg: fmt.Sprintf(
			"the topic has %d keys, its limit (TopicOptions.MaxKeys)", t.o.MaxKeys)}
	}
	t.latest[key] = e
	return nil
}

// keep puts e in the log, and forgets what the bounds do not allow. mu is held.
func (t *Topic[E]) keep(e *entry[E]) {
	if t.o.Keep < 0 {
		return
	}
	if t.o.KeepFor > 0 {
		e.at = time.Now()
	}
	t.log = append(t.log, e)
	t.bytes += e.packet.Size()
	t.forgetOld()
}

// forgetOld takes out of the log what the bounds do not allow. mu is held.
func (t *Topic[E]) forgetOld() {
	n := 0
	for n < len(t.log) && (len(t.log)-n > t.o.Keep || t.bytes > t.o.KeepBytes || t.o.KeepFor > 0 && time.Since(t.log[n].at) > t.o.KeepFor) {
		t.bytes -= t.log[n].packet.Size()
		t.log[n] = nil
		n++
	}
	t.log = t.log[n:] // append moves it to a new array when this one is used up
}

// kept returns the kept events from a number on. mu is held.
func (t *Topic[E]) kept(from Seq) []*entry[E] {
	if t.o.KeepFor > 0 {
		t.forgetOld()
	}
	first := t.last + 1 - Seq(len(t.log))
	return t.log[min(max(from, first)-first, Seq(len(t.log))):]
}

// Read implements Source.
func (t *Topic[E]) Read(_ context.Context, from Seq, match string, max int) ([]Event[E], error) {
	if _, err := path.Match(match, ""); err != nil {
		return nil, badPattern("read", match)
	}
	if max <= 0 {
		max = 100
	}
	max = min(max, 1000)
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []Event[E]
	size := 0
	for _, e := range t.kept(from) {
		size += e.packet.Size() + len(e.Event.Key) + 128
		if len(events) == max || size > readSize && len(events) > 0 {
			break
		}
		if matches(match, e.Event.Key) {
			events = append(events, e.Event)
		}
	}
	return events, nil
}

// readSize is about how many bytes Read returns at most.
const readSize = 1 << 20

// Close ends the topic: subscribers' loops end, without an error, after what is
// on its way to them. Publish fails from here on, with ErrClosed. It does not wait.
//
// What the topic keeps can still be read. Subscribers whose connection is lost when
// it is closed get the rest of it, and then the end, when they come back.
func (t *Topic[E]) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil
	}
	t.closed = true
	for _, l := range t.links {
		l.mu.Lock()
		l.closing = true
		l.mu.Unlock()
	}
	end := t.end()
	for g := range t.index.groups {
		g.end(end, nil)
	}
	for _, l := range t.links {
		if l.idle() { // else run tells when it has sent what there is
			t.unlink(l)
		}
	}
	t.index, t.count = index[E]{}, 0
	return nil
}

// end is the last entry of a subscriber of a topic that is closed. mu is held.
func (t *Topic[E]) end() *entry[E] {
	return &entry[E]{head: headEnd, raw: endHead(0, ""), Event: Event[E]{Seq: t.last + 1}}
}

// sent forgets a link of a closed topic that has nothing left to send.
func (t *Topic[E]) sent(l *link[E]) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.links[l.peer] == l && l.idle() {
		t.unlink(l)
	}
}

// unlink forgets a link. mu is held.
func (t *Topic[E]) unlink(l *link[E]) {
	delete(t.links, l.peer)
	if l.unhook != nil {
		l.unhook()
	}
}

func matches(pattern, key string) bool {
	if pattern == "" || pattern == key {
		return true
	}
	ok, _ := path.Match(pattern, key)
	return ok
}
