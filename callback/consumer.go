package callback

import (
	"context"
	"errors"
	"sync"

	"gormi/rmi"
)

// Consumer is a subscription in callback form. It is safe for concurrent use.
type Consumer[E any] struct {
	f      func(context.Context, Event[E]) error
	ctx    context.Context
	cancel context.CancelFunc
	in     *inbox[E]
	leave  func()
	node   *rmi.Node     // with leave
	begun  chan struct{} // closed when leave is set
	once   sync.Once
	done   chan struct{}
	err    error // set before done is closed
}

// Subscribe calls f for each event of src, one at a time, in order, on goroutines of its own. It
// returns when the subscription is made. The subscription ends when ctx ends, by Cancel, when f
// returns an error or panics, or as Events does. Done and Err report that. f's context ends with
// the subscription. o may be nil.
func Subscribe[E any](ctx context.Context, src Source[E], f func(context.Context, Event[E]) error, o *SubscribeOptions) (*Consumer[E], error) {
	return consume(ctx, target[E]{src: src}, f, o)
}

// SubscribeFrom is Subscribe for a source that find returns, as in EventsFrom.
func SubscribeFrom[E any](ctx context.Context, find func(context.Context) (Source[E], error), f func(context.Context, Event[E]) error, o *SubscribeOptions) (*Consumer[E], error) {
	return consume(ctx, target[E]{find: find, key: feedKey{only: new(int)}}, f, o)
}

// SubscribeByName is Subscribe for the source bound under a name, as in EventsByName.
func SubscribeByName[E any](ctx context.Context, n *rmi.Node, name string, f func(context.Context, Event[E]) error, o *SubscribeOptions) (*Consumer[E], error) {
	return consume(ctx, named[E](n, name), f, o)
}

var _ Subscription = (*Consumer[any])(nil)

func consume[E any](ctx context.Context, to target[E], f func(context.Context, Event[E]) error, o *SubscribeOptions) (*Consumer[E], error) {
	opts, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Consumer[E]{f: f, begun: make(chan struct{}), done: make(chan struct{})}
	c.in = newInbox[E](&opts, func() { go c.drain() })
	c.ctx, c.cancel = context.WithCancel(ctx)
	if c.leave, c.node, err = subscribe(ctx, to, &opts, c.in); err != nil {
		c.cancel()
		c.leave = func() {}
		close(c.begun)
		return nil, err
	}
	close(c.begun)
	context.AfterFunc(c.ctx, func() { c.end(ctx.Err()) })
	return c, nil
}

// drain calls f for what is there. One drain runs at a time: the inbox starts one when it is no
// longer empty, and the next only after take found it empty.
func (c *Consumer[E]) drain() {
	<-c.begun
	returned := false
	defer func() {
		if !returned {
			c.end(broke(c.node, "event", "subscriber", recover()))
		}
	}()
	c.consume()
	returned = true
}

// consume calls f until nothing is there, or it is over.
func (c *Consumer[E]) consume() {
	var space [takeSize]*Event[E]
	batch := space[:0]
	for {
		var over bool
		var err error
		if batch, over, err = c.in.take(batch[:0]); over {
			c.end(err)
			return
		}
		if len(batch) == 0 {
			return
		}
		for _, e := range batch {
			if c.ctx.Err() != nil {
				return
			}
			if err := c.f(c.ctx, *e); err != nil {
				c.end(err)
				return
			}
		}
	}
}

func (c *Consumer[E]) end(err error) {
	c.once.Do(func() {
		if errors.Is(err, errCancelled) {
			err = nil
		}
		c.err = err
		close(c.done)
		c.cancel()
		c.leave()
	})
}

// errCancelled stands for Cancel: no error.
var errCancelled = errors.New("cancelled")

// Cancel ends the subscription. A call of f that runs continues; no other follows. f may call
// Cancel. It never fails.
func (c *Consumer[E]) Cancel(context.Context) error {
	c.end(errCancelled)
	return nil
}

// Done is closed when the subscription is over. A call of f may still run.
func (c *Consumer[E]) Done() <-chan struct{} { return c.done }

// Err says, after Done, why the subscription is over: nil if it was cancelled or the topic was
// closed.
func (c *Consumer[E]) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}
