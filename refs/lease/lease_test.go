package lease_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
)

var start = time.Unix(1e9, 0)

// peers are a node's ends of sessions. The peers themselves do not exist.
func peers(ids ...byte) (holder *lease.Holder[*end], ends []*end) {
	for _, id := range ids {
		ends = append(ends, &end{peer: &node{id: refs.NodeID{id}}})
	}
	return lease.NewHolder[*end](refs.NodeID{'h'}, 3, func() time.Time { return start }), ends
}

func ref(owner byte, n int) refs.Ref {
	return refs.Ref{Endpoint: refs.Endpoint{Port: 1}, ID: refs.ID{Node: refs.NodeID{owner}, Object: refs.ReservedObjects + refs.ObjNum(n)}}
}

func TestCountsThatOverflowStay(t *testing.T) {
	var g lease.Grants[int]
	g.Give(1, 7, start)
	for range 3 {
		if g.Take(2, 7, 1) || g.Take(1, 8, 1) {
			t.Error("what was not given was taken")
		}
	}
	if !g.Take(1, 7, math.MaxUint32) || g.Held(7) {
		t.Error("more than was given is not all that was given")
	}

	h, ends := peers('a', 'o')
	r := ref('o', 1)
	h.Hand(ends[0], r, false)
	c := lease.CountOf{Node: r.Node, Number: r.Object, N: math.MaxUint32}
	h.GivenBack(ends[0], []lease.CountOf{c, c})
	if h.Len() != 0 {
		t.Error("an entry is left")
	}
	h.GivenBack(ends[1], []lease.CountOf{c}) // of a session without a record
}

