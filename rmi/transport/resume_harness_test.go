package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"testing/synctest"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// alone returns a node that only raw peers talk to.
func alone(t testing.TB, set ...func(*Config)) *node {
	return newNode(t, memnet.New().Host("b"), "b", set...)
}

// connected returns two nodes, their network, and the session that a dialled. They are connected.
func connected(t testing.TB, set ...func(*Config)) (mem *memnet.Network, a, b *node, s *Session) {
	t.Helper()
	mem = memnet.New()
	a, b = newNode(t, mem.Host("a"), "a", set...), newNode(t, mem.Host("b"), "b", set...)
	return mem, a, b, a.session(t, b)
}

// lose cuts the connection of a session and lets nobody make it again until the network heals.
func lose(mem *memnet.Network, s *Session) {
	l := s.Link()
	mem.Partition("a", "b")
	mem.Cut("a", "b")
	<-l.gone
}

// propose does the dialling side's handshake up to its proof, for a connection of a session.
func (p *raw) propose(id wire.SessionID, c wire.Connection) {
	p.t.Helper()
	h := p.makeHello()
	h.Features = wire.FeatureResume
	pr := p.greet(h)
	pr.Session, pr.Extensions = id, wire.AppendConnection(nil, c)
	p.sign(pr)
	p.proof = pr.Append(nil)
	p.session, p.epoch = id, c.Epoch
	p.write(p.proof)
}

func (p *raw) welcomed() *raw {
	p.t.Helper()
	body, _ := p.message(wire.HandshakeWelcome)
	if id, err := wire.ParseWelcome(body); err != nil || id != p.session {
		p.t.Fatalf("welcome: %v %v", id, err)
	}
	return p
}

// enter begins a session that may be resumed.
func enter(t testing.TB, n *node) *raw {
	t.Helper()
	return enterFrom(t, n, n.Network)
}

// enterFrom is enter from another host.
func enterFrom(t testing.TB, n *node, network Network) *raw {
	t.Helper()
	var id wire.SessionID
	rand.Read(id[:])
	p := rawTo(t, n, network)
	p.propose(id, wire.Connection{Epoch: 1, Begin: true})
	return p.welcomed()
}

// another is a new connection of the same peer, on which nothing was said.
func (p *raw) another(n *node) *raw {
	p.t.Helper()
	q := rawTo(p.t, n, n.Network)
	q.key, q.session, q.epoch, q.seq = p.key, p.session, p.epoch, p.seq
	return q
}

// resume resumes the session on a new connection.
func (p *raw) resume(n *node) *raw {
	p.t.Helper()
	q := p.another(n)
	q.propose(q.session, wire.Connection{Epoch: q.epoch + 1})
	return q.welcomed()
}

// cut loses the connection and waits until the node has noticed.
func (p *raw) cut(s *Session) {
	l := s.Link()
	p.conn.Close()
	<-l.gone
}

// again loses the connection and resumes the session.
func (p *raw) again(n *node) *raw {
	p.t.Helper()
	p.cut(n.Live(p.node()))
	return p.resume(n)
}

// refusal reads why the handshake was refused.
func (p *raw) refusal() (fault.Kind, string) {
	p.t.Helper()
	body, _ := p.message(wire.HandshakeRefuse)
	k, text, err := wire.ParseRefuse(body)
	if err != nil {
		p.t.Fatal(err)
	}
	return k, text
}

// taken returns when the node has handled what was written, and checks that it did not answer.
func (p *raw) taken() {
	p.t.Helper()
	p.write(wire.AppendPing(nil, wire.FramePing, 1))
	p.next(wire.FramePong)
}

// whole reads a return with its fragments: its flags and its payload.
func (p *raw) whole(slot wire.Slot) (flags uint8, payload string) {
	p.t.Helper()
	l := wire.Limits{}.WithDefaults()
	var h wire.ReturnHeader
	pre, rec := p.next(wire.FrameReturn)
	rest, err := wire.ParseReturn(pre, rec, &l, &h)
	if err != nil || h.Slot != slot || h.Seq != p.seq[slot] {
		p.t.Fatalf("return for call %d of slot %d, %v; want call %d of slot %d", h.Seq, h.Slot, err, p.seq[slot], slot)
	}
	for len(rest) < h.Payload.Len() {
		pre, rec := p.next(wire.FrameFragment)
		f, err := wire.ParseFragment(pre, rec)
		if err != nil || f.Slot != slot || f.Seq != h.Seq || !f.OfReturn {
			p.t.Fatalf("fragment %v, %v", f, err)
		}
		rest = append(rest[:len(rest):len(rest)], f.Piece...)
	}
	return pre.Flags, string(rest)
}

