package datagram

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/rmi/wire"
)

// sending returns a sender that has sent n segments, each a millisecond after the one before.
func sending(n int) (*sender, time.Time) {
	s := &sender{limit: window, queue: make([]byte, n*maxSegment)}
	now := time.Unix(1, 0)
	for s.ready() {
		s.take(now)
		now = now.Add(time.Millisecond)
	}
	return s, now
}

func lostOf(s *sender) string {
	var lost []string
	for _, g := range s.flight {
		if g.lost {
			lost = append(lost, fmt.Sprint(g.num))
		}
	}
	return strings.Join(lost, " ")
}

func TestAcknowledgements(t *testing.T) {
	for name, c := range map[string]struct {
		num    segNum
		ranges []byte
		news   int
		left   int    // segments in flight, those that are here too
		lost   string // numbers
	}{
		"nothing":                       {0, nil, 0, 10, ""},
		"all":                           {10, nil, 10, 0, ""},
		"some":                          {4, nil, 4, 6, ""},
		"two came late, or were lost":   {2, []byte{1, 2}, 4, 8, ""},
		"overtaken by three":            {2, []byte{1, 3}, 5, 8, "2"},
		"two holes":                     {2, []byte{1, 1, 1, 2}, 5, 8, "2"},
		"more than was sent":            {11, nil, 0, 10, ""},
		"far more than was sent":        {1<<64 - 1, nil, 0, 10, ""},
		"ranges of what was never sent": {8, []byte{1, 255, 255, 255}, 9, 2, ""},
	} {
		s, now := sending(10)
		news, lost := s.arrived(&frame{num: c.num, window: 9, list: c.ranges}, now, time.Second)
		if news != c.news || len(s.flight) != c.left || lostOf(s) != c.lost || lost != (c.lost != "") {
			t.Errorf("%s: %d new, %d in flight, lost %q (%v)", name, news, len(s.flight), lostOf(s), lost)
		}
		out := 0
		for _, g := range s.flight {
			if !g.here && !g.lost {
				out++
			}
		}
		if s.out != out {
			t.Errorf("%s: %d out, counted %d", name, s.out, out)
		}
	}
}

// A retransmission that is lost again is found by what was sent after it.
func TestALostRetransmissionIsSentAgain(t *testing.T) {
	s, now := sending(10)
	s.arrived(&frame{num: 2, window: window, list: []byte{1, 3}}, now, 8*time.Millisecond)
	g := s.take(now)
	if g.num != 2 || g.tries != 1 {
		t.Fatalf("sent segment %d for the %d. time", g.num, g.tries+1)
	}
	s.queue = append(s.queue, 1)
	now = now.Add(10 * time.Millisecond)
	s.take(now) // number 10
	if _, lost := s.arrived(&frame{num: 2, window: window, list: []byte{1, 7}}, now, 8*time.Millisecond); lost || lostOf(s) != "" {
		t.Errorf("lost %q though nothing that was sent later is here", lostOf(s))
	}
	if _, lost := s.arrived(&frame{num: 2, window: window, list: []byte{1, 8}}, now, 8*time.Millisecond); !lost || lostOf(s) != "2" {
		t.Errorf("lost %q, want 2", lostOf(s))
	}
}

// The first time-out asks by one segment, because the answer tells about the others. The second
// gives all up.
func TestTimeoutsOfSegments(t *testing.T) {
	s, now := sending(5)
	s.arrived(&frame{num: 1, window: window}, now, time.Second)
	if s.timedOut(now) || lostOf(s) != "1" || s.out != 3 {
		t.Errorf("lost %q, %d out", lostOf(s), s.out)
	}
	s.take(now)
	if !s.timedOut(now) || lostOf(s) != "1 2 3 4" || s.out != 0 {
		t.Errorf("lost %q, %d out", lostOf(s), s.out)
	}
	if due := s.due(&roundTrip{}); !due.IsZero() {
		t.Errorf("with nothing out, something is due at %v", due)
	}
	s.take(now)
	if due := s.due(&roundTrip{}); due != now.Add(4*firstTimeout) {
		t.Errorf("the third timeout is due after %v", due.Sub(now))
	}
	s.arrived(&frame{num: 2, window: window}, now, time.Second)
	s.take(now)
	if due := s.due(&roundTrip{}); due != now.Add(firstTimeout) {
		t.Errorf("after progress the timeout is due after %v", due.Sub(now))
	}
}

