package callback

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"
	"unsafe"

	"gormi/refs"
	"gormi/rmi"
)

// ListenersOptions say how listeners are called. The zero value is a good default.
type ListenersOptions[T any] struct {
	// Queue is how many notifications may wait for one listener. If zero, 64.
	Queue int

	// Policy says what happens when they are more: DropOldest, DropNewest, or
	// Disconnect, by which the listener is dropped with ErrSlow.
	Policy Policy

	// Timeout is how long one call may take. If zero, 10 s. A listener that takes
	// longer gets the next notification all the same.
	Timeout time.Duration

	// GiveUp is for how long a listener whose node listens somewhere may be
	// unreachable before it is dropped. If zero, a minute. One whose node listens
	// nowhere is dropped when its session is over for good, which outlives a
	// connection that is lost (rmi.Options.SessionLease): it cannot be reached any more.
	GiveUp time.Duration

	// OnDrop is told of a listener that was dropped, OnError of a call that failed
	// or panicked, OnLoss of n notifications that a listener did not get because
	// its queue was full. They run on goroutines of the set and may use it. Without
	// OnError, the node's log is told of each listener's first failure.
	OnDrop  func(listener T, err error)
	OnError func(listener T, err error)
	OnLoss  func(listener T, n uint64)
}

// Listeners is a set of listeners, values of a remote interface or a func type,
// that an owner calls when something happens. Each has a queue of its own, and a
// goroutine while something is in it, so a slow, stuck or dead listener delays
// neither the others nor the notifier. While its connection is lost, what is for it
// stays in its queue. A listener's calls are made one at a time, in order. It is safe for concurrent use, also from within listeners.
type Listeners[T any] struct {
	node   *rmi.Node
	o      ListenersOptions[T]
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	running sync.WaitGroup // calls of listeners and of OnDrop; the node waits for them

	mu      sync.Mutex // guards the fields below
	members map[*listener[T]]struct{}
	closed  bool
	unhook  func() // takes the hook for the node's end back
}

// listener is one of a set.
type listener[T any] struct {
	set   *Listeners[T]
	value T
	owner refs.NodeID // its node; zero if that is not known
	away  bool        // its node listens nowhere: it is gone with its session
	ctx   context.Context
	stop  context.CancelFunc // ends ctx: it was removed

	mu      sync.Mutex // guards the fields below
	q       queue[func(context.Context, T) error]
	running bool // run runs
	over    bool
	unhook  func() // takes the hook for the session's end back; may be nil

	failing time.Time // since when it cannot be reached; run's
	warned  bool      // the log was told that it fails; run's
}

// NewListeners returns an empty set. n is the node in whose methods listeners
// arrive. o may be nil. Coalesce is DropOldest here: notifications have no key.
// When the node is closed, so is the set, and the node waits for its calls.
func NewListeners[T any](n *rmi.Node, o *ListenersOptions[T]) *Listeners[T] {
	l := &Listeners[T]{node: n, members: make(map[*listener[T]]struct{})}
	if o != nil {
		l.o = *o
	}
	if l.o.Policy != PolicyDropNewest && l.o.Policy != PolicyDisconnect {
		l.o.Policy = PolicyDropOldest
	}
	if l.o.Queue <= 0 {
		l.o.Queue = 64
	}
	if l.o.Timeout <= 0 {
		l.o.Timeout = 10 * time.Second
	}
	if l.o.GiveUp <= 0 {
		l.o.GiveUp = time.Minute
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	unhook := n.Port().BeforeClose(func(ctx context.Context) {
		l.Close()
		quiet := make(chan struct{})
		go func() { l.running.Wait(); close(quiet) }() // ends with the calls, whose contexts are over
		select {
		case <-quiet:
		case <-ctx.Done():
		}
	})
	l.mu.Lock()
	l.unhook = unhook
	l.mu.Unlock()
	return l
}

// Add adds a listener and returns the subscription by which it, or whoever
// passed it, ends that. Added twice, a listener is called twice.
func (l *Listeners[T]) Add(v T) (Subscription, error) {
	rv := reflect.ValueOf(&v).Elem()
	if k := rv.Kind(); (k == reflect.Interface || k == reflect.Func || k == reflect.Pointer) && rv.IsNil() {
		return nil, invalid("add", "the listener is nil")
	}
	x := &listener[T]{set: l, value: v}
	x.ctx, x.stop = context.WithCancel(l.ctx)
	x.q = newQueue[func(context.Context, T) error](l.o.Queue, l.o.Policy, nil)
	r, ok := rmi.RefOf(v)
	if ok && r.ID.Node != l.node.ID() {
		x.owner = r.ID.Node
	}
	if ok && !r.Listens() && r.Via.Node.IsZero() {
		x.away = true
		p := l.node.Port().Multicast().Peer(r.ID.Node)
		if p == nil {
			x.stop()
			return nil, &rmi.Error{Op: "add", Ref: r, Kind: rmi.KindPeerGone, Outcome: rmi.OutcomeNotExecuted, Msg: "the listener's node is gone"}
		}
		unhook := p.OnGone(func() {
			x.drop(&rmi.Error{Op: "notify", Ref: r, Kind: rmi.KindPeerGone, Outcome: rmi.OutcomeNotExecuted, Msg: "the listener's session is over, and its node listens nowhere"})
		})
		x.mu.Lock()
		x.unhook = unhook
		x.mu.Unlock()
	}
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.members[x] = struct{}{}
	}
	l.mu.Unlock()
	x.mu.Lock()
	over := x.over
	x.mu.Unlock()
	if closed || over { // over: the session ended meanwhile
		x.remove()
		if closed {
			return nil, &rmi.Error{Op: "add", Kind: rmi.KindClosed, Outcome: rmi.OutcomeNotExecuted, Msg: "the set of listeners is closed"}
		}
	}
	return NewSubscription(func() { x.remove() }), nil
}