// rawAcceptor is a raw peer that nodes dial.
type rawAcceptor struct {
	t     testing.TB
	at    refs.Endpoint
	conns chan *raw
}

func accepts(t *testing.T, network *memnet.Network) *rawAcceptor {
	t.Helper()
	l, err := network.Listen(t.Context(), "tcp", "raw:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rawAcceptor{t: t, conns: make(chan *raw, 100)}
	if r.at, err = refs.ParseEndpoint(l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			q := newRaw(t, c)
			q.key = key
			r.conns <- q
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return r
}

// next takes the next connection up to the dialling side's proof.
func (r *rawAcceptor) next() (*raw, *wire.Proof) {
	r.t.Helper()
	p := <-r.conns
	p.readMagic()
	_, its := p.message(wire.HandshakeHello)
	h := p.makeHello()
	h.Features = wire.FeatureResume
	mine := h.Append(nil)
	p.write(append([]byte(wire.Magic), mine...))
	var pf wire.Proof
	copy(pf.Signature[:], ed25519.Sign(p.key, pf.Signed(wire.Transcript(false, its, mine, nil))))
	p.write(pf.Append(nil))
	body, _ := p.message(wire.HandshakeProof)
	pr, err := wire.ParseProof(body)
	if err != nil {
		r.t.Fatal(err)
	}
	p.session, p.epoch = pr.Session, pr.Connection.Epoch
	return p, pr
}

// welcome accepts the next connection.
func (r *rawAcceptor) welcome() *raw {
	r.t.Helper()
	p, pr := r.next()
	p.write(wire.AppendWelcome(nil, pr.Session))
	return p
}

// session makes a node dial the peer.
func (r *rawAcceptor) session(a *node) (*Session, *raw) {
	r.t.Helper()
	got := make(chan *Session, 1)
	go func() {
		s, err := a.Session(r.t.Context(), r.at, refs.NodeID{})
		if err != nil {
			r.t.Error(err)
		}
		got <- s
	}()
	p := r.welcome()
	return <-got, p
}

// wholeCall reads a call with its fragments.
func (p *raw) wholeCall() (wire.CallHeader, string) {
	p.t.Helper()
	h, body := p.called()
	for len(body) < h.Payload.Len() {
		pre, rec := p.next(wire.FrameFragment)
		f, err := wire.ParseFragment(pre, rec)
		if err != nil || f.Slot != h.Slot || f.Seq != h.Seq || f.OfReturn {
			p.t.Fatalf("fragment %v, %v", f, err)
		}
		body += string(f.Piece)
	}
	return h, body
}

// idle checks that nothing is in flight and nothing is charged any more, once every goroutine
// of the bubble is idle.
func idle(t *testing.T, nodes ...*node) {
	t.Helper()
	synctest.Wait()
	for _, n := range nodes {
		if held := n.held.now(); held != 0 {
			t.Errorf("%d bytes are still charged", held)
		}
		for _, s := range n.Sessions() {
			calls := s.outbound.mu.Lock()
			if calls.busy != 0 || calls.roots != 0 || len(calls.free) != len(calls.slots) {
				t.Errorf("%d slots are busy, %d of depth 0, %d of %d free", calls.busy, calls.roots, len(calls.free), len(calls.slots))
			}
			s.outbound.mu.Unlock()
			served := s.inbound.mu.Lock()
			if served.running != 0 || served.queued != 0 || served.bytes != 0 {
				t.Errorf("%d calls run, %d of %d bytes wait", served.running, served.queued, served.bytes)
			}
			s.inbound.mu.Unlock()
			if l := s.Link(); l != nil {
				if l.assembling.Load() != 0 {
					t.Errorf("%d bytes are under assembly", l.assembling.Load())
				}
				q := l.out.mu.Lock()
				if q.assembled != 0 || len(q.bodies)+len(q.waiting) != 0 {
					t.Errorf("%d bytes are under way", q.assembled)
				}
				l.out.mu.Unlock()
			}
		}
	}
}
