package transport

import (
	"bytes"
	"crypto/rand"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// peers keeps one session with each node. When two nodes dial each other at the same time, both
// must keep the same one of the two connections. And a node whose connection broke must not be
// turned away because its peer has not noticed. So of each pair the node with the smaller id
// decides:
//
//   - When it dials and has proved who it is, it holds to that dial. Until that dial has ended,
//     and while the session that it made lives, it refuses connections from that peer as
//     crossed.
//   - The peer may say that the session which stands in the way is over (Proof.Previous). Then
//     that session is ended and the new one accepted.
//   - The other node accepts whatever the deciding one dials.
//
// All that is between two processes. A node that was started anew under its old key knows
// nothing of its sessions, and its peer may not have noticed that it was gone. The peer sees it
// by the time in the hello, which is when the node started. A later time ends the session that
// stands in the way, whoever decides. An earlier time is refused while that session has a
// connection, so that two programs with one key do not push each other out for ever. If it has
// no connection, an earlier time counts as later, because clocks can be set back.
//
// A node's session with itself (a proxy by address in the process of the owner) has its
// dialling end here. Nobody looks its accepting end up.
type peers struct {
	mu guard.Mutex[lockedPeers]
}

// lockedPeers is the state of peers and of each peer.
type lockedPeers struct {
	byNode map[refs.NodeID]*peer
	closed bool
}

// peer is what is known about one other node.
type peer struct {
	session  *Session
	last     wire.SessionID // of the last session that is over; for Proof.Previous
	begun    wire.SessionID // that a dial proposed, and that the peer may have begun
	begins   wire.Epoch     // how many connections were tried for it
	proving  bool           // a dial under way has sent its proof
	holding  int            // dials under way that this node holds to; only if it decides
	arrival  chan struct{}  // closed when a session arrives or a dial that is held to ends; nil if nobody waits
	forgetAt int64          // tick after which an entry without a session is dropped; 0: not set yet
}

// decides reports whether node a decides for the pair.
func decides(a, b refs.NodeID) bool { return bytes.Compare(a[:], b[:]) < 0 }

func (p *peers) init() {
	p.mu.Lock().byNode = make(map[refs.NodeID]*peer)
	p.mu.Unlock()
}

// get returns the entry for a node.
func (p *lockedPeers) get(n refs.NodeID) *peer {
	e := p.byNode[n]
	if e == nil {
		e = new(peer)
		p.byNode[n] = e
	}
	return e
}

// live returns the session with a node, if there is one.
func (p *peers) live(n refs.NodeID) *Session {
	st := p.mu.Lock()
	defer p.mu.Unlock()
	if e := st.byNode[n]; e != nil && e.session != nil && e.session.live() {
		return e.session
	}
	return nil
}

// met reports whether there was a session with a node.
func (p *peers) met(n refs.NodeID) bool {
	st := p.mu.Lock()
	defer p.mu.Unlock()
	e := st.byNode[n]
	return e != nil && (e.session != nil || e.last != wire.SessionID{})
}

// ticket is a dial that has proved who it is. held says that its node holds to it.
type ticket struct {
	p    *peers
	node refs.NodeID
	held bool
}

func (t ticket) done() {
	st := t.p.mu.Lock()
	defer t.p.mu.Unlock()
	if e := st.byNode[t.node]; e != nil {
		e.proving = false
		if t.held { // a node that does not decide waits for the peer's connection instead
			e.holding--
			e.arrived()
		}
	}
}

// arrived wakes those who wait for a session.
func (e *peer) arrived() {
	if e.arrival != nil {
		close(e.arrival)
		e.arrival = nil
	}
}

// beginning is what a dial proposes.
type beginning struct {
	id, previous wire.SessionID
	epoch        wire.Epoch
}

// dialling is called before the dialling side proves itself. It returns a session that makes
// the dial unnecessary, or what to propose. That is the same session again if the last attempt
// failed after the peer may have agreed to it. The error is errCrossed if another dial to the
// same node (by another address, say) has come as far. started is when the node says that it
// started.
func (p *peers) dialling(self, node refs.NodeID, started refs.Time) (b beginning, existing *Session, t ticket, err error) {
	t = ticket{p: p, node: node, held: decides(self, node)}
	st := p.mu.Lock()
	b, existing, over, err := st.dialling(t, started)
	p.mu.Unlock()
	replaced(over, startedAnew)
	return b, existing, t, err
}

// dialling is peers.dialling. over is a session that is over because its peer was started anew.
func (p *lockedPeers) dialling(t ticket, started refs.Time) (b beginning, existing, over *Session, err error) {
	e := p.get(t.node)
	if e.session != nil && e.session.live() {
		if anew, _ := e.session.startedAnew(started); !anew {
			return b, e.session, nil, nil
		}
		over = e.session
	}
	if e.proving {
		return b, nil, over, errCrossed // by a dial of our own
	}
	e.proving = true
	if t.held {
		e.holding++
	}
	if e.begun == (wire.SessionID{}) {
		rand.Read(e.begun[:])
		e.begins = 0
	}
	e.forgetAt = 0
	e.begins++
	b = beginning{id: e.begun, previous: e.last, epoch: e.begins}
	if e.session != nil { // over, and about to be removed
		b.previous = e.session.id
	}
	return b, nil, over, nil
}

// dialled registers a session that this node dialled.
func (p *peers) dialled(s *Session) error {
	st := p.mu.Lock()
	closed := st.closed
	var old *Session
	if !closed {
		old = st.put(s)
	}
	p.mu.Unlock()
	if closed {
		return errClosed()
	}
	replaced(old, "another session was begun")
	return nil
}

// accepted registers a session that the peer dialled, or says why it is refused.
func (p *peers) accepted(self refs.NodeID, s *Session, previous wire.SessionID) error {
	if s.peer == self {
		return nil
	}
	st := p.mu.Lock()
	old, why, err := st.accepted(self, s, previous)
	p.mu.Unlock()
	replaced(old, why)
	return err
}

// accepted returns the session that s replaces, if there is one, and why.
func (p *lockedPeers) accepted(self refs.NodeID, s *Session, previous wire.SessionID) (old *Session, why string, err error) {
	if p.closed {
		return nil, "", errClosed()
	}
	e := p.get(s.peer)
	lives := e.session != nil && e.session.live() && e.session.id != previous
	why = "the peer began a new session"
	if lives {
		anew, earlier := e.session.startedAnew(s.peerTime)
		if earlier {
			return nil, "", errEarlier
		}
		if anew {
			lives, why = false, startedAnew
		}
	}
	if decides(self, s.peer) && (lives || e.holding > 0) {
		return nil, "", errCrossed
	}
	return p.put(s), why, nil
}

// startedAnew is why a session is over whose peer came back as another process.
const startedAnew = "the peer was started anew"

// startedAnew compares s with a peer that proved to be s's and says that it started at a time.
// anew says that the peer is not s's process but a later one. earlier says that it is an
// earlier one, and s is in use.
func (s *Session) startedAnew(at refs.Time) (anew, earlier bool) {
	switch {
	case at == s.peerTime:
		return false, false
	case at > s.peerTime, s.link.Load() == nil:
		return true, false
	}
	return false, true
}

// errEarlier is why a dial is refused while a later start of the same node is connected.
var errEarlier = fault.New(fault.KindDenied, fault.OutcomeNotExecuted,
	"W-19: a node with the same key that was started later is connected: a key is one process's at a time")

// replaced ends a session that another one replaces.
func replaced(old *Session, why string) {
	if old != nil {
		old.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "%s", why))
	}
}

