package callback

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
	"unsafe"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/fault"
)

// ListenersOptions say how listeners are called. The zero value is a good default.
type ListenersOptions[T any] struct {
	// Queue is how many notifications may wait for one listener. If zero, 64.
	Queue int

	// Policy says what happens when the queue is full: DropOldest, DropNewest, or
	// Disconnect, which drops the listener with ErrSlow.
	Policy Policy

	// Timeout is how long one call may take. If zero, 10 s. A listener that takes
	// longer gets the next notification all the same.
	Timeout time.Duration

	// GiveUp is how long a listener may be unreachable before it is dropped, if its node listens
	// somewhere. If zero, a minute. If its node listens nowhere, it is dropped when its session is
	// over, because it cannot be reached any more. A session outlives a lost connection
	// (rmi.Options.SessionLease).
	//
	// The kind of a call's error decides. NoSuchObject, StaleReference and Closed drop a listener
	// at once. PeerGone, ConnectFailed, and a Deadline before the call was sent, drop it after
	// GiveUp. A listener in this process is judged in the same way, because it may call a remote
	// one. One that fails for another reason returns an error of another kind.
	GiveUp time.Duration

	// OnDrop is called for a listener that was dropped, OnError for a call that failed
	// or panicked, OnLoss for n notifications that a listener did not get because
	// its queue was full. They run on goroutines of the set and may use it. Without
	// OnError, each listener's first failure is logged by the node.
	OnDrop  func(listener T, err error)
	OnError func(listener T, err error)
	OnLoss  func(listener T, n uint64)
}

// Listeners is a set of listeners, values of a remote interface or a func type,
// that an owner calls when something happens. Each has a queue of its own, and a
// goroutine while something is in it. So a slow, stuck or dead listener delays
// neither the others nor the notifier. While a listener's connection is lost, its notifications
// stay in its queue. The calls of one listener are made one at a time, in order. A Listeners is
// safe for concurrent use, also from within listeners.
type Listeners[T any] struct {
	node   *rmi.Node
	o      ListenersOptions[T]
	ctx    context.Context // ends with Close
	cancel context.CancelFunc

	running sync.WaitGroup // calls of listeners and of OnDrop; the node waits for them

	mu    sync.Mutex        // taken before a listener's
	state listenersState[T] // guarded by mu; reached by lock alone
}

// listenersState is what the lock of a set guards.
type listenersState[T any] struct {
	members map[*listener[T]]struct{}
	closed  bool
	unhook  func() // removes the hook for the node's end
}

// lock returns the state, which the caller may use until it unlocks mu.
func (l *Listeners[T]) lock() *listenersState[T] {
	l.mu.Lock()
	return &l.state
}

// listener is one of a set.
type listener[T any] struct {
	set   *Listeners[T]
	value T
	owner refs.NodeID // its node; zero if that is not known
	away  bool        // its node listens nowhere: it is gone with its session
	ctx   context.Context
	stop  context.CancelFunc // ends ctx: it was removed

	mu    sync.Mutex
	state listenerState[T] // guarded by mu; reached by lock alone

	failing time.Time // since when it cannot be reached; run's
	warned  bool      // the log was told that it fails; run's
}

// listenerState is what the lock of a listener guards. Its methods need that lock.
type listenerState[T any] struct {
	q       queue[func(context.Context, T) error]
	running bool // run runs
	over    bool
	unhook  func() // removes the hook for the session's end; may be nil
}

// lock returns the state, which the caller may use until it unlocks mu.
func (x *listener[T]) lock() *listenerState[T] {
	x.mu.Lock()
	return &x.state
}

// NewListeners returns an empty set. n is the node to whose methods the listeners are passed. o may
// be nil. Coalesce means DropOldest here, because notifications have no key. The set is closed when
// the node is, and the node waits for its calls.
func NewListeners[T any](n *rmi.Node, o *ListenersOptions[T]) *Listeners[T] {
	l := &Listeners[T]{node: n, state: listenersState[T]{members: make(map[*listener[T]]struct{})}}
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
	s := l.lock()
	defer l.mu.Unlock()
	s.unhook = unhook
	return l
}

