package transport

import (
	"context"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestASessionIsOnlyItsOwnNodesToResume(t *testing.T) {
	for _, detached := range []bool{false, true} {
		for _, begin := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				b := alone(t)
				p := enter(t, b)
				s := b.Live(p.node())
				p.write(p.call(0, echo, "mine"))
				p.returned(0)
				call := p.call(0, linger, "")
				p.write(call)
				p.taken()
				if detached {
					p.cut(s)
				}
				thief := rawTo(t, b, b.Network)
				thief.propose(s.ID(), wire.Connection{Epoch: 2, Begin: begin})
				kind, text := thief.refusal()
				if begin && kind != fault.KindDenied || !begin && kind != fault.KindPeerGone {
					t.Errorf("refused as %v: %s", kind, text)
				}
				thief = rawTo(t, b, b.Network) // as a node that cannot resume
				pr := thief.greet(thief.makeHello())
				pr.Session = s.ID()
				thief.sign(pr)
				thief.write(pr.Append(nil))
				if kind, text := thief.refusal(); kind != fault.KindDenied {
					t.Errorf("refused as %v: %s", kind, text)
				}
				if !detached {
					p.taken()
					p.cut(s)
				}
				// The session that it belonged to is unchanged.
				p = p.resume(b)
				p.write(call)
				p.write(wire.AppendCancel(nil, 0, p.seq[0]))
				if _, err := p.returned(0); fault.KindOf(err) != fault.KindCancelled {
					t.Errorf("the call in flight returned %v", err)
				}
			})
		}
	}
}

func TestAReplayedProofResumesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		p = p.again(b)
		s := b.Live(p.node())
		p.cut(s)
		q := p.another(b)
		q.write(append([]byte(wire.Magic), p.hello...)) // all as before
		q.readMagic()
		q.message(wire.HandshakeHello)
		q.message(wire.HandshakeProof)
		q.write(p.proof)
		if kind, text := q.refusal(); kind != fault.KindDenied {
			t.Errorf("refused as %v: %s", kind, text)
		}
		if !s.Detached() {
			t.Error("the session was resumed")
		}
		p.resume(b)
	})
}

func TestAnOlderConnectionDoesNotTakeTheNewersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		for range 4 {
			p = p.again(b)
		}
		s := b.Live(p.node())
		for _, c := range []wire.Connection{{Epoch: 5}, {Epoch: 1}, {Epoch: 5, Begin: true}, {Epoch: 4}} {
			q := p.another(b)
			q.propose(p.session, c)
			if sent := q.ended(); len(sent) != 0 {
				t.Errorf("%v: the node sent %q", c, sent)
			}
			if l := s.Link(); l == nil || l.Epoch() != 5 {
				t.Errorf("%v: the connection is %v", c, l)
			}
			p.taken()
		}
		q := p.another(b)
		q.propose(p.session, wire.Connection{})
		if kind, _ := q.refusal(); kind != fault.KindProtocol {
			t.Errorf("a connection without a number is refused as %v", kind)
		}
		q.conn.Close()
		synctest.Wait()
		if n := b.conns.Load(); n != 1 {
			t.Errorf("%d connections", n)
		}
	})
}

func TestANewerConnectionTakesTheOldersPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		s := b.Live(p.node())
		call := p.call(0, linger, "")
		p.write(call)
		p.taken()
		old := s.Link()
		q := p.resume(b) // the node thinks that the old connection lives
		if old.Err() != errFenced {
			t.Errorf("the old connection ended with %v", old.Err())
		}
		p.ended()
		if s.Err() != nil || s.Link().Epoch() != 2 {
			t.Errorf("the session ended: %v", s.Err())
		}
		q.write(call)
		q.write(wire.AppendCancel(nil, 0, 1))
		if _, err := q.returned(0); fault.KindOf(err) != fault.KindCancelled {
			t.Errorf("the call returned %v", err)
		}
		synctest.Wait()
		if c := b.Counters(); b.conns.Load() != 1 || c.Cuts != 1 || c.Resumes != 1 || c.Sessions != 1 || c.DuplicatesRunning != 1 {
			t.Errorf("%d connections, %+v", b.conns.Load(), c)
		}
	})
}

