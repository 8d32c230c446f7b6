package rmi_test

import (
	"context"
	"runtime"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// References with a well-known number that is used again are equal. So whoever held the object that
// was revoked calls and holds the one that took its place.
func TestAWellKnownNumberThatIsUsedAgain(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	first, err := rmi.Export[Worker](owner, &worker{}, &rmi.ExportOptions{Number: 77})
	if err != nil {
		t.Fatal(err)
	}
	w := resolve[Worker](t, caller, hold(t, owner, caller, first.Ref()))
	if _, err := w.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	if err := first.Revoke(); err != nil {
		t.Fatal(err)
	}
	_, err = w.Do(within(t), 1)
	expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
	second, err := rmi.Export[Worker](owner, &worker{do: func(_ context.Context, n int64) (int64, error) { return -n, nil }}, &rmi.ExportOptions{Number: 77})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Do(within(t), 1); n != -1 || err != nil {
		t.Errorf("the second object: %d, %v", n, err)
	}
	rmi.Release(w)
	for owner.Exports() > 1 { // the one that gave the reference stays
		runtime.Gosched()
	}
}

// hold has the caller be given a reference by the owner, which counts it.
func hold(t *testing.T, owner, caller *rmi.Node, r refs.Ref) refs.Ref {
	t.Helper()
	got, err := hire(t, owner, caller, &worker{refer: func(context.Context, refs.Ref) (refs.Ref, error) { return r, nil }}).Refer(within(t), refs.Ref{})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// A following proxy of the node's own object does not keep it exported.
func TestAFollowingProxyDoesNotHoldTheNodesOwnObject(t *testing.T) {
	network := rmitest.New(t)
	n := network.Node()
	h, err := rmi.Export[Worker](n, &worker{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	gone := rmi.KindNoSuchMethod // a kind that no refresh mends
	w, err := rmi.ResolveWith[Worker](n, h.Ref(), nil, func(_ context.Context, _ refs.Ref, cause error) (refs.Ref, error) {
		if rmi.KindOf(cause) != rmi.KindNoSuchObject {
			t.Errorf("the cause is %v", cause)
		}
		return refs.Ref{}, &rmi.Error{Kind: gone, Msg: "no other"}
	})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := w.Do(within(t), 3); k != 3 || err != nil {
		t.Errorf("%d, %v", k, err)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Do(within(t), 3); rmi.KindOf(err) != gone {
		t.Errorf("after the handle was closed: %v", err)
	}
	if n.Exports() != 0 {
		t.Errorf("%d exports", n.Exports())
	}
}
