package transport

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func (b *node) kept(t *testing.T, replies, bytes int64) {
	t.Helper()
	if c := b.Counters(); c.RetainedReplies != replies || c.RetainedBytes != bytes {
		t.Errorf("%d replies of %d bytes are kept, want %d of %d", c.RetainedReplies, c.RetainedBytes, replies, bytes)
	}
}

func TestKeptRepliesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Retained = 50000 })
		open := make(chan struct{}, 10)
		runs := counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, make([]byte, 30000)) })
		p := enter(t, b)
		for slot := range wire.Slot(3) { // let in together, they may overrun the bound
			p.write(p.call(slot, first, ""))
			p.taken()
		}
		for range 3 {
			open <- struct{}{}
			p.next(wire.FrameReturn)
		}
		b.kept(t, 3, 90000)
		var refusal int64
		full := func(slot wire.Slot) {
			t.Helper()
			_, err := p.returned(slot)
			wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "bytes of replies wait")
			refusal = int64(len(codec.AppendError(nil, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "%s", err.(*fault.Error).Msg))))
		}
		p.write(p.call(3, first, ""))
		full(3)
		p.write(p.large(4, first, 100000))
		full(4)
		synctest.Wait()
		idle(t, b)
		if n := b.Counters().RetainedReplies; n != 5 || refusal == 0 { // refusals are replies, too
			t.Errorf("%d replies are kept", n)
		}
		// Nothing was evicted.
		p = p.again(b)
		for slot := range wire.Slot(3) {
			p.write(p.callAgain(slot, first))
			if _, payload := p.whole(slot); len(payload) != 30000 {
				t.Errorf("%d bytes", len(payload))
			}
		}
		// Their acknowledgements make room: 60000 and two refusals are above the bound, 30000 below.
		p.write(wire.AppendAck(nil, 0, 1))
		p.write(p.call(5, first, ""))
		full(5)
		open <- struct{}{}
		p.write(p.call(1, first, "")) // itself acknowledges 30000
		if _, payload := p.whole(1); len(payload) != 30000 || runs.Load() != 4 {
			t.Errorf("%d bytes, %d ran", len(payload), runs.Load())
		}
		for slot := range wire.Slot(6) {
			p.write(wire.AppendAck(nil, slot, p.seq[slot]))
		}
		p.taken()
		b.kept(t, 0, 0)
	})
}

func TestKeptRepliesEndWithTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 100000)) })
		p := enter(t, b)
		s := b.Live(p.node())
		for slot := range wire.Slot(4) {
			p.write(p.call(slot, first, ""))
			p.whole(slot)
		}
		b.kept(t, 4, 400000)
		p.cut(s)
		b.kept(t, 4, 400000)
		<-s.gone
		b.kept(t, 0, 0)
	})
}

// Which replies a node acknowledges, and when.
func TestRepliesAreAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, b, s := connected(t)
		size := 0
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, size)) })
		call := func() {
			if _, err := do(t.Context(), s, request(t.Context(), first, nil)); err != nil {
				t.Error(err)
			}
		}
		size = ackAbove
		call()
		<-time.After(2 * tick)
		b.kept(t, 1, ackAbove) // until the slot is used again
		size = ackAbove + 1
		call()
		<-time.After(2 * tick)
		b.kept(t, 0, 0)
		size = 0
		call()
		b.kept(t, 1, 0)
		size = ackAtOnce + 1
		call()
		synctest.Wait()
		b.kept(t, 0, 0) // at once
	})
}

func TestAcknowledgementsAreLostWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t)
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 100000)) })
		if _, err := do(t.Context(), s, request(t.Context(), first, nil)); err != nil {
			t.Fatal(err)
		}
		mem.Partition("a", "b")
		<-time.After(2 * tick) // it is on its way
		calls := s.outbound.mu.Lock()
		if calls.owed != 0 {
			t.Errorf("%d bytes are owed", calls.owed)
		}
		s.outbound.mu.Unlock()
		b.kept(t, 1, 100000)
		lose(mem, s)
		mem.Heal("a", "b")
		<-time.After(time.Second)
		works(t, s)
		b.kept(t, 1, 5)
	})
}

// Nobody reads the replies of calls that were given up. They must not fill what the peer
// retains.
func TestRepliesThatNobodyReadsAreAcknowledged(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		call func(t *testing.T, s *Session) error
	}{
		{"left", 300000, func(t *testing.T, s *Session) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := do(ctx, s, request(ctx, first, nil))
			return err
		}},
		{"left, in one record", 20000, func(t *testing.T, s *Session) error {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := do(ctx, s, request(ctx, first, nil))
			return err
		}},
		{"expired", 300000, func(t *testing.T, s *Session) error {
			r := request(t.Context(), first, nil)
			r.Deadline = time.Now().Add(time.Second)
			_, err := do(t.Context(), s, r)
			return err
		}},
		{"one-way", 300000, func(t *testing.T, s *Session) error {
			r := request(t.Context(), first, nil)
			r.OneWay = true
			_, err := do(t.Context(), s, r)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, b, s := connected(t, func(cf *Config) { cf.Limits.Retained = 3 * c.size })
				var answered atomic.Int64
				b.handler.methods[first] = func(in *Incoming) {
					<-time.After(2 * time.Second)
					in.Reply(0, nil, make([]byte, c.size))
					answered.Add(1)
				}
				var calls sync.WaitGroup
				for range 10 {
					calls.Go(func() { _ = c.call(t, s) })
				}
				calls.Wait()
				<-time.After(4 * time.Second)
				if n := answered.Load(); n != 10 {
					t.Errorf("%d calls were answered", n)
				}
				b.kept(t, 0, 0)
				works(t, s)
			})
		})
	}
}

// A reply for which the caller has no room was received nevertheless.
func TestARefusedReplyIsAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, b, s := connected(t)
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 1<<20)) })
		a.held.add(int64(a.Limits.AssemblyTotal))
		_, err := do(t.Context(), s, request(t.Context(), first, nil))
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeExecuted, "had no room")
		a.held.add(-int64(a.Limits.AssemblyTotal))
		<-time.After(2 * tick)
		b.kept(t, 0, 0)
	})
}

// A slot that was taken for a call and not used acknowledges nothing.
func TestAnUnusedSlotStillOwes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t)
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 100000)) })
		if _, err := do(t.Context(), s, request(t.Context(), first, nil)); err != nil {
			t.Fatal(err)
		}
		lose(mem, s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := do(ctx, s, request(ctx, echo, nil))
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "")
		b.kept(t, 1, 100000)
		mem.Heal("a", "b")
		<-time.After(lastRedial)
		b.kept(t, 0, 0)
		works(t, s)
	})
}

// Of the sessions without a connection, those that have been without for longest end first.
func TestDetachedSessionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Detached = 2 })
		var s []*Session
		for range 5 {
			p := enter(t, b)
			s = append(s, b.Live(p.node()))
			if len(s) < 5 {
				p.cut(s[len(s)-1])
				<-time.After(time.Second)
			} else {
				defer p.taken() // a connected one does not count
			}
		}
		for i, s := range s {
			if over := i < 2; over != (s.Err() != nil) {
				t.Errorf("session %d ended: %v", i, s.Err())
			}
		}
		wantKind(t, s[0].Err(), fault.KindPeerGone, fault.OutcomeUnknown, "more than 2 sessions")
		if c := b.Counters(); c.Detached != 2 || c.Sessions != 3 || b.conns.Load() != 1 {
			t.Errorf("%+v, %d connections", c, b.conns.Load())
		}
	})
}
