// Package callback is for servers that call their clients back.
//
// A client that wants to be notified passes a function, or a value of a remote interface, to a
// method of the server. The server calls it over the connection that the client opened. The method
// returns a [Subscription], by which the client ends that:
//
//	type Account interface {
//		Watch(ctx context.Context, f Watcher) (callback.Subscription, error)
//	}
//
//	type Watcher = func(ctx context.Context, balance int64) error
//
//	func (a *account) Watch(ctx context.Context, f Watcher) (callback.Subscription, error) {
//		id := a.listeners.add(f)
//		return callback.NewSubscription(func() { a.listeners.remove(id) }), nil
//	}
//
// # Listeners and topics
//
// [Listeners] is a set of such functions or objects, each with a queue of its own. It is for owners
// that call their clients' methods. [Topic] is for streams of events with many subscribers. It
// encodes an event once, and sends it once to each process that wants it, however many
// subscriptions there are in that process.
//
//	// owner
//	quotes, err := callback.NewTopic(node, &callback.TopicOptions[Quote]{
//		Key:    func(q Quote) string { return q.Symbol },
//		Latest: true,
//	})
//	b, err := registry.Bind[callback.Source[Quote]](ctx, node, "ticker/quotes", quotes, nil)
//	seq, err := quotes.Publish(Quote{"ACME", 4711})
//
//	// subscriber
//	o := &callback.SubscribeOptions{Match: "AC*"}
//	for ev, err := range callback.EventsByName[Quote](ctx, node, "ticker/quotes", o) {
//		if err != nil {
//			return err
//		}
//		if ev.Kind == callback.KindGap {
//			...
//		}
//	}
//
// # What a subscriber can rely on
//
//	order         Events of a topic come in the order of their numbers (Seq), which
//	              is that of Publish. Between topics there is no order. A listener's
//	              calls come in the order of Notify.
//	loss          Every loss is reported: a Gap stands where the events would have been,
//	              with their count. An event is lost only if a queue is full, if the
//	              topic does not keep it any more when a connection comes back, if it
//	              is larger than the subscriber's node accepts (or of a type that its
//	              program cannot decode), or if its owner's process ended.
//	duplication   None: an event comes once.
//	filter        The owner applies Match. Numbers of events that do not match are
//	              skipped. That is not a gap.
//	snapshot      State events, then every change after them: none is missing between
//	              and none is contained in both.
//	values        An event is decoded once for all subscriptions of a process, and
//	              not at all in the owner's. What a value points to is read-only.
//
// A Gap says how many events of this subscription are lost (Missed; 0 if that is not known). If
// they were dropped from a queue, the number is exact. If the topic forgot them, it counts sequence
// numbers. Restarted says that what follows is of another epoch of the topic. A gap is reported
// once. Its events are neither reported again nor delivered after a connection was lost. No event
// has the zero Kind. A loop that ignores its error gets an Event of that kind last.
//
//	failure                            what the subscriber sees
//	it is slower than the events       its Policy, then a Gap; nobody else notices
//	connection cut, comes back         the events it missed, from what the topic keeps
//	... but the topic forgot some      Gap{Missed}, then the snapshot if it began with
//	                                   one, else what is kept
//	... in the middle of a replay      the rest of it. A snapshot begins anew
//	connection cut, does not           nothing until it comes back or the context ends:
//	come back                          attempts go on, at most 2 s apart
//	by name, and nothing is bound      the same, and the node's log says so once; with
//	there yet, or nobody answers       FailFast the error, from the first attempt
//	owner restarted or replaced,       Gap{Restarted}, then the snapshot if it began with
//	by name                            one, else what is kept of the new epoch: as soon as
//	                                   the name leads to it
//	owner restarted, by source         the error NoSuchObject or StaleReference
//	topic closed                       the end, without an error, after what was sent; if its
//	                                   connection was lost, after what it missed
//	topic closed before it came        ErrClosed, or with TopicOptions.ServeClosed what it
//	                                   asked for, and the end
//	subscriber's context ends          its error
//	subscriber's node is closed        the error Closed
//	subscriber's callback fails        the end, with its error; of a panic, the log of the
//	                                   node has the stack
//	event cannot be decoded            Gap{1}; the node's log has the first of them
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
//	listener fails or panics           OnError; it stays. Without OnError, the node's log has
//	                                   its first failure
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
// process that want the same (source, Match, Queue, Policy) share a feed in that process and a
// group at the owner (topic.go, link.go). So 10,000 of them cost the owner one
// queue operation an event, and 40 bytes of memory each. Queues hold pointers into
// the log. What is queued for a peer is sent in batches. Each packet is sent once, with the
// list of its receivers, over one stream of the session. The stream's window is the credit
// (multicast.Peer.Send). The feed (feed.go) decodes a packet once and puts it in its
// members' queues. The goroutine that reads never waits for them.
//
// What a subscription gets first (a replay, a snapshot) goes through the same
// stream, between two marks that name the request. The second mark makes the subscription a member
// like the others. So there is no moment between the two at which an event could be lost or
// doubled. The request's answer may come before or after the marks. To resume
// after a cut, a feed makes one request for all its members. If a replay is cut, the events that
// arrived are delivered, and the next request continues behind them.
//
// A subscription is a lease that lasts as long as its connection. It has no heartbeats of its own.
// A subscriber that cannot unsubscribe has lost its connection, and so the owner forgets it. Names
// are looked up by registry.Lookup. A source that has a name is looked up again while its owner is
// detached (its session has no connection), because the owner may have been killed and replaced.
// For a source without a name, the feed waits until the owner's session is over.
//
// Rejected alternatives: an exported callback function per subscription (a call, a reference and
// half a kilobyte each, and an event encoded once for each); a call per batch (no flow control but
// the caller's waiting); losses as errors of the loop (a program that returns on every error would
// end where it should go on).
//
// Not done: events are not relayed. If the owner of a source listens nowhere, only nodes that have
// a session with it can subscribe. Others can Read the source.
//
// # Protocol
//
// This section is for implementers of sources or subscribers in another language. It builds on
// package gormi/rmi/wire, and uses its terms and types: a source is a remote interface, and its
// events are multicast packets. MUST and MAY are meant as there. The frames under testdata/golden
// are examples of all of it. A source of events of a type E is
//
//	Subscribe   (r Request) Grant                                      0x006ab0a3
//	Unsubscribe (receiver uint64, subs list of uint64)                 0xfd265e36
//	Read        (from uint64, match string, max int64) list of Event   0x4f0befe5
//
//	Request struct {Receiver: uint64, Subs: list of uint64, Token: uint64, Resume: bool,
//	                Match: string, Queue: int64, Policy: uint8, Snapshot: bool,
//	                Start: uint8, Seq: uint64, Epoch: int64}
//	Grant   struct {Node: text form, Session: byte array of 16}
//	Event   struct {Kind: uint8, Seq: uint64, Epoch: int64, Key: string, Value: E,
//	                Missed: uint64, Restarted: bool}
//
// Terms. A topic is what is behind a source. It numbers its events from 1, each one more (Seq). Its
// epoch is a number that differs whenever a topic is made anew, as by a restart; use the time. A
// receiver is a number of the subscriber's node, not 0, to which packets are addressed. A
// subscription is one of a receiver's (Subs). All subscriptions of a receiver have the same
// selection, and share what is sent.
//
// E-1. A node that subscribes MUST have announced in its hello that it takes streams.
// The owner refuses others with Invalid. They MAY call Read.
//
// E-2. Subscribe MUST be called on a session with the owner itself: events go to the
// node that made the call, over the connection that it came by. The owner refuses a call
// that came through a relay, with hops above 0, with Invalid.
//
// The selection of a receiver. It MUST be the same in all its requests on one connection, else the
// request is refused with Invalid:
//
//	Match     key of the events that are wanted, or a pattern: * any bytes but /, ? one
//	          character but /, [a-z] and [^a-z] classes, \ takes the next one as it is; at
//	          most 512 bytes; "" is all
//	Queue     how many events may wait at the owner, 1 to 1048576. The owner MAY let more
//	          wait: this one waits for at least 1024, since they wait for the connection
//	Policy    what becomes of an event that comes when the queue is full: 0 the oldest
//	          gives way; 1 it is lost; 2 as 0, but of each key only the newest event is
//	          kept, full or not; 3 the receiver's subscriptions end (E-15)
//	Snapshot  whether a snapshot is wanted where FromSeq cannot be had
//
// E-3. The start says what the subscriptions of the request get first:
//
//	0 Newest    nothing
//	1 Snapshot  the present state, in parts; Invalid if the topic has none
//	2 Oldest    the kept events that match
//	3 FromSeq   the kept events that match from the number Seq on (0 is 1), of the epoch
//	            Epoch (0 is the present one)
//
// E-4. If FromSeq asks for events that are not kept any more, a gap comes first that ends before
// the first kept one. If Epoch is not the topic's, a gap comes first that says so, and Seq is
// ignored. After either gap comes the present state if Snapshot is set and the topic has one, else
// what is kept. A Seq above the next number is Invalid.
//
// E-5. Subs has 1 to as many numbers as the owner accepts; past that the request is refused with
// Overloaded. A number that the receiver has already makes no other subscription.
//
// E-6. Resume says that Subs are all subscriptions of the receiver, and that it takes
// nothing from before. The owner MUST forget what it has for the receiver, sent or not.
//
// E-7. What a request asks for lasts as long as the connection. When that is lost the owner forgets
// it. The subscriber asks again on the next one, with Resume, FromSeq, the epoch, and the number
// after the last event that it got or was told is lost. It MUST look up again a source that has a
// name when its owner may have been replaced.
//
// E-8. A grant says on which connection the events come. Node is the id of the owner's node, as a
// UUID is written (36 characters, in a bin as all text forms). Session is the session's id, whose
// last four bytes are xored with the number of the connection less one, as u32 (the number that D
// gives it in its PROOF). If the subscriber's connection is another by then, the request had no
// effect, and is made again. Packets may come before the grant.
//
// E-9. A request is refused by an error that the method returns: Invalid, Overloaded, or
// an error with the identity "callback.ErrClosed" from a topic that is closed (E-16).
//
// Packets. The first byte of a packet's head is its kind, with v for an unsigned LEB128
// varint:
//
//	1 event   v number; key, to the end. The body is [value]
//	2 state   the same: a part of a snapshot. The number is that of the newest event which
//	          the part may contain
//	3 begin   v token, u64 epoch (signed)
//	4 joined  v token, v number of the next event, not 0
//	5 gap     v how many are lost, v number of the last of them, u8 1 if the epoch is
//	          another than the one asked for, else 0. A 0 says that it is not known
//	6 end     u8 reason; text for people, UTF-8, at most 512 bytes, to the end
//
// E-10. A receiver MUST skip heads of other kinds, and malformed ones. Keys have at most
// 512 bytes.
//
// E-11. For each request that it grants the owner sends begin with the request's token and its
// epoch, then what the start asks for, then joined with the token. What is between the two is for
// the subscriptions of that request alone. The token is the subscriber's to choose, and MUST differ
// among a receiver's requests on one connection.
//
// E-12. From joined on, packets are for all subscriptions of the receiver that joined: every event
// that matches, in order, each once. No event is both before joined and after it, and none is
// missing between. Numbers that are passed over did not match.
//
// E-13. Where events are lost the owner MUST send a gap before the next event, or when there is
// nothing else to send. It MUST name the last one where it knows it: a subscriber resumes after it.
// So a gap is reported once. An event that is larger than the subscriber's message limit is lost to
// it, and so is, without a packet, one that it cannot decode.
//
// E-14. A replay that is cut off goes on: the subscriber MAY take what came between begin and the
// cut, and ask for what is after it, with FromSeq and the epoch of begin. Of a snapshot, or a gap
// that one follows, it MUST take all or nothing.
//
// E-15. End says that the subscriptions of the receiver which joined are over. Reason 0: the topic
// was closed. 255: the queue was full, with policy 3. Others are error kinds. A request that began
// after it is not affected.
//
// E-16. An owner that closes its topic sends end with reason 0 after all events. A request that
// names the topic's epoch with FromSeq is from a subscriber that missed the rest. It is served all
// the same, with an end after joined. Others are refused, unless the owner was asked to serve them
// likewise.
//
// E-17. Unsubscribe ends subscriptions; the owner skips numbers that it does not know.
// Packets that are on their way may still come: a node skips those for receivers that it
// has no more.
//
// E-18. Read returns kept events with numbers from on that match, in order, as Events of
// kind 1: at most max, of which 0 is 100 and 1000 is the most. It MAY return fewer, but one
// if there is one. It works through relays.
//
// The kinds of an Event are 1 published, 2 state, 3 gap.
package callback
