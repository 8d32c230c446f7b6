package callback

import (
	"fmt"
	"path"
)

// Start says with what a subscription begins.
type Start uint8

const (
	// StartNewest: with what is published from now on.
	StartNewest Start = iota
	// StartSnapshot: with the present state, as State events, and then every change
	// after it, nothing between lost or doubled.
	StartSnapshot
	// StartOldest: with the oldest event that is kept.
	StartOldest
	// StartFromSeq: with the event numbered SubscribeOptions.Seq. If events from there on are not kept
	// any more, a Gap comes first. The number may be that of the next event. A higher one is
	// an error.
	StartFromSeq
)

// SubscribeOptions say what a subscription gets. The zero value is everything
// that is published from now on, through a queue of 1024 events.
type SubscribeOptions struct {
	// Match is the key of the events that are wanted, or a pattern as for path.Match, such as
	// "AC*". The owner filters. If "", all.
	Match string

	// Queue is how many events may wait for the program. If zero, 1024; at most
	// 1<<20. Replays and snapshots come on top.
	Queue int

	// Policy says what happens when the queue is full.
	Policy Policy

	// Start, with Seq and Epoch, says where to begin. Epoch 0 is the present one. If it is
	// another than the present one, a Gap with Restarted comes first.
	Start Start
	Seq   Seq
	Epoch Epoch

	// FailFast makes a single attempt to find a source by its name or by a function.
	// If false, attempts go on until the context ends while the source is not up yet: no
	// registry answers, the name is not bound, or its owner cannot be reached.
	FailFast bool
}

// withDefaults returns a checked copy.
func (o *SubscribeOptions) withDefaults() (SubscribeOptions, error) {
	var c SubscribeOptions
	if o != nil {
		c = *o
	}
	if c.Queue == 0 {
		c.Queue = 1024
	}
	if c.Queue < 0 || c.Queue > maxQueue {
		return c, invalid("subscribe", fmt.Sprintf("SubscribeOptions.Queue is %d: 1 to %d are allowed", c.Queue, maxQueue))
	}
	if _, err := path.Match(c.Match, ""); err != nil {
		return c, badPattern("subscribe", c.Match)
	}
	if c.Policy > PolicyDisconnect || c.Start > StartFromSeq {
		return c, invalid("subscribe", "SubscribeOptions has an unknown Policy or Start")
	}
	return c, nil
}
