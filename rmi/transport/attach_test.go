package transport

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// slowLinks is a Config whose OnConnect waits, from the second connection on, until it may go
// on.
type slowLinks struct {
	let  chan struct{} // one OnConnect returns for each
	mu   sync.Mutex
	told []string // of OnConnect, as "+1", and OnDisconnect, as "-1"; with the connection's number
}

func (g *slowLinks) config(t *testing.T) func(*Config) {
	g.let = make(chan struct{})
	note := func(sign string, l *Link) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.told = append(g.told, sign+string('0'+rune(l.Epoch())))
	}
	return func(c *Config) {
		c.OnConnect = func(l *Link) any {
			note("+", l)
			if s := l.Session(); s.Link() != nil {
				t.Errorf("connection %d is at the session before its attachment", l.Epoch())
			}
			if l.Epoch() > 1 {
				<-g.let
			}
			return l.Epoch()
		}
		c.OnDisconnect = func(l *Link) {
			if note("-", l); l.Attached() != l.Epoch() || l.Err() == nil {
				t.Errorf("attached %v, %v", l.Attached(), l.Err())
			}
		}
	}
}

func (g *slowLinks) wants(t *testing.T, told ...string) {
	t.Helper()
	g.mu.Lock()
	defer g.mu.Unlock()
	if !slices.Equal(g.told, told) {
		t.Errorf("told %v, want %v", g.told, told)
	}
}

// A session has a connection only when OnConnect has returned, and no lock is held meanwhile.
func TestAConnectionIsFoundWithItsAttachment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g slowLinks
		b := alone(t, g.config(t))
		counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, []byte("done")) })
		p := enter(t, b)
		s := b.Live(p.node())
		p.cut(s)
		p = p.another(b)
		p.propose(p.session, wire.Connection{Epoch: 2})
		synctest.Wait() // OnConnect is called
		if s.Link() != nil || !s.Detached() {
			t.Errorf("link %v, detached %v", s.Link(), s.Detached())
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.Await(ctx); err == nil {
			t.Error("Await returned before the connection was there")
		}
		_, err := do(ctx, s, request(ctx, first, nil))
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "")
		g.wants(t, "+1", "-1", "+2")
		g.let <- struct{}{}
		synctest.Wait()
		if l := s.Link(); l == nil || l.Attached() != wire.Epoch(2) {
			t.Errorf("link %v", l)
		}
		p.welcomed()
		p.write(p.call(0, first, ""))
		if body, err := p.returned(0); body != "done" || err != nil {
			t.Error(body, err)
		}
	})
}

func TestASessionThatEndsWhileOnLinkRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g slowLinks
		var ended atomic.Bool
		b := alone(t, g.config(t), func(c *Config) {
			unlink := c.OnDisconnect
			c.OnDisconnect = func(l *Link) {
				if unlink(l); ended.Load() {
					t.Error("OnDisconnect comes after OnEnd")
				}
			}
			c.OnEnd = func(*Session) { ended.Store(true) }
		})
		p := enter(t, b)
		s := b.Live(p.node())
		p.cut(s)
		p = p.another(b)
		p.propose(p.session, wire.Connection{Epoch: 2})
		synctest.Wait()
		s.Close(errClosed())
		synctest.Wait()
		if ended.Load() {
			t.Error("the session is gone while its connection is being attached")
		}
		g.let <- struct{}{}
		<-s.gone
		g.wants(t, "+1", "-1", "+2", "-2")
		if n := b.conns.Load(); n != 0 {
			t.Errorf("%d connections", n)
		}
	})
}

// A newer connection waits for OnConnect of an older one, and then takes its place.
func TestConnectionsAreAttachedOneAfterTheOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g slowLinks
		b := alone(t, g.config(t))
		p := enter(t, b)
		s := b.Live(p.node())
		p.cut(s)
		second, third, late := p.another(b), p.another(b), p.another(b)
		second.propose(p.session, wire.Connection{Epoch: 2})
		synctest.Wait()
		third.propose(p.session, wire.Connection{Epoch: 4})
		synctest.Wait()
		g.wants(t, "+1", "-1", "+2")
		g.let <- struct{}{}
		g.let <- struct{}{}
		third.welcomed()
		late.propose(p.session, wire.Connection{Epoch: 3})
		synctest.Wait()
		if l := s.Link(); l == nil || l.Epoch() != 4 {
			t.Errorf("link %v", l)
		}
		g.wants(t, "+1", "-1", "+2", "-2", "+4")
	})
}

// The same with concurrent observers, while connections come and go.
func TestEveryConnectionThatIsSeenHasItsAttachment(t *testing.T) {
	b := alone(t, func(c *Config) { c.OnConnect = func(l *Link) any { return l.Epoch() } })
	p := enter(t, b)
	s := b.Live(p.node())
	var stop atomic.Bool
	var seen atomic.Int64
	var lookers sync.WaitGroup
	for range 4 {
		lookers.Go(func() {
			for !stop.Load() {
				if l := s.Link(); l != nil {
					if seen.Add(1); l.Attached() != l.Epoch() {
						t.Errorf("connection %d has the attachment %v", l.Epoch(), l.Attached())
					}
				}
			}
		})
	}
	for range 20 {
		p = p.again(b)
	}
	stop.Store(true)
	lookers.Wait()
	if seen.Load() == 0 {
		t.Error("nothing was seen")
	}
}
