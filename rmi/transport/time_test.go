package transport

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestASilentPeerIsPingedThenDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, s := pair(t)
		p := rawTo(t, b, b.Network).join()
		dead := b.Live(p.node())
		start := time.Now()
		p.next(wire.FramePing)
		if d := time.Since(start); d < pingAfter || d > pingAfter+2*tick {
			t.Errorf("pinged after %v", d)
		}
		<-dead.Done()
		if d := time.Since(start); d < deadAfter || d > deadAfter+2*tick {
			t.Errorf("dead after %v", d)
		}
		wantKind(t, dead.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "no byte came from the peer for 15s")
		p.ended()
		works(t, s) // the pings of two idle nodes kept it alive
	})
}

func TestAPeerFromWhichBytesComeIsNotDead(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*raw) []byte
	}{
		{"whole records", func(*raw) []byte { return wire.AppendPing(nil, wire.FramePong, 1) }},
		{"one byte of a record", func(p *raw) []byte { return []byte{0} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, b, _ := pair(t)
				p := rawTo(t, b, b.Network).join()
				s := b.Live(p.node())
				if c.name != "whole records" {
					p.write(p.call(0, echo, strings.Repeat("x", 1000))[:20])
				}
				for range 10 {
					<-time.After(deadAfter - time.Second)
					p.write(c.send(p))
				}
				if err := s.Err(); err != nil {
					t.Errorf("dead: %v", err)
				}
			})
		})
	}
}

// closing is a connection whose Close waits, and so does the clock that ends the session. That
// is how a stopped process looks from inside.
type closing struct {
	net.Conn
	until chan struct{}
}

func (c closing) Close() error { <-c.until; return c.Conn.Close() }

func TestAStoppedProcessDoesNotTakeItsAbsenceForItsPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		g := &gated{Network: mem.Host("a")}
		a, b := newNode(t, g, "a"), newNode(t, mem.Host("b"), "b")
		s := a.session(t, b)
		resume := make(chan struct{})
		g.wrap = func(c net.Conn) net.Conn { return closing{c, resume} }
		ep := serveRaw(t, mem.Host("x"), "x", func(c net.Conn) { newRaw(t, c).welcome(); io.Copy(io.Discard, c) })
		lost, err := a.Session(t.Context(), ep, refs.NodeID{})
		if err != nil {
			t.Fatal(err)
		}
		<-lost.Link().Done() // after 15 s of silence; the clock now stands
		mem.Partition("a", "b")
		<-time.After(time.Hour)
		close(resume)
		<-time.After(time.Second)
		if err := s.Err(); err != nil {
			t.Errorf("the session ended: %v", err)
		}
	})
}

func TestWriteStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a, b := newNode(t, mem.Host("a"), ""), newNode(t, mem.Host("b"), "b")
		other := a.session(t, b)
		p, s, h, _ := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		end := make(chan error)
		start := time.Now()
		go func() {
			_, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 1<<20)))
			end <- err
		}()
		stop := make(chan struct{})
		go func() { // it says something all the time, and reads nothing
			for {
				select {
				case <-time.After(time.Second):
					p.conn.Write(wire.AppendPing(nil, wire.FramePong, 1))
				case <-stop:
					return
				}
			}
		}()
		err := <-end
		close(stop)
		if d := time.Since(start); d < deadAfter || d > deadAfter+2*tick {
			t.Errorf("noticed after %v", d)
		}
		wantKind(t, err, fault.KindPeerGone, fault.OutcomeUnknown, "the peer took no byte for 15s")
		works(t, other)
	})
}

func TestASlowReaderIsNotDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		p, s, h, _ := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		for range 20 { // one batch of 600 KiB
			go do(t.Context(), s, request(t.Context(), echo, make([]byte, 30000)))
		}
		buf := make([]byte, 40<<10)
		for range 12 {
			<-time.After(10 * time.Second)
			if _, err := p.conn.Read(buf); err != nil {
				t.Fatal(err)
			}
			p.write(wire.AppendPing(nil, wire.FramePong, 1))
		}
		if err := s.Err(); err != nil {
			t.Errorf("the session ended: %v", err)
		}
	})
}

