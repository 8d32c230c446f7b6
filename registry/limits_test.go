package registry

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/access"
)

func TestLimitsAreThoseOfTheDocumentation(t *testing.T) {
	for _, c := range []struct{ set, want ServeOptions }{
		{ServeOptions{}, ServeOptions{MaxNames: 1_000_000, MaxBytes: 256 << 20, MaxLease: 10 * time.Minute, MaxNamesEach: 500_000, MaxBytesEach: 128 << 20}},
		{ServeOptions{MaxNames: -1, MaxBytes: -1, MaxLease: -1, MaxNamesEach: -1, MaxBytesEach: -1}, ServeOptions{MaxNames: 1_000_000, MaxBytes: 256 << 20, MaxLease: 10 * time.Minute, MaxNamesEach: 500_000, MaxBytesEach: 128 << 20}},
		{ServeOptions{MaxNames: 1, MaxBytes: 2, MaxLease: time.Hour}, ServeOptions{MaxNames: 1, MaxBytes: 2, MaxLease: time.Hour, MaxNamesEach: 1000, MaxBytesEach: 1 << 20}},
		{ServeOptions{MaxLease: time.Millisecond, MaxNamesEach: 3, MaxBytesEach: 4}, ServeOptions{MaxNames: 1_000_000, MaxBytes: 256 << 20, MaxLease: time.Second, MaxNamesEach: 3, MaxBytesEach: 4}},
	} {
		if got := c.set.withDefaults(); got != c.want {
			t.Errorf("%+v stands for %+v, want %+v", c.set, got, c.want)
		}
	}
	for what, is := range map[string][2]int{
		"bytes of a call": {MaxMessage, 64 << 10}, "names of a call": {MaxBatch, 1000},
		"names of a page": {maxPage, 1000}, "names of a page by default": {defaultPage, 100}, "bytes of a page": {maxPageBytes, 48 << 10},
	} {
		if is[0] != is[1] {
			t.Errorf("%s: %d, the documentation says %d", what, is[0], is[1])
		}
	}
}

// No party fills a registry: when one has its share, others are served as before.
func TestAPartyHasAShare(t *testing.T) {
	far := func(id byte, principal, host string) peer {
		return peer{holder: holder{refs.NodeID{id}, principal, host}}
	}
	for _, c := range []struct {
		what  string
		one   []peer // of one party
		other peer
	}{
		{"a principal", []peer{far(1, "teller", "a"), far(2, "teller", "b")}, far(3, "trainee", "a")},
		{"a host", []peer{far(1, policy.Anonymous, "a"), far(2, policy.Anonymous, "a")}, far(3, policy.Anonymous, "b")},
	} {
		t.Run(c.what, func(t *testing.T) {
			everybody, err := policy.Parse("p", "allow @everyone all *")
			if err != nil {
				t.Fatal(err)
			}
			s := newStore(ServeOptions{MaxNamesEach: 3, MaxBytesEach: 1000, Policy: everybody}, slog.New(slog.DiscardHandler), served{at: local})
			acquire := func(p peer, name string, description int) error {
				e := entryOf(1)
				if description > 0 { // what it says does not matter, but that it takes room
					e.Ref.Interface.Name = strings.Repeat("i", description)
				}
				_, _, err := s.acquire(p, Claim{Name: name, Entry: e, Replace: true})
				return err
			}
			for i := range 3 {
				if err := acquire(c.one[i%2], fmt.Sprint(i), 0); err != nil {
					t.Fatal(err)
				}
			}
			for _, p := range c.one {
				if err := acquire(p, "more", 0); rmi.KindOf(err) != rmi.KindOverloaded || !strings.Contains(err.Error(), "MaxNamesEach") {
					t.Errorf("one name more: %v", err)
				}
				if err := acquire(p, "1", 990); rmi.KindOf(err) != rmi.KindOverloaded || !strings.Contains(err.Error(), "MaxBytesEach") {
					t.Errorf("too many bytes: %v", err)
				}
				if err := acquire(p, "1", 0); err != nil {
					t.Errorf("a name that it has: %v", err)
				}
			}
			if err := acquire(c.other, "more", 0); err != nil {
				t.Errorf("another one: %v", err)
			}
			if err := acquire(c.other, "0", 0); err != nil { // from now on it is that one's
				t.Fatal(err)
			}
			if err := acquire(c.one[0], "again", 0); err != nil {
				t.Errorf("after it lost a name: %v", err)
			}
			if err := acquire(peer{own: true, local: true}, "own", 0); err != nil {
				t.Errorf("the registry's own process: %v", err)
			}
		})
	}
}

