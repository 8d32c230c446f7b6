package callback

import (
	"context"

	"gormi/refs"
	"gormi/rmi/multicast"
	"gormi/rmi/stub"
)

// Source is a remote interface: a typed stream of events. A *Topic is one. It can be bound,
// returned or passed like any remote object. Others get a proxy of it.
//
// Programs do not call Subscribe and Unsubscribe. They use Events, the function Subscribe, and
// Read.
type Source[E any] interface {
	// Subscribe opens subscriptions of the caller, or resumes them. Their events
	// are sent to r.Receiver of the caller's node.
	Subscribe(ctx context.Context, r subscribeRequest) (subscribeGrant, error)

	// Unsubscribe ends subscriptions of the caller. It skips those that do not exist.
	Unsubscribe(ctx context.Context, r multicast.ReceiverID, subs []subID) error

	// Read returns, in order, kept events from a number on whose keys match, at
	// most atMost of them. 0 means 100, and more than 1000 means 1000. It works through relays too.
	Read(ctx context.Context, from Seq, match string, atMost int) ([]Event[E], error)
}

// subID names a subscription among those of one receiver.
type subID uint64

// subscribeRequest asks for subscriptions that have the same selection and start.
type subscribeRequest struct {
	Receiver multicast.ReceiverID
	Subs     []subID
	Token    uint64 // comes back in what is sent, to tell answers apart
	Resume   bool   // Subs are all subscriptions of Receiver, and none is known any more

	Match    string
	Queue    int
	Policy   Policy
	Snapshot bool // where the start cannot be had, a snapshot is wanted

	Start Start
	Seq   Seq
	Epoch Epoch
}

// subscribeGrant says on which connection the events come.
type subscribeGrant struct {
	Node    refs.NodeID
	Session multicast.ConnectionID
}

// Register provides the stub of Source[E]. A program needs it if it gets a source from a registry
// or a method and has no run-time proxies: because of the build tag rmi_safe, or of the platform.
// Call it from an init function. NewTopic, EventsByName and SubscribeByName do it themselves.
func Register[E any]() {
	stub.Register(func(o stub.Object) Source[E] { return sourceStub[E]{o} })
}

// sourceStub makes proxies on every platform.
type sourceStub[E any] struct{ stub.Object }

func (s sourceStub[E]) Subscribe(ctx context.Context, r subscribeRequest) (g subscribeGrant, err error) {
	err = s.Invoke(ctx, "Subscribe", stub.Args(r), &g)
	return
}

func (s sourceStub[E]) Unsubscribe(ctx context.Context, r multicast.ReceiverID, subs []subID) error {
	return s.Invoke(ctx, "Unsubscribe", stub.Args(r, subs))
}

func (s sourceStub[E]) Read(ctx context.Context, from Seq, match string, atMost int) (events []Event[E], err error) {
	err = s.Invoke(ctx, "Read", stub.Args(from, match, atMost), &events)
	return
}