func TestASessionThatTheNodeDoesNotKnow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		s := b.Live(p.node())
		p.cut(s)
		q := p.another(b)
		q.propose(wire.SessionID{1}, wire.Connection{Epoch: 2})
		if kind, text := q.refusal(); kind != fault.KindPeerGone {
			t.Errorf("refused as %v: %s", kind, text)
		}
		s.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "test"))
		<-s.gone
		q = p.another(b)
		q.propose(p.session, wire.Connection{Epoch: 2})
		if kind, text := q.refusal(); kind != fault.KindPeerGone {
			t.Errorf("refused as %v: %s", kind, text)
		}
	})
}

// The peer retries a session without knowing whether it began.
func TestABeginningIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b) // it did not get the welcome
		s := b.Live(p.node())
		p.cut(s)
		for epoch := wire.Epoch(2); epoch < 5; epoch++ {
			p = p.another(b)
			p.propose(s.ID(), wire.Connection{Epoch: epoch, Begin: true})
			p.welcomed().taken()
			if b.Live(p.node()) != s || s.Link().Epoch() != epoch {
				t.Errorf("connection %d is of another session", epoch)
			}
		}
	})
}

func TestALostWelcomeLeavesOneSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		r := accepts(t, mem)
		var ids []wire.SessionID
		for n := range wire.Epoch(3) { // again after a pause as long as a caller may make
			end := make(chan error, 1)
			ctx, goes := context.WithCancel(t.Context()) // the caller, or the dial would be made again at once
			go func() { _, err := a.Session(ctx, r.at, refs.NodeID{}); end <- err }()
			p, pr := r.next()
			if !pr.Connection.Begin || pr.Connection.Epoch != n+1 {
				t.Errorf("attempt %d says %+v", n, pr.Connection)
			}
			ids = append(ids, pr.Session)
			goes()
			if err := <-end; fault.KindOf(err) != fault.KindCancelled {
				t.Errorf("the dial ended with %v", err)
			}
			p.conn.Close()
			<-time.After(30 * time.Second)
		}
		s, p := r.session(a)
		if ids[0] != ids[1] || ids[1] != ids[2] || ids[2] != s.ID() || p.epoch != 4 || s.Link().Epoch() != 4 {
			t.Errorf("proposed %v, began %v with connection %d", ids, s.ID(), p.epoch)
		}
	})
}

// A peer that decides must not turn a node away because of a session whose beginning the node
// never heard of.
func TestANodeWhoseWelcomeWasLostComesIn(t *testing.T) {
	for decides := range 2 {
		synctest.Test(t, func(t *testing.T) {
			n, g := couple(t)
			from, to := n[1-decides], n[decides]
			lose := true
			ctx, goes := context.WithCancel(t.Context())
			var conn net.Conn
			g[1-decides].wrap = func(c net.Conn) net.Conn { conn = c; return c }
			g[1-decides].gate = func(_ int64, m moment) {
				if m == beforeWelcome && lose {
					lose = false
					synctest.Wait() // it began there
					goes()
					synctest.Wait() // or the dial would be made again at once
					conn.Close()
				}
			}
			if _, err := from.Session(ctx, to.at, to.Node()); err == nil {
				t.Fatal("the welcome was not lost")
			}
			<-time.After(3 * workerIdle) // the node has other things to do
			start := time.Now()
			s, err := from.Session(t.Context(), to.at, to.Node())
			if err != nil || time.Since(start) > time.Second {
				t.Fatalf("a session after %v, %v", time.Since(start), err)
			}
			works(t, s)
			one(t, n)
		})
	}
}

func TestAPeerThatDoesNotKnowHowLosesItsSessionWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		for _, c := range []struct {
			name string
			join func(*raw)
		}{
			{"no feature", func(p *raw) { p.join() }},
		} {
			p := rawTo(t, b, b.Network)
			c.join(p)
			s := b.Live(p.node())
			if s.resumable {
				t.Errorf("%s: the session is resumable", c.name)
			}
			p.write(p.call(0, echo, "x"))
			p.returned(0)
			if n := b.Counters().RetainedReplies; n != 0 {
				t.Errorf("%s: %d replies are kept", c.name, n)
			}
			p.write(wire.AppendCancel(nil, 0, 2)) // was never sent: ignored
			p.taken()
			p.conn.Close()
			<-s.gone
			wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "closed the connection")
		}
		if c := b.Counters(); c.Cuts != 0 || c.Sessions != 0 || b.conns.Load() != 0 {
			t.Errorf("%+v, %d connections", c, b.conns.Load())
		}
	})
}