// Remove removes a listener, and reports whether it was in the set. Proxies of
// one object are one listener; a func is itself only.
func (l *Listeners[T]) Remove(v T) bool {
	var found []*listener[T]
	l.mu.Lock()
	for x := range l.members {
		if l.same(x.value, v) {
			found = append(found, x)
		}
	}
	l.mu.Unlock()
	for _, x := range found {
		x.remove()
	}
	return len(found) > 0
}

func (l *Listeners[T]) same(a, b T) bool {
	if r, ok := rmi.RefOf(a); ok {
		s, ok := rmi.RefOf(b)
		return ok && r.ID == s.ID
	}
	if reflect.TypeFor[T]().Kind() == reflect.Func {
		return *(*unsafe.Pointer)(unsafe.Pointer(&a)) == *(*unsafe.Pointer)(unsafe.Pointer(&b)) // the closure
	}
	return reflect.ValueOf(a).Comparable() && any(a) == any(b) // if a is, so is what has its type and equals it
}

// Len is the number of listeners.
func (l *Listeners[T]) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.members)
}

// Notify has call called for every listener that is in the set now, with a
// context that bounds it. It queues and never waits:
//
//	l.Notify(func(ctx context.Context, f func(context.Context, int64) error) error { return f(ctx, balance) })
func (l *Listeners[T]) Notify(call func(ctx context.Context, listener T) error) {
	var slow []*listener[T]
	l.mu.Lock()
	for x := range l.members {
		if !x.push(call) {
			slow = append(slow, x)
		}
	}
	l.mu.Unlock()
	for _, x := range slow {
		x.drop(ErrSlow)
	}
}

// Close empties the set. Contexts of calls under way end; it does not wait for
// them. OnDrop is not told.
func (l *Listeners[T]) Close() error {
	l.mu.Lock()
	l.closed = true
	members := l.members
	l.members = nil
	unhook := l.unhook
	l.mu.Unlock()
	l.cancel()
	if unhook != nil {
		unhook()
	}
	for x := range members {
		x.remove()
	}
	return nil
}

func (x *listener[T]) push(call func(context.Context, T) error) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return true
	}
	ok := x.q.push(call)
	if !x.running {
		x.running = true
		x.set.running.Go(x.run)
	}
	return ok
}

