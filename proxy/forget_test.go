package proxy

import (
	"context"
	"reflect"
	"runtime"
	"testing"

	"gormi/refs"
	"gormi/rmi/codec"
)

// A cleanup may run when the next proxy of the same reference, or the next func at the
// same address, is in the table already.
func TestWhatACollectedProxyLeavesBehindDoesNotTakeTheNextOut(t *testing.T) {
	var all Table
	i, err := codec.InterfaceOf(reflect.TypeFor[func(context.Context) error]())
	if err != nil {
		t.Fatal(err)
	}
	r := refs.Ref{ID: refs.ID{Node: refs.NodeID{1}, Time: 1, Object: refs.NewObjNum()}}
	next, err := all.Get(r, i, nil)
	if err != nil {
		t.Fatal(err)
	}
	all.forget(keyOf(r, i.Type), uintptr(next.fn), new(hold))
	if all.Len() != 1 || all.CoreOf(next.Value()) != next {
		t.Errorf("it is out, among %d", all.Len())
	}
	runtime.KeepAlive(next)
}
