package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Calls of all kinds begin, end, expire and are given up while their connection is cut all the
// time. Each ends, none runs twice, and each error's outcome is true.
func TestCallsInAStormOfCuts(t *testing.T) {
	mem, a, b, s := connected(t, func(c *Config) { c.Limits.Retained = 64 << 20 })
	const callers, each = 64, 25
	var runs [callers * each]atomic.Int32
	var uncounted [callers * each]atomic.Int32
	b.handler.methods[first] = func(in *Incoming) {
		id := binary.BigEndian.Uint32(in.Body())
		runs[id].Add(1)
		if id%7 == 0 {
			select {
			case <-in.Context().Done():
			case <-time.After(time.Millisecond):
			}
		}
		body := make([]byte, []int{4, 4, ackAbove + 4, 40000}[id/3%4])
		binary.BigEndian.PutUint32(body, id)
		in.Reply(0, nil, body)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for range 100 { // a storm without an end could keep large payloads from getting through
			select {
			case <-stop:
				return
			case <-time.After(rand.N(4 * time.Millisecond)):
				if s.Link() != nil { // cut in the handshake, it would dial less and less often
					mem.Cut("a", "b")
				}
			}
		}
	}()
	var calls sync.WaitGroup
	var answered, left atomic.Int64
	var oneWay, reached sync.Map
	for i := range callers {
		calls.Go(func() {
			for j := range each {
				id := i*each + j
				ctx, cancel := t.Context(), func() {}
				switch id % 5 {
				case 0:
					ctx, cancel = context.WithTimeout(ctx, rand.N(5*time.Millisecond)+1)
				case 1:
					ctx, cancel = context.WithCancel(ctx)
					time.AfterFunc(rand.N(5*time.Millisecond), cancel)
				}
				body := make([]byte, []int{4, 100, 33000}[rand.IntN(3)])
				binary.BigEndian.PutUint32(body, uint32(id))
				r := request(ctx, first, body)
				r.Header.Depth = uint8(id % 2)
				r.Uncounted = func() { uncounted[id].Add(1) }
				if r.OneWay = id%11 == 3; r.OneWay {
					oneWay.Store(id, true)
				}
				if id%5 == 2 {
					r.Deadline = time.Now().Add(rand.N(300 * time.Millisecond))
				}
				got, err := do(ctx, s, r)
				cancel()
				n := runs[id].Load()
				var f *fault.Error
				switch {
				case err == nil && r.OneWay:
				case err == nil:
					answered.Add(1)
					reached.Store(id, true)
					if n != 1 || len(got) < 4 || binary.BigEndian.Uint32(got) != uint32(id) {
						t.Errorf("call %d was answered with %d bytes, and ran %d times", id, len(got), n)
					}
				case !errors.As(err, &f):
					t.Errorf("call %d: %v", id, err)
				case f.Kind != fault.KindDeadline && f.Kind != fault.KindCancelled:
					t.Errorf("call %d: %v", id, err)
				case f.Outcome == fault.OutcomeNotExecuted && n != 0:
					t.Errorf("call %d ran, and failed with %v", id, err)
				default:
					left.Add(1)
				}
			}
		})
	}
	calls.Wait()
	close(stop)
	<-stopped
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for _, s := range []*Session{s, b.Live(a.Node())} {
		for {
			changed := s.changed.next()
			var u Unfinished
			if s.unfinished(&u, 0, wire.ChainID{}, false); len(u.Serving)+u.Arriving+len(u.Calls) == 0 {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("calls are in flight for ever: %+v", u)
			}
		}
	}
	works(t, s)
	for id := range runs {
		if n := runs[id].Load(); n > 1 {
			t.Errorf("call %d ran %d times", id, n)
		}
		if n := uncounted[id].Load(); n > 1 || n == 1 && runs[id].Load() != 0 {
			t.Errorf("call %d ran %d times, and was uncounted %d times", id, runs[id].Load(), n)
		}
	}
	c := a.Counters()
	if c.Cuts == 0 || answered.Load() == 0 || left.Load() == 0 {
		t.Errorf("no storm: %+v, %d calls answered, %d left", c, answered.Load(), left.Load())
	}
	t.Logf("%d answered, %d left; %+v; %+v", answered.Load(), left.Load(), c, b.Counters())
	// The retained replies are those of the slots' last calls, and no more than the caller may
	// owe.
	theirs := b.Live(a.Node())
	served := theirs.inbound.mu.Lock()
	sum := 0
	for _, chunk := range served.slots {
		for i := range chunk {
			if chunk[i].in != nil || chunk[i].asm != nil || chunk[i].again != nil {
				t.Errorf("slot %d is in use", i)
			}
			if chunk[i].has {
				sum += chunk[i].reply.payload.Len()
			}
		}
	}
	if served.retained != sum {
		t.Errorf("%d bytes are kept, %d are counted", sum, served.retained)
	}
	theirs.inbound.mu.Unlock()
	table := s.outbound.mu.Lock()
	if table.busy != 0 || table.roots != 0 || len(table.free) != len(table.slots) || len(table.waiting) != 0 {
		t.Errorf("%d slots are busy, %d free of %d", table.busy, len(table.free), len(table.slots))
	}
	owed, large := 0, 0
	for _, sl := range table.free {
		if owed += sl.owed; sl.owed > ackAbove {
			large++
		}
	}
	if owed != table.owed || large != table.large {
		t.Errorf("%d bytes are owed, %d large; counted %d, %d", owed, large, table.owed, table.large)
	}
	s.outbound.mu.Unlock()
	for _, n := range []*node{a, b} {
		uncharged(t, n, theirs)
		if c := n.conns.Load(); c != 1 {
			t.Errorf("%d connections", c)
		}
	}
}
