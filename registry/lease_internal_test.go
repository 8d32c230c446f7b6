package registry

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

// claim acquires one name.
func (s *store) claim(t *testing.T, c Claim) Grant {
	t.Helper()
	if c.Entry.Ref.IsZero() {
		c.Entry = entryOf(7)
	}
	grants, err := s.Acquire(context.Background(), []Claim{c})
	if err != nil || len(grants) != 1 {
		t.Fatal(grants, err)
	}
	return grants[0]
}

// away makes the store believe that the session with its caller is cut.
func (s *store) away(yes bool) { s.detached = func(refs.NodeID) bool { return yes } }

func TestClaims(t *testing.T) {
	ctx := context.Background()
	other := entryOf(8)
	for what, c := range map[string]struct {
		// before is done when the name was acquired, as revision r.
		before func(s *store, r Revision) Claim
		kind   rmi.Kind // of the refusal of the claim that it returns
	}{
		"taken":                      {func(s *store, r Revision) Claim { return Claim{Entry: other} }, rmi.KindAlreadyBound},
		"taken, replaced":            {func(s *store, r Revision) Claim { return Claim{Replace: true} }, 0},
		"abandoned":                  {func(s *store, r Revision) Claim { s.away(true); return Claim{} }, 0},
		"still held":                 {func(s *store, r Revision) Claim { return Claim{Held: r} }, 0},
		"another's, abandoned":       {func(s *store, r Revision) Claim { s.away(true); return Claim{Held: r - 1} }, rmi.KindAlreadyBound},
		"another's, to be replaced":  {func(s *store, r Revision) Claim { return Claim{Held: r - 1, Replace: true} }, rmi.KindAlreadyBound},
		"held, of a later revision":  {func(s *store, r Revision) Claim { return Claim{Held: r + 1} }, rmi.KindAlreadyBound},
		"lapsed":                     {func(s *store, r Revision) Claim { pass(defaultLease); return Claim{Held: r} }, 0},
		"not known to this registry": {func(s *store, r Revision) Claim { return Claim{Name: "b", Held: 1} }, 0},
		"unbound by its own node": {func(s *store, r Revision) Claim {
			s.Unbind(ctx, "a", refs.Ref{})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"released by its own node": {func(s *store, r Revision) Claim {
			s.Release(ctx, []Held{{"a", r}})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"unbound, claimed anew": {func(s *store, r Revision) Claim {
			s.Unbind(ctx, "a", refs.Ref{})
			return Claim{}
		}, 0},
		"unbound long ago": {func(s *store, r Revision) Claim {
			s.Unbind(ctx, "a", refs.Ref{})
			pass(3 * pastFor)
			s.state.past.add("b", end{revision: r}, s.now())
			return Claim{Held: r}
		}, 0},
		"replaced, and unbound by who did": {func(s *store, r Revision) Claim {
			g := s.claim(t, Claim{Name: "a", Entry: other, Replace: true})
			s.Release(ctx, []Held{{"a", g.Revision}})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"replaced, and lapsed for who did": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "a", Entry: other, Replace: true})
			pass(defaultLease)
			return Claim{Held: r}
		}, rmi.KindAlreadyBound},
		"replaced, and lapsed and swept for who did": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "a", Entry: other, Replace: true})
			pass(defaultLease)
			s.lapse()
			return Claim{Held: r}
		}, rmi.KindAlreadyBound},
		"unbound, and bound and released by another": {func(s *store, r Revision) Claim {
			s.Unbind(ctx, "a", refs.Ref{})
			g := s.claim(t, Claim{Name: "a", Entry: other})
			s.Release(ctx, []Held{{"a", g.Revision}})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"lapsed, and bound and released by another": {func(s *store, r Revision) Claim {
			pass(defaultLease)
			g := s.claim(t, Claim{Name: "a", Entry: other})
			s.Release(ctx, []Held{{"a", g.Revision}})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"lapsed, and bound by another, and lapsed": {func(s *store, r Revision) Claim {
			pass(defaultLease)
			s.claim(t, Claim{Name: "a", Entry: other})
			pass(defaultLease)
			return Claim{Held: r}
		}, rmi.KindAlreadyBound},
		"rebound for good, and unbound": {func(s *store, r Revision) Claim {
			s.Rebind(ctx, "a", other)
			s.Unbind(ctx, "a", refs.Ref{})
			return Claim{Held: r}
		}, rmi.KindNotBound},
		"rebound for good, and replaced, and lapsed": {func(s *store, r Revision) Claim {
			s.Rebind(ctx, "a", other)
			s.claim(t, Claim{Name: "a", Entry: other, Replace: true})
			pass(defaultLease)
			return Claim{Held: r}
		}, rmi.KindAlreadyBound},
		"lapsed twice, and the first claim's answer was lost": {func(s *store, r Revision) Claim {
			pass(defaultLease)
			s.claim(t, Claim{Name: "a", Held: r})
			pass(defaultLease)
			return Claim{Held: r}
		}, 0},
		"of a registry before this, where the other came first": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b", Held: 5})
			return Claim{Name: "b", Held: 6, Entry: other}
		}, 0},
		"of a registry before this, and the other came first and lapsed": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b", Held: 5})
			pass(defaultLease)
			return Claim{Name: "b", Held: 6, Entry: other}
		}, 0},
		"of a registry before this, where it was replaced": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b", Held: 6})
			return Claim{Name: "b", Held: 5, Entry: other}
		}, rmi.KindAlreadyBound},
		"of a registry before this, and unbound in this one": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b", Held: 5})
			s.Unbind(ctx, "b", refs.Ref{})
			return Claim{Name: "b", Held: 6, Entry: other}
		}, rmi.KindNotBound},
		"of a registry before this, and bound anew in this one": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b"})
			return Claim{Name: "b", Held: 6, Entry: other}
		}, rmi.KindAlreadyBound},
		"of this registry, where another came back from the one before": {func(s *store, r Revision) Claim {
			s.claim(t, Claim{Name: "b", Held: 5})
			return Claim{Name: "b", Held: r, Entry: other}
		}, rmi.KindAlreadyBound},
		"of a registry before this, and made again twice in this one": {func(s *store, r Revision) Claim {
			g := s.claim(t, Claim{Name: "b", Held: 5})
			pass(defaultLease)
			g = s.claim(t, Claim{Name: "b", Held: g.Revision})
			return Claim{Name: "b", Held: g.Revision - 1, Entry: other}
		}, rmi.KindAlreadyBound},
		"abandoned, then bound by an older client": {func(s *store, r Revision) Claim {
			s.away(true)
			if err := s.Bind(ctx, "a", other); err != nil {
				t.Error(err)
			}
			return Claim{Held: r}
		}, rmi.KindAlreadyBound},
		"rebound for good": {func(s *store, r Revision) Claim {
			s.Rebind(ctx, "a", other)
			s.away(true)
			return Claim{}
		}, rmi.KindAlreadyBound},
		"the same again": {func(s *store, r Revision) Claim {
			pass(defaultLease)
			s.claim(t, Claim{Name: "a", Held: r})
			return Claim{Held: r}
		}, 0},
		"the same name of another object": {func(s *store, r Revision) Claim {
			pass(defaultLease)
			s.claim(t, Claim{Name: "a", Held: r})
			return Claim{Held: r, Entry: other}
		}, rmi.KindAlreadyBound},
		"negative lease": {func(s *store, r Revision) Claim { return Claim{Name: "b", Lease: -1} }, rmi.KindInvalid},
		"illegal name":   {func(s *store, r Revision) Claim { return Claim{Name: "b//c"} }, rmi.KindInvalid},
		"bad description": {func(s *store, r Revision) Claim {
			return Claim{Name: "b", Entry: Entry{other.Ref, []byte("nonsense")}}
		}, rmi.KindInvalid},
		"no room": {func(s *store, r Revision) Claim { s.state.limits.MaxNames = 1; return Claim{Name: "b"} }, rmi.KindOverloaded},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := storeAt(local)
				first := s.claim(t, Claim{Name: "a"})
				if first.Refused != nil {
					t.Fatal(first.Refused)
				}
				last := c.before(s, first.Revision)
				if last.Name == "" {
					last.Name = "a"
				}
				got := s.claim(t, last)
				if rmi.KindOf(got.Refused) != c.kind || (got.Refused == nil) != (got.Revision > first.Revision) {
					t.Errorf("got %+v, want %v", got, c.kind)
				}
			})
		})
	}
}

