package rmi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"gormi/refs"
	"reflect"
	"strings"
	"sync"
	"testing"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// Doer is a part of Worker.
type Doer interface {
	Do(ctx context.Context, n int64) (int64, error)
}

// Wrong calls Do with another type.
type Wrong interface {
	Do(ctx context.Context, text string) (int64, error)
}

// WorkerFuncs is a part of Worker as a struct of funcs.
type WorkerFuncs struct {
	Do    func(ctx context.Context, n int64) (int64, error)
	Sum   func(ctx context.Context, first int64, more ...int64) (int64, error)
	Bytes func(ctx context.Context, b []byte) ([]byte, error)
}

func TestACallReturnsWhatTheMethodReturns(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	r := export[Worker](t, owner, &worker{}, nil)
	w, funcs := resolve[Worker](t, caller, r), resolve[WorkerFuncs](t, caller, r)
	double := resolve[Func](t, caller, export[Func](t, owner, func(_ context.Context, n int64) (int64, error) { return 2 * n, nil }, nil))
	ctx := within(t)

	invoke := func(method string, args ...any) (any, error) {
		out, err := caller.Invoke(ctx, r, method, args...)
		if err != nil {
			return nil, err
		}
		if len(out) != 1 {
			return nil, fmt.Errorf("%d results", len(out))
		}
		return out[0], nil
	}
	for _, c := range []struct {
		name string
		call func() (any, error)
		want any
	}{
		{"interface", func() (any, error) { return w.Do(ctx, 7) }, int64(7)},
		{"interface, negative", func() (any, error) { return w.Do(ctx, -1<<63) }, int64(-1 << 63)},
		{"variadic, none", func() (any, error) { return w.Sum(ctx, 1) }, int64(1)},
		{"variadic, one", func() (any, error) { return w.Sum(ctx, 1, 2) }, int64(3)},
		{"variadic, many", func() (any, error) { return w.Sum(ctx, 1, 2, 3, 4) }, int64(10)},
		{"variadic, a slice", func() (any, error) { return w.Sum(ctx, 1, []int64{5, 6}...) }, int64(12)},
		{"bytes", func() (any, error) { return w.Bytes(ctx, []byte("abc")) }, []byte("abc")},
		{"no bytes", func() (any, error) { return w.Bytes(ctx, []byte{}) }, []byte{}},
		{"a method value", func() (any, error) { f := w.Do; return f(ctx, 8) }, int64(8)},
		{"a method expression", func() (any, error) { return Worker.Do(w, ctx, 9) }, int64(9)},
		{"a smaller interface", func() (any, error) { var d Doer = w; return d.Do(ctx, 10) }, int64(10)},
		{"any and back", func() (any, error) { var x any = w; return x.(Worker).Do(ctx, 11) }, int64(11)},
		{"reflect", func() (any, error) {
			out := reflect.ValueOf(w).MethodByName("Do").Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(int64(12))})
			err, _ := out[1].Interface().(error)
			return out[0].Interface(), err
		}, int64(12)},
		{"struct of funcs", func() (any, error) { return funcs.Do(ctx, 13) }, int64(13)},
		{"struct of funcs, variadic", func() (any, error) { return funcs.Sum(ctx, 1, 2, 3) }, int64(6)},
		{"func", func() (any, error) { return double(ctx, 21) }, int64(42)},
		{"by name", func() (any, error) { return invoke("Do", 14) }, int64(14)},
		{"by name, variadic", func() (any, error) { return invoke("Sum", 1, []int64{2, 3}) }, int64(6)},
		{"by name, bytes", func() (any, error) { return invoke("Bytes", []byte("xyz")) }, []byte("xyz")},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := c.call()
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}

func TestAPayloadOfEachSizeArrivesAsItWas(t *testing.T) {
	overCarriers(t, aPayloadOfEachSizeArrivesAsItWas)
}

func aPayloadOfEachSizeArrivesAsItWas(t *testing.T, network carrier) {
	w := hire(t, network.Node(), network.Client(), &worker{})
	for _, size := range []int{1, 255, 1 << 10, 32<<10 - 8, 32<<10 - 7, 32 << 10, 32<<10 + 1, 64 << 10, 65<<10 + 1, 1 << 20, 3 << 20} {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(i * 7 >> 3)
		}
		got, err := w.Bytes(within(t), b)
		if err != nil || !bytes.Equal(got, b) {
			t.Errorf("%d bytes: got %d, %v", size, len(got), err)
		}
	}
}

func TestManyCallersShareAConnection(t *testing.T) { overCarriers(t, manyCallersShareAConnection) }

func manyCallersShareAConnection(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{})
	ctx := within(t)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			for j := range 100 {
				n := int64(i*1000 + j)
				if got, err := w.Do(ctx, n); got != n || err != nil {
					t.Errorf("got %d, %v, want %d", got, err, n)
					return
				}
			}
		})
	}
	wg.Wait()
	if owner.Sessions() != 1 || caller.Sessions() != 1 {
		t.Errorf("%d and %d sessions", owner.Sessions(), caller.Sessions())
	}
}

