// Package callback has what servers and clients share when the one calls the
// other back.
//
// A client that wants to be told of something passes a function, or a value of a
// remote interface, to a method of the server; the server calls it over the
// connection that the client opened. What the method returns is a
// [Subscription], by which the client says that it has heard enough:
//
//	type Account interface {
//		Watch(ctx context.Context, f func(ctx context.Context, balance int64) error) (callback.Subscription, error)
//	}
//
//	func (a *account) Watch(ctx context.Context, f func(context.Context, int64) error) (callback.Subscription, error) {
//		id := a.listeners.add(f)
//		return callback.NewSubscription(func() { a.listeners.remove(id) }), nil
//	}
//
// # Listeners and topics
//
// [Listeners] is a set of such functions or listener objects, each with a queue of
// its own, for owners that call their clients' methods. [Topic] is for streams of
// events with many subscribers: an event is encoded once, and travels once to each
// process that wants it, however many subscriptions it has there.
//
//	// owner
//	quotes, err := callback.NewTopic(node, &callback.TopicOptions[Quote]{Key: func(q Quote) string { return q.Symbol }, Latest: true})
//	b, err := registry.Bind[callback.Source[Quote]](ctx, node, "ticker/quotes", quotes)
//	seq, err := quotes.Publish(Quote{"ACME", 4711})
//
//	// subscriber
//	for ev, err := range callback.EventsByName[Quote](ctx, node, "ticker/quotes", &callback.SubscribeOptions{Match: "AC*"}) {
//		if err != nil {
//			return err
//		}
//		if ev.Kind == callback.Gap {
//			...
//		}
//	}
//
// # What a subscriber can rely on
//
//	order         Events of a topic come in the order of their numbers (Seq), which
//	              is that of Publish. Between topics there is no order. A listener's
//	              calls come in the order of Notify.
//	loss          Every loss is told: a Gap stands where the events would have been,
//	              with their count. An event is lost only if a queue is full, if the
//	              topic does not keep it any more when a connection comes back, if it
//	              is larger than the subscriber's node accepts (or of a type that its
//	              program cannot decode), or if its owner's process ended.
//	duplication   None: an event comes once.
//	filter        The owner applies Match. Numbers of events that do not match are
//	              passed over; that is no gap.
//	snapshot      State events, then every change after them: none is missing between
//	              and none is contained in both.
//	values        An event is decoded once for all subscriptions of a process, and
//	              not at all in the owner's. What a value points to is read-only.
//
// A Gap says how many events of this subscription are lost (Missed; 0 if nobody
// knows). Where they were dropped from a queue the number is exact. Where the topic
// forgot them it counts sequence numbers. Restarted says that what follows is of
// another epoch of the topic.
//
//	failure                            what the subscriber sees
//	it is slower than the events       its Policy, then a Gap; nobody else notices
//	connection cut, comes back         the events it missed, from what the topic keeps
//	... but the topic forgot some      Gap{Missed}, then the snapshot if it began with
//	                                   one, else what is kept
//	connection cut, does not           nothing until it comes back or the context ends:
//	come back                          attempts go on, at most 2 s apart
//	owner restarted or replaced,       Gap{Restarted}, then the snapshot if it began with
//	by name                            one, else what is kept of the new epoch: as soon as
//	                                   the name leads to it
//	owner restarted, by source         the error NoSuchObject or StaleReference
//	topic closed                       the end, without an error, after what was sent
//	subscriber's context ends          its error
//	subscriber's node is closed        the error Closed
//	subscriber's callback fails        the end, with its error or the panic
//	subscription refused               the error, from the first attempt
//
//	failure                            what the owner sees
//	event cannot be encoded            Publish fails; nobody gets a part of it
//	peer takes no bytes                its groups' queues fill and apply their policies;
//	                                   Publish does not wait
//	peer vanished                      its subscriptions are forgotten with the connection,
//	                                   at most 15 s after its last byte; a peer that comes
//	                                   back makes them again
//	too many subscriptions             the subscriber is refused with Overloaded
//	listener fails or panics           OnError; it stays
//	listener's connection cut          its notifications wait in its queue; of one that may
//	                                   have arrived already, OnError
//	listener's node is gone for good   OnDrop: at once if it was closed, else one session
//	                                   lease after the cut (rmi.Options.SessionLease); if it
//	                                   listens, when it was unreachable for GiveUp
//	listener takes too long            its calls time out, its queue overflows: OnError,
//	                                   OnLoss; the others do not notice
//
// # How it works
//
// A topic numbers events and keeps the newest in a log. The subscriptions of a
// process that want the same (source, Match, Queue, Policy) share a feed there and a
// group at the owner (topic.go, link.go), so 10,000 of them cost the owner one
// queue operation an event and 40 bytes of memory each. Queues hold pointers into
// the log. What is queued for a peer goes out in batches, each packet once with the
// list of its receivers, over one stream of the session, whose window is the credit
// (rmi.Peer.Multicast). The feed (feed.go) decodes a packet once and puts it in its
// members' queues; the goroutine that reads never waits for them.
//
// What a subscription gets first (a replay, a snapshot) goes through the same
// stream, between two marks that name the request; the second one makes it a member
// like the others. So there is no moment at which an event could be lost or doubled
// between the two, and the request's answer may come before or after. To resume
// after a cut is one request for all members of a feed.
//
// A subscription is a lease that lasts as long as its connection: there are no
// heartbeats of its own. A subscriber that cannot say that it is done has lost its
// connection, by which the owner forgets it. A source that has a name is looked up
// again while its owner is detached, so that an owner that was killed is not waited
// for; one without a name is waited for until its session is over.
//
// Chosen against: an exported callback function per subscription (a call, a
// reference and half a kilobyte each, and an event encoded once for each); a call
// per batch (no flow control but the caller's waiting); losses as errors of the loop
// (a program that returns on every error would end where it should go on).
//
// Not done: events are not relayed. A source whose owner listens nowhere can be
// subscribed to by the nodes that have a session with it; others can Read it.
package callback