func TestACallReturnsByItsDeadlineAndItsSlotComesBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		coarse  bool
		late    time.Duration
		reads   bool // the peer reads, and does not answer
		outcome fault.Outcome
	}{
		{"small, context", 10, false, 0, true, fault.OutcomeUnknown},
		{"small, coarse", 10, true, 2 * tick, true, fault.OutcomeUnknown},
		{"large, context", 1 << 20, false, 0, true, fault.OutcomeUnknown},
		{"large, coarse", 1 << 20, true, 0, true, fault.OutcomeUnknown},
		{"small, context, peer stopped", 10, false, 0, false, fault.OutcomeUnknown},
		{"small, coarse, peer stopped", 10, true, 2 * tick, false, fault.OutcomeUnknown},
		{"large, context, peer stopped", 1 << 20, false, 0, false, fault.OutcomeUnknown},
		{"large, coarse, peer stopped", 1 << 20, true, 0, false, fault.OutcomeUnknown},
		{"larger than the peer's budget, peer stopped", 4 << 20, false, 0, false, fault.OutcomeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memnet.New()
				a := newNode(t, mem.Host("a"), "")
				p, s, h, end := calledRaw(t, a, mem, echo)
				p.write(p.answer(h, ""))
				<-end
				go func() {
					if !c.reads {
						<-time.After(8 * time.Second)
					}
					got := 0
					for {
						pre, rec, err := p.record()
						if err != nil {
							return
						}
						switch pre.Kind {
						case wire.FrameCall:
							l := wire.Limits{}.WithDefaults()
							var body []byte
							if _, body, err = wire.ParseCall(pre, rec, &l, &h); err != nil {
								t.Error(err)
							}
							got = len(body)
						case wire.FrameFragment:
							got += len(rec) - wire.FragmentHeaderSize
						case wire.FrameCancel:
							if slot, seq, _ := wire.ParseCancel(pre, rec); slot != h.Slot || seq != h.Seq {
								t.Errorf("cancel of call %d in slot %d", seq, slot)
							}
							p.conn.Write(p.answer(h, "cancelled"))
						case wire.FramePing:
							p.conn.Write(wire.AppendPing(nil, wire.FramePong, 1))
						}
					}
				}()
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				const timeout = 3 * time.Second
				if !c.coarse {
					ctx, cancel = context.WithTimeout(ctx, timeout)
				}
				defer cancel()
				start := time.Now()
				r := request(ctx, echo, make([]byte, c.size))
				r.Deadline = start.Add(timeout)
				_, err := do(ctx, s, r)
				if d := time.Since(start); d < timeout || d > timeout+c.late {
					t.Errorf("returned after %v", d)
				}
				wantKind(t, err, fault.KindDeadline, c.outcome, "")
				<-time.After(6 * time.Second)
				synctest.Wait()
				calls := s.outbound.mu.Lock()
				if calls.busy != 0 || calls.roots != 0 || len(calls.slots) != 1 {
					t.Errorf("%d slots are busy, of %d", calls.busy, len(calls.slots))
				}
				s.outbound.mu.Unlock()
				q := s.Link().out.mu.Lock()
				if q.assembled != 0 || len(q.bodies)+len(q.waiting) != 0 {
					t.Errorf("%d bytes are under way", q.assembled)
				}
				s.Link().out.mu.Unlock()
				if err := s.Err(); err != nil {
					t.Errorf("the session ended: %v", err)
				}
			})
		})
	}
}

