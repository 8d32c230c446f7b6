package transport

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// givenUp reads the answer to the cancel of a call that never arrived.
func (p *raw) givenUp(slot wire.Slot) {
	p.t.Helper()
	pre, rec := p.next(wire.FrameReturn)
	l := wire.Limits{}.WithDefaults()
	var h wire.ReturnHeader
	body, err := wire.ParseReturn(pre, rec, &l, &h)
	if err != nil || h.Slot != slot || h.Seq != p.seq[slot] || pre.Flags != wire.FlagError|wire.FlagUncounted {
		p.t.Fatalf("return for call %d of slot %d with flags %d, %v", h.Seq, h.Slot, pre.Flags, err)
	}
	if f, err := codec.ParseError(body, &l); err != nil || f.Kind != fault.KindCancelled || f.Outcome != fault.OutcomeNotExecuted {
		p.t.Errorf("answered with %v, %v", f, err)
	}
}

func TestALostCallThatIsGivenUpNeverRuns(t *testing.T) {
	for name, record := range map[string]func([]byte, wire.Slot, wire.Seq) []byte{"cancel": wire.AppendCancel, "settle": wire.AppendSettle} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := alone(t)
				runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, nil) })
				p := enter(t, b)
				p = p.again(b)
				call := p.call(0, first, "x") // the first in its slot
				for range 3 {
					p.write(record(nil, 0, 1))
					p.givenUp(0)
					p.write(record(nil, 0, 1)) // once on a connection
					p.taken()
					p = p.again(b)
				}
				p.write(call) // late
				p.givenUp(0)
				p = p.again(b)
				p.write(record(nil, 0, 3)) // two ahead: not a call that there can be
				p.taken()
				p.write(p.call(0, first, "y"))
				if _, err := p.returned(0); err != nil || runs.Load() != 1 {
					t.Errorf("ran %d times, %v", runs.Load(), err)
				}
				p.write(record(nil, 0, 1)) // of long ago
				p.taken()
				p.seq[0]++
				p.write(record(nil, 0, 3)) // the first of the slot was not the only one
				p.givenUp(0)
				p.write(wire.AppendAck(nil, 0, 3))
				p.taken()
				if c := b.Counters(); c.RetainedReplies != 0 || c.RetainedBytes != 0 {
					t.Errorf("%+v", c)
				}
			})
		})
	}
}

func TestWhatACancelFinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		open := make(chan struct{})
		var ended atomic.Bool
		counting(b, first, open, func(in *Incoming) { ended.Store(in.Context().Err() != nil); in.Reply(0, nil, []byte("ran")) })
		p := enter(t, b)
		p.write(join(p.call(0, first, ""), p.call(1, first, ""), p.call(2, echo, "answered")))
		p.returned(2)
		synctest.Wait() // both are with their method
		p = p.again(b)
		// A settled call goes on. The context of a cancelled call ends.
		p.write(wire.AppendSettle(nil, 0, 1))
		p.taken()
		p.write(wire.AppendCancel(nil, 1, 1))
		p.taken()
		// Either way a call that was answered gets its reply again, once on a connection.
		p.write(wire.AppendSettle(nil, 2, 1))
		if got, err := p.returned(2); got != "answered" || err != nil {
			t.Errorf("returned %q, %v", got, err)
		}
		p.write(join(wire.AppendSettle(nil, 2, 1), wire.AppendCancel(nil, 2, 1)))
		p.taken()
		open <- struct{}{} // one of the two
		open <- struct{}{}
		results := 0
		for range 2 {
			pre, rec := p.next(wire.FrameReturn)
			var h wire.ReturnHeader
			l := wire.Limits{}.WithDefaults()
			if _, err := wire.ParseReturn(pre, rec, &l, &h); err != nil {
				t.Fatal(err)
			}
			results += 1 << h.Slot
		}
		if results != 3 {
			t.Errorf("returns of slots %b", results)
		}
		// A cancel and the reply cross.
		p.write(p.call(0, echo, "crossed"))
		p.write(wire.AppendCancel(nil, 0, 2))
		if got, err := p.returned(0); err == nil && got != "crossed" || err != nil && fault.KindOf(err) != fault.KindCancelled {
			t.Errorf("returned %q, %v", got, err)
		}
		p.write(wire.AppendCancel(nil, 0, 2))
		p.taken()
		p.write(p.call(0, echo, "next"))
		if got, err := p.returned(0); got != "next" || err != nil {
			t.Errorf("returned %q, %v", got, err)
		}
	})
}

