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

// Kind says what an Event is. The zero Kind is no event's: it is that of the
// Event which a loop gets beside an error.
type Kind uint8

const (
	// KindPublished: an event that was published.
	KindPublished Kind = 1 + iota
	// KindState: a part of a snapshot. All of a snapshot comes before the first
	// event that was published after it.
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

	// Seq is the event's number; of State, the number of the newest event that
	// it may contain; of a Gap, the number of the last event that is lost, or 0 if
	// that is not known.
	Seq   Seq
	Epoch Epoch

	// Key is what TopicOptions.Key made of Value.
	Key string

	// Value is shared by all subscriptions of the process: what it points to is
	// read-only. It is zero for a Gap.
	Value E

	// Missed counts the events that a Gap stands for, 0 if that is not known. It
	// is exact where they were dropped from a queue. Where the owner does not keep
	// them any more it is the length of the gap in sequence numbers, so with
	// SubscribeOptions.Match it may count some that would not have matched.
	Missed uint64

	// Restarted, of a Gap: the owner restarted, so this is another epoch. If the
	// subscription started with a snapshot, one follows, which replaces all that
	// was known.
	Restarted bool
}

// ErrSlow is what a subscription with the policy Disconnect fails with when its
// queue is full.
var ErrSlow = errors.New("the subscriber is too slow: its queue is full")

// ErrClosed is what Publish, Change and new subscriptions fail with once the topic
// is closed. Subscriptions that there are end without an error.
var ErrClosed = errors.New("the topic is closed")

func init() { rmi.RegisterError("callback.ErrClosed", ErrClosed) }
