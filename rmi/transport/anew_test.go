package transport

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// Nodes make their key when they start, but another implementation may keep its own. Whether it
// is accepted after a restart does not depend on whose id is smaller.
func TestANodeThatKeepsItsKeyIsTakenBackAfterItsRestart(t *testing.T) {
	for decides := range 2 {
		t.Run(fmt.Sprint("decides: ", decides), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := memnet.New()
				small, large := keys()
				if decides == 1 {
					small, large = large, small
				}
				a := newNode(t, mem.Host("a"), "a", func(c *Config) { c.Key = small })
				start := func(host string, at refs.Time) *node {
					return newNode(t, mem.Host(host), host, func(c *Config) { c.Key, c.Time = large, at })
				}
				old := start("old", 10)
				was := old.session(t, a)
				works(t, was)
				stale := a.Live(old.Node())
				late := make(chan error, 1)
				go func() {
					_, err := do(t.Context(), stale, request(t.Context(), linger, nil))
					late <- err
				}()
				synctest.Wait()

				begin := time.Now()
				mem.Partition("a", "old") // it is gone, and nobody noticed
				anew := start("anew", 11)
				s := anew.session(t, a)
				works(t, s)
				works(t, a.Live(anew.Node()))
				if d := time.Since(begin); d != 0 {
					t.Errorf("it took %v", d)
				}
				wantKind(t, <-late, fault.KindPeerGone, fault.OutcomeUnknown, "started anew")

				// It was not gone: two programs have one key. The older one stays out.
				mem.Heal("a", "old")
				<-was.Done()
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				_, err := old.Session(ctx, a.at, a.Node())
				wantKind(t, err, fault.KindDenied, fault.OutcomeNotExecuted, "W-19: a node with the same key that was started later is connected")
				works(t, s)

				// A clock was set back: once the later one's connection is lost, the earlier
				// one may come.
				mem.Partition("a", "anew")
				mem.Cut("a", "anew")
				synctest.Wait()
				last, err := old.Session(ctx, a.at, a.Node())
				if err != nil {
					t.Fatal(err)
				}
				works(t, last)
				synctest.Wait() // the one before is over, and about to be taken out
				if n := len(a.Sessions()); n != 1 {
					t.Errorf("%d sessions", n)
				}
			})
		})
	}
}

func TestWhoDialsFindsThatThePeerWasStartedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		small, large := keys()
		d := newNode(t, mem.Host("d"), "d", func(c *Config) { c.Key = small })
		start := func(host string, at refs.Time) *node {
			return newNode(t, mem.Host(host), host, func(c *Config) { c.Key, c.Time = large, at })
		}
		old := start("old", 10)
		was := d.session(t, old)
		mem.Partition("d", "old")
		anew := start("anew", 11)
		begin := time.Now()
		s, err := d.Session(t.Context(), anew.at, refs.NodeID{}) // by its place, as a registry is reached
		if err != nil {
			t.Fatal(err)
		}
		works(t, s)
		if wantKind(t, was.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "started anew"); time.Since(begin) != 0 {
			t.Errorf("it took %v", time.Since(begin))
		}
	})
}

// The id of a session is of no use to a later start of the node that has it.
func TestASessionIsNotResumedByALaterStart(t *testing.T) {
	b := alone(t)
	p := enter(t, b)
	p.cut(b.Live(p.node()))
	q := p.another(b)
	h := q.makeHello()
	h.Features, h.Time = wire.FeatureResume, h.Time+1
	pr := q.greet(h)
	pr.Session, pr.Extensions = q.session, wire.AppendConnection(nil, wire.Connection{Epoch: 2})
	q.sign(pr)
	q.write(pr.Append(nil))
	if kind, text := q.refusal(); kind != fault.KindPeerGone {
		t.Errorf("refused with %v, %q", kind, text)
	}
}

// A peer that leaves the extension out does not know what it offered. A peer that sends it
// without the feature would be taken for one that knows.
func TestAProofHasItsConnectionIfTheSessionIsResumable(t *testing.T) {
	for _, feature := range []bool{false, true} {
		b := alone(t)
		p := rawTo(t, b, b.Network)
		h := p.makeHello()
		if feature {
			h.Features = wire.FeatureResume
		}
		pr := p.greet(h)
		if !feature {
			pr.Extensions = wire.AppendConnection(nil, wire.Connection{Epoch: 1, Begin: true})
		}
		p.sign(pr)
		p.write(pr.Append(nil))
		if kind, text := p.refusal(); kind != fault.KindProtocol || !cites.MatchString(text) {
			t.Errorf("feature %v: refused with %v, %q", feature, kind, text)
		}
	}
}

func TestAnAcceptingSideDoesNotNumberItsConnection(t *testing.T) {
	mem := memnet.New()
	a := newNode(t, mem.Host("a"), "")
	peer := make(chan *raw)
	ep := serveRawOnce(t, mem.Host("raw"), "raw", peer)
	end := make(chan error, 1)
	go func() {
		_, err := a.Session(t.Context(), ep, refs.NodeID{})
		end <- err
	}()
	p := <-peer
	p.readMagic()
	_, p.its = p.message(wire.HandshakeHello)
	h := p.makeHello()
	mine := h.Append(nil)
	pr := wire.Proof{Extensions: wire.AppendConnection(nil, wire.Connection{Epoch: 1})}
	p.signAs(&pr, false, p.its, mine)
	p.write(append(append([]byte(wire.Magic), mine...), pr.Append(nil)...))
	if kind, _ := p.refusal(); kind != fault.KindProtocol {
		t.Errorf("refused with %v", kind)
	}
	wantKind(t, <-end, fault.KindProtocol, fault.OutcomeNotExecuted, "W-20")
}