func TestTheReceiversWindowIsKept(t *testing.T) {
	s, now := sending(window + 50)
	if s.next != window || s.ready() {
		t.Fatalf("%d segments went where there is room for %d", s.next, window)
	}
	s.arrived(&frame{num: window, window: 0}, now, 0)
	if s.ready() || !s.stuck() || s.due(&roundTrip{}).IsZero() {
		t.Error("nobody asks for room")
	}
	s.arrived(&frame{num: window, window: 20}, now, 0)
	for s.ready() {
		s.take(now)
	}
	if s.next != window+20 {
		t.Errorf("%d segments went where there is room for 20", s.next-window)
	}
	s.arrived(&frame{num: window + 5, window: 0}, now, 0) // announced is announced
	if s.limit != window+20 {
		t.Errorf("the limit went back to %d", s.limit)
	}
}

func TestSegmentsInAnyOrder(t *testing.T) {
	r := receiver{limit: window}
	now := time.Unix(1, 0)
	var got []byte
	take := func(n segNum, data string) {
		for _, part := range r.take(n, []byte(data), now, nil) {
			got = append(got, part...)
		}
	}
	want := func(in string, next segNum, ranges ...byte) {
		t.Helper()
		b, n := r.ranges(nil)
		if string(got) != in || r.next != next || !slices.Equal(b, ranges) || n != len(ranges)/2 {
			t.Errorf("got %q, next is %d, behind it %v; want %q, %d, %v", got, r.next, b, in, next, ranges)
		}
	}
	take(0, "a")
	want("a", 1)
	if r.ackNow || r.unacked != 1 {
		t.Error("the first segment is acknowledged at once")
	}
	take(2, "c")
	take(4, "e")
	take(5, "f")
	want("a", 1, 1, 1, 1, 2)
	if !r.ackNow {
		t.Error("a hole waits for the delayed acknowledgement")
	}
	take(2, "!")
	take(0, "!")
	take(window, "beyond the window")
	want("a", 1, 1, 1, 1, 2)
	take(1, "b")
	want("abc", 3, 1, 2)
	take(3, "d")
	want("abcdef", 6)
	take(7, "")
	take(6, "g")
	if want("abcdefg", 8); !r.ended {
		t.Error("the end is not noticed")
	}
	take(8, "behind the end")
	want("abcdefg", 8)
}

// RFC 6298, with the delay of acknowledgements on top.
func TestTimeouts(t *testing.T) {
	var r roundTrip
	if got := r.timeout(0); got != firstTimeout {
		t.Errorf("%v before anything was measured", got)
	}
	r.measure(100 * time.Millisecond)
	if got := r.timeout(0); got != 310*time.Millisecond {
		t.Errorf("%v after one round trip of 100 ms", got)
	}
	r.measure(time.Hour) // nonsense
	for range 100 {
		r.measure(100 * time.Millisecond)
	}
	if got := r.timeout(0); got != 112*time.Millisecond {
		t.Errorf("%v after many round trips of 100 ms", got)
	}
	if a, b := r.timeout(1), r.timeout(2); a != 224*time.Millisecond || b != 448*time.Millisecond {
		t.Errorf("%v and %v at the next tries", a, b)
	}
	if got := r.timeout(1000); got != mostTimeout {
		t.Errorf("%v at the thousandth try", got)
	}
	for range 100 {
		r.measure(0)
	}
	if got := r.timeout(0); got != leastTimeout {
		t.Errorf("%v on a fast link", got)
	}
	for range 100 {
		if j := jitter(time.Second); j < time.Second || j > 1250*time.Millisecond {
			t.Fatalf("a second becomes %v", j)
		}
	}
}