func pass(d time.Duration) { <-time.After(d) }

// A claim that is repeated is the same claim only from the same node, for the same object, with the
// same revision.
func TestAClaimThatIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeAt(local)
		me, another := refs.NodeID{7}, refs.NodeID{8}
		first, _, err := s.acquire(nodeHere(me), Claim{Name: "a", Entry: entryOf(7)})
		if err != nil {
			t.Fatal(err)
		}
		again := Claim{Name: "a", Entry: entryOf(7), Held: first}
		for _, when := range []string{"bound", "lapsed"} {
			pass(defaultLease)
			if _, _, err := s.acquire(nodeHere(me), again); err != nil { // the answer is lost
				t.Fatal(err)
			}
			if when == "lapsed" {
				pass(defaultLease)
			}
			other := again
			other.Entry = entryOf(8)
			_, _, object := s.acquire(nodeHere(me), other)
			other = again
			other.Held--
			_, _, revision := s.acquire(nodeHere(me), other)
			_, _, holder := s.acquire(nodeHere(another), again)
			for what, err := range map[string]error{"object": object, "revision": revision, "holder": holder} {
				if rmi.KindOf(err) != rmi.KindAlreadyBound {
					t.Errorf("%s, of another %s: %v", when, what, err)
				}
			}
			if _, _, err := s.acquire(nodeHere(me), again); err != nil {
				t.Errorf("%s: %v", when, err)
			}
		}
	})
}

