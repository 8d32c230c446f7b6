package callback

import "sync"

// inbox is what waits for one subscriber of this process, between the goroutine
// that brings events, which never waits, and the one that consumes them.
type inbox[E any] struct {
	mu      sync.Mutex // guards the fields below
	q       queue[*Event[E]]
	over    bool // nothing is queued any more
	err     error
	idle    bool   // the consumer has nothing to do: arrived is due
	arrived func() // wakes the consumer; must not block, nor use the inbox
	epoch   Epoch  // of the newest event that was taken out; for gaps
	newest  place  // of the events that were queued or lost
}

// place is where an event stands; seq is 0 if that is not known.
type place struct {
	epoch Epoch
	seq   Seq
}

func newInbox[E any](o *SubscribeOptions, arrived func()) *inbox[E] {
	return &inbox[E]{
		q:       newQueue(o.Queue, o.Policy, func(e *Event[E]) string { return e.Key }),
		idle:    true,
		arrived: arrived,
	}
}

// push queues events. It reports false if the inbox is over.
func (in *inbox[E]) push(events []*Event[E]) bool {
	in.mu.Lock()
	if in.over {
		in.mu.Unlock()
		return false
	}
	for _, e := range events {
		in.newest = place{e.Epoch, e.Seq}
		if !in.q.push(e) {
			in.over, in.err = true, ErrSlow
			break
		}
	}
	over := in.over
	in.wake()
	return !over
}

// keep queues events that are not dropped.
func (in *inbox[E]) keep(events []*Event[E]) {
	in.mu.Lock()
	if !in.over {
		for _, e := range events {
			in.q.keep(e)
			in.newest = place{e.Epoch, e.Seq}
		}
	}
	in.wake()
}

// lose tells of n lost events, up to the last.
func (in *inbox[E]) lose(n uint64, last place) {
	in.mu.Lock()
	if !in.over {
		in.q.lose(n)
		in.newest = last
	}
	in.wake()
}

// end ends the inbox after what is queued, with an error or none.
func (in *inbox[E]) end(err error) {
	in.mu.Lock()
	if !in.over {
		in.over, in.err = true, err
	}
	in.wake()
}

// wake wakes the consumer if there is something for it, and unlocks mu.
func (in *inbox[E]) wake() {
	due := in.idle && (in.over || in.q.waiting())
	if due {
		in.idle = false
	}
	in.mu.Unlock()
	if due {
		in.arrived()
	}
}

// takeSize is how many events a consumer takes out at a time: few, since those
// taken out are not coalesced or dropped any more.
const takeSize = 32

// take appends what is queued to events. If there is nothing, arrived will be
// called once, unless over is true: then nothing will ever come, and err says why.
func (in *inbox[E]) take(events []*Event[E]) (_ []*Event[E], over bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for range takeSize {
		e, missed, ok := in.q.pop()
		if missed > 0 {
			gap := &Event[E]{Kind: Gap, Missed: missed, Epoch: in.epoch}
			switch {
			case !ok:
				gap.Epoch, gap.Seq = in.newest.epoch, in.newest.seq
			case e.Kind == Published:
				gap.Epoch, gap.Seq = e.Epoch, e.Seq-1
			}
			events = append(events, gap)
		}
		if !ok {
			break
		}
		in.epoch = e.Epoch
		events = append(events, e)
	}
	if len(events) == 0 {
		if in.over {
			return events, true, in.err
		}
		in.idle = true
	}
	return events, false, nil
}
