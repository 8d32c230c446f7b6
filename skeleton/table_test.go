package skeleton_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/fault"
	"gormi/skeleton"
)

func none(*skeleton.Export) {}

// table is a table that notes the exports that unheld is called with.
func table(limit int) (*skeleton.Table, *[]*skeleton.Export) {
	unheld := new([]*skeleton.Export)
	return skeleton.NewTable(limit, func(es []*skeleton.Export) { *unheld = append(*unheld, es...) }), unheld
}

func TestAnExportLivesWhileSomebodyHoldsIt(t *testing.T) {
	all, unheld := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	must := func(e *skeleton.Export, err error) *skeleton.Export {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	made := 0
	e := must(all.Pin(i, v, 0, func(*skeleton.Export) { made++ }, nil))
	if again := must(all.Pin(i, v, 0, func(*skeleton.Export) { made++ }, nil)); again != e || made != 1 {
		t.Error("a pointer exported twice is two objects")
	}
	if e.Num < refs.ReservedObjects || all.Get(e.Num) != e || all.Len() != 1 {
		t.Errorf("it is number %d of %d", uint64(e.Num), all.Len())
	}
	if other := must(all.Pin(described[Wide](t), v, 0, none, nil)); other == e || other.Num == e.Num {
		t.Error("as another interface it is the same object")
	} else {
		all.Unpin(other)
	}
	if held := must(all.Hold(i, v, "a", none)); held != e {
		t.Error("passed, it is another object")
	}
	all.Give(e.Num, "b")
	all.Unpin(e)
	all.Unpin(e)
	all.Take("a", lease.Count{Object: e.Num, N: 1})
	if all.Get(e.Num) != e || len(*unheld) != 0 {
		t.Error("it is gone while b holds it")
	}
	all.Gone("b", time.Now())
	if all.Get(e.Num) != nil || all.Len() != 0 || !slices.Equal(*unheld, []*skeleton.Export{e}) {
		t.Errorf("it is left: %d exports; told: %v", all.Len(), *unheld)
	}
	if again := must(all.Pin(i, v, 0, none, nil)); again == e || again.Num == e.Num {
		t.Error("exported again, it is what it was")
	}
	// A func is a new object each time.
	f := reflect.ValueOf(func(context.Context) error { return nil })
	j := described[func(context.Context) error](t)
	if once := must(all.Pin(j, f, 0, none, nil)); once == must(all.Pin(j, f, 0, none, nil)) {
		t.Error("a func exported twice is one object")
	}
}

func TestTheTableIsBounded(t *testing.T) {
	all, _ := table(2)
	i := described[Open](t)
	var first *skeleton.Export
	for n := range 2 {
		e, err := all.Pin(i, reflect.ValueOf(&servant{wiped: n}), refs.ObjNum(10*n), none, nil) // 0: any
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			first = e
		}
	}
	for _, pin := range []func(v reflect.Value) error{
		func(v reflect.Value) error { _, err := all.Pin(i, v, 0, none, nil); return err },
		func(v reflect.Value) error { _, err := all.Hold(i, v, "a", none); return err },
	} {
		if err := pin(reflect.ValueOf(&servant{})); !errors.Is(err, fault.KindOverloaded) {
			t.Errorf("the third of two: %v", err)
		}
	}
	all.Unpin(first)
	if _, err := all.Pin(i, reflect.ValueOf(&servant{}), 10, none, nil); !errors.Is(err, fault.KindAlreadyBound) {
		t.Errorf("a number that is taken: %v", err)
	}
	if _, err := all.Pin(i, reflect.ValueOf(&servant{}), 11, none, nil); err != nil {
		t.Errorf("after one went: %v", err)
	}
}