// run calls the listener until nothing is queued, or it is removed.
func (x *listener[T]) run() {
	o := &x.set.o
	returned := false
	defer func() {
		if !returned { // the listener ended this goroutine
			x.set.running.Go(x.run)
		}
	}()
	for {
		x.await()
		x.mu.Lock()
		call, missed, ok := x.q.pop()
		if x.over || !ok && missed == 0 {
			x.running, returned = false, true
			x.mu.Unlock()
			return
		}
		x.mu.Unlock()
		if missed > 0 && o.OnLoss != nil {
			o.OnLoss(x.value, missed)
		}
		if !ok {
			continue
		}
		err := x.call(call)
		for rmi.KindOf(err) == rmi.KindPeerGone && rmi.OutcomeOf(err) == rmi.OutcomeNotExecuted && x.await() {
			err = x.call(call)
		}
		x.told(err)
	}
}

// told takes the result of a call.
func (x *listener[T]) told(err error) {
	switch o := &x.set.o; {
	case err == nil:
		x.failing = time.Time{}
	case x.set.ctx.Err() != nil:
	case x.gone(err):
		x.drop(err)
	case o.OnError != nil:
		o.OnError(x.value, err)
	case !x.warned:
		x.warned = true
		r, _ := rmi.RefOf(x.value)
		x.set.node.Logger().Warn("a listener fails; ListenersOptions.OnError would be told each time",
			"listener", reflect.TypeFor[T]().String(), "ref", r, "err", fmt.Sprintf("%.1000s", err))
	}
}

// await waits while the listener's session has no connection, and reports whether
// that is so no more: a call would fail after the node's grace, while in the queue
// notifications keep.
func (x *listener[T]) await() (back bool) {
	if x.owner == (refs.NodeID{}) {
		return false
	}
	p := x.set.node.Port().Multicast().Peer(x.owner)
	if p == nil || !p.Detached() {
		return false
	}
	ctx := x.ctx
	if !x.away {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, x.set.o.GiveUp)
		defer cancel()
	}
	err := p.Await(ctx)
	if err != nil && ctx.Err() != nil && x.ctx.Err() == nil {
		x.drop(&rmi.Error{Op: "notify", Kind: rmi.KindPeerGone, Outcome: rmi.OutcomeNotExecuted,
			Msg: fmt.Sprintf("the connection with the listener's node was lost and not made again within %v", x.set.o.GiveUp)})
	}
	return err == nil
}

func (x *listener[T]) call(f func(context.Context, T) error) (err error) {
	ctx, cancel := context.WithTimeout(x.set.ctx, x.set.o.Timeout)
	defer cancel()
	returned := false
	defer func() {
		if returned {
			return
		}
		v := recover()
		if err = broke(x.set.node, "notify", "listener", v); v == nil { // nobody gets what is returned
			x.told(err)
		}
	}()
	err = f(ctx, x.value)
	returned = true
	return err
}

// gone tells whether a listener whose call failed with err is gone for good.
func (x *listener[T]) gone(err error) bool {
	switch rmi.KindOf(err) {
	case rmi.KindNoSuchObject, rmi.KindStaleReference, rmi.KindClosed:
		return true
	case rmi.KindDeadline:
		if x.away || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted { // else it waited for the connection in vain
			break
		}
		return x.unreachable()
	case rmi.KindPeerGone, rmi.KindConnectFailed:
		if x.away { // it may come back while its session lives
			return x.set.node.Port().Multicast().Peer(x.owner) == nil
		}
		return x.unreachable()
	}
	x.failing = time.Time{}
	return false
}

// unreachable tells whether a listener has been unreachable for too long.
func (x *listener[T]) unreachable() bool {
	if x.failing.IsZero() {
		x.failing = time.Now()
	}
	return time.Since(x.failing) >= x.set.o.GiveUp
}

// remove takes the listener out, and reports whether this call did.
func (x *listener[T]) remove() bool {
	x.mu.Lock()
	first := !x.over
	x.over = true
	x.q.clear()
	unhook := x.unhook
	x.mu.Unlock()
	x.stop()
	if unhook != nil {
		unhook()
	}
	x.set.mu.Lock()
	delete(x.set.members, x)
	x.set.mu.Unlock()
	return first
}

// drop removes a listener because of err, and tells the owner.
func (x *listener[T]) drop(err error) {
	if !x.remove() || x.set.o.OnDrop == nil {
		return
	}
	x.set.mu.Lock() // closed is set before the node waits for running
	defer x.set.mu.Unlock()
	if !x.set.closed {
		x.set.running.Go(func() { x.set.o.OnDrop(x.value, err) })
	}
}