func TestSettledIsNotCancelled(t *testing.T) {
	for settle := range 2 {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			open := make(chan struct{})
			counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, []byte(context0(in))) })
			p := enter(t, b)
			p.write(p.call(0, first, ""))
			synctest.Wait() // it is with its method
			p = p.again(b)
			want := "context canceled"
			if settle == 1 {
				want = ""
				p.write(wire.AppendSettle(nil, 0, 1))
			} else {
				p.write(wire.AppendCancel(nil, 0, 1))
			}
			p.taken()
			close(open)
			if got, err := p.returned(0); got != want || err != nil {
				t.Errorf("the method's context: %q, %v; want %q", got, err, want)
			}
		})
	}
}

// A caller that gave up may be slow to say so. By then the reply may have come, and the
// connection may be another. There a cancel would request a reply that nobody expects.
func TestACancelThatIsOutOfDateIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		open := make(chan struct{})
		defer close(open)
		counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, nil) })
		cut := func() { another(t, mem, s) }
		if _, err := do(t.Context(), s, request(t.Context(), echo, nil)); err != nil {
			t.Fatal(err)
		}
		cut()
		s.sendCancel(0, 1) // of the call that was answered
		synctest.Wait()
		if err := s.Err(); err != nil || b.Counters().DuplicatesRetained != 0 {
			t.Fatalf("the session is over: %v; %+v", err, b.Counters())
		}
		cut() // a return that nobody expected would be behind all that was said before
		if got, err := do(t.Context(), s, request(t.Context(), echo, []byte("x"))); string(got) != "x" || err != nil || a.Counters().Resumes != 2 {
			t.Errorf("%q, %v, %+v", got, err, a.Counters())
		}
		// Of two calls in a slot, only the one that is given up is cancelled.
		ctx, leave := context.WithCancel(t.Context())
		end, _ := called(ctx, s, 10, func(r *Request) { r.Header.Method = first })
		synctest.Wait()
		leave()
		<-end
		if s.outbound.abandoned(0, 2) || !s.outbound.abandoned(0, 3) || s.outbound.abandoned(0, 4) {
			t.Errorf("given up: %v, %v, %v, want the second", s.outbound.abandoned(0, 2), s.outbound.abandoned(0, 3), s.outbound.abandoned(0, 4))
		}
	})
}

// another cuts the connection of a session and waits for the next.
func another(t *testing.T, mem *memnet.Network, s *Session) {
	t.Helper()
	l := s.Link()
	mem.Cut("a", "b")
	<-l.gone
	if _, err := s.waitLink(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	synctest.Wait() // what is in flight was sent again, and answered
}

// A caller may stand still between taking a slot and sending. The next connection sends its
// call then, and on the one after that it has its reply.
func TestACallThatResumeHasSentIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t)
		runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, []byte("ran")) })
		r := request(t.Context(), first, []byte("x"))
		r.Header.Payload = wire.Payload{Body: 1}
		r.Header.Timeout = uint64(time.Minute.Microseconds())
		sl, err := s.outbound.acquire(t.Context(), r, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		another(t, mem, s) // sends it
		another(t, mem, s)
		if err := s.send(t.Context(), sl, r, time.Minute, time.Time{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if err := <-sl.done; err != nil || string(sl.buf) != "ran" {
			t.Errorf("%q, %v", sl.buf, err)
		}
		s.outbound.release(sl)
		if _, err := do(t.Context(), s, request(t.Context(), echo, nil)); err != nil || runs.Load() != 1 || b.Counters().DuplicatesRetained != 0 {
			t.Errorf("%v; ran %d times; %+v", err, runs.Load(), b.Counters())
		}
	})
}