// put makes s the session with its peer and returns the one before.
func (p *lockedPeers) put(s *Session) (old *Session) {
	e := p.get(s.peer)
	if old = e.session; old != nil {
		e.last = old.id
	}
	e.session = s
	e.begun = wire.SessionID{}
	e.arrived()
	return old
}

// wait returns the channel that is closed when a session with n arrives, or may be dialled
// anew.
func (p *peers) wait(n refs.NodeID) <-chan struct{} {
	st := p.mu.Lock()
	defer p.mu.Unlock()
	e := st.get(n)
	if e.arrival == nil {
		e.arrival = make(chan struct{})
	}
	return e.arrival
}

// remove removes a session that is over.
func (p *peers) remove(s *Session) {
	st := p.mu.Lock()
	defer p.mu.Unlock()
	if e := st.byNode[s.peer]; e != nil && e.session == s {
		e.session, e.last = nil, s.id
		e.forgetAt = s.transport.now.Load() + forgetAfter
		if len(st.byNode) > maxForgotten && !e.proving { // keys are free: anybody can come as any number of nodes
			e.arrived()
			delete(st.byNode, s.peer)
		}
	}
}

// forgetAfter is how many ticks the id is kept of a session that is over, or may have begun.
const forgetAfter = 120 * 4

// maxForgotten is the number of nodes above which those without a session are forgotten at
// once.
const maxForgotten = 1 << 16

// forget drops the entries of nodes that were not heard of for long.
func (p *peers) forget(now int64) {
	st := p.mu.Lock()
	defer p.mu.Unlock()
	for n, e := range st.byNode {
		switch {
		case e.session != nil || e.proving:
		case e.forgetAt == 0:
			e.forgetAt = now + forgetAfter
		case e.forgetAt < now:
			e.arrived() // those who wait ask again
			delete(st.byNode, n)
		}
	}
}