// The func again decides what a second export of an object does. It learns whether somebody may
// have called the object.
func TestAnExportIsReplacedWithoutANewNumber(t *testing.T) {
	all, _ := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	old, err := all.Pin(i, v, 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	var told []bool
	again := func(x *skeleton.Export, err error) skeleton.Again {
		return func(found *skeleton.Export, known bool) (*skeleton.Export, error) {
			told = append(told, known)
			return x, err
		}
	}
	no := errors.New("no")
	if _, err := all.Pin(i, v, 0, none, again(nil, no)); err != no {
		t.Errorf("refused: %v", err)
	}
	x := &skeleton.Export{Skeleton: skeleton.New(i, v), Extra: "new"}
	if got, err := all.Pin(i, v, 0, none, again(x, nil)); err != nil || got != x || x.Num != old.Num || all.Get(old.Num) != x || all.Len() != 1 {
		t.Errorf("replaced by %v, %v", got, err)
	}
	if all.Known(old) != x {
		t.Error("the old export leads to the old one")
	}
	if got, err := all.Pin(i, v, 0, none, again(nil, nil)); got != x || err != nil {
		t.Errorf("found: %v, %v", got, err)
	}
	if !slices.Equal(told, []bool{false, false, true}) {
		t.Errorf("known: %v", told)
	}
	all.Unpin(old)
	all.Unpin(x)
	if all.Get(old.Num) != x {
		t.Error("gone, with a handle of three")
	}
	all.Unpin(old)
	if all.Get(old.Num) != nil || all.Len() != 0 {
		t.Error("it is left")
	}
	// Passed in a call, or under a well-known number, an object is known from the start.
	for name, export := range map[string]func(v reflect.Value) (*skeleton.Export, error){
		"passed":     func(v reflect.Value) (*skeleton.Export, error) { return all.Hold(i, v, "a", none) },
		"well known": func(v reflect.Value) (*skeleton.Export, error) { return all.Pin(i, v, 7, none, nil) },
	} {
		told = nil
		v := reflect.ValueOf(&servant{})
		e, err := export(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := all.Pin(i, v, 0, none, again(nil, nil)); err != nil || got != e || !slices.Equal(told, []bool{true}) {
			t.Errorf("%s: %v, known: %v", name, err, told)
		}
	}
}

// An object has one number: what is exported again under a well-known one, before anybody
// can know it, moves there.
func TestAnExportMovesToItsWellKnownNumber(t *testing.T) {
	all, _ := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	old, err := all.Pin(i, v, 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	to := func(num refs.ObjNum) (*skeleton.Export, error) {
		return all.Pin(i, v, num, none, func(*skeleton.Export, bool) (*skeleton.Export, error) {
			return &skeleton.Export{Skeleton: skeleton.New(i, v), Num: num}, nil
		})
	}
	other, err := all.Pin(i, reflect.ValueOf(&servant{}), 8, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := to(8); !errors.Is(err, fault.KindAlreadyBound) || all.Get(8) != other || all.Get(old.Num) != old {
		t.Errorf("moved to another object's number: %v", err)
	}
	e, err := to(7)
	if err != nil || e.Num != 7 || all.Get(7) != e || all.Get(old.Num) != nil || all.Len() != 2 {
		t.Fatalf("moved: %v, %v", e, err)
	}
	all.Unpin(old)
	all.Unpin(e)
	if all.Get(7) != nil || all.Len() != 1 {
		t.Error("it is left")
	}
}

func TestARevokedExportIsNobodys(t *testing.T) {
	all, unheld := table(10)
	i, v := described[Open](t), reflect.ValueOf(&servant{})
	e, err := all.Hold(i, v, "a", none)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := all.Pin(i, v, 0, none, nil); err != nil {
		t.Fatal(err)
	}
	all.Revoke(e)
	all.Revoke(e)
	if all.Get(e.Num) != nil || all.Len() != 0 {
		t.Errorf("it is there, among %d", all.Len())
	}
	if missing := all.Register("b", []refs.ObjNum{e.Num}); !slices.Equal(missing, []uint32{0}) {
		t.Errorf("it can be taken over: %v", missing)
	}
	next, err := all.Pin(i, v, 0, none, nil)
	if err != nil || next.Num == e.Num {
		t.Errorf("exported anew: %v", err)
	}
	all.Unpin(e)
	all.Take("a", lease.Count{Object: e.Num, N: 1})
	if all.Get(next.Num) != next || all.Len() != 1 || len(*unheld) != 0 {
		t.Error("what is left of the old one takes the new one away")
	}
}

func TestObjectsOfTheNodeItselfCountForNothing(t *testing.T) {
	all, _ := table(1)
	i := described[Open](t)
	all.System(i, reflect.ValueOf(&servant{}), refs.LeaseObject, nil)
	if all.Get(refs.LeaseObject) == nil || all.Len() != 0 || len(all.All()) != 0 {
		t.Error("it is counted, or not there")
	}
	if missing := all.Register("a", []refs.ObjNum{refs.LeaseObject}); len(missing) != 1 {
		t.Error("it can be held")
	}
	all.Give(refs.LeaseObject, "a")
	all.Take("a", lease.Count{Object: refs.LeaseObject, N: 1})
	if all.Get(refs.LeaseObject) == nil {
		t.Error("it was collected")
	}
	e, err := all.Pin(i, reflect.ValueOf(&servant{}), 0, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := all.All(); len(got) != 1 || got[0].Export != e || got[0].Handles != 1 {
		t.Errorf("listed: %+v", got)
	}
	all.Clear()
	if all.Get(e.Num) != nil || all.Get(refs.LeaseObject) != nil || all.Len() != 0 {
		t.Error("something is left")
	}
}
