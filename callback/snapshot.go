package callback

import (
	"cmp"
	"slices"
)

// hasSnapshot tells whether there is a state to be had. The program is not asked for
// its own after Close, unless it said so. mu is held.
func (t *Topic[E]) hasSnapshot() bool {
	return t.latest != nil || t.o.Snapshot != nil && (!t.closed || t.o.ServeClosed)
}

// snapshot returns the parts of the state as of now whose keys match. mu is held.
func (t *Topic[E]) snapshot(match string) ([]*entry[E], error) {
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
		if err := t.shoot(); err != nil {
			return nil, err
		}
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

// shoot asks the program for its state. mu is held.
func (t *Topic[E]) shoot() error {
	var state []*entry[E]
	for _, v := range t.o.Snapshot() {
		p, err := t.codec.Packet(t.exchange, v)
		if err != nil {
			return failed("subscribe", err)
		}
		e := &entry[E]{packet: p, head: headState, Event: Event[E]{Kind: KindState, Seq: t.last, Epoch: t.epoch, Value: v}}
		if t.o.Key != nil {
			e.Event.Key = t.o.Key(v)
		}
		state = append(state, e)
	}
	t.shot, t.shotAt, t.shotOK = state, t.last, true
	return nil
}
