package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/audit"
)

// served is the node of a store without one.
type served struct {
	at       refs.Endpoint
	detached map[refs.NodeID]bool
}

func (s served) Audit(audit.Event)            {}
func (s served) Public() bool                 { return !s.at.IsLoopback() }
func (s served) Detached(id refs.NodeID) bool { return s.detached[id] }

func storeAt(at refs.Endpoint) *store {
	return newStore(ServeOptions{}, slog.New(slog.DiscardHandler), served{at: at})
}

// nodeHere is a node on the registry's machine, as it calls.
func nodeHere(id refs.NodeID) peer {
	return peer{holder: holder{id, policy.Anonymous, "127.0.0.1"}, local: true}
}

var local = refs.Endpoint{Host: "127.0.0.1", Port: 1099}

func entryOf(num refs.ObjNum) Entry {
	return Entry{Ref: refs.Ref{Endpoint: local, ID: refs.ID{Node: refs.NodeID{1}, Time: 1, Object: num}, Interface: refs.Interface{Name: "bank.Account"}}}
}

func TestLimitsOfARegistry(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	const texts = len("127.0.0.1") + len("bank.Account") // of each reference
	s.state.limits.MaxNames, s.state.limits.MaxBytes = 2, 10+2*texts
	step := func(err error, want rmi.Kind) {
		t.Helper()
		if rmi.KindOf(err) != want {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	step(s.Bind(ctx, "a", entryOf(1)), 0)
	step(s.Bind(ctx, "b", entryOf(2)), 0)
	step(s.Bind(ctx, "c", entryOf(3)), rmi.KindOverloaded)
	step(s.Rebind(ctx, "b", entryOf(3)), 0) // no more than before
	step(s.Unbind(ctx, "a", refs.Ref{}), 0)
	step(s.Bind(ctx, "123456789", entryOf(3)), 0)
	step(s.Unbind(ctx, "b", refs.Ref{}), 0)
	step(s.Bind(ctx, "xy", entryOf(3)), rmi.KindOverloaded)
	step(s.Unbind(ctx, "123456789", refs.Ref{}), 0)
	s.state.limits.MaxBytes = 10 + texts
	step(s.Bind(ctx, "12345678901", entryOf(3)), rmi.KindOverloaded)
	step(s.Bind(ctx, "1234567890", entryOf(3)), 0)
	step(s.Unbind(ctx, "1234567890", refs.Ref{}), 0)
	if s.state.bytes != 0 || s.len() != 0 || len(s.state.shares) != 0 || len(s.state.held) != 0 {
		t.Errorf("an empty registry counts %d bytes, %d names", s.state.bytes, s.len())
	}
}

func TestEntriesThatCannotBeBound(t *testing.T) {
	for what, e := range map[string]Entry{
		"no reference":    {},
		"no object":       {Ref: refs.Ref{Endpoint: local, ID: refs.ID{Node: refs.NodeID{1}}}},
		"bad description": {Ref: entryOf(1).Ref, Description: []byte("nonsense")},
	} {
		for _, bind := range []func(context.Context, string, Entry) error{storeAt(local).Bind, storeAt(local).Rebind} {
			if err := bind(context.Background(), "x", e); rmi.KindOf(err) != rmi.KindInvalid {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

func TestAPublicRegistryRefusesLoopback(t *testing.T) {
	elsewhere := refs.Endpoint{Host: "bank.example", Port: 7}
	for _, c := range []struct {
		what     string
		registry refs.Endpoint
		ref      func(*refs.Ref)
		ok       bool
	}{
		{"both local", local, func(r *refs.Ref) {}, true},
		{"registry on a unix socket", refs.Endpoint{Host: "/run/x"}, func(r *refs.Ref) {}, true},
		{"registry on all addresses", refs.Endpoint{Port: 1099}, func(r *refs.Ref) {}, false},
		{"registry elsewhere", elsewhere, func(r *refs.Ref) {}, false},
		{"object on localhost", elsewhere, func(r *refs.Ref) { r.Host = "localhost" }, false},
		{"object on a unix socket", elsewhere, func(r *refs.Ref) { r.Endpoint = refs.Endpoint{Host: "/run/y"} }, false},
		{"object elsewhere", elsewhere, func(r *refs.Ref) { r.Host = "10.0.0.7" }, true},
		{"host filled in by the registry", elsewhere, func(r *refs.Ref) { r.Completed = true }, true},
		{"object relayed", elsewhere, func(r *refs.Ref) { r.Endpoint = refs.Endpoint{} }, true},
		{"object elsewhere, registry local", local, func(r *refs.Ref) { r.Host = "10.0.0.7" }, true},
	} {
		e := entryOf(7)
		c.ref(&e.Ref)
		err := storeAt(c.registry).Bind(context.Background(), "x", e)
		if c.ok != (err == nil) || !c.ok && (rmi.KindOf(err) != rmi.KindInvalid || !strings.Contains(err.Error(), "Options.Advertise")) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestPages(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	bind := func(name string) {
		if err := s.Bind(ctx, name, entryOf(7)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2500 {
		bind(fmt.Sprintf("m/%04d", i))
	}
	for _, name := range []string{"a", "bank", "bank/alice", "bank/bob", "bankrupt", "z"} {
		bind(name)
	}
	for _, c := range []struct {
		prefix, after string
		limit         int
		first, last   string
		count         int
		more          bool
	}{
		{"", "", 0, "a", "m/0094", 100, true},
		{"", "", -1, "a", "m/0094", 100, true},
		{"", "", 3, "a", "bank/alice", 3, true},
		{"bank", "", 0, "bank", "bankrupt", 4, false},
		{"bank/", "", 0, "bank/alice", "bank/bob", 2, false},
		{"bank/", "", 1, "bank/alice", "bank/alice", 1, true},
		{"bank/", "bank/alice", 1, "bank/bob", "bank/bob", 1, false},
		{"bank/", "bank/b", 5, "bank/bob", "bank/bob", 1, false}, // removed meanwhile
		{"bank/", "a", 5, "bank/alice", "bank/bob", 2, false},
		{"bank/", "bank/bob", 5, "", "", 0, false},
		{"bank/", "z", 5, "", "", 0, false},
		{"nobody", "", 5, "", "", 0, false},
		{"", "y", 5, "z", "z", 1, false},
		{"", "z", 5, "", "", 0, false},
		{"m/", "", 5000, "m/0000", "m/0999", 1000, true},
		{"m/", "m/1999", 1000, "m/2000", "m/2499", 500, false},
	} {
		p, err := s.List(ctx, c.prefix, c.after, c.limit)
		if err != nil {
			t.Fatal(err)
		}
		first, last := "", ""
		if n := len(p.Names); n > 0 {
			first, last = p.Names[0].Name, p.Names[n-1].Name
		}
		if first != c.first || last != c.last || len(p.Names) != c.count || p.More != c.more {
			t.Errorf("%q after %q, %d: got %q to %q (%d, more %v), want %q to %q (%d, more %v)",
				c.prefix, c.after, c.limit, first, last, len(p.Names), p.More, c.first, c.last, c.count, c.more)
		}
	}
}

func TestAPageOfLongNamesIsShort(t *testing.T) {
	ctx := context.Background()
	s := storeAt(local)
	e := entryOf(7)
	e.Ref.Interface.Name = strings.Repeat("i", 255)
	for i := range 300 {
		if err := s.Bind(ctx, strings.Repeat("x", 250)+fmt.Sprint(10000+i), e); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.List(ctx, "", "", maxPage)
	if err != nil || !p.More || len(p.Names) != maxPageBytes/(255+255) {
		t.Errorf("got %d names, more %v, %v", len(p.Names), p.More, err)
	}
}
