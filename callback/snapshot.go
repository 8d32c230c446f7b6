package callback

import (
	"cmp"
	"errors"
	"slices"
)

// hasSnapshot reports whether the topic can give its state. After Close the program is not asked
// for it, unless ServeClosed is set.
func (t *topicState[E]) hasSnapshot() bool {
	return t.latest != nil || t.o.Snapshot != nil && (!t.closed || t.o.ServeClosed)
}

// errOutdated asks the caller to call the program's Snapshot after the lock, and to try again.
var errOutdated = errors.New("the last snapshot is out of date")

// withSnapshot calls f with the topic's state. If f asks for that, it calls the program's Snapshot,
// and f again. Nothing is published meanwhile.
func (t *Topic[E]) withSnapshot(f func(s *topicState[E]) error) error {
	if t.o.Snapshot != nil {
		t.changing.Lock()
		defer t.changing.Unlock()
	}
	for {
		s := t.lock()
		err := f(s)
		t.mu.Unlock()
		if err != errOutdated {
			return err
		}
		if err := t.shoot(); err != nil {
			return err
		}
	}
}

// snapshot returns the parts of the present state whose keys match. The error may be errOutdated.
func (t *topicState[E]) snapshot(match string) ([]*entry[E], error) {
	if t.latest != nil {
		state := make([]*entry[E], 0, len(t.latest))
		for _, e := range t.latest {
			if matches(match, e.Event.Key) {
				part := &entry[E]{packet: e.packet, head: headState, Event: e.Event}
				part.Event.Kind = KindState
				state = append(state, part)
			}
		}
		slices.SortFunc(state, func(a, b *entry[E]) int { return cmp.Compare(a.Event.Seq, b.Event.Seq) })
		return state, nil
	}
	if t.o.Snapshot == nil {
		return nil, invalid("subscribe", "the topic has no snapshots: choose another SubscribeOptions.Start, or set TopicOptions.Latest or Snapshot at the owner")
	}
	if !t.shotOK || t.shotAt != t.last {
		return nil, errOutdated
	}
	if match == "" {
		return t.shot, nil
	}
	var state []*entry[E]
	for _, e := range t.shot {
		if matches(match, e.Event.Key) {
			state = append(state, e)
		}
	}
	return state, nil
}

// shoot asks the program for its state. changing is held, and no other lock.
func (t *Topic[E]) shoot() error {
	last := t.Last()
	var state []*entry[E]
	for _, v := range t.o.Snapshot() {
		p, err := t.codec.Packet(t.exchange, v)
		if err != nil {
			return during("subscribe", err)
		}
		e := &entry[E]{packet: p, head: headState, Event: Event[E]{Kind: KindState, Seq: last, Epoch: t.epoch, Value: v}}
		if t.o.Key != nil {
			e.Event.Key = t.o.Key(v)
		}
		state = append(state, e)
	}
	s := t.lock()
	defer t.mu.Unlock()
	s.shot, s.shotAt, s.shotOK = state, last, true
	return nil
}
