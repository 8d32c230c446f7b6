package rmi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/chaos"
)

// forwarder returns a forwarder over TCP that is closed with the test, after
// the nodes that are made later.
func forwarder(t *testing.T) *chaos.Forwarder {
	t.Helper()
	f, err := chaos.Listen(chaos.TCP{}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	return f
}

// behind returns a node that listens on loopback and says that it does where f
// listens, which passes connections on to it.
func behind(t *testing.T, f *chaos.Forwarder) *rmi.Node {
	t.Helper()
	n := quiet(t, &rmi.Options{Advertise: f.Addr()})
	at, err := n.Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.To(at.String())
	return n
}

// quiet is client, but for the log: connections are lost by the hundred, and
// only the last lines are shown, if the test fails.
func quiet(t *testing.T, o *rmi.Options) *rmi.Node {
	t.Helper()
	last := new(lastLines)
	o.Logger = slog.New(slog.NewTextHandler(last, &slog.HandlerOptions{Level: slog.LevelDebug}))
	n := rmi.NewNode(o)
	t.Cleanup(func() {
		n.Close()
		if t.Failed() {
			t.Logf("the last that node %v logged:\n%s", n.ID(), last)
		}
	})
	return n
}

// lastLines keeps the last lines of a log, and those before the first session's end.
type lastLines struct {
	mu         sync.Mutex
	lines, end []string
}

func (l *lastLines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lines) == 20 {
		l.lines = l.lines[1:]
	}
	l.lines = append(l.lines, string(b))
	if l.end == nil && bytes.Contains(b, []byte("session ended")) {
		l.end, l.lines = l.lines, []string{"...\n"}
	}
	return len(b), nil
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.end, "") + strings.Join(l.lines, "")
}

// The connection is cut every 50 ms, at random bytes of both directions, while
// 64 workers make calls, large and small, with and without callbacks: each call
// runs once and its caller gets its result, as the session holds.
func TestProofCutConnections(t *testing.T) {
	for _, v := range []struct {
		name      string
		callbacks bool // the server calls back during calls
		listens   bool // the client listens too, behind a forwarder that cuts
		calls     int
	}{
		{"calls", false, false, 10_000},
		{"both ways", true, true, size(2_000, 10_000)},
	} {
		for seed := range uint64(size(1, 20)) {
			t.Run(fmt.Sprintf("%s, seed %d", v.name, seed), func(t *testing.T) {
				f := forwarder(t)
				owner := behind(t, f)
				caller, back := quiet(t, new(rmi.Options)), f
				if v.listens {
					back = forwarder(t)
					caller = behind(t, back)
				}
				throughStorm(t, owner, caller, []*chaos.Forwarder{f, back}, seed, v.calls, v.callbacks)
			})
		}
	}
}

func throughStorm(t *testing.T, owner, caller *rmi.Node, fs []*chaos.Forwarder, seed uint64, calls int, callbacks bool) {
	var there, here ledger // what ran at the owner, and at the caller when called back
	var answered tally     // what the owner was told of its callbacks
	w := hire(t, owner, caller, &worker{
		do: func(ctx context.Context, id int64) (int64, error) {
			there.enter(id)
			return id, work(ctx, time.Duration(id%40)*time.Millisecond)
		},
		bytes: func(ctx context.Context, b []byte) ([]byte, error) {
			there.enter(int64(binary.BigEndian.Uint64(b)))
			return bytes.Clone(b), work(ctx, time.Duration(len(b)%20)*time.Millisecond)
		},
		apply: func(ctx context.Context, f Func, id int64) (int64, error) {
			there.enter(id)
			n, err := f(ctx, id)
			if err == nil && n != -id {
				err = fmt.Errorf("the callback returned %d", n)
			}
			answered.note(id, err)
			return n, err
		},
	})
	ctx := duration(t, 3*time.Minute)
	if _, err := w.Sum(ctx, 1); err != nil { // there is a session before the first cut
		t.Fatal(err)
	}
	stormy, calm := context.WithCancel(ctx)
	var storm, workers sync.WaitGroup
	for i, f := range fs {
		if i == 0 || f != fs[0] {
			storm.Go(func() { f.Storm(stormy, seed+uint64(i)<<32, 50*time.Millisecond) })
		}
	}
	start := time.Now()
	var told tally
	var next atomic.Int64
	for c := range uint64(64) {
		workers.Go(func() {
			random := draw(seed, c)
			back := func(ctx context.Context, id int64) (int64, error) {
				here.enter(id)
				return -id, work(ctx, time.Duration(id%20)*time.Millisecond)
			}
			for id := next.Add(1); id <= int64(calls); id = next.Add(1) {
				told.note(id, oneCall(ctx, w, id, random.IntN(100), random.IntN(128<<10), callbacks, back))
			}
		})
	}
	workers.Wait()
	calm()
	storm.Wait()
	took := time.Since(start)

	told.check(t, &there)
	told.allOK(t)
	answered.check(t, &here)
	answered.allOK(t)
	a, b := owner.Stats(), caller.Stats()
	var cuts int64
	for i, f := range fs {
		if i == 0 || f != fs[0] {
			cuts += f.Cuts()
		}
	}
	figure(t, "%d calls in %v: %v; callbacks: %v; %d connections cut, %d resumed; duplicates: %d of calls that ran, %d answered from the kept replies",
		calls, took.Round(time.Millisecond), told.counts(), answered.counts(), cuts, b.Resumes, a.DuplicatesRunning+b.DuplicatesRunning, a.DuplicatesRetained+b.DuplicatesRetained)
	for what, n := range map[string]int64{
		"connection was cut":                      cuts,
		"resume happened at the owner":            a.Resumes,
		"resume happened at the caller":           b.Resumes,
		"call that ran arrived again":             a.DuplicatesRunning,
		"call was answered from the kept replies": a.DuplicatesRetained,
	} {
		if n == 0 {
			t.Errorf("no %s: this proves nothing", what)
		}
	}
	if callbacks && b.DuplicatesRunning+b.DuplicatesRetained == 0 {
		t.Error("no callback arrived again: this proves nothing of them")
	}
	if a.Sessions != 1 || b.Sessions != 1 {
		t.Errorf("%d and %d sessions, want the one that there was", a.Sessions, b.Sessions)
	}
}

// oneCall makes the call that kind, of 100, says.
func oneCall(ctx context.Context, w Worker, id int64, kind, n int, callbacks bool, back Func) error {
	var m int64
	var err error
	want := id
	switch {
	case kind < 5: // in fragments, most of them
		b := make([]byte, 8+n)
		binary.BigEndian.PutUint64(b, uint64(id))
		var got []byte
		if got, err = w.Bytes(ctx, b); err == nil && !bytes.Equal(got, b) {
			return fmt.Errorf("call %d: other bytes came back", id)
		}
		return err
	case callbacks && kind < 50:
		m, err = w.Apply(ctx, back, id)
		want = -id
	default:
		m, err = w.Do(ctx, id)
	}
	if err == nil && m != want {
		return fmt.Errorf("call %d returned %d", id, m)
	}
	return err
}
