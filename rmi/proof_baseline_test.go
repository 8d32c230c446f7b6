package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/rmi"
	"gormi/rmi/multicast"
)

// holdings are what a process has of what can leak.
type holdings struct {
	goroutines, descriptors int
	heap                    int64
}

func measure() (h holdings) {
	runtime.GC() // cleanups and finalizers run after the first
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holdings{goroutines(), descriptors(), int64(m.HeapAlloc)}
}

// goroutines counts all but the handlers that wait for a call, which end by
// themselves when they were not needed for some seconds.
func goroutines() (n int) {
	buf := make([]byte, 1<<20)
	for {
		if k := runtime.Stack(buf, true); k < len(buf) {
			buf = buf[:k]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	for _, one := range strings.Split(string(buf), "\n\n") {
		if _, stack, _ := strings.Cut(one, "\n"); !strings.HasPrefix(stack, "gormi/rmi/transport.(*workers).loop(") {
			n++
		}
	}
	return n
}

// descriptors counts the open files, where the system tells.
func descriptors() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			return len(entries)
		}
	}
	return 0
}

// settle waits until ok, which is to come by itself, and reports whether it did.
func settle(ctx context.Context, ok func() bool) bool {
	for !ok() {
		if work(ctx, time.Millisecond) != nil {
			return ok()
		}
	}
	return true
}

// After many calls, of which many were cancelled, with funcs among their
// arguments, while the connection was cut and made again, both nodes have what
// they had before; and after they are closed, so has the process.
func TestProofNothingIsLeftBehind(t *testing.T) {
	calls, reconnects, cancellations := int64(size(5_000, 100_000)), size(100, 10_000), int64(size(1000, 10_000))
	const workers = 32
	ctx := duration(t, 10*time.Minute)
	before := measure()
	f := forwarder(t)
	owner, caller := behind(t, f), quiet(t, new(rmi.Options))
	w := hire(t, owner, caller, &worker{
		do: func(ctx context.Context, id int64) (int64, error) {
			if id < 0 { // to be cancelled
				<-ctx.Done()
				return id, ctx.Err()
			}
			return id, nil
		},
	})

	// event sends a value by the stream lane, which has to open a stream on each connection.
	events := newSink[string](t)
	to, stop := owner.Port().Multicast().Register(events)
	defer stop()
	packet, err := events.codec.Packet(caller.Port().Multicast(), "event")
	if err != nil {
		t.Fatal(err)
	}
	event := func() {
		p := caller.Port().Multicast().Peer(owner.ID())
		if p == nil {
			t.Error("the session is over")
			return
		}
		if _, err := p.Send([]multicast.Message{{To: []multicast.ReceiverID{to}, Packet: packet}}); err != nil {
			t.Errorf("multicast: %v", err)
			return
		}
		receive(t, events.got)
	}

	// run makes so many calls and cancellations, and cuts the connection.
	run := func(calls, cancellations int64, cuts int) {
		var next atomic.Int64
		var told tally // of those that failed
		var busy sync.WaitGroup
		for c := range uint64(workers) {
			busy.Go(func() {
				random := draw(6, c)
				for id := next.Add(1); id <= calls+cancellations && ctx.Err() == nil; id = next.Add(1) {
					var n int64
					var err error
					switch kind := random.IntN(100); {
					case id > calls:
						c, cancel := context.WithCancel(ctx)
						timer := time.AfterFunc(time.Duration(random.IntN(2000))*time.Microsecond, cancel)
						_, err = w.Do(c, -id)
						timer.Stop()
						cancel()
						if errors.Is(err, context.Canceled) {
							continue
						}
					case kind < 10:
						n, err = w.Apply(ctx, func(_ context.Context, n int64) (int64, error) { return n, nil }, id)
					case kind < 12:
						n = id
						_, err = w.Bytes(ctx, make([]byte, random.IntN(100<<10)))
					default:
						n, err = w.Do(ctx, id)
					}
					if err == nil && n != id {
						err = fmt.Errorf("it returned %d", n)
					}
					if err != nil {
						told.note(id, err)
						return
					}
				}
			})
		}
		busy.Go(func() {
			for range cuts {
				resumes := caller.Stats().Resumes
				f.Cut()
				if n, err := w.Do(ctx, 1); n != 1 || err != nil {
					t.Errorf("after a cut: %v", err)
					return
				}
				if !settle(ctx, func() bool { return caller.Stats().Resumes > resumes }) {
					t.Error("no resume happened")
					return
				}
				event()
			}
		})
		busy.Wait()
		told.allOK(t)
	}
	if _, err := w.Do(ctx, 1); err != nil { // there is a session before the first cut
		t.Fatal(err)
	}
	event()
	run(1000, 100, 2) // what is made once is made now
	if t.Failed() {
		return
	}
	level, streams := measure(), owner.Stats().Streams+caller.Stats().Streams
	run(calls, cancellations, reconnects)
	if t.Failed() {
		return
	}

	none := func(what string, n func() int) {
		t.Helper()
		soon, cancel := context.WithTimeout(ctx, 20*time.Second)
		defer cancel()
		if !settle(soon, func() bool { return n() == 0 }) {
			t.Errorf("%d %s are left", n(), what)
		}
	}
	none("exports of funcs at the caller", func() int { runtime.GC(); return caller.Stats().Exports })
	none("exports at the owner but the object", func() int { return owner.Stats().Exports - 1 })
	none("more streams", func() int { return max(0, owner.Stats().Streams+caller.Stats().Streams-streams) })
	none("sessions without a connection", func() int { return owner.Stats().Detached + caller.Stats().Detached })
	none("sessions but the one", func() int { return owner.Stats().Sessions + caller.Stats().Sessions - 2 })
	none("descriptors", func() int { return max(0, descriptors()-level.descriptors) })
	// A slot keeps its last reply until it is used again, but no large one.
	none("MiB of kept replies", func() int { return int(owner.Stats().RetainedBytes >> 20) })
	after := measure()
	if grown := after.heap - level.heap; grown > 10<<20 {
		t.Errorf("the heap has grown by %d KiB", grown>>10)
	}
	none("goroutines", func() int { return max(0, goroutines()-level.goroutines) })
	resumes := caller.Stats().Resumes

	caller.Close()
	owner.Close()
	f.Close()
	none("goroutines after the end", func() int { return max(0, goroutines()-before.goroutines) })
	none("descriptors after the end", func() int { return max(0, descriptors()-before.descriptors) })
	figure(t, "%d calls, %d cancellations, %d resumes: %d goroutines before, %d in use, %d after; %d, %d and %d descriptors; heap %+d KiB",
		calls, cancellations, resumes, before.goroutines, after.goroutines, goroutines(),
		before.descriptors, after.descriptors, descriptors(), (after.heap-level.heap)>>10)
}