// Whoever calls through a relay has no rights of the relay's, and a peer that may do something
// passes for what it may do.
func TestTheGateOfARegistry(t *testing.T) {
	s := storeAt(local)
	for _, c := range []struct {
		call access.Call
		want bool
	}{
		{access.Call{Principal: policy.Anonymous, Method: "Lookup"}, false},
		{access.Call{Principal: policy.Anonymous, Method: "Lookup", Local: true}, true},
		{access.Call{Principal: policy.Anonymous}, false}, // a description
		{access.Call{Principal: "teller"}, true},
		{access.Call{Principal: "teller", Method: "Lookup"}, true},
		{access.Call{Principal: "teller", Method: "Lookup", Relayed: true}, false},
		{access.Call{Principal: "teller", Method: "Unbind"}, true}, // its own
		{access.Call{Principal: policy.Anonymous, Method: "Renew", Relayed: true}, false},
	} {
		if got := s.gate(t.Context(), c.call); got != c.want {
			t.Errorf("%+v: %v", c.call, got)
		}
	}
	// Every method is listed with what it needs.
	for m := range reflect.TypeFor[Registry]().Methods() {
		if needs[m.Name] == 0 {
			t.Errorf("%s needs nothing in particular", m.Name)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.gate(context.Background(), access.Call{Principal: "teller", Method: "Lookup"}) }); n != 0 {
		t.Errorf("the gate allocates %v times", n)
	}
}

// A name that was bound again is not remembered as one that ended.
func TestOnlyNamesThatEndedAreRemembered(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	for i := range 3 {
		name := fmt.Sprint(i)
		if err := s.Bind(ctx, name, entryOf(7)); err != nil {
			t.Fatal(err)
		}
		if err := s.Unbind(ctx, name, refs.Ref{}); err != nil {
			t.Fatal(err)
		}
	}
	s.state.past.old, s.state.past.young = s.state.past.young, make(map[string]end) // as after some minutes
	for i := range 2 {
		if err := s.Bind(ctx, fmt.Sprint(i), entryOf(7)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Unbind(ctx, "1", refs.Ref{}); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(ctx, "1", entryOf(7)); err != nil {
		t.Fatal(err)
	}
	if p := s.state.past; len(p.old)+len(p.young) != 1 || p.last("2").how != unbound {
		t.Errorf("remembered: %v and %v", p.old, p.young)
	}
}

// The registry itself checks names: its callers may be of another make.
func TestARegistryTakesNoIllegalName(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	const name = "a//b"
	_, looked := s.Lookup(ctx, name)
	for what, err := range map[string]error{
		"Bind": s.Bind(ctx, name, entryOf(7)), "Rebind": s.Rebind(ctx, name, entryOf(7)), "Unbind": s.Unbind(ctx, name, refs.Ref{}),
		"Lookup": looked, "Acquire": s.claim(t, Claim{Name: name}).Refused,
	} {
		if rmi.KindOf(err) != rmi.KindInvalid || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A call that is too long is refused by its size.
func TestACallThatIsTooLargeIsRefused(t *testing.T) {
	n := rmi.NewNode(nil)
	defer n.Close()
	reg, err := Serve(t.Context(), n, &ServeOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	caller := rmi.NewNode(nil)
	defer caller.Close()
	r, err := At(caller, reg.URL(""))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		bytes int
		want  rmi.Kind
	}{{MaxMessage - 1<<10, rmi.KindApplication}, {MaxMessage, rmi.KindTooLarge}} { // the description makes no sense
		err := r.Bind(t.Context(), "a", Entry{Ref: entryOf(7).Ref, Description: make([]byte, c.bytes)})
		if rmi.KindOf(err) != c.want || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted && c.want == rmi.KindTooLarge {
			t.Errorf("a description of %d bytes: %v", c.bytes, err)
		}
	}
	if reg.Len() != 0 {
		t.Errorf("%d names are bound", reg.Len())
	}
}

// The sweep holds the lock for so many leases only, and goes on at once.
func TestTheSweepTakesTurnsWithCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := storeAt(local)
		for i := range maxSweep + 3 {
			s.claim(t, Claim{Name: fmt.Sprint(i), Lease: time.Minute})
		}
		pass(time.Minute)
		for _, want := range []int{maxSweep, 3} {
			swept, again := s.lapse()
			if len(swept) != want || (again == 0) != (want == maxSweep) {
				t.Errorf("%d leases were swept, the next in %v; want %d", len(swept), again, want)
			}
		}
	})
}

// A node keeps nothing of bindings that are over.
func TestBindingsThatAreOverAreForgotten(t *testing.T) {
	n := rmi.NewNode(nil)
	defer n.Close()
	reg, err := Serve(t.Context(), n, &ServeOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	first, err := Bind[func(context.Context) error](t.Context(), n, reg.URL("a"), func(context.Context) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Bind[func(context.Context) error](t.Context(), n, reg.URL("b"), func(context.Context) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	r := first.renewer
	state := r.lock()
	defer r.mu.Unlock()
	if _, ok := state.bindings[second]; !ok || len(state.bindings) != 1 {
		t.Errorf("%d bindings are kept, want the one that is left", len(state.bindings))
	}
}
