package callback

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// item is what the queue tests queue: a number and a key.
type item struct{ n, key int }

func drain(q *queue[item]) (got []int, missed []uint64) {
	for {
		v, m, ok := q.pop()
		if !ok {
			return got, append(missed, m)
		}
		got, missed = append(got, v.n), append(missed, m)
	}
}

func TestPoliciesOfAFullQueue(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		got    []int
		missed []uint64 // before each, and behind the last
		ended  bool
	}{
		{PolicyDropOldest, []int{4, 5, 6}, []uint64{3, 0, 0, 0}, false},
		{PolicyDropNewest, []int{1, 2, 3}, []uint64{0, 0, 0, 3}, false},
		{PolicyCoalesce, []int{5, 6}, []uint64{4, 0, 0}, false}, // keys are odd and even
		{PolicyDisconnect, []int{1, 2, 3}, []uint64{0, 0, 0, 1}, true},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			q := newQueue(3, c.policy, func(i item) string { return fmt.Sprint(i.key) })
			ended := false
			for n := 1; n <= 6 && !ended; n++ {
				ended = !q.push(item{n, n % 2})
			}
			got, missed := drain(&q)
			if !slices.Equal(got, c.got) || !slices.Equal(missed, c.missed) || ended != c.ended {
				t.Errorf("got %v, missed %v, ended %v; want %v, %v, %v", got, missed, ended, c.got, c.missed, c.ended)
			}
		})
	}
}

// What goes in comes out in order or is counted, and kept entries always come out.
func TestQueueLosesNothingUntold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policy := Policy(rapid.IntRange(0, int(PolicyCoalesce)).Draw(t, "policy"))
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		q := newQueue(limit, policy, func(i item) string { return fmt.Sprint(i.key) })
		live, kept, popped, poppedKept, lost := 0, 0, 0, 0, uint64(0)
		last := 0
		n := 0
		take := func() {
			v, m, ok := q.pop()
			lost += m
			if !ok {
				return
			}
			if v.n <= last {
				t.Fatalf("%d came after %d", v.n, last)
			}
			last = v.n
			if v.key < 0 {
				poppedKept++
			} else {
				popped++
			}
		}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			n++
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				take()
			case 1:
				q.keep(item{n, -1})
				kept++
			default:
				q.push(item{n, rapid.IntRange(0, 5).Draw(t, "key")})
				live++
			}
			if q.live > limit {
				t.Fatalf("%d live entries, the limit is %d", q.live, limit)
			}
			if size := len(q.buf); size > 64 && size > 8*(limit+kept) {
				t.Fatalf("a ring of %d for at most %d entries", size, limit+kept)
			}
		}
		for q.waiting() {
			take()
		}
		if poppedKept != kept || uint64(popped)+lost != uint64(live) {
			t.Fatalf("%d of %d kept came out, %d of %d live, %d were told lost", poppedKept, kept, popped, live, lost)
		}
	})
}

func TestMalformedHeads(t *testing.T) {
	for _, b := range [][]byte{
		nil, {0}, {99, 1}, {1}, {1, 0x80}, {3}, {3, 1}, {3, 1, 0, 0, 0, 0, 0, 0, 1}, {3, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1},
		{4, 1}, {4, 1, 0}, {4, 1, 1, 1}, {4, 1, 0x80}, {5, 1}, {5, 1, 1}, {5, 1, 1, 2}, {5, 1, 1, 0, 0}, {6},
	} {
		if h, ok := parseHead(b); ok {
			t.Errorf("% x was taken for %+v", b, h)
		}
	}
	for _, b := range [][]byte{
		appendEventHead(nil, headEvent, 300, "key"), beginHead(7, -3), joinedHead(7, 9),
		appendGapHead(nil, 5, 6, true), endHead(3, "why"),
	} {
		h, ok := parseHead(b)
		if !ok {
			t.Fatalf("% x was refused", b)
		}
		var again []byte
		switch h.kind {
		case headEvent:
			again = appendEventHead(nil, h.kind, Seq(h.number), string(h.text))
		case headBegin:
			again = beginHead(h.number, h.epoch)
		case headJoined:
			again = joinedHead(h.number, h.last)
		case headGap:
			again = appendGapHead(nil, h.number, h.last, h.restarted)
		case headEnd:
			again = endHead(h.reason, string(h.text))
		}
		if string(again) != string(b) {
			t.Errorf("% x became % x", b, again)
		}
	}
}
