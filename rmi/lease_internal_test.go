package rmi

import (
	"context"
	"reflect"
	"testing"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/codec"
	"gormi/rmi/transport"
	"gormi/rmi/wire"
)

// pair is an owner that gave its caller a reference, and the session at both ends.
type pair struct {
	owner, caller *Node
	of, to        *transport.Session // the owner's end and the caller's
	f             func(context.Context) error
	object        refs.ObjNum
}

func newPair(t *testing.T) *pair {
	t.Helper()
	owner, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { owner.Close() })
	caller := NewNode(nil)
	t.Cleanup(func() { caller.Close() })
	p := &pair{owner: owner, caller: caller}
	h, err := Export(owner, func(context.Context) (func(context.Context) error, error) {
		return func(context.Context) error { return nil }, nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	get, err := Resolve[func(context.Context) (func(context.Context) error, error)](caller, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if p.f, err = get(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.of, p.to = owner.transport.Live(caller.ID()), caller.transport.Live(owner.ID())
	r, _ := RefOf(p.f)
	p.object = r.Object
	return p
}

func (p *pair) granted(s *transport.Session, n refs.ObjNum) uint32 {
	for _, e := range p.owner.exports.All() {
		for _, g := range e.Holders {
			if e.Num == n && g.To == any(s) {
				return g.Count
			}
		}
	}
	return 0
}

func (p *pair) tell(t *testing.T, method string, args ...any) []uint32 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := p.caller.leases.call(ctx, p.to, method, args...)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		return nil
	}
	return out[0].Interface().([]uint32)
}

// What a peer may say about leases, true or not.
func TestHostileLeases(t *testing.T) {
	p := newPair(t)
	const none = refs.ObjNum(1 << 40)
	missing := p.tell(t, "Dirty", uint64(1000), []refs.ObjNum{none, p.object, refs.RegistryObject, refs.LeaseObject})
	if !reflect.DeepEqual(missing, []uint32{0, 2, 3}) {
		t.Errorf("missing: %v", missing)
	}
	if n := p.granted(p.of, p.object); n != 2 {
		t.Fatalf("%d references, want the one given and the one registered", n)
	}
	// The same batch again, and an earlier one: neither counts, the first has its answer again.
	if again := p.tell(t, "Dirty", uint64(1000), []refs.ObjNum{none, p.object, 1, 2}); !reflect.DeepEqual(again, missing) {
		t.Errorf("the second time: %v", again)
	}
	p.tell(t, "Clean", uint64(999), []lease.Count{{Object: p.object, N: 1000}}, []lease.CountOf(nil))
	if n := p.granted(p.of, p.object); n != 2 {
		t.Errorf("%d references after batches that were there before", n)
	}
	// Another holder is not touched by what the peer gives back too much.
	other := NewNode(nil)
	defer other.Close()
	if missing := p.owner.exports.Register(other, []refs.ObjNum{p.object}); missing != nil {
		t.Fatal(missing)
	}
	p.tell(t, "Clean", uint64(1001), []lease.Count{{Object: p.object, N: 1 << 31}, {Object: p.object, N: 1}, {Object: none, N: 1}, {Object: refs.LeaseObject, N: 9}},
		[]lease.CountOf{{Number: none, N: 7}, {Node: p.owner.ID(), Number: p.object, N: 7}})
	if n := p.granted(p.of, p.object); n != 0 {
		t.Errorf("%d references after all were given back", n)
	}
	if err := p.f(t.Context()); err != nil {
		t.Errorf("the other holder lost it: %v", err)
	}
	p.tell(t, "Linger", []refs.ObjNum{none, p.object, p.object}, []lease.Object{{Number: none}})
	p.owner.exports.Take(other, lease.Count{Object: p.object, N: 1})
	if err := p.f(t.Context()); KindOf(err) != KindNoSuchObject {
		t.Errorf("after the last was given back: %v", err)
	}
	if err := (leaseObject{p.owner}).Clean(t.Context(), 1, nil, nil); err == nil {
		t.Error("a call that came on no session was taken in")
	}
}

// The table of a frame that nobody decodes is counted and given back.
func TestDroppedTablesAreGivenBack(t *testing.T) {
	p := newPair(t)
	h, err := Export(p.owner, func(context.Context) error { return nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	table, err := wire.AppendTable(nil, []refs.Ref{p.owner.give(h.Ref(), p.of)})
	if err != nil {
		t.Fatal(err)
	}
	if p.granted(p.of, h.Ref().Object) != 1 {
		t.Fatal("it does not count")
	}
	p.caller.tableDropped(p.to, 1, table)
	p.caller.tableDropped(p.to, 1, table[:5]) // malformed: no table
	for p.granted(p.of, h.Ref().Object) != 0 {
		<-time.After(time.Millisecond)
	}
}

// What could not be sent counts for nothing.
func TestUnsentReferencesAreTakenBack(t *testing.T) {
	p := newPair(t)
	f := func(context.Context) error { return nil }
	i, err := codec.InterfaceOf(reflect.TypeFor[func(context.Context, []func(context.Context) error, any) error]())
	if err != nil {
		t.Fatal(err)
	}
	before := p.caller.exports.Len()
	enc := codec.NewEncoder(sideOf(p.to), &p.caller.limits)
	list := []func(context.Context) error{f, p.f, p.f, p.f}
	var bad any = make(chan int)
	if err := i.Methods[0].EncodeArgs(enc, []reflect.Value{reflect.ValueOf(list), reflect.ValueOf(&bad).Elem()}); err == nil {
		t.Fatal("a channel travels")
	}
	if len(enc.Refs()) != 2 || p.caller.exports.Len() != before+1 {
		t.Errorf("%d references, %d exports", len(enc.Refs()), p.caller.exports.Len())
	}
	for _, h := range p.caller.leases.table.All() {
		if h.Ref.Object == p.object && (len(h.Handed) != 1 || h.Handed[0].Count != 1) { // once for its entry in the table
			t.Errorf("handed on: %v", h.Handed)
		}
	}
	p.caller.ungive(p.to, enc.Refs()...)
	enc.Release()
	if n := p.caller.exports.Len(); n != before {
		t.Errorf("%d exports are left", n-before)
	}
	for _, h := range p.caller.leases.table.All() {
		if len(h.Handed) > 0 {
			t.Errorf("%v is handed on", h.Ref)
		}
	}
}

// A holder whose connection to the middle is lost looks for the owner.
func TestACutHasOwnersFound(t *testing.T) {
	p := newPair(t) // owner, and the node in the middle
	third := NewNode(nil)
	defer third.Close()
	if _, err := p.caller.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h, err := Export(p.caller, func(context.Context) (func(context.Context) error, error) { return p.f, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	get, err := Resolve[func(context.Context) (func(context.Context) error, error)](third, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	f, err := get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	third.sessionCut(third.transport.Live(p.caller.ID()))
	for {
		if s := p.owner.transport.Live(third.ID()); s != nil && p.granted(s, p.object) == 1 {
			break
		}
		<-time.After(time.Millisecond)
	}
	for { // and the one in the middle is free of it
		left := 0
		for _, x := range p.caller.leases.table.All() {
			left += len(x.Handed)
		}
		if left == 0 {
			break
		}
		<-time.After(time.Millisecond)
	}
	if err := Release(p.f); err != nil {
		t.Error(err)
	}
	for p.granted(p.of, p.object) != 0 {
		<-time.After(time.Millisecond)
	}
	if err := f(t.Context()); err != nil {
		t.Errorf("the third node lost it: %v", err)
	}
}
