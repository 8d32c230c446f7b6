package lease

import (
	"math"
	"slices"
	"testing"
	"time"

	"gormi/refs"
)

type testSession struct{ peer refs.NodeID }

func (s testSession) Peer() refs.NodeID { return s.peer }

// A count that reached its maximum may have missed some: it is not known any
// more, so nothing that is given back takes the hold away before the session ends.
func TestACountAtItsMaximumIsNeverGivenBack(t *testing.T) {
	now := time.Unix(1e9, 0)
	var g Grants[int]
	g.Give(1, 7, now)
	g.to[1].counts[7] = grant{n: math.MaxUint32 - 1, since: now}
	g.Give(1, 7, now)
	g.Give(1, 7, now) // one too many
	for _, n := range []uint32{1, math.MaxUint32, math.MaxUint32, math.MaxUint32} {
		if g.Take(1, 7, n) || !g.Held(7) {
			t.Fatalf("the object is collected after %d were given back", n)
		}
	}
	if last := g.Gone(1, now); !slices.Equal(last, []refs.ObjNum{7}) {
		t.Errorf("with the session %v are gone", last)
	}

	h := NewHolder[testSession](refs.NodeID{'h'}, 3, func() time.Time { return now })
	s := testSession{refs.NodeID{'a'}}
	r := refs.Ref{ID: refs.ID{Node: refs.NodeID{'o'}, Object: refs.ReservedObjects}}
	h.Hand(s, r, false)
	h.peers[s].handed[r.ID] = math.MaxUint32 - 1
	h.Hand(s, r, false)
	h.Hand(s, r, false)
	for range 3 {
		h.GivenBack(s, []CountOf{{Node: r.Node, Number: r.Object, N: math.MaxUint32}})
		h.Unhand(s, r.ID)
	}
	if h.Len() != 1 {
		t.Error("the hold is gone that may be needed yet")
	}
	h.Gone(s, now)
	if h.Len() != 0 {
		t.Error("the hold is there after the session")
	}

	// What is received saturates too, and is given back as it is.
	if err := h.Receive(s, []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.entries[r.ID].from[0].n = math.MaxUint32
	if err := h.Receive(s, []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Decoded([]refs.Ref{r, r})
	if b := h.Next(s); len(b.Others) != 1 || b.Others[0].N != math.MaxUint32 {
		t.Errorf("gives %v back", b)
	}
}