// A reference without node is to an object that is not collected.
func TestWellKnownReferencesDoNotCount(t *testing.T) {
	h, ends := peers('a')
	r := refs.Ref{ID: refs.ID{Object: refs.RegistryObject}}
	if err := h.Receive(ends[0], []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Pin(r)
	h.Hand(ends[0], r, false)
	h.Decoded([]refs.Ref{r})
	if h.Len() != 0 || h.Due() != nil {
		t.Error("it counts")
	}
}

func TestOneSessionGivesNoMoreThanTheLimit(t *testing.T) {
	h, ends := peers('a', 'b')
	some := []refs.Ref{ref('a', 1), ref('a', 2)}
	if err := h.Receive(ends[0], some); err != nil {
		t.Fatal(err)
	}
	if err := h.Receive(ends[0], []refs.Ref{ref('a', 3), ref('a', 4)}); !errors.Is(err, lease.ErrTooMany) || h.Len() != 2 {
		t.Errorf("%v, %d entries", err, h.Len())
	}
	if err := h.Receive(ends[1], []refs.Ref{ref('b', 3)}); err != nil {
		t.Errorf("another session: %v", err)
	}
	h.Decoded(some)
	if err := h.Receive(ends[0], some); !errors.Is(err, lease.ErrTooMany) { // what waits to be given back counts
		t.Errorf("got %v", err)
	}
	if b := h.Next(ends[0]); len(b.Own) != 2 || b.Number != 1 {
		t.Errorf("%+v", b)
	}
	h.Done(ends[0], nil)
	if err := h.Receive(ends[0], some); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// A peer that does not know of leases gets everything back with its session.
func TestAMutePeerIsToldNothing(t *testing.T) {
	h, ends := peers('o', 'a')
	owner, other := ends[0], ends[1]
	r := ref('o', 1)
	if err := h.Receive(owner, []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Decoded([]refs.Ref{r})
	if !slices.Equal(h.Due(), []*end{owner}) || h.Next(owner) == nil {
		t.Fatal("nothing is due")
	}
	h.Mute(owner)
	h.Pin(r)
	if err := h.Receive(other, []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Decoded([]refs.Ref{r})
	if w := h.Wanting(); len(w) != 1 {
		t.Fatalf("wanting: %v", w)
	}
	h.Ask(owner)
	if h.Due() != nil || h.Next(owner) != nil || h.Wanting() != nil {
		t.Error("the peer is still told")
	}
	h.Unpin(r.ID)
	if !slices.Equal(h.Due(), []*end{other}) || h.Len() != 0 {
		t.Error("the other is not told")
	}
	h.Gone(owner, start)
	h.Gone(other, start)
	if h.Due() != nil {
		t.Error("a session that is over is told")
	}
}

// A node in the middle that closes makes the node before it keep what it handed on.
func TestWhatWasHandedOnLingers(t *testing.T) {
	h, ends := peers('o', 'm')
	owner, middle := ends[0], ends[1]
	r := ref('o', 1)
	if err := h.Receive(owner, []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Hand(middle, r, false)
	h.Decoded([]refs.Ref{r})
	h.Linger(middle, []lease.Object{{Node: r.Node, Number: r.Object}, {Node: r.Node, Number: 1}})
	h.Gone(middle, start.Add(time.Minute))
	h.Expire(start.Add(59 * time.Second))
	if h.Len() != 1 || h.Due() != nil {
		t.Error("it was given back at once")
	}
	h.Expire(start.Add(time.Minute))
	if b := h.Next(owner); h.Len() != 0 || b == nil || len(b.Own) != 1 {
		t.Errorf("it lingers: %+v", b)
	}

	// What the middle asks for is by whom it has it.
	h, ends = peers('o', 'z', 'c')
	if err := h.Receive(ends[0], []refs.Ref{ref('o', 1), ref('o', 2)}); err != nil {
		t.Fatal(err)
	}
	if err := h.Receive(ends[1], []refs.Ref{ref('p', 3)}); err != nil {
		t.Fatal(err)
	}
	h.Hand(ends[2], ref('o', 1), false)
	h.Hand(ends[2], ref('p', 3), false)
	f := h.Farewells()
	if len(f) != 2 || len(f[ends[0]].Own) != 1 || len(f[ends[0]].Others) != 0 || len(f[ends[1]].Own) != 0 || len(f[ends[1]].Others) != 1 {
		t.Errorf("%+v", f)
	}
}

// Batches stay below a record, and hold a thousand counts.
func TestBatchesAreBounded(t *testing.T) {
	h := lease.NewHolder[*end](refs.NodeID{'h'}, 1e6, func() time.Time { return start })
	owner, other := &end{peer: &node{id: refs.NodeID{'o'}}}, &end{peer: &node{id: refs.NodeID{'x'}}}
	var rs []refs.Ref
	for i := range 10_000 {
		rs = append(rs, ref('o', i))
	}
	for _, s := range []*end{owner, other} {
		if err := h.Receive(s, rs); err != nil {
			t.Fatal(err)
		}
		h.Decoded(rs)
		batches := 0
		for b := h.Next(s); b != nil; b = h.Next(s) {
			if b != h.Next(s) {
				t.Fatal("another batch before the last was done")
			}
			if size := 15*len(b.Own) + 42*len(b.Others); size > 32<<10-100 {
				t.Errorf("%d counts, %d of others: %d bytes", len(b.Own), len(b.Others), size)
			}
			batches++
			h.Done(s, nil)
		}
		if s == owner && batches > 10 {
			t.Errorf("%d batches for 10,000 references", batches)
		}
	}
}

// A reference that became a value is kept for a while, and until it is pinned.
func TestAReferenceThatBecameAValueIsKeptForAWhile(t *testing.T) {
	now := start
	h := lease.NewHolder[*end](refs.NodeID{'h'}, 3, func() time.Time { return now })
	s := &end{peer: &node{id: refs.NodeID{'o'}}}
	got := func(r refs.Ref) {
		t.Helper()
		if err := h.Receive(s, []refs.Ref{r}); err != nil {
			t.Fatal(err)
		}
		h.Keep(r.ID)
		h.Decoded([]refs.Ref{r})
	}
	pass := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); {
			now = now.Add(250 * time.Millisecond)
			h.Expire(now)
		}
	}
	first, second := ref('o', 1), ref('o', 2)
	got(first)
	pass(lease.KeepFor - time.Second)
	got(second)
	if h.Len() != 2 || h.Next(s) != nil {
		t.Fatal("what was kept is given back at once")
	}
	pass(time.Second)
	if h.Len() != 2 {
		t.Fatal("the first is given back too soon")
	}
	got(first) // again, so it stays
	pass(lease.KeepFor)
	if h.Len() != 1 {
		t.Fatalf("%d are kept, not the one that came again", h.Len())
	}
	if b := h.Next(s); len(b.Own) != 1 || b.Own[0] != (lease.Count{Object: second.Object, N: 1}) {
		t.Errorf("gives %v back", b)
	}
	h.Done(s, nil)
	pass(lease.KeepFor)
	if b := h.Next(s); h.Len() != 0 || len(b.Own) != 1 || b.Own[0] != (lease.Count{Object: first.Object, N: 2}) {
		t.Errorf("gives %v back", b)
	}
	h.Done(s, nil)

	// Pinned in time, it is held, and given back when it is not used any more.
	got(first)
	h.Pin(first)
	h.Taken(first.ID)
	pass(10 * lease.KeepFor)
	if h.Len() != 1 || h.Next(s) != nil {
		t.Error("what is pinned is given back")
	}
	h.Unpin(first.ID)
	if h.Len() != 0 || h.Next(s) == nil {
		t.Error("what nobody uses is not given back")
	}
	h.Done(s, nil)
	h.Keep(second.ID) // nothing came
	h.Taken(second.ID)
	if h.Len() != 0 {
		t.Error("what was never received is kept")
	}
}

// What is offered is relayed, whatever becomes of the counts of those that it was
// handed to, until all offers are withdrawn.
func TestAnOfferIsRelayedUntilItIsWithdrawn(t *testing.T) {
	h, ends := peers('a', 'o')
	r := ref('o', 1)
	relayed := func() bool {
		_, ok := h.Relay(r.ID)
		if ok {
			h.Unpin(r.ID)
		}
		return ok
	}
	h.Offer(r, true)
	h.Offer(r, false)
	h.Hand(ends[0], r, false)
	h.Unhand(ends[0], r.ID)
	if !relayed() {
		t.Error("it is not relayed")
	}
	h.Withdraw(r.ID)
	h.Hand(ends[0], r, true)
	if !relayed() {
		t.Error("it is not relayed after one of two was withdrawn")
	}
	h.Withdraw(r.ID)
	if !relayed() {
		t.Error("it is not relayed, and was handed on")
	}
	h.Unhand(ends[0], r.ID)
	h.Withdraw(r.ID)
	if relayed() || h.Len() != 0 {
		t.Error("it is relayed after all")
	}
	h.Offer(r, false)
	if relayed() {
		t.Error("it is relayed though it need not be")
	}
	h.Offer(ref('h', 1), true) // this node's own
	h.Offer(refs.Ref{}, true)
	if h.Len() != 1 {
		t.Error("what need not be held is")
	}
}

// The first node that gave a reference says where its owner is reached, and then the owner itself.
// No later stranger can change that.
func TestWhereAnOwnerIsIsNotForStrangersToSay(t *testing.T) {
	h, ends := peers('a', 'b', 'o')
	for i, c := range []struct {
		from int
		port uint16
		want uint16
	}{{0, 1, 1}, {1, 2, 1}, {2, 3, 3}, {1, 4, 3}, {0, 5, 3}, {2, 6, 6}} {
		r := ref('o', 1)
		r.Port = c.port
		if err := h.Receive(ends[c.from], []refs.Ref{r}); err != nil {
			t.Fatal(err)
		}
		h.Pin(r)
		if got, ok := h.Relay(r.ID); ok {
			t.Fatalf("%v is relayed", got)
		}
		if got := h.All()[0].Ref.Port; got != c.want {
			t.Errorf("%d: port %d, want %d", i, got, c.want)
		}
	}
}

// Only what a session holds can be asked to be kept after its end.
func TestWhatASessionDoesNotHoldDoesNotLinger(t *testing.T) {
	var g lease.Grants[int]
	g.Give(1, 7, start)
	g.Linger(1, []refs.ObjNum{7, 8})
	g.Linger(2, []refs.ObjNum{7})
	g.Give(1, 8, start)
	if last := g.Gone(1, start.Add(time.Minute)); !slices.Equal(last, []refs.ObjNum{8}) || !g.Held(7) {
		t.Errorf("with the session %v are gone", last)
	}
	if last := g.Expire(start.Add(time.Minute)); !slices.Equal(last, []refs.ObjNum{7}) || g.Lingering() {
		t.Errorf("after a lease %v are gone", last)
	}

	h, ends := peers('a')
	kept, not := ref('o', 1), ref('o', 2)
	h.Hand(ends[0], kept, false)
	h.Linger(ends[0], []lease.Object{
		{Node: kept.Node, Time: int64(kept.Time), Number: kept.Object}, {Node: not.Node, Time: int64(not.Time), Number: not.Object}})
	h.Hand(ends[0], not, false)
	h.Gone(ends[0], start.Add(time.Minute))
	if all := h.All(); len(all) != 1 || all[0].Ref.ID != kept.ID {
		t.Errorf("after the session it has %v", all)
	}
	h.Expire(start.Add(time.Minute))
	if h.Len() != 0 {
		t.Error("it is kept for longer than a lease")
	}
}

// Taking back more often than was taken counts once. Otherwise a hold in use would be lost too.
func TestWhatIsTakenBackTwiceCountsOnce(t *testing.T) {
	h, ends := peers('o')
	r := ref('o', 1)
	if err := h.Receive(ends[0], []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	h.Pin(r)
	for range 3 {
		h.Decoded([]refs.Ref{r})
	}
	if h.Len() != 1 || h.Next(ends[0]) != nil {
		t.Error("it was decoded more than once, and is not held any more")
	}
	h.Offer(r, false)
	for range 3 {
		h.Withdraw(r.ID)
	}
	if h.Len() != 1 {
		t.Error("it was withdrawn more than once, and is not held any more")
	}
	if err := h.Receive(ends[0], []refs.Ref{r}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h.Unpin(r.ID)
	}
	if h.Len() != 1 {
		t.Error("it was unpinned more than once, and is not held any more")
	}
	h.Decoded([]refs.Ref{r})
	if h.Len() != 0 {
		t.Error("it is held though nobody uses it")
	}
}

// To a peer that does not know of leases nothing is given back.
func TestAPeerThatKnowsNoLeasesIsToldNothing(t *testing.T) {
	h, ends := peers('o')
	r := ref('o', 1)
	got := func() {
		if err := h.Receive(ends[0], []refs.Ref{r}); err != nil {
			t.Fatal(err)
		}
		h.Decoded([]refs.Ref{r})
	}
	got()
	if h.Next(ends[0]) == nil {
		t.Fatal("nothing is given back")
	}
	h.Mute(ends[0])
	got()
	if b := h.Next(ends[0]); b != nil || len(h.Due()) != 0 {
		t.Errorf("%v is due", b)
	}
}

// An object that was to linger and was given back is not kept any more, even if the session gets it
// once more.
func TestWhatWasGivenBackDoesNotLinger(t *testing.T) {
	var g lease.Grants[int]
	g.Give(1, 7, start)
	g.Linger(1, []refs.ObjNum{7})
	g.Give(1, 8, start)
	g.Take(1, 7, 1)
	g.Give(1, 7, start)
	if last := g.Gone(1, start.Add(time.Minute)); len(last) != 2 || g.Lingering() {
		t.Errorf("with the session only %v are gone", last)
	}

	h, ends := peers('a')
	r := ref('o', 1)
	h.Hand(ends[0], r, false)
	h.Linger(ends[0], []lease.Object{{Node: r.Node, Time: int64(r.Time), Number: r.Object}})
	h.Unhand(ends[0], r.ID)
	h.Hand(ends[0], r, false)
	h.Gone(ends[0], start.Add(time.Minute))
	if h.Len() != 0 {
		t.Errorf("after the session it has %v", h.All())
	}
}
