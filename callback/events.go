package callback

import (
	"context"
	"fmt"
	"iter"
	"os"
	"reflect"
	"time"

	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// Events subscribes to a source and returns its events, for a range loop:
//
//	for ev, err := range callback.Events(ctx, quotes, &callback.SubscribeOptions{Match: "AC*"}) {
//		if err != nil {
//			return err
//		}
//		...
//	}
//
// The subscription begins with the loop and ends with it. An error comes last: that of ctx, that of
// a subscription that was refused or could not be made, or ErrSlow. The Event beside an error has
// Kind zero. The loop ends without an error when the topic is closed. It survives a lost
// connection: see the package documentation. o may be nil.
func Events[E any](ctx context.Context, src Source[E], o *SubscribeOptions) iter.Seq2[Event[E], error] {
	return events(ctx, target[E]{src: src}, o)
}

// EventsFrom is Events for a source that find returns. find is called at the beginning, and again
// when the owner restarted. All sources that it returns must be proxies of one node, or the same
// topic of this process. If find fails with NotBound, ConnectFailed, PeerGone, NoSuchObject,
// StaleReference or Deadline, the source is not up yet. Then find is called again, unless
// SubscribeOptions.FailFast is set.
func EventsFrom[E any](ctx context.Context, find func(context.Context) (Source[E], error), o *SubscribeOptions) iter.Seq2[Event[E], error] {
	return events(ctx, target[E]{find: find, key: feedKey{only: new(int)}}, o)
}

// EventsByName is Events for the source that is bound under a name, as in
// registry.Lookup. The name is looked up again when the owner restarted. If the source
// is not up yet, the loop waits for it, and the node logs that once, unless
// SubscribeOptions.FailFast is set.
func EventsByName[E any](ctx context.Context, n *rmi.Node, name string, o *SubscribeOptions) iter.Seq2[Event[E], error] {
	return events(ctx, named[E](n, name), o)
}

// target is what is subscribed to: a source, or a way to find it.
type target[E any] struct {
	src  Source[E]
	find func(context.Context) (Source[E], error)
	key  feedKey   // if find is set: name or only
	node *rmi.Node // of a name
	name string
}

func named[E any](n *rmi.Node, name string) target[E] {
	Register[E]()
	return target[E]{
		find: func(ctx context.Context) (Source[E], error) { return registry.Lookup[Source[E]](ctx, n, name, nil) },
		key:  feedKey{name: name + "\x00" + os.Getenv(registry.Env)},
		node: n, name: name,
	}
}

// await finds the source. It waits for one that is not up yet, unless failFast is set.
func (to *target[E]) await(ctx context.Context, failFast bool) (Source[E], error) {
	if failFast {
		return to.find(ctx)
	}
	var closed <-chan struct{}
	if to.node != nil {
		closed = to.node.Context().Done()
	}
	for failures := 1; ; failures++ {
		attempt, cancel := context.WithTimeout(ctx, firstTimeout)
		src, err := to.find(attempt)
		cancel()
		if err == nil {
			return src, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !notUp(err) {
			return nil, err
		}
		if failures == 1 && to.node != nil {
			to.node.Logger().Info("waiting for a source of events that is not up yet", "name", to.name, "err", err)
		}
		timer := time.NewTimer(attempts.Delay(failures))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("waiting for a source of events: %w; the last attempt: %w", ctx.Err(), err)
		case <-closed:
			timer.Stop()
			return nil, errNodeClosed
		}
	}
}

func events[E any](ctx context.Context, to target[E], o *SubscribeOptions) iter.Seq2[Event[E], error] {
	return func(yield func(Event[E], error) bool) {
		var none Event[E]
		opts, err := o.withDefaults()
		if err != nil {
			yield(none, err)
			return
		}
		ready := make(chan struct{}, 1)
		in := newInbox[E](&opts, func() {
			select {
			case ready <- struct{}{}:
			default: // the loop has not looked since the last time
			}
		})
		leave, _, err := subscribe(ctx, to, &opts, in)
		if err != nil {
			yield(none, err)
			return
		}
		defer leave()
		var batch []*Event[E]
		for {
			var over bool
			if batch, over, err = in.take(batch[:0]); over {
				if err != nil {
					yield(none, err)
				}
				return
			}
			for i, e := range batch {
				if ctx.Err() != nil {
					break
				}
				batch[i] = nil
				if !yield(*e, nil) {
					return
				}
			}
			if len(batch) == 0 {
				select {
				case <-ready:
				case <-ctx.Done():
				}
			}
			if err := ctx.Err(); err != nil {
				yield(none, err)
				return
			}
		}
	}
}

// subscribe opens a subscription and returns when it exists. n is the node that it belongs to.
func subscribe[E any](ctx context.Context, to target[E], o *SubscribeOptions, in *inbox[E]) (leave func(), n *rmi.Node, err error) {
	src := to.src
	if to.find != nil {
		if src, err = to.await(ctx, o.FailFast); err != nil {
			return nil, nil, err
		}
	}
	if src == nil {
		return nil, nil, invalid("subscribe", "the source is nil")
	}
	if t, ok := src.(*Topic[E]); ok {
		leave, err := t.attach(in, o)
		return leave, t.node, err
	}
	n, ok := rmi.NodeOf(src)
	if !ok {
		return nil, nil, invalid("subscribe", "the source is neither a *Topic nor a proxy of one")
	}
	key := to.key
	if to.find == nil {
		r, _ := rmi.RefOf(src)
		if key.id = r.ID; r.ID.IsWellKnown() {
			key.at = r.Endpoint
		}
		if err := relayed(r); err != nil && n.Port().Multicast().Peer(r.ID.Node) == nil {
			return nil, nil, err
		}
	}
	key.events = reflect.TypeFor[E]()
	key.ask = selection{o.Match, o.Queue, o.Policy, o.Start == StartSnapshot}
	m := &member[E]{in: in, start: o.Start, seq: o.Seq, epoch: o.Epoch, waits: to.find != nil && !o.FailFast, done: make(chan struct{})}
	if err := join(hubOf(n), key, to.find, src, m); err != nil {
		return nil, nil, err
	}
	select {
	case <-m.done:
		if m.err != nil {
			return nil, nil, m.err
		}
	case <-ctx.Done():
		m.feed.leave(m)
		return nil, nil, ctx.Err()
	}
	return func() { m.feed.leave(m) }, n, nil
}

// relayed refuses a source whose owner cannot send here.
func relayed(r refs.Ref) error {
	if r.Listens() || r.ID.IsWellKnown() {
		return nil
	}
	return errRelayed
}

var errRelayed = invalid("subscribe", "the source's owner listens nowhere, and the subscriber has no session with it: events are not relayed (Source.Read is)")

// attach subscribes within the topic's own process.
func (t *Topic[E]) attach(in *inbox[E], o *SubscribeOptions) (leave func(), err error) {
	r := subscribeRequest{Receiver: 1, Subs: []subID{1}, Match: o.Match, Queue: o.Queue, Policy: o.Policy,
		Snapshot: o.Start == StartSnapshot, Start: o.Start, Seq: o.Seq, Epoch: o.Epoch}
	leave = func() {}
	err = t.withSnapshot(func(s *topicState[E]) error {
		g, err := s.attach(in, &r)
		if g != nil {
			leave = func() { t.detach(g) }
		}
		return err
	})
	return leave, err
}

// attach gives the inbox in a group of its own. It returns nil if the topic is closed and in has
// got all that it gets. The error may be errOutdated.
func (t *topicState[E]) attach(in *inbox[E], r *subscribeRequest) (*group[E], error) {
	if !t.serves(r) {
		return nil, during("subscribe", ErrClosed)
	}
	if t.count >= t.o.Subscriptions {
		return nil, tooMany(t.o.Subscriptions, "all clients", "Subscriptions")
	}
	entries, err := t.begin(r)
	if err != nil {
		return nil, err
	}
	kept := make([]*Event[E], len(entries))
	for i, e := range entries {
		kept[i] = &e.Event
	}
	in.keep(kept)
	if t.closed {
		in.end(nil)
		return nil, nil
	}
	g := &group[E]{match: r.Match, local: in}
	t.index.add(g)
	t.count++
	return g, nil
}

// detach ends a subscription within the topic's own process.
func (t *Topic[E]) detach(g *group[E]) {
	g.local.end(nil)
	s := t.lock()
	defer t.mu.Unlock()
	s.remove(g)
}