// A coarse deadline also ends the wait for a slot, and for room.
func TestACoarseDeadlineEndsEveryWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "", func(c *Config) { c.Limits.Pending = 1 << 10 })
		p, s, h, end := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		<-end
		s.outbound.rootMax = 8
		ends := make(chan error)
		start := time.Now()
		for range 20 {
			go func() {
				r := request(t.Context(), echo, make([]byte, 30000))
				r.Deadline = start.Add(2 * time.Second)
				_, err := do(t.Context(), s, r)
				ends <- err
			}()
		}
		sent := 0
		for range 20 {
			err := <-ends
			wantKind(t, err, fault.KindDeadline, fault.OutcomeOf(err), "")
			if fault.OutcomeOf(err) == fault.OutcomeUnknown {
				sent++
			}
			if d := time.Since(start); d > 2*time.Second+2*tick {
				t.Errorf("a call returned after %v", d)
			}
		}
		if sent == 0 || sent > 8 {
			t.Errorf("%d calls were sent", sent)
		}
		// Calls that were not sent used no sequence number, and got no cancel.
		for sent > 0 {
			switch pre, rec, err := p.record(); {
			case err != nil:
				t.Fatal(err)
			case pre.Kind == wire.FrameCall:
				h, _ := p.parseCall(pre, rec)
				p.write(p.answer(h, ""))
				sent--
			}
		}
		synctest.Wait()
		go func() {
			for {
				pre, rec, err := p.record()
				if err != nil {
					return
				}
				if pre.Kind == wire.FrameCall {
					h, _ := p.parseCall(pre, rec)
					p.conn.Write(p.answer(h, "hello"))
				}
			}
		}()
		works(t, s)
	})
}

func TestAQueuedCallExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, s := pair(t, func(c *Config) { c.Limits.Handlers, c.Limits.Queue = 2, 2 })
		p := rawTo(t, b, b.Network).join()
		p.write(join(p.call(0, linger, ""), p.call(1, linger, "")))
		p.write(p.call(2, echo, "late", func(h *wire.CallHeader) { h.Timeout = 1e6 }))
		p.write(p.call(3, echo, "in time"))
		p.write(p.call(4, echo, "too many"))
		_, err := p.returned(4)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "no handler is free")
		p.write(p.call(5, echo, "nested", func(h *wire.CallHeader) { h.Depth = 1 }))
		if got, err := p.returned(5); got != "nested" || err != nil {
			t.Errorf("a nested call returned %q, %v", got, err)
		}
		works(t, s) // another peer has handlers of its own
		start := time.Now()
		_, err = p.returned(2)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "no handler became free")
		if d := time.Since(start); d < time.Second || d > time.Second+2*tick {
			t.Errorf("expired after %v", d)
		}
		p.write(wire.AppendCancel(nil, 0, 1))
		p.returned(0)
		if got, err := p.returned(3); got != "in time" || err != nil {
			t.Errorf("the queued call returned %q, %v", got, err)
		}
	})
}

func TestWorkersAreUsedAgainAndTrimmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, s := pair(t)
		for range 10 {
			works(t, s)
			synctest.Wait()
		}
		idle := func() int {
			defer b.workers.mu.Unlock()
			return len(b.workers.mu.Lock().idle)
		}
		if n := idle(); n != 1 {
			t.Errorf("%d workers after ten calls in turn", n)
		}
		<-time.After(3 * workerIdle)
		synctest.Wait()
		if n := idle(); n != 0 {
			t.Errorf("%d workers wait for ever", n)
		}
		works(t, s)
	})
}

func TestCloseLeavesAStuckMethodBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, s := pair(t)
		entered, release := make(chan struct{}), make(chan struct{})
		b.handler.methods[first] = func(in *Incoming) { close(entered); <-release }
		end := make(chan error, 1)
		go func() {
			_, err := do(t.Context(), s, request(t.Context(), first, nil))
			end <- err
		}()
		<-entered
		start := time.Now()
		b.Close(3 * time.Second)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("Close took %v", d)
		}
		if !strings.Contains(b.logs.String(), "still run after close") {
			t.Errorf("log: %s", b.logs)
		}
		wantKind(t, <-end, fault.KindPeerGone, fault.OutcomeUnknown, "closed its node")
		close(release)
		b.Close(0) // again
		_, err := b.Session(t.Context(), b.at, b.Node())
		wantKind(t, err, fault.KindClosed, fault.OutcomeNotExecuted, "")
		_, err = b.Listen(t.Context(), "tcp", "b:0")
		wantKind(t, err, fault.KindClosed, fault.OutcomeNotExecuted, "")
	})
}
