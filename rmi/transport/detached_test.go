package transport

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestCallsOfADetachedSessionWaitForItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		lose(mem, s)
		var calls sync.WaitGroup
		for i, size := range []int{0, 10, 100000, 5 << 20} {
			calls.Go(func() {
				r := request(t.Context(), echo, make([]byte, min(size, s.PeerMessage())))
				r.OneWay = i == 1
				if _, err := do(t.Context(), s, r); err != nil {
					t.Errorf("%d bytes: %v", size, err)
				}
			})
		}
		r := request(t.Context(), echo, nil)
		r.Header.Depth = 1
		calls.Go(func() {
			if _, err := do(t.Context(), s, r); err != nil {
				t.Errorf("nested: %v", err)
			}
		})
		<-time.After(20 * time.Second)
		if !s.Detached() || s.Err() != nil {
			t.Errorf("detached: %v, %v", s.Detached(), s.Err())
		}
		mem.Heal("a", "b")
		calls.Wait()
		works(t, s)
		synctest.Wait()
		idle(t, a, b)
		if c := a.Counters(); c.Cuts != 1 || c.Resumes != 1 || s.Link().Epoch() < 2 {
			t.Errorf("%+v, connection %d", c, s.Link().Epoch())
		}
	})
}

func TestACallOfADetachedSessionEndsInTime(t *testing.T) {
	for _, c := range []struct {
		name           string
		size           int
		coarse, oneWay bool
	}{
		{"context", 10, false, false}, {"coarse", 10, true, false},
		{"context, large", 100000, false, false}, {"coarse, large", 100000, true, false},
		{"context, one-way", 10, false, true}, {"coarse, one-way", 10, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem, a, b, s := connected(t)
				lose(mem, s)
				start := time.Now()
				ctx, cancel := t.Context(), func() {}
				if !c.coarse {
					ctx, cancel = context.WithTimeout(ctx, 12*time.Second)
				}
				defer cancel()
				r := request(ctx, echo, make([]byte, c.size))
				r.Deadline, r.OneWay = start.Add(12*time.Second), c.oneWay
				_, err := do(ctx, s, r)
				wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "the connection was lost and could not be made again in time")
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v is not context.DeadlineExceeded", err)
				}
				if d := time.Since(start); d < 12*time.Second || d > 12*time.Second+2*tick {
					t.Errorf("after %v", d)
				}
				idle(t, a)
				mem.Heal("a", "b")
				works(t, s)
				idle(t, a, b)
			})
		})
	}
}

func TestCallsAreCancelledWhileDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		b.handler.methods[first] = func(in *Incoming) {
			<-in.Context().Done()
			close(ended)
			in.Reply(0, nil, nil)
		}
		ends := make(chan error, 2)
		go func() { _, err := do(ctx, s, request(ctx, first, nil)); ends <- err }()
		synctest.Wait()
		lose(mem, s)
		go func() { _, err := do(ctx, s, request(ctx, echo, nil)); ends <- err }()
		synctest.Wait()
		cancel()
		outcomes := []fault.Outcome{fault.OutcomeOf(<-ends), fault.OutcomeOf(<-ends)}
		slices.Sort(outcomes)
		if !slices.Equal(outcomes, []fault.Outcome{fault.OutcomeUnknown, fault.OutcomeNotExecuted}) {
			t.Errorf("outcomes %v", outcomes)
		}
		select {
		case <-ended:
			t.Error("the callee heard of it")
		default:
		}
		mem.Heal("a", "b")
		<-ended // by the cancel that is said again
		synctest.Wait()
		idle(t, a, b)
	})
}

func TestCallsInFlightEndUnknownWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var absent atomic.Int64
		start := time.Now()
		mem, a, b, s := connected(t, func(c *Config) {
			c.OnAbsent = func(*Session) {
				absent.Add(1)
				if d := time.Since(start); d < 15*time.Second || d > 15*time.Second+tick {
					t.Errorf("absent after %v", d)
				}
			}
		})
		ctxEnded := make(chan struct{})
		b.handler.methods[first] = func(in *Incoming) { <-in.Context().Done(); close(ctxEnded); in.Reply(0, nil, nil) }
		ends := make(chan error, 1)
		call := func(m wire.MethodID, d time.Duration) {
			r := request(t.Context(), m, nil)
			r.Deadline = time.Now().Add(d)
			_, err := do(t.Context(), s, r)
			ends <- err
		}
		go call(first, time.Hour)
		synctest.Wait()
		theirs := b.Live(a.Node())
		time.Sleep(tick / 2) // the lease counts from here, not from the tick before
		start = time.Now()
		lose(mem, s)
		late := make(chan error, 1)
		go func() {
			r := request(t.Context(), echo, nil)
			r.Deadline = time.Now().Add(time.Hour)
			_, err := do(t.Context(), s, r)
			late <- err
		}()
		for _, s := range []*Session{s, theirs} {
			<-s.Done()
			if d := time.Since(start); d < 60*time.Second || d > 60*time.Second+tick {
				t.Errorf("over after %v", d)
			}
			wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "not made again within 1m0s")
		}
		wantKind(t, <-ends, fault.KindPeerGone, fault.OutcomeUnknown, "the connection was lost")
		err := <-late
		wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "the connection was lost")
		if !errors.Is(err, ErrOver) {
			t.Errorf("%v is not ErrOver", err)
		}
		<-ctxEnded
		<-s.gone
		<-theirs.gone
		if n := absent.Load(); n != 2 {
			t.Errorf("OnAbsent was called %d times", n)
		}
		synctest.Wait()
		for _, n := range []*node{a, b} {
			if c := n.Counters(); n.conns.Load() != 0 || c.Sessions != 0 {
				t.Errorf("%d connections, %+v", n.conns.Load(), c)
			}
		}
		_, err = do(t.Context(), s, request(t.Context(), echo, nil))
		if wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, ""); !errors.Is(err, ErrOver) {
			t.Errorf("%v is not ErrOver", err)
		}
		mem.Heal("a", "b")
		works(t, a.session(t, b))
	})
}

func TestAbsenceIsToldOnceForEachCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var absent, links, unlinks atomic.Int64
		b := alone(t, func(c *Config) {
			c.SessionLease = 8 * time.Second
			c.OnAbsent = func(s *Session) {
				if absent.Add(1); !s.Detached() {
					t.Error("not detached")
				}
			}
			c.OnConnect = func(l *Link) any { return links.Add(1) }
			c.OnDisconnect = func(l *Link) {
				if unlinks.Add(1); l.Attached() != unlinks.Load() || l.Err() == nil {
					t.Errorf("attached %v, %v", l.Attached(), l.Err())
				}
			}
		})
		p := enter(t, b)
		s := b.Live(p.node())
		for _, away := range []time.Duration{time.Second, 4 * time.Second, 7 * time.Second} {
			p.cut(s)
			<-time.After(away)
			p = p.resume(b)
		}
		if n := absent.Load(); n != 2 {
			t.Errorf("told %d times", n)
		}
		p.cut(s)
		<-s.gone
		if absent.Load() != 3 || links.Load() != 4 || unlinks.Load() != 4 {
			t.Errorf("told %d times; %d links, %d unlinks", absent.Load(), links.Load(), unlinks.Load())
		}
	})
}

func TestCloseWhileDetachedReturnsAtOnce(t *testing.T) {
	for side := range 2 {
		for dialling := range 2 {
			synctest.Test(t, func(t *testing.T) {
				mem, a, b, _ := connected(t)
				n := []*node{a, b}[side]
				s := n.Live([]*node{b, a}[side].Node())
				lose(mem, s)
				if dialling == 1 {
					<-time.After(3 * time.Second) // a dial is under way, or a pause
				}
				end := make(chan error, 1)
				go func() { _, err := do(t.Context(), s, request(t.Context(), echo, nil)); end <- err }()
				synctest.Wait()
				start := time.Now()
				n.Transport.Close(time.Minute)
				if d := time.Since(start); d != 0 {
					t.Errorf("Close took %v", d)
				}
				wantKind(t, <-end, fault.KindClosed, fault.OutcomeNotExecuted, "")
				mem.Heal("a", "b")
				<-time.After(20 * time.Second)
				if n.conns.Load() != 0 || len(n.Sessions()) != 0 {
					t.Errorf("%d connections", n.conns.Load())
				}
			})
		}
	}
}