// called begins a call and returns its end; uncounted counts.
func called(ctx context.Context, s *Session, size int, set ...func(*Request)) (end chan error, uncounted *atomic.Int64) {
	end, uncounted = make(chan error, 1), new(atomic.Int64)
	r := request(ctx, echo, make([]byte, size))
	r.Uncounted = func() { uncounted.Add(1) }
	for _, f := range set {
		f(r)
	}
	go func() { _, err := do(ctx, s, r); end <- err }()
	return end, uncounted
}

func uncountedReturn(h wire.CallHeader) []byte {
	r := refused(fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "given up"), true)
	return r.append(nil, &wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: r.payload})
}

// caller is a node that calls a raw peer, again after every cut.
type caller struct {
	t         *testing.T
	a         *node
	r         *rawAcceptor
	s         *Session
	p         *raw
	ctx       context.Context
	leave     context.CancelFunc
	end       chan error
	uncounted *atomic.Int64
}

func (c *caller) again() {
	c.t.Helper()
	c.p.conn.Close()
	c.p = c.r.welcome()
}

// What is sent on the next connection for a call whose caller gave up, and whether the caller
// learns that its references were not counted.
func TestWhatACallerLearnsOfItsReferences(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		oneWay bool
		play   func(c *caller)
		want   int64
	}{
		{"answered", 10, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.p.write(c.p.answer(h, ""))
			if err := <-c.end; err != nil {
				c.t.Error(err)
			}
		}, 0},
		{"refused after it was taken in", 10, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			r := refused(fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "full"), false)
			c.p.write(r.append(nil, &wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: r.payload}))
			wantKind(c.t, <-c.end, fault.KindOverloaded, fault.OutcomeNotExecuted, "full")
		}, 0},
		{"refused unheard", 100000, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.p.write(uncountedReturn(h))
			wantKind(c.t, <-c.end, fault.KindCancelled, fault.OutcomeNotExecuted, "given up")
		}, 1},
		{"the caller left, and the call was taken in", 10, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.leave()
			wantKind(c.t, <-c.end, fault.KindCancelled, fault.OutcomeUnknown, "")
			c.p.next(wire.FrameCancel)
			c.p.write(c.p.answer(h, ""))
		}, 0},
		{"the caller left while detached, and the call was lost", 10, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.p.cut(c.s)
			c.leave()
			wantKind(c.t, <-c.end, fault.KindCancelled, fault.OutcomeUnknown, "")
			c.p = c.r.welcome()
			pre, rec := c.p.next(wire.FrameCancel)
			if slot, seq, err := wire.ParseCancel(pre, rec); slot != h.Slot || seq != h.Seq || err != nil || pre.Flags != 0 {
				c.t.Errorf("cancel of call %d in slot %d, flags %d, %v", seq, slot, pre.Flags, err)
			}
			c.p.write(uncountedReturn(h))
		}, 1},
		{"again and again", 100000, false, func(c *caller) {
			c.p.wholeCall()
			c.again()
			c.p.wholeCall()
			c.leave()
			c.p.next(wire.FrameCancel)
			c.again()
			c.p.next(wire.FrameCancel)
			c.again()
			c.p.next(wire.FrameCancel)
			c.p.write(uncountedReturn(wire.CallHeader{Seq: 1}))
		}, 1},
		{"one-way, lost", 10, true, func(c *caller) {
			h, _ := c.p.wholeCall()
			if err := <-c.end; err != nil {
				c.t.Error(err)
			}
			c.again()
			if pre, _ := c.p.next(wire.FrameCancel); pre.Flags != wire.FlagSettle {
				c.t.Errorf("flags %d", pre.Flags)
			}
			c.p.write(uncountedReturn(h))
		}, 1},
		{"one-way, ran", 100000, true, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.again()
			c.p.next(wire.FrameCancel)
			c.p.write(c.p.answer(h, ""))
		}, 0},
		{"one-way, cut in its middle", 1 << 20, true, func(c *caller) {
			h, _ := c.p.called()
			c.again()
			c.p.next(wire.FrameCancel)
			c.p.write(uncountedReturn(h))
		}, 1},
		{"never sent", 10, false, func(c *caller) {
			h, _ := c.p.wholeCall()
			c.p.write(c.p.answer(h, ""))
			<-c.end
			c.p.cut(c.s)
			end, uncounted := called(c.ctx, c.s, 10)
			synctest.Wait()
			c.leave()
			wantKind(c.t, <-end, fault.KindCancelled, fault.OutcomeNotExecuted, "")
			c.p = c.r.welcome()
			c.uncounted.Add(uncounted.Load())
		}, 0}, // the error says it
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memnet.New()
				k := &caller{t: t, a: newNode(t, mem.Host("a"), ""), r: accepts(t, mem)}
				k.s, k.p = k.r.session(k.a)
				k.ctx, k.leave = context.WithCancel(t.Context())
				defer k.leave()
				k.end, k.uncounted = called(k.ctx, k.s, c.size, func(r *Request) { r.OneWay = c.oneWay })
				c.play(k)
				k.p.taken()
				synctest.Wait()
				if n := k.uncounted.Load(); n != c.want {
					t.Errorf("called %d times, want %d", n, c.want)
				}
				idle(t, k.a)
				if t.Failed() {
					return
				}
				k.a.Transport.Close(time.Second)
				if n := k.uncounted.Load(); n != c.want {
					t.Errorf("called %d times, want %d", n, c.want)
				}
			})
		})
	}
}

