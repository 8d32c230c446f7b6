package callback

import (
	"context"
	"sync/atomic"

	"gormi/rmi/stub"
)

// Subscription is a remote interface. A subscriber uses it to end a subscription that lives at the
// publisher.
type Subscription interface {
	// Cancel ends the subscription. After it has returned nil, nothing new is sent. What was in
	// flight may still arrive. Cancelling again does nothing.
	Cancel(ctx context.Context) error
}

// NewSubscription returns a subscription whose first Cancel calls cancel, which may be nil. It is
// safe for concurrent use. Another Cancel waits while cancel runs, at most until its own context
// ends. So cancel must not cancel its own subscription.
func NewSubscription(cancel func()) Subscription {
	return &subscription{cancel: cancel, done: make(chan struct{})}
}

type subscription struct {
	cancel func()
	begun  atomic.Bool
	done   chan struct{} // closed when cancel has returned
}

func (s *subscription) Cancel(ctx context.Context) error {
	if s.begun.CompareAndSwap(false, true) {
		defer close(s.done) // if cancel panics too
		if s.cancel != nil {
			s.cancel()
		}
		return nil
	}
	select {
	case <-s.done:
		return nil
	default:
	}
	select {
	case <-s.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// subscriptionStub makes proxies on every platform.
type subscriptionStub struct{ stub.Object }

func (s subscriptionStub) Cancel(ctx context.Context) error { return s.Invoke(ctx, "Cancel", nil) }

func init() { stub.Register(func(o stub.Object) Subscription { return subscriptionStub{o} }) }
