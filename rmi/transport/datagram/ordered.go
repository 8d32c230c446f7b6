package datagram

import (
	"slices"
	"time"
)

// segment is a numbered piece of the ordered channel, in flight.
type segment struct {
	num   segNum
	data  []byte // empty: the end
	sent  time.Time
	tries int
	here  bool // the receiver has it, but lacks one before it
	lost  bool // to be sent again
}

// sender is the sending half of the ordered channel.
//
//	flight[i].num == first + i;  next == first + len(flight);  next <= limit
//	out == segments of flight that are neither here nor lost
type sender struct {
	queue  []byte // not cut yet
	taken  int    // bytes of queue that are cut
	flight []*segment
	next   segNum
	limit  segNum // the receiver has room for the numbers below
	out    int
	ending bool // an END follows the queue
	ended  bool // the END was sent

	backoff  int       // timeouts without progress
	progress time.Time // when something arrived, or, with nothing in flight, was sent
	asked    time.Time // when the receiver was last asked for room
}

func (s *sender) first() segNum { return s.next - segNum(len(s.flight)) }

func (s *sender) queued() int { return len(s.queue) - s.taken }

// done reports whether the peer has everything, including the END.
func (s *sender) done() bool { return s.ended && len(s.flight) == 0 }

// ready reports whether there is something to send for which the receiver has room.
func (s *sender) ready() bool {
	return s.out < len(s.flight) && slices.ContainsFunc(s.flight, func(g *segment) bool { return g.lost }) ||
		s.next < s.limit && (s.queued() > 0 || s.ending && !s.ended)
}

// take returns the next segment to send: one that was lost, or a new one. It must only be
// called if ready.
func (s *sender) take(now time.Time) *segment {
	i := slices.IndexFunc(s.flight, func(g *segment) bool { return g.lost })
	var g *segment
	if i >= 0 {
		g = s.flight[i]
		g.lost = false
		g.tries++
	} else {
		if len(s.flight) == 0 {
			s.progress = now
		}
		n := min(s.queued(), maxSegment)
		g = &segment{num: s.next, data: slices.Clone(s.queue[s.taken : s.taken+n])}
		if n == 0 {
			s.ended = true
		}
		if s.taken += n; s.taken == len(s.queue) {
			s.taken = 0
			if s.queue = s.queue[:0]; cap(s.queue) > 4<<10 {
				s.queue = nil
			}
		}
		s.flight = append(s.flight, g)
		s.next++
	}
	g.sent = now
	s.out++
	return g
}

// arrived handles an ACK. Its number is the first that the receiver lacks, and ranges follow.
// It returns how many segments are newly known to be there, and whether others are found to be
// lost. An acknowledgement of segments that were not sent is ignored.
func (s *sender) arrived(f *frame, now time.Time, trip time.Duration) (news int, lost bool) {
	first := s.first()
	if f.num < first || f.num > s.next {
		return 0, false
	}
	s.limit = max(s.limit, f.num+segNum(min(f.window, window)))
	var newest time.Time // when the last of those that are here was sent
	took := func(g *segment) {
		switch {
		case g.here:
			return
		case g.lost:
			g.lost = false
		default:
			s.out--
		}
		g.here = true
		news++
		if g.sent.After(newest) {
			newest = g.sent
		}
	}
	n := int(f.num - first)
	for _, g := range s.flight[:n] {
		took(g)
	}
	s.flight = slices.Delete(s.flight, 0, n)
	at, above := 0, 0 // above: segments with larger numbers that are here
	for l := f.list; len(l) > 0; l = l[2:] {
		at += int(l[0])
		for range l[1] {
			if at >= len(s.flight) {
				break
			}
			took(s.flight[at])
			at++
		}
	}
	if news > 0 {
		s.backoff, s.progress = 0, now
	}
	// A segment is lost if three later ones overtook it (RFC 6675), or one that was sent a
	// while later (RFC 8985). The second rule also finds lost retransmissions.
	newest = newest.Add(-max(trip/4, time.Millisecond))
	for _, g := range slices.Backward(s.flight) {
		switch {
		case g.here:
			above++
		case !g.lost && (g.tries == 0 && above >= 3 || g.sent.Before(newest)):
			g.lost, lost = true, true
			s.out--
		}
	}
	return news, lost
}

// timedOut marks the first segment as lost that is not known to be there, so that it is sent
// again. The answer tells about the others. At the second time-out in a row, all that is in
// flight is lost, and timedOut returns true.
func (s *sender) timedOut(now time.Time) (all bool) {
	s.backoff++
	s.progress = now
	for _, g := range s.flight {
		if g.here || g.lost {
			continue
		}
		g.lost = true
		s.out--
		if s.backoff == 1 {
			return false
		}
	}
	return true
}

// due is when the sender has to act if nothing arrives before; zero: never.
func (s *sender) due(r *roundTrip) time.Time {
	tries := s.backoff
	if s.ending { // Close waits, but not for long
		tries = min(tries, 2)
	}
	switch {
	case s.out > 0:
		return s.progress.Add(r.timeout(tries))
	case s.stuck():
		return s.asked.Add(r.timeout(tries))
	}
	return time.Time{}
}

// stuck reports whether only the receiver's window stops the sender. The news that the window
// opened may be lost, so the sender has to ask.
func (s *sender) stuck() bool {
	return len(s.flight) == 0 && s.next >= s.limit && (s.queued() > 0 || s.ending && !s.ended)
}

// receiver is the receiving half of the ordered channel.
type receiver struct {
	next    segNum
	early   map[segNum][]byte // those behind the first missing one
	highest segNum            // of them
	limit   segNum            // room was announced for the numbers below
	ended   bool
	unacked int       // segments since the last acknowledgement
	ackNow  bool      // send the acknowledgement at once
	ackDue  time.Time // set if unacked > 0
}

// take handles a segment. It appends what is now in order to parts. The parts alias data and
// memory that is not reused.
func (r *receiver) take(num segNum, data []byte, now time.Time, parts [][]byte) [][]byte {
	if r.unacked++; r.unacked == 1 {
		r.ackDue = now.Add(ackDelay)
	}
	_, again := r.early[num]
	if num < r.next || num >= r.limit || again || r.ended {
		r.ackNow = true // a duplicate: its acknowledgement was lost
		return parts
	}
	r.ackNow = r.ackNow || num != r.next || len(r.early) > 0 || r.unacked >= 2
	if num != r.next {
		if r.early == nil {
			r.early = make(map[segNum][]byte)
		}
		r.early[num] = slices.Clone(data)
		r.highest = max(r.highest, num)
		return parts
	}
	for ok := true; ok && !r.ended; data, ok = r.early[r.next] {
		delete(r.early, r.next)
		r.next++
		parts = append(parts, data)
		r.ended = len(data) == 0
	}
	if r.ended || len(r.early) == 0 {
		r.early = nil
	}
	return parts
}

// ranges appends to b, in the form of an ACK, what there is behind the first missing segment.
// It returns the number of ranges.
func (r *receiver) ranges(b []byte) ([]byte, int) {
	if len(r.early) == 0 {
		return b, 0
	}
	n := 0
	for at := r.next; at <= r.highest && n < maxRanges; n++ {
		skip, count := 0, 0
		for ; ; at, skip = at+1, skip+1 {
			if _, ok := r.early[at]; ok {
				break
			}
		}
		for ; ; at, count = at+1, count+1 {
			if _, ok := r.early[at]; !ok {
				break
			}
		}
		b = append(b, byte(skip), byte(count))
	}
	return b, n
}
