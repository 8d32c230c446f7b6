package callback

import (
	"errors"

	"gormi/rmi"
)

// Seq numbers the events of a topic within an epoch: the first is 1, and each
// next one is one more.
type Seq uint64

// Epoch is one life of a topic. A topic that was made anew, because its owner
// restarted, has another one, and counts from 1 again.
type Epoch int64

// Kind says what an Event is. No event has the zero Kind. The Event that a loop gets with
// an error has it.
type Kind uint8

const (
	// KindPublished: an event that was published.
	KindPublished Kind = 1 + iota
	// KindState: a part of a snapshot. All parts come before the first event that was published
	// after the snapshot.
	KindState
	// KindGap: events were lost here. It has no value.
	KindGap
)

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown kind"
}

var kindNames = [...]string{"no event", "published", "state", "gap"}

// Event is what a subscriber gets.
type Event[E any] struct {
	Kind Kind

	// Seq is the event's number. Of a State, it is the number of the newest event that it may
	// contain. Of a Gap, it is the number of the last event that is lost, or 0 if that is not
	// known.
	Seq   Seq
	Epoch Epoch

	// Key is what TopicOptions.Key made of Value.
	Key string

	// Value is shared by all subscriptions of the process: what it points to is
	// read-only. It is zero for a Gap.
	Value E

	// Missed is how many events a Gap stands for, 0 if that is not known. It is exact if they were
	// dropped from a queue. If the owner does not keep them any more, it is the length of the gap
	// in sequence numbers. With SubscribeOptions.Match, that may count events that would not have
	// matched.
	Missed uint64

	// Restarted says of a Gap that the owner restarted, so this is another epoch. If the
	// subscription started with a snapshot, another one follows. It replaces all that
	// was known.
	Restarted bool
}

// ErrSlow is the error of a subscription with the policy Disconnect whose
// queue was full.
var ErrSlow = errors.New("the subscriber is too slow: its queue is full")

// ErrClosed is the error of Publish, Change and new subscriptions once the topic
// is closed. Existing subscriptions end without an error.
var ErrClosed = errors.New("the topic is closed")

func init() { rmi.RegisterError("callback.ErrClosed", ErrClosed) }
