package rmi_test

import (
	"context"
	"errors"
	"gormi/refs"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"weak"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// bulk is an argument that is worth collecting.
type bulk struct {
	Text string
	Data [4096]byte
	More []*bulk
}

// bulks takes and returns them.
type bulks = func(ctx context.Context, b *bulk, data []byte) (*bulk, []byte, error)

// collected reports that all were collected. It ends when the test does.
func collected(t *testing.T, what string, left ...func() bool) {
	t.Helper()
	for ctx := duration(t, 20*time.Second); ctx.Err() == nil; runtime.Gosched() {
		runtime.GC()
		gone := true
		for _, l := range left {
			gone = gone && !l()
		}
		if gone {
			return
		}
	}
	t.Errorf("%s are still there", what)
}

// heldBy reports whether a weak pointer's value is there.
func heldBy[T any](p *T) func() bool {
	w := weak.Make(p)
	return func() bool { return w.Value() != nil }
}

// When a call is over, neither side holds what was passed and returned, though
// the session lives and its last slots keep their replies.
func TestProofLastArgumentsAreNotRetained(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
	}{{"small", 100}, {"in fragments", 300 << 10}} {
		t.Run(c.name, func(t *testing.T) {
			network := rmitest.New(t)
			owner, caller := network.Node(), network.Client()
			var servants []func() bool // what the servant had; the call orders its uses
			f := resolve[bulks](t, caller, export[bulks](t, owner, func(_ context.Context, b *bulk, data []byte) (*bulk, []byte, error) {
				result, bytes := &bulk{Text: b.Text, More: b.More}, append([]byte(nil), data...)
				servants = append(servants, heldBy(b), heldBy(b.More[0]), heldBy(&data[0]), heldBy(result), heldBy(&bytes[0]))
				return result, bytes, nil
			}, nil))
			var callers []func() bool
			func() { // its variables are gone when it returns
				b, data := &bulk{Text: "x", More: []*bulk{{Text: "y"}}}, make([]byte, c.size)
				result, bytes, err := f(within(t), b, data)
				if err != nil {
					t.Fatal(err)
				}
				if len(bytes) != c.size || result.More[0].Text != "y" {
					t.Fatal("something else came back")
				}
				callers = append(callers, heldBy(b), heldBy(b.More[0]), heldBy(&data[0]), heldBy(result), heldBy(&bytes[0]))
			}()
			collected(t, "the caller's arguments and results", callers...)
			collected(t, "the servant's arguments and results", servants...)
			if n := len(callers) + len(servants); n != 10 {
				t.Errorf("looked at %d values", n)
			}
			if caller.Sessions() != 1 {
				t.Error("the session is over: this proves nothing")
			}
			figure(t, "10 values of a call collected while its session lives")
			runtime.KeepAlive(f)
		})
	}
}

// A hundred rounds of exporting an object, calling it from several sides, and
// taking it back: each call runs once, or is told that the object is gone. The
// callers know it by its number only, so that no lease of theirs keeps it there.
func TestProofRapidExportAndUnexport(t *testing.T) {
	const rounds, callers = 100, 4
	network := rmitest.New(t)
	owner := network.Node()
	var clients []*rmi.Node
	for range callers {
		clients = append(clients, network.Client())
	}
	var ran ledger
	var told tally
	object := &worker{do: func(_ context.Context, id int64) (int64, error) {
		ran.enter(id)
		return id, nil
	}}
	ctx := within(t)
	var ids atomic.Int64
	refused := 0
	for round := range rounds {
		h, err := rmi.Export[Worker](owner, object, &rmi.ExportOptions{Number: provenObject})
		if err != nil {
			t.Fatal(err)
		}
		r := refs.WellKnown(owner.Endpoint(), provenObject)
		var calling, first sync.WaitGroup
		first.Add(callers)
		for _, n := range clients {
			w := resolve[Worker](t, n, r)
			calling.Go(func() {
				for i := 0; ; i++ {
					id := ids.Add(1)
					_, err := w.Do(ctx, id)
					if told.note(id, err); i == 0 {
						first.Done()
					}
					if err != nil {
						if !errors.Is(err, rmi.KindNoSuchObject) || i == 0 {
							t.Errorf("round %d, call %d: %v", round, i, err)
						}
						return
					}
				}
			})
		}
		first.Wait()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		calling.Wait()
		if n := owner.Exports(); n != 0 {
			t.Fatalf("round %d: %d exports are left", round, n)
		}
		refused += callers
	}
	told.check(t, &ran)
	c := told.counts()
	if c.NotExecuted != refused || c.OK < rounds*callers {
		t.Errorf("%v", c)
	}
	figure(t, "%d rounds: %v", rounds, c)
}