// A session that is closed is not dialled again when its peer closes the connection.
func TestAClosedSessionIsNotDialledAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		g := &gated{Network: mem.Host("a")}
		a := newNode(t, g, "")
		r := accepts(t, mem)
		s, p := r.session(a)
		closed := make(chan struct{})
		go func() {
			s.Close(fault.New(fault.KindClosed, fault.OutcomeUnknown, "enough"))
			close(closed)
		}()
		p.next(wire.FrameClose)
		p.conn.Close()
		<-closed
		<-s.gone
		wantKind(t, s.Err(), fault.KindClosed, fault.OutcomeUnknown, "enough")
		<-time.After(time.Minute)
		if n := g.dials.Load(); n != 1 {
			t.Errorf("%d dials", n)
		}
	})
}

func TestGoAwayIsSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		s := b.Live(p.node())
		s.GoAway()
		p.next(wire.FrameGoAway)
		s.GoAway() // once on a connection
		p.taken()
		p = p.again(b)
		p.next(wire.FrameGoAway)
		q := enter(t, b)
		t2 := b.Live(q.node())
		q.cut(t2)
		t2.GoAway()
		q = q.resume(b)
		q.next(wire.FrameGoAway)
		q.write(q.call(0, echo, ""))
		_, err := q.returned(0)
		wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "shutting down")
	})
}

func TestShutdownWaitsForCallsOfADetachedSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		open := make(chan struct{})
		counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, nil) })
		end := make(chan error, 1)
		go func() { _, err := do(t.Context(), s, request(t.Context(), first, nil)); end <- err }()
		synctest.Wait()
		lose(mem, s)
		down := make(chan error, 1)
		go func() { down <- a.Shutdown(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-down:
			t.Fatalf("Shutdown did not wait: %v", err)
		case <-time.After(2 * comeBack): // its own call, which may come to its end
		}
		close(open)
		mem.Heal("a", "b")
		if err := <-end; err != nil {
			t.Error(err)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
	})
}