// A call in flight is sent again as it was, with the time that is left.
func TestACallInFlightIsSentAgain(t *testing.T) {
	for _, size := range []int{10, 100000} {
		synctest.Test(t, func(t *testing.T) {
			mem := memnet.New()
			a := newNode(t, mem.Host("a"), "")
			r := accepts(t, mem)
			s, p := r.session(a)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			end, _ := called(ctx, s, size)
			sent, _ := p.wholeCall()
			for range 2 {
				p.cut(s)
				<-time.After(3 * time.Second)
				p = r.welcome()
				h, body := p.wholeCall()
				if left := 20e6 - 3e6; h.Timeout > uint64(left)+1 || h.Timeout < 1e6 {
					t.Errorf("%d us are left", h.Timeout)
				}
				h.Timeout = sent.Timeout
				if h != sent || len(body) != size {
					t.Errorf("sent again as %+v", h)
				}
			}
			p.write(p.answer(sent, "ok"))
			if err := <-end; err != nil {
				t.Error(err)
			}
			p.taken()
			synctest.Wait()
			idle(t, a)
		})
	}
}

// A reply under way when the connection is lost comes anew.
func TestAReplyUnderWayIsTakenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		r := accepts(t, mem)
		s, p := r.session(a)
		end, _ := called(t.Context(), s, 10)
		var h wire.CallHeader
		for range 3 {
			h, _ = p.wholeCall()
			ret := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: 100000}}
			p.write(wire.AppendReturn(nil, &ret, wire.FlagFragmented, nil))
			p.write(append(wire.AppendFragment(nil, h.Slot, h.Seq, true, 30000), make([]byte, 30000)...))
			synctest.Wait()
			if a.held.now() == 0 {
				t.Error("nothing is charged")
			}
			p.cut(s)
			if n := a.held.now(); n != 0 {
				t.Errorf("%d bytes are still charged", n)
			}
			p = r.welcome()
		}
		p.wholeCall()
		p.write(p.answer(h, "ok"))
		if err := <-end; err != nil {
			t.Error(err)
		}
		p.taken()
		synctest.Wait()
		idle(t, a)
	})
}