// Add adds a listener. Whoever passed it can remove it by the subscription that Add returns.
// A listener that was added twice is called twice.
func (l *Listeners[T]) Add(v T) (Subscription, error) {
	rv := reflect.ValueOf(&v).Elem()
	if k := rv.Kind(); (k == reflect.Interface || k == reflect.Func || k == reflect.Pointer) && rv.IsNil() {
		return nil, invalid("add", "the listener is nil")
	}
	x := &listener[T]{set: l, value: v}
	x.ctx, x.stop = context.WithCancel(l.ctx)
	x.state.q = newQueue[func(context.Context, T) error](l.o.Queue, l.o.Policy, nil)
	r, ok := rmi.RefOf(v)
	if ok && r.ID.Node != l.node.ID() {
		x.owner = r.ID.Node
	}
	if ok && !r.Listens() && r.Via.Node.IsZero() {
		x.away = true
		p := l.node.Port().Multicast().Peer(r.ID.Node)
		if p == nil {
			x.stop()
			return nil, fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the listener's node is gone"), fault.Op("add"), fault.At(r))
		}
		unhook := p.OnGone(func() {
			x.drop(fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the listener's session is over, and its node listens nowhere"), fault.Op("notify"), fault.At(r)))
		})
		x.lock().unhook = unhook
		x.mu.Unlock()
	}
	closed := !l.lock().add(x)
	l.mu.Unlock()
	over := x.lock().over
	x.mu.Unlock()
	if closed || over { // over: the session ended meanwhile
		x.remove()
		if closed {
			return nil, fault.Add(fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the set of listeners is closed"), fault.Op("add"))
		}
	}
	return NewSubscription(func() { x.remove() }), nil
}

// Remove removes a listener, and reports whether it was in the set. Proxies of
// one object are the same listener. A func equals only itself.
func (l *Listeners[T]) Remove(v T) bool {
	members := slices.Collect(maps.Keys(l.lock().members))
	l.mu.Unlock()
	found := false
	for _, x := range members {
		if l.same(x.value, v) && x.remove() {
			found = true
		}
	}
	return found
}

// add reports whether the set took the listener. A closed set takes none.
func (s *listenersState[T]) add(x *listener[T]) bool {
	if !s.closed {
		s.members[x] = struct{}{}
	}
	return !s.closed
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
	defer l.mu.Unlock()
	return len(l.lock().members)
}

// Notify calls call for every listener that is in the set now, with a context that bounds the call.
// It queues the calls and does not wait for them:
//
//	l.Notify(func(ctx context.Context, f func(context.Context, int64) error) error {
//		return f(ctx, balance)
//	})
func (l *Listeners[T]) Notify(call func(ctx context.Context, listener T) error) {
	var slow []*listener[T]
	s := l.lock()
	for x := range s.members {
		if !x.push(call) {
			slow = append(slow, x)
		}
	}
	l.mu.Unlock()
	for _, x := range slow {
		x.drop(ErrSlow)
	}
}

// Close empties the set. It ends the contexts of calls under way, and does not wait for
// the calls. OnDrop is not called.
func (l *Listeners[T]) Close() error {
	s := l.lock()
	members, unhook := s.members, s.unhook
	s.closed, s.members = true, nil
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
	ok, start := x.lock().push(call)
	x.mu.Unlock()
	if start {
		x.set.running.Go(x.run)
	}
	return ok
}

// push queues a call. It reports whether run is to be started after the lock; run counts as
// running from then on.
func (s *listenerState[T]) push(call func(context.Context, T) error) (ok, start bool) {
	if s.over {
		return true, false
	}
	ok, start = s.q.push(call), !s.running
	s.running = true
	return ok, start
}

// next takes the next call, if ok, and returns how many were lost before it. If done, there is
// nothing, and run must end.
func (s *listenerState[T]) next() (call func(context.Context, T) error, missed uint64, ok, done bool) {
	call, missed, ok = s.q.pop()
	if s.over || !ok && missed == 0 {
		s.running, done = false, true
	}
	return call, missed, ok, done
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
		call, missed, ok, done := x.lock().next()
		x.mu.Unlock()
		if done {
			returned = true
			return
		}
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

// told handles the result of a call.
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

// await waits while the listener's session has no connection, and reports whether it has one again.
// A call would fail when the node's grace is over. In the queue, notifications are safe.
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
		x.drop(fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the connection with the listener's node was lost and not made again within %v", x.set.o.GiveUp), fault.Op("notify")))
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

// gone reports whether a listener whose call failed with err is gone for good.
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

// unreachable reports whether a listener has been unreachable for too long.
func (x *listener[T]) unreachable() bool {
	if x.failing.IsZero() {
		x.failing = time.Now()
	}
	return time.Since(x.failing) >= x.set.o.GiveUp
}

// remove takes the listener out, and reports whether this call did.
func (x *listener[T]) remove() bool {
	s := x.lock()
	first, unhook := !s.over, s.unhook
	s.over = true
	s.q.clear()
	x.mu.Unlock()
	x.stop()
	if unhook != nil {
		unhook()
	}
	set := x.set.lock()
	delete(set.members, x)
	x.set.mu.Unlock()
	return first
}

// drop removes a listener because of err, and tells the owner.
func (x *listener[T]) drop(err error) {
	if !x.remove() || x.set.o.OnDrop == nil {
		return
	}
	s := x.set.lock() // closed is set before the node waits for running
	defer x.set.mu.Unlock()
	if !s.closed {
		x.set.running.Go(func() { x.set.o.OnDrop(x.value, err) })
	}
}