// A peer that cuts all the time leaves nothing behind.
func TestAPeerThatCutsInALoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Connections = 4 })
		runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 100000)) })
		p := enter(t, b)
		s := b.Live(p.node())
		call := p.call(0, first, "")
		p.write(call)
		for i := range 200 {
			switch i % 4 {
			case 0: // in the middle of the handshake
				q := p.another(b)
				q.conn.Close()
			case 1: // after its proof
				q := p.another(b)
				q.propose(p.session, wire.Connection{Epoch: p.epoch + 1})
				q.conn.Close()
				p.epoch++
			case 2: // with the reply on its way
				p.write(call)
				p.conn.Close()
			case 3: // in the middle of a payload
				p.write(p.begin(1, echo, 100000))
				p.seq[1]--
				p.conn.Close()
			}
			synctest.Wait()
			if s.Detached() {
				p = p.resume(b)
			} else if i%4 == 0 {
				p.conn.Close()
				synctest.Wait()
				p = p.resume(b)
			}
		}
		p.write(call)
		p.whole(0)
		if runs.Load() != 1 || s.Err() != nil {
			t.Errorf("ran %d times, %v", runs.Load(), s.Err())
		}
		p.taken()
		idle(t, b)
		if n := b.conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
		p.cut(s)
		synctest.Wait()
		if n := b.conns.Load(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// redials returns when a node dialled, while nobody answered.
func redials(t *testing.T, until time.Duration) (after []time.Duration, s *Session) {
	mem := memnet.New()
	g := &gated{Network: mem.Host("a")}
	a := newNode(t, g, "a", func(c *Config) { c.RefusalsPass = true })
	b := newNode(t, mem.Host("b"), "b")
	s = a.session(t, b)
	start := time.Now()
	g.gate = func(_ int64, m moment) {
		if m == beforeDial {
			after = append(after, time.Since(start))
		}
	}
	b.stopListening()
	mem.Cut("a", "b")
	<-time.After(until)
	synctest.Wait()
	return after, s
}

func TestPausesBetweenDialsGrow(t *testing.T) {
	var first [2][]time.Duration
	for i := range first {
		synctest.Test(t, func(t *testing.T) {
			after, s := redials(t, 70*time.Second)
			if s.Err() == nil {
				t.Error("the session lives")
			}
			if len(after) < 12 || after[0] != 0 {
				t.Fatalf("dialled after %v", after)
			}
			nominal := firstRedial
			for i := range after[1:] {
				pause := after[i+1] - after[i]
				if pause < nominal/2 || pause > nominal {
					t.Errorf("pause %d is %v, want up to %v", i, pause, nominal)
				}
				nominal = min(2*nominal, lastRedial)
			}
			if last := after[len(after)-1]; last > DefaultSessionLease+tick || last < DefaultSessionLease-lastRedial-tick {
				t.Errorf("last dialled after %v", last)
			}
			first[i] = after
		})
	}
	if slices.Equal(first[0], first[1]) {
		t.Error("two nodes dial at the same times")
	}
}

func TestWhatEndsRedialling(t *testing.T) {
	for _, c := range []struct {
		name  string
		reply func(p *raw)
		over  bool
		text  string
	}{
		{"another node", func(p *raw) { p.write(wire.AppendRefuse([]byte(wire.Magic), fault.KindStaleReference, "not me")) }, true, "the peer's process ended"},
		{"a session that is over", nil, true, "did not take the session up again: over"},
		{"no room", func(p *raw) { p.write(wire.AppendRefuse([]byte(wire.Magic), fault.KindOverloaded, "full")) }, false, ""},
		{"nothing", func(p *raw) {}, false, ""},
		{"another program", func(p *raw) { p.write([]byte("HTTP/1.1 400\r\n")) }, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memnet.New()
				a := newNode(t, mem.Host("a"), "")
				r := accepts(t, mem)
				s, p := r.session(a)
				end, _ := called(t.Context(), s, 10)
				p.wholeCall()
				start := time.Now()
				p.conn.Close()
				var q *raw
				if c.reply == nil {
					q, _ = r.next()
					q.write(wire.AppendRefuse(nil, fault.KindPeerGone, "over"))
				} else {
					q = <-r.conns
					q.readMagic() // the node reads nothing if its hello finds the connection closed
					q.message(wire.HandshakeHello)
					c.reply(q)
				}
				q.conn.Close()
				if !c.over {
					p = r.welcome()
					h, _ := p.wholeCall()
					p.write(p.answer(h, ""))
					if err := <-end; err != nil {
						t.Error(err)
					}
					return
				}
				<-s.gone
				if d := time.Since(start); d != 0 {
					t.Errorf("over after %v", d)
				}
				wantKind(t, <-end, fault.KindPeerGone, fault.OutcomeUnknown, c.text)
			})
		})
	}
}

// Another process took the address of the peer.
func TestAnotherNodeAtThePeersAddressEndsTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		b.stopListening()
		other := newNode(t, mem.Host("b"), "")
		if _, err := other.Listen(t.Context(), "tcp", b.at.Address()); err != nil {
			t.Fatal(err)
		}
		mem.Cut("a", "b")
		<-s.gone
		wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "the peer's process ended")
		_, err := a.Session(t.Context(), b.at, b.Node())
		wantKind(t, err, fault.KindStaleReference, fault.OutcomeNotExecuted, "")
		if s, err := a.Session(t.Context(), b.at, refs.NodeID{}); err != nil || s.Peer() != other.Node() {
			t.Errorf("%v, %v", s, err)
		}
	})
}