// A payload waits for its turn on the second connection. It began on the first, where the peer
// may have got it. So giving it up needs a cancel.
func TestACallerLeavesAPayloadThatWaitsToBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		r := accepts(t, mem)
		s, p := r.session(a)
		const size = 4 << 20 // four fit the peer's budget
		var ends [5]chan error
		ctx, leave := context.WithCancel(t.Context())
		ends[4], _ = called(ctx, s, size) // slot 0
		p.wholeCall()
		for i := range 4 {
			ends[i], _ = called(t.Context(), s, size)
			synctest.Wait()
		}
		// Let it be the last in line: its slot is the first.
		st := s.outbound.mu.Lock()
		st.slots[0], st.slots[4] = st.slots[4], st.slots[0]
		s.outbound.mu.Unlock()
		p.cut(s)
		p = r.welcome()
		synctest.Wait()
		st = s.outbound.mu.Lock()
		st.slots[0], st.slots[4] = st.slots[4], st.slots[0]
		s.outbound.mu.Unlock()
		leave()
		wantKind(t, <-ends[4], fault.KindCancelled, fault.OutcomeUnknown, "")
		left := map[wire.Slot]int{}
		for cancelled, answered := false, 0; !cancelled || answered < 4; {
			pre, rec, err := p.record()
			if err != nil {
				t.Fatal(err)
			}
			switch pre.Kind {
			case wire.FrameCall:
				h, _ := p.parseCall(pre, rec)
				left[h.Slot] = h.Payload.Len()
			case wire.FrameFragment:
				f, err := wire.ParseFragment(pre, rec)
				if err != nil {
					t.Fatal(err)
				}
				if left[f.Slot] -= f.Size; left[f.Slot] == 0 {
					p.write(p.answer(wire.CallHeader{Slot: f.Slot, Seq: f.Seq}, ""))
					answered++
				}
			case wire.FrameCancel:
				slot, seq, _ := wire.ParseCancel(pre, rec)
				if slot != 0 || seq != 1 {
					t.Errorf("cancel of call %d in slot %d", seq, slot)
				}
				p.write(uncountedReturn(wire.CallHeader{Slot: slot, Seq: seq}))
				cancelled = true
			case wire.FramePing:
				t.Fatal("no cancel comes")
			}
		}
		for _, end := range ends[:4] {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
		p.taken()
		synctest.Wait()
		idle(t, a)
	})
}

// A one-way call whose time ends before its payload began was not sent.
func TestAOneWayCallThatWaitsForTheBudgetEndsUnsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		r := accepts(t, mem)
		s, p := r.session(a)
		var ends [4]chan error
		for i := range ends {
			ends[i], _ = called(t.Context(), s, 4<<20)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		end, _ := called(ctx, s, 4<<20, func(r *Request) { r.OneWay = true })
		wantKind(t, <-end, fault.KindDeadline, fault.OutcomeNotExecuted, "")
		left := map[wire.Slot]int{}
		for answered := 0; answered < 4; {
			pre, rec, err := p.record()
			if err != nil {
				t.Fatal(err)
			}
			switch pre.Kind {
			case wire.FrameCall:
				h, _ := p.parseCall(pre, rec)
				left[h.Slot] = h.Payload.Len()
			case wire.FrameFragment:
				f, _ := wire.ParseFragment(pre, rec)
				if left[f.Slot] -= f.Size; left[f.Slot] == 0 {
					p.write(p.answer(wire.CallHeader{Slot: f.Slot, Seq: f.Seq}, ""))
					answered++
				}
			}
		}
		for _, end := range ends {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
		p.taken()
		synctest.Wait()
		idle(t, a)
	})
}