// Between the look at the holder's session and the taking of the name, somebody else may get the
// name whose session is not cut.
func TestANameThatWasReplacedMeanwhileIsNotTaken(t *testing.T) {
	s := storeAt(local)
	s.claim(t, Claim{Name: "a"})
	s.away(true)
	may := s.unlessTaken("a", &rights{hold: true, take: true})
	s.claim(t, Claim{Name: "a", Entry: entryOf(8), Replace: true})
	if err := s.put(&binding{name: "a", ref: entryOf(9).Ref}, may); rmi.KindOf(err) != rmi.KindAlreadyBound {
		t.Errorf("it was taken: %v", err)
	}
}

// Nobody sees a lapsed name, even before the sweep reaches it.
func TestWhatLapsedIsNotSeenBeforeItIsSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		s := storeAt(local)
		g := s.claim(t, Claim{Name: "a"})
		s.claim(t, Claim{Name: "b", Lease: time.Minute})
		pass(defaultLease - 1)
		if _, err := s.Lookup(ctx, "a"); err != nil {
			t.Error(err)
		}
		pass(1)
		if s.state.names.get("a") == nil {
			t.Fatal("it is swept")
		}
		if _, err := s.Lookup(ctx, "a"); rmi.KindOf(err) != rmi.KindNotBound {
			t.Errorf("looked up: %v", err)
		}
		if p, err := s.List(ctx, "", "", 0); err != nil || len(p.Names) != 1 || p.Names[0].Name != "b" {
			t.Errorf("listed: %v, %v", p, err)
		}
		if p, err := s.List(ctx, "", "", 1); err != nil || len(p.Names) != 1 || p.More {
			t.Errorf("listed: %v, %v", p, err)
		}
		if err := s.Unbind(ctx, "a", refs.Ref{}); rmi.KindOf(err) != rmi.KindNotBound {
			t.Errorf("unbound: %v", err)
		}
		if lost, err := s.Renew(ctx, []Held{{"a", g.Revision}}); len(lost) != 1 || lost[0] != (Lost{}) || err != nil {
			t.Errorf("renewed: %v, %v", lost, err)
		}
	})
}

func TestUnbindOnlyWhatIsMeant(t *testing.T) {
	ctx := t.Context()
	s := storeAt(local)
	for _, leased := range []bool{false, true} {
		if leased {
			s.claim(t, Claim{Name: "a"})
		} else if err := s.Bind(ctx, "a", entryOf(7)); err != nil {
			t.Fatal(err)
		}
		if err := s.Unbind(ctx, "a", entryOf(8).Ref); rmi.KindOf(err) != rmi.KindNotBound {
			t.Errorf("another object was to be unbound: %v", err)
		}
		if _, err := s.Lookup(ctx, "a"); err != nil {
			t.Errorf("it was: %v", err)
		}
		meant := entryOf(7).Ref
		meant.Port++ // identity is not where it is reached
		if err := s.Unbind(ctx, "a", meant); err != nil {
			t.Error(err)
		}
	}
}

