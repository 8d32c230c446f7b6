package callback

import (
	"context"
	"fmt"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"gormi/rmi"
	"gormi/rmi/fault"
	"gormi/rmi/multicast"
)

// TopicOptions say what a topic keeps, and how many subscriptions it has. The zero value is a topic
// without keys and snapshots.
type TopicOptions[E any] struct {
	// Key returns what SubscribeOptions.Match and the policy Coalesce look at. If nil, every key
	// is "". Keys are at most 512 bytes long. Concurrent publishers call Key concurrently.
	Key func(E) string

	// Keep is how many events are kept for replay. If zero, 1024; if negative, none.
	Keep int
	// KeepFor is how long they are kept. If zero, time is no bound.
	KeepFor time.Duration
	// KeepBytes bounds them in encoded bytes. If zero, 16 MiB.
	KeepBytes int

	// Latest makes the newest event of each key the topic's snapshot.
	Latest bool
	// Removes reports, with Latest, whether an event takes its key out of the snapshot.
	// Concurrent publishers call it concurrently.
	Removes func(E) bool
	// MaxKeys bounds the keys of Latest: publishing another fails. If zero, 100,000.
	MaxKeys int
	// Snapshot returns the state as the program keeps it, instead of Latest. It is called while
	// nothing is published. Change that state in Topic.Change only. Then no change is lost or
	// doubled. Snapshot must not use the topic.
	Snapshot func() []E

	// ServeClosed admits subscribers after Close. They get what they ask for, the last state or the
	// kept events, and then the end. Snapshot is called for them, if it is set. If ServeClosed is
	// false, they are refused with ErrClosed.
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
// Publish encodes the event, numbers it, puts it in the log and in the queue of every group that
// wants it. A group is the subscriptions of one receiver of a peer. They have the same selection,
// so one queue serves any number of them. A link is a connection with subscribers. While something
// is queued for its groups, a goroutine of its own sends it (link.run), and waits there when the
// peer is slow. It ends when nothing is left, or with the connection.
//
// Lock order: Topic.changing, Topic.mu, link.mu or inbox.mu. Of these only changing is held while
// the program's functions run; it exists to keep them apart. Nothing is sent, encoded or logged
// under the others.
type Topic[E any] struct {
	topicConfig[E]
	batches sync.Pool // of *batch[E], see link.run

	// changing is held while the function given to Change runs and its event is
	// published, and while Snapshot is called and its state queued. Publish takes it
	// if there is a Snapshot.
	changing sync.Mutex

	mu    sync.Mutex
	state topicState[E] // guarded by mu; reached by lock alone
}

// topicConfig is what does not change in a topic's life.
type topicConfig[E any] struct {
	node     *rmi.Node
	exchange *multicast.Exchange // the node's
	o        TopicOptions[E]
	codec    *multicast.Codec[E]
	epoch    Epoch
}

// topicState is what the lock of a topic guards. Its methods need that lock.
type topicState[E any] struct {
	*topicConfig[E]
	closed  bool
	last    Seq
	log     []*entry[E] // the kept events, without gaps, up to last
	bytes   int         // of log
	latest  map[string]*entry[E]
	shot    []*entry[E] // the last snapshot made by Snapshot
	shotAt  Seq         // what last was then
	shotOK  bool
	clients map[*multicast.Peer]*client[E] // after Close: those with something left to send
	index   index[E]
	count   int // subscriptions
}

// lock returns the state, which the caller may use until it unlocks mu.
func (t *Topic[E]) lock() *topicState[E] {
	t.mu.Lock()
	return &t.state
}

// entry is an event of the log, or something else that goes through a group's queue.
type entry[E any] struct {
	Event  Event[E]
	packet *multicast.Packet
	at     time.Time // with KeepFor
	head   headKind
	raw    []byte // the whole head, of what is neither event nor state
}

var _ Source[any] = (*Topic[any])(nil)

// epochs makes the epochs of a process distinct.
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

// NewTopic returns a topic of node n; o may be nil. The error says why values of E cannot travel. A
// topic needs no Close if it lives as long as its node.
func NewTopic[E any](n *rmi.Node, o *TopicOptions[E]) (*Topic[E], error) {
	codec, err := multicast.CodecOf[E]()
	if err != nil {
		return nil, during("topic", err)
	}
	Register[E]()
	t := &Topic[E]{topicConfig: topicConfig[E]{node: n, exchange: n.Port().Multicast(), codec: codec, epoch: newEpoch()}}
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
	t.state = topicState[E]{topicConfig: &t.topicConfig, clients: make(map[*multicast.Peer]*client[E])}
	if t.o.Latest {
		t.state.latest = make(map[string]*entry[E])
	}
	return t, nil
}

// Epoch is the topic's epoch.
func (t *Topic[E]) Epoch() Epoch { return t.epoch }

// Last is the number of the newest event, 0 if there is none.
func (t *Topic[E]) Last() Seq {
	s := t.lock()
	defer t.mu.Unlock()
	return s.last
}

// Len is the number of subscriptions.
func (t *Topic[E]) Len() int {
	s := t.lock()
	defer t.mu.Unlock()
	return s.count
}

// Publish sends an event to the subscribers and returns its number. It never
// waits for them. If the event cannot be encoded, or its key is too long, the
// error says so, and nobody gets anything.
func (t *Topic[E]) Publish(e E) (Seq, error) {
	n, err := t.encode(e)
	if err != nil {
		return 0, err
	}
	if t.o.Snapshot != nil {
		t.changing.Lock()
		defer t.changing.Unlock()
	}
	s := t.lock()
	defer t.mu.Unlock()
	return s.publish(n)
}

// Change calls f, which changes state that TopicOptions.Snapshot shows and returns the event that
// says so. Change publishes that event. To snapshots, both are one step. If f fails, nothing is
// published. If the event cannot be encoded, f has run all the same. f must not use the topic.
func (t *Topic[E]) Change(f func() (E, error)) (Seq, error) {
	t.changing.Lock()
	defer t.changing.Unlock()
	t.outdated()
	e, err := f()
	if err != nil {
		return 0, err
	}
	n, err := t.encode(e)
	if err != nil {
		return 0, err
	}
	s := t.lock()
	defer t.mu.Unlock()
	return s.publish(n)
}

// outdated forgets the last snapshot: the program's state is about to change.
func (t *Topic[E]) outdated() {
	s := t.lock()
	defer t.mu.Unlock()
	s.shotOK = false
}

// news is an event that is ready to be numbered.
type news[E any] struct {
	*entry[E]
	removes bool // with Latest: it takes its key out of the snapshot
}

// encode makes news of a value. It calls the program's functions, so only changing may be held.
func (t *Topic[E]) encode(v E) (n news[E], err error) {
	p, err := t.codec.Packet(t.exchange, v)
	if err != nil {
		return n, during("publish", err)
	}
	n.entry = &entry[E]{packet: p, head: headEvent, Event: Event[E]{Kind: KindPublished, Epoch: t.epoch, Value: v}}
	if t.o.Key != nil {
		n.Event.Key = t.o.Key(v)
	}
	n.removes = t.o.Latest && t.o.Removes != nil && t.o.Removes(v)
	return n, nil
}

// publish numbers and queues an event.
func (t *topicState[E]) publish(n news[E]) (Seq, error) {
	if t.closed {
		return 0, during("publish", ErrClosed)
	}
	e := n.entry
	if len(e.Event.Key) > maxKey {
		return 0, invalid("publish", fmt.Sprintf("the key has %d bytes: at most %d are allowed", len(e.Event.Key), maxKey))
	}
	e.Event.Seq = t.last + 1
	if t.latest != nil {
		if err := t.remember(n); err != nil {
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

// remember makes an event the snapshot's part for its key.
func (t *topicState[E]) remember(n news[E]) error {
	key := n.Event.Key
	if n.removes {
		delete(t.latest, key)
		return nil
	}
	if _, known := t.latest[key]; !known && len(t.latest) >= t.o.MaxKeys {
		return fault.Add(fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the topic has %d keys, its limit (TopicOptions.MaxKeys)", t.o.MaxKeys), fault.Op("publish"))
	}
	t.latest[key] = n.entry
	return nil
}

// keep puts e in the log, and removes what exceeds the bounds.
func (t *topicState[E]) keep(e *entry[E]) {
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

// forgetOld removes from the log what exceeds the bounds.
func (t *topicState[E]) forgetOld() {
	n := 0
	for n < len(t.log) && (len(t.log)-n > t.o.Keep || t.bytes > t.o.KeepBytes || t.o.KeepFor > 0 && time.Since(t.log[n].at) > t.o.KeepFor) {
		t.bytes -= t.log[n].packet.Size()
		t.log[n] = nil
		n++
	}
	t.log = t.log[n:] // append moves it to a new array when this one is used up
}

// kept returns the kept events from a number on.
func (t *topicState[E]) kept(from Seq) []*entry[E] {
	if t.o.KeepFor > 0 {
		t.forgetOld()
	}
	first := t.last + 1 - Seq(len(t.log))
	return t.log[min(max(from, first)-first, Seq(len(t.log))):]
}

// Read implements Source.
func (t *Topic[E]) Read(_ context.Context, from Seq, match string, atMost int) ([]Event[E], error) {
	if _, err := path.Match(match, ""); err != nil {
		return nil, badPattern("read", match)
	}
	if atMost <= 0 {
		atMost = 100
	}
	atMost = min(atMost, 1000)
	s := t.lock()
	defer t.mu.Unlock()
	var events []Event[E]
	size := 0
	for _, e := range s.kept(from) {
		size += e.packet.Size() + len(e.Event.Key) + 128
		if len(events) == atMost || size > readSize && len(events) > 0 {
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

// Close ends the topic. Subscribers' loops end, without an error, after what is on its way to them.
// Publish then fails with ErrClosed. Close does not wait.
//
// What the topic keeps can still be read. Subscribers whose connection is lost when
// the topic is closed get the rest, and then the end, when they come back.
func (t *Topic[E]) Close() error {
	s := t.lock()
	hooks := s.close()
	t.mu.Unlock()
	for _, unhook := range hooks {
		unhook()
	}
	return nil
}

// close ends all subscriptions. The caller runs the hooks after the lock.
func (t *topicState[E]) close() (hooks []func()) {
	if t.closed {
		return nil
	}
	t.closed = true
	for _, c := range t.clients {
		c.link.topicClosed()
	}
	end := t.end()
	for g := range t.index.groups {
		g.end(end, nil)
	}
	for _, c := range t.clients {
		if c.link.idle() { // else run tells when it has sent what there is
			hooks = append(hooks, t.forget(c))
		}
	}
	t.index, t.count = index[E]{}, 0
	return hooks
}

// end is the last entry of a subscriber of a topic that is closed.
func (t *topicState[E]) end() *entry[E] {
	return &entry[E]{head: headEnd, raw: endHead(0, ""), Event: Event[E]{Seq: t.last + 1}}
}

// sent forgets a link of a closed topic that has nothing left to send.
func (t *Topic[E]) sent(l *link[E]) {
	s := t.lock()
	unhook := func() {}
	if c := s.clientOf(l); c != nil && l.idle() {
		unhook = s.forget(c)
	}
	t.mu.Unlock()
	unhook()
}

// clientOf is the client whose link l is, nil if it is forgotten.
func (t *topicState[E]) clientOf(l *link[E]) *client[E] {
	if c := t.clients[l.peer]; c != nil && c.link == l {
		return c
	}
	return nil
}

// forget takes a client out. The caller runs unhook after the lock.
func (t *topicState[E]) forget(c *client[E]) (unhook func()) {
	delete(t.clients, c.link.peer)
	if c.unhook == nil {
		return func() {}
	}
	return c.unhook
}

func matches(pattern, key string) bool {
	if pattern == "" || pattern == key {
		return true
	}
	ok, _ := path.Match(pattern, key)
	return ok
}
