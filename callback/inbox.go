package callback

import "sync"

// inbox is the queue of one subscriber of this process. It is between the goroutine that brings
// events, which never waits, and the one that consumes them.
type inbox[E any] struct {
	arrived func() // wakes the consumer; must not block, nor use the inbox

	mu    sync.Mutex
	state inboxState[E] // guarded by mu; reached by change and take alone
}

// inboxState is what the lock of an inbox guards. Its methods need the inbox's lock.
type inboxState[E any] struct {
	q      queue[*Event[E]]
	over   bool // nothing is queued any more
	err    error
	idle   bool  // the consumer has nothing to do: arrived is due
	epoch  Epoch // of the newest event that was taken out; for gaps
	newest place // of the events that were queued or lost
}

// place is where an event stands; seq is 0 if that is not known.
type place struct {
	epoch Epoch
	seq   Seq
}

func newInbox[E any](o *SubscribeOptions, arrived func()) *inbox[E] {
	return &inbox[E]{arrived: arrived, state: inboxState[E]{
		q:    newQueue(o.Queue, o.Policy, func(e *Event[E]) string { return e.Key }),
		idle: true,
	}}
}

// change calls f, unless the inbox is over, and wakes the consumer if there is something for it.
func (in *inbox[E]) change(f func(s *inboxState[E])) {
	in.mu.Lock()
	if !in.state.over {
		f(&in.state)
	}
	due := in.state.due()
	in.mu.Unlock()
	if due {
		in.arrived()
	}
}

// due reports whether to wake the consumer now.
func (s *inboxState[E]) due() bool {
	if !s.idle || !s.over && !s.q.waiting() {
		return false
	}
	s.idle = false
	return true
}

// push queues events. It reports false if the inbox is over.
func (in *inbox[E]) push(events []*Event[E]) (ok bool) {
	in.change(func(s *inboxState[E]) {
		for _, e := range events {
			s.newest = place{e.Epoch, e.Seq}
			if !s.q.push(e) {
				s.over, s.err = true, ErrSlow
				return
			}
		}
		ok = true
	})
	return ok
}

// keep queues events that are not dropped.
func (in *inbox[E]) keep(events []*Event[E]) {
	in.change(func(s *inboxState[E]) {
		for _, e := range events {
			s.q.keep(e)
			s.newest = place{e.Epoch, e.Seq}
		}
	})
}

// lose notes n lost events, of which last is the last.
func (in *inbox[E]) lose(n uint64, last place) {
	in.change(func(s *inboxState[E]) {
		s.q.lose(n)
		s.newest = last
	})
}

// end ends the inbox after what is queued. err may be nil.
func (in *inbox[E]) end(err error) {
	in.change(func(s *inboxState[E]) { s.over, s.err = true, err })
}

// takeSize is how many events a consumer takes out at once: few, because those are not coalesced or
// dropped any more.
const takeSize = 32

// take appends what is queued to events. If there is nothing, arrived will be
// called once, unless over is true: then nothing will ever come, and err says why.
func (in *inbox[E]) take(events []*Event[E]) (_ []*Event[E], over bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.state.take(events)
}

func (s *inboxState[E]) take(events []*Event[E]) (_ []*Event[E], over bool, err error) {
	for range takeSize {
		e, missed, ok := s.q.pop()
		if missed > 0 {
			gap := &Event[E]{Kind: KindGap, Missed: missed, Epoch: s.epoch}
			switch {
			case !ok:
				gap.Epoch, gap.Seq = s.newest.epoch, s.newest.seq
			case e.Kind == KindPublished:
				gap.Epoch, gap.Seq = e.Epoch, e.Seq-1
			}
			events = append(events, gap)
		}
		if !ok {
			break
		}
		s.epoch = e.Epoch
		events = append(events, e)
	}
	if len(events) == 0 {
		if s.over {
			return events, true, s.err
		}
		s.idle = true
	}
	return events, false, nil
}