func TestLengthOfLeases(t *testing.T) {
	s := newStore(ServeOptions{MaxLease: time.Minute}, slog.New(slog.DiscardHandler), served{at: local})
	for asked, want := range map[time.Duration]time.Duration{
		0: 20 * time.Second, 1: time.Second, 30 * time.Second: 30 * time.Second, time.Hour: time.Minute, math.MaxInt64: time.Minute,
	} {
		if g := s.claim(t, Claim{Name: "a", Lease: asked, Replace: true}); g.Lease != want {
			t.Errorf("asked for %v, got %v", asked, g.Lease)
		}
	}
}

func TestBatchesThatAreTooLarge(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	_, acquire := s.Acquire(ctx, make([]Claim, MaxBatch+1))
	_, renew := s.Renew(ctx, make([]Held, MaxBatch+1))
	_, release := s.Release(ctx, make([]Held, MaxBatch+1))
	for _, err := range []error{acquire, renew, release} {
		if rmi.KindOf(err) != rmi.KindTooLarge {
			t.Error(err)
		}
	}
	if lost, err := s.Renew(ctx, []Held{{}, {"\xff", 1}, {strings.Repeat("x", 1<<16), math.MaxUint64}}); len(lost) != 3 || err != nil {
		t.Errorf("names that cannot be: %v, %v", lost, err)
	}
}

func TestRenewAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := context.Background()
		s := storeAt(local)
		a, b := s.claim(t, Claim{Name: "a"}), s.claim(t, Claim{Name: "b"})
		if err := s.Bind(ctx, "permanent", entryOf(7)); err != nil {
			t.Fatal(err)
		}
		permanent := s.state.names.get("permanent").revision
		ask := []Held{{"a", a.Revision}, {"nothing", 1}, {"b", a.Revision}, {"permanent", permanent}}
		by := "a bank.Account of node 01000000 at 127.0.0.1:1099, bound by the registry's own process"
		want := fmt.Sprint([]Lost{{Index: 1}, {Index: 2, Now: b.Revision, By: by}, {Index: 3, Now: permanent, By: by}})
		pass(15 * time.Second)
		if lost, err := s.Renew(ctx, ask); fmt.Sprint(lost) != want || err != nil {
			t.Errorf("lost %v, %v, want %v", lost, err, want)
		}
		pass(15 * time.Second) // b lapsed
		want = fmt.Sprint([]Lost{{Index: 1}, {Index: 2, Now: b.Revision}, {Index: 3, Now: permanent, By: by}})
		if lost, err := s.Release(ctx, ask); fmt.Sprint(lost) != want || err != nil {
			t.Errorf("lost %v, %v, want %v", lost, err, want)
		}
		s.lapse()
		if s.len() != 1 || len(s.state.leases) != 0 {
			t.Errorf("%d names, %d leases", s.len(), len(s.state.leases))
		}
	})
}

// Whatever happens to names, the store's counts are right, the heap has exactly the leases that
// exist, and lapsed names are swept.
func TestTheSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeAt(local)
		swept, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.sweep(swept); close(done) }()
		var held []Held
		for i := range 3000 {
			name := fmt.Sprint(i)
			g := s.claim(t, Claim{Name: name, Lease: time.Duration(i%60+1) * time.Second})
			if i%3 == 0 {
				held = append(held, Held{name, g.Revision})
			}
		}
		synctest.Wait() // it has looked at what there is
		for range 60 {
			pass(time.Second / 2)
			if lost, err := s.Renew(t.Context(), held); len(lost) > 0 || err != nil {
				t.Fatal(lost, err)
			}
		}
		synctest.Wait()
		// After 30 s: of 3000, a third was renewed; of the others those of more than 30 s are there.
		want := len(held) + 1000
		if names, leases, _ := s.counts(); names != want || leases != want {
			t.Errorf("%d names, %d leases, want %d", names, leases, want)
		}
		pass(time.Minute)
		synctest.Wait()
		if names, leases, bytes := s.counts(); names != 0 || leases != 0 || bytes != 0 {
			t.Errorf("%d names, %d leases, %d bytes", names, leases, bytes)
		}
		stop()
		<-done
	})
}