func TestOneContextlessMistakeIsAnError(t *testing.T) {
	overCarriers(t, oneContextlessMistakeIsAnError)
}

func oneContextlessMistakeIsAnError(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	r := export[Worker](t, owner, &worker{}, nil)
	var none context.Context
	_, err := resolve[Worker](t, caller, r).Do(none, 1)
	expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
	_, err = resolve[WorkerFuncs](t, caller, r).Do(none, 1)
	expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
}

func TestWhatCannotBeExportedIsRefused(t *testing.T) {
	network := rmitest.New(t)
	owner, other := network.Node(), network.Node()
	r := export[Worker](t, owner, &worker{}, nil)
	for _, c := range []struct {
		name   string
		export func() error
		text   string
	}{
		{"nil", func() error { _, err := rmi.Export[Worker](owner, nil, nil); return err }, "nil"},
		{"a nil pointer", func() error { _, err := rmi.Export[Worker](owner, (*worker)(nil), nil); return err }, "nil"},
		{"a nil func", func() error { _, err := rmi.Export[Func](owner, nil, nil); return err }, "nil"},
		{"no interface named", func() error { _, err := rmi.Export(owner, &worker{}, nil); return err }, "[Account]"},
		{"a proxy", func() error {
			_, err := rmi.Export(other, resolve[Worker](t, other, r), nil)
			return err
		}, "proxy"},
		{"a number that is no well-known one", func() error {
			_, err := rmi.Export[Worker](owner, &worker{}, &rmi.ExportOptions{Number: 1 << 16})
			return err
		}, "65536"},
		{"an interface with a channel", func() error {
			_, err := rmi.Export[chanWorker](owner, &chanServant{}, nil)
			return err
		}, "channels cannot travel"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := c.export()
			expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
			if err != nil && !strings.Contains(err.Error(), c.text) {
				t.Errorf("the text does not say %q: %v", c.text, err)
			}
		})
	}

	if _, err := rmi.Export[Worker](owner, &worker{}, &rmi.ExportOptions{Number: 7}); err != nil {
		t.Fatal(err)
	}
	_, err := rmi.Export[Worker](owner, &worker{}, &rmi.ExportOptions{Number: 7})
	expect{rmi.KindAlreadyBound, rmi.OutcomeNotExecuted, nil}.check(t, err)
}

type chanWorker interface {
	Feed(ctx context.Context, c chan int) error
}

type chanServant struct{}

func (*chanServant) Feed(context.Context, chan int) error { return nil }

func TestAWellKnownObjectIsFoundByItsAddress(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Number: 7})
	w := resolve[Worker](t, caller, refs.WellKnown(owner.Endpoint(), 7))
	if n, err := w.Do(within(t), 5); n != 5 || err != nil {
		t.Fatal(n, err)
	}
	// A restarted owner is as good as the old one.
	owner = network.Restart(owner, nil)
	export[Worker](t, owner, &worker{}, &rmi.ExportOptions{Number: 7})
	if n, err := redo(within(t), w, 6); n != 6 || err != nil {
		t.Fatal(n, err)
	}
}

// redo calls until the caller has noticed that an old connection is over.
func redo(ctx context.Context, w Doer, n int64) (int64, error) {
	for {
		m, err := w.Do(ctx, n)
		if err == nil || !errors.Is(err, rmi.KindPeerGone) {
			return m, err
		}
	}
}

func TestAnObjectIsSeenAsAnotherOfItsInterfaces(t *testing.T) {
	overCarriers(t, anObjectIsSeenAsAnotherOfItsInterfaces)
}

func anObjectIsSeenAsAnotherOfItsInterfaces(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	w := hire(t, owner, caller, &worker{})
	d, err := rmi.As[Doer](within(t), w)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := d.Do(within(t), 3); n != 3 || err != nil {
		t.Error(n, err)
	}
	_, err = rmi.As[Wrong](within(t), w)
	expect{rmi.KindMismatch, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if _, err = rmi.As[Wrong](within(t), &worker{}); !errors.Is(err, rmi.KindMismatch) {
		t.Errorf("a local value as another interface: %v", err)
	}
	if d, err := rmi.As[Doer](within(t), &worker{}); err != nil || d == nil {
		t.Errorf("a local value as its own interface: %v", err)
	}
}

func TestAClosedHandleTakesTheObjectBack(t *testing.T) {
	overCarriers(t, aClosedHandleTakesTheObjectBack)
}

func aClosedHandleTakesTheObjectBack(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	before := owner.Exports()
	v := &worker{}
	first, err := rmi.Export[Worker](owner, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	second, err := rmi.Export[Worker](owner, v, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Ref() != second.Ref() || first.Value() != Worker(v) {
		t.Error("a pointer exported twice is not one object")
	}
	w := resolve[Worker](t, caller, first.Ref())
	for range 2 { // a second Close does nothing
		if err := first.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := w.Do(within(t), 1); err != nil {
		t.Errorf("with one of two handles closed: %v", err)
	}
	second.Close()
	_, err = w.Do(within(t), 1)
	expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if n := owner.Exports() - before; n != 0 {
		t.Errorf("%d exports are left", n)
	}
}