func TestCongestionWindow(t *testing.T) {
	c, now := newCongestion(), time.Unix(1, 0)
	c.arrived(1, 1)
	if c.window != firstWindow {
		t.Error("a window that is not used grew")
	}
	c.arrived(10, 10)
	if c.window != 20 {
		t.Errorf("slow start: %v", c.window)
	}
	for range 1000 {
		c.arrived(10, window)
	}
	if c.window != mostWindow {
		t.Errorf("the window is %v, beyond its bound", c.window)
	}
	c.lost(now, time.Second)
	c.lost(now.Add(time.Millisecond), time.Second) // of the same round trip
	if c.window != mostWindow/2 {
		t.Errorf("%v after a loss", c.window)
	}
	c.arrived(mostWindow/2, mostWindow/2)
	if c.window < mostWindow/2+0.9 || c.window > mostWindow/2+1.1 {
		t.Errorf("%v a round trip after the loss", c.window)
	}
	for range 10 {
		now = now.Add(time.Minute)
		c.lost(now, time.Second)
	}
	if c.window != leastWindow {
		t.Errorf("%v after many losses", c.window)
	}
}

// What the callee's side does with a call, and with its return.
func TestCallsAreFiltered(t *testing.T) {
	now := time.Unix(1, 0)
	var in inCalls
	id := call{3, 1}
	if !in.arrived(id, now) || in.arrived(id, now) {
		t.Error("a call passes once while it runs")
	}
	if !in.cancelled(id) || in.cancelled(call{3, 2}) || in.cancelled(call{4, 1}) {
		t.Error("the cancel of a call that runs passes, and no other")
	}
	if in.answer(id, true) != directly || !in.arrived(id, now) || in.answer(id, true) != directly || in.cancelled(id) {
		t.Error("an answered call passes, to be answered again")
	}
	if in.takeCharge(now.Add(ackDelay)); len(in.gots) > 0 {
		t.Error("an answered call is acknowledged")
	}
	next := call{3, 2}
	if !in.arrived(next, now) || in.arrived(id, now) {
		t.Error("the next call passes, and then the one before no more")
	}
	if in.answer(id, true) != nowhere {
		t.Error("a return travels though the slot was used again")
	}
	in.takeCharge(now.Add(ackDelay / 2))
	if len(in.gots) > 0 {
		t.Error("the call is acknowledged too early")
	}
	in.takeCharge(now.Add(ackDelay))
	if !slices.Equal(in.gots, []call{next}) || in.answer(next, true) != inOrder {
		t.Errorf("a call that runs for a while is acknowledged, and its return travels in order: %v", in.gots)
	}
	if in.gots = nil; in.arrived(next, now) || !slices.Equal(in.gots, []call{next}) {
		t.Error("the acknowledgement was lost, and is not repeated")
	}
	large := call{4, 1}
	in.gots = nil
	if !in.arrived(large, now) || in.answer(large, false) != inOrder || in.arrived(large, now) || len(in.gots) == 0 {
		t.Error("a large return travels in order, and its call is acknowledged")
	}
	if in.answer(call{9, 1}, true) != inOrder {
		t.Error("the return of a call that came in order travels directly")
	}
	// The sequence number wraps.
	in.set(call{5, 1<<32 - 1}, inAnswered)
	if !in.arrived(call{5, 0}, now) || in.arrived(call{5, 1<<32 - 1}, now) {
		t.Error("0 does not follow 2^32-1")
	}
}

func TestReturnsPassOnce(t *testing.T) {
	conn := newTestConn() // with call 7 in slot 5
	c := &conn.state
	ret := func(slot wire.Slot, seq wire.Seq) bool {
		n := len(c.in)
		c.frame(&frame{kind: frameDirect, record: wire.FrameReturn, call: call{slot, seq}, data: nullReturn(slot, seq)}, time.Now())
		return len(c.in) > n
	}
	if ret(5, 6) || ret(4, 7) || !ret(5, 7) || ret(5, 7) || len(c.out.flight) != 0 || len(c.out.bySlot) != 0 {
		t.Error("a return passes if its call waits for it")
	}
	conn.Write(nullCall(5, 8))
	if err := c.ordered(nullReturn(5, 8)); err != nil || len(c.out.bySlot) != 0 || ret(5, 8) {
		t.Errorf("a return that came in order ends the wait: %v", err)
	}
}