func (s *store) counts() (names, leases, bytes int) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.state.names.count, len(s.state.leases), s.state.bytes
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	var p past
	for i := range 5 * maxPast {
		p.add(fmt.Sprint(i), end{revision: Revision(i + 1), held: party{host: fmt.Sprint(i % 8)}}, time.Duration(i))
		if len(p.young)+len(p.old) > 2*maxPast {
			t.Fatal(len(p.young), len(p.old))
		}
	}
	if p.last(fmt.Sprint(4*maxPast)).revision != 4*maxPast+1 {
		t.Error("one of the last is forgotten")
	}
}

// Whoever lets names lapse makes the registry forget only its own.
func TestAPartyHasAShareOfWhatIsRemembered(t *testing.T) {
	var p past
	hers := end{revision: 7, held: party{principal: "hers"}}
	p.add("hers", hers, 0)
	his := party{principal: "his"}
	for i := range 5 * maxPast {
		p.add(fmt.Sprint(i), end{revision: 1, held: his}, 0)
	}
	if p.last("hers") != hers || len(p.young)+len(p.old) != 1+maxPastEach {
		t.Errorf("of %d names that are remembered hers is %v", len(p.young)+len(p.old), p.last("hers"))
	}
	// A name that is bound and ends again and again counts once.
	for i := range 2 * maxPastEach {
		p.forget("hers")
		hers.revision = Revision(i)
		p.add("hers", hers, 0)
	}
	if p.last("hers") != hers {
		t.Errorf("the last end of hers is forgotten: %v", p.last("hers"))
	}
	// An end that is not remembered does not leave an older one in its place.
	p.old = map[string]end{"twice": {revision: 1, held: his}}
	p.add("twice", end{revision: 2, held: his}, 0)
	if got := p.last("twice").revision; got == 1 {
		t.Error("an older end is remembered than the last")
	}
}

func TestRevisionsGoOnAfterARestart(t *testing.T) {
	first := storeAt(local).claim(t, Claim{Name: "a"})
	if again := storeAt(local).claim(t, Claim{Name: "a", Held: first.Revision}); again.Revision <= first.Revision {
		t.Errorf("%d after %d", again.Revision, first.Revision)
	}
}

func TestBatchesFitIntoACall(t *testing.T) {
	var all []task
	for i := range 3 * MaxBatch {
		c := Claim{Name: strings.Repeat("n", 1+i%MaxName), Entry: Entry{Description: make([]byte, i%700)}}
		if i == 7 {
			c.Entry.Description = make([]byte, maxEntryDescription)
		}
		all = append(all, task{b: &Binding{claim: c}, held: Held{c.Name, math.MaxUint64}})
	}
	short := task{b: &Binding{claim: Claim{Name: "n"}}, held: Held{"n", 1}}
	all = append(all, slices.Repeat([]task{short}, 3*MaxBatch)...) // more of them than a call may hold would have room
	for what, size := range map[string]func(task) int{"held": task.size, "claims": task.claimSize} {
		seen := 0
		for tasks := range batches(all, size) {
			seen += len(tasks)
			bytes := 0
			for _, task := range tasks {
				bytes += size(task)
			}
			if len(tasks) > MaxBatch || bytes > maxBatchBytes && len(tasks) > 1 {
				t.Errorf("%s: %d in one call, %d bytes", what, len(tasks), bytes)
			}
		}
		if seen != len(all) {
			t.Errorf("%s: %d of %d", what, seen, len(all))
		}
	}
}

// BenchmarkRenew10000 is what a node and a registry do every 5 s for 10,000 bindings.
func BenchmarkRenew10000(b *testing.B) {
	o := &rmi.Options{Logger: slog.New(slog.DiscardHandler)}
	serving, owner := rmi.NewNode(o), rmi.NewNode(o)
	defer serving.Close()
	defer owner.Close()
	for _, n := range []*rmi.Node{serving, owner} {
		if _, err := n.Listen(b.Context(), "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
	}
	reg, err := Serve(b.Context(), serving, nil)
	if err != nil {
		b.Fatal(err)
	}
	var one *Binding
	for i := range 10_000 {
		if one, err = Bind(b.Context(), owner, reg.URL(fmt.Sprintf("bank/branch-%d/account-%d", i/100, i)), func(context.Context) error { return nil }, nil); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if one.renewer.round(b.Context()); one.renewer.failing {
			b.Fatal("not renewed")
		}
	}
}
