package rmi_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

// Func is a remote function.
type Func func(ctx context.Context, n int64) (int64, error)

// Worker is the remote interface of most tests.
type Worker interface {
	Do(ctx context.Context, n int64) (int64, error)
	Sum(ctx context.Context, first int64, more ...int64) (int64, error)
	Bytes(ctx context.Context, b []byte) ([]byte, error)
	Meet(ctx context.Context, w Worker) (Worker, error)
	Apply(ctx context.Context, f func(ctx context.Context, n int64) (int64, error), n int64) (int64, error)
	Visit(ctx context.Context, v Visit) (Visit, error)
	Refer(ctx context.Context, r refs.Ref) (refs.Ref, error)
}

// Visit is data with remote values inside.
type Visit struct {
	Name   string
	Host   Worker
	Guests []Worker
	Tell   func(ctx context.Context, n int64) (int64, error)
	By     map[string]Worker
	Past   *Visit
}

// worker is a Worker whose methods are the test's; a nil one does what its name says.
type worker struct {
	do    func(ctx context.Context, n int64) (int64, error)
	bytes func(ctx context.Context, b []byte) ([]byte, error)
	meet  func(ctx context.Context, w Worker) (Worker, error)
	apply func(ctx context.Context, f Func, n int64) (int64, error)
	visit func(ctx context.Context, v Visit) (Visit, error)
	refer func(ctx context.Context, r refs.Ref) (refs.Ref, error)
}

var _ Worker = (*worker)(nil)

func (w *worker) Do(ctx context.Context, n int64) (int64, error) {
	if w.do != nil {
		return w.do(ctx, n)
	}
	return n, nil
}

func (w *worker) Sum(_ context.Context, first int64, more ...int64) (int64, error) {
	for _, n := range more {
		first += n
	}
	return first, nil
}

func (w *worker) Bytes(ctx context.Context, b []byte) ([]byte, error) {
	if w.bytes != nil {
		return w.bytes(ctx, b)
	}
	return slices.Clone(b), nil
}

func (w *worker) Meet(ctx context.Context, other Worker) (Worker, error) {
	if w.meet != nil {
		return w.meet(ctx, other)
	}
	return other, nil
}

func (w *worker) Apply(ctx context.Context, f func(context.Context, int64) (int64, error), n int64) (int64, error) {
	if w.apply != nil {
		return w.apply(ctx, f, n)
	}
	return f(ctx, n)
}

func (w *worker) Visit(ctx context.Context, v Visit) (Visit, error) {
	if w.visit != nil {
		return w.visit(ctx, v)
	}
	return v, nil
}

func (w *worker) Refer(ctx context.Context, r refs.Ref) (refs.Ref, error) {
	if w.refer != nil {
		return w.refer(ctx, r)
	}
	return r, nil
}

// export exports v and returns its reference.
func export[T any](t testing.TB, n *rmi.Node, v T, o *rmi.ExportOptions) refs.Ref {
	t.Helper()
	h, err := rmi.Export(n, v, o)
	if err != nil {
		t.Fatal(err)
	}
	return h.Ref()
}

// resolve returns what stands for r on n.
func resolve[T any](t testing.TB, n *rmi.Node, r refs.Ref) T {
	t.Helper()
	v, err := rmi.Resolve[T](n, r, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// hire exports w on owner and returns caller's proxy of it.
func hire(t testing.TB, owner, caller *rmi.Node, w Worker) Worker {
	t.Helper()
	return resolve[Worker](t, caller, export(t, owner, w, nil))
}

// within bounds what a test waits for; it ends far later than any good run.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// receive takes from c, and fails the test if nothing comes.
func receive[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(time.Minute):
		t.Fatal("nothing came in a minute")
		panic("not reached")
	}
}

// expect is what an error must be.
type expect struct {
	kind    rmi.Kind
	outcome rmi.Outcome
	is      error // nil: nothing more
}

func (e expect) check(t testing.TB, err error) {
	t.Helper()
	switch {
	case err == nil:
		t.Errorf("no error, want %v", e.kind)
	case rmi.KindOf(err) != e.kind || !errors.Is(err, e.kind):
		t.Errorf("kind %v, want %v: %v", rmi.KindOf(err), e.kind, err)
	case rmi.OutcomeOf(err) != e.outcome:
		t.Errorf("outcome %v, want %v: %v", rmi.OutcomeOf(err), e.outcome, err)
	case e.is != nil && !errors.Is(err, e.is):
		t.Errorf("the error is not %v: %v", e.is, err)
	}
}
