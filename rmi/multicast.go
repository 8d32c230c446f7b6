package rmi

import (
	"context"
	"reflect"
	"sync"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/transport/streams"
)

// Peer is another node as this node has a session with it. It is not for
// programs but for packages that send values to many: see Peer.Multicast. There
// is one Peer per session; it is comparable and safe for concurrent use.
//
// Multicast goes over one stream per direction of the session, opened when the
// first packet is sent. A packet names the receivers that it is for (Node.Receive)
// and carries a value that was encoded once (Codec.Packet), whatever the number
// of peers and receivers. Order is kept within a peer; what was accepted by
// Multicast is lost only with the session.
type Peer struct {
	side *side

	mu    sync.Mutex // guards the fields below
	over  bool
	onEnd map[*func()]struct{}

	out outlet
	in  inlet
}

// SessionID names a session; both its ends know it by the same one.
type SessionID [16]byte

// PeerOf returns the peer that made the call which ctx belongs to: the relay, if
// the call was relayed. It is nil in a context that no remote call made.
func PeerOf(ctx context.Context) *Peer {
	s := transport.SessionOf(ctx)
	if s == nil {
		return nil
	}
	return &sideOf(s).peer
}

// Peer returns the session with a node, nil if there is none.
func (n *Node) Peer(id refs.NodeID) *Peer {
	s := n.transport.Live(id)
	if s == nil {
		return nil
	}
	return &sideOf(s).peer
}

// NodeOf returns the node that a proxy of an interface type makes its calls
// through, nil if v is no proxy.
func NodeOf(v any) *Node {
	var none proxy.Table
	c := none.CoreOf(reflect.ValueOf(v))
	if c == nil {
		return nil
	}
	n, _ := c.Caller.(*Node)
	return n
}

// Node is the id of the node at the other end.
func (p *Peer) Node() refs.NodeID { return p.side.s.Peer() }

// Local is the node at this end.
func (p *Peer) Local() *Node { return p.side.n }

// Session names the session.
func (p *Peer) Session() SessionID { return SessionID(p.side.s.ID()) }

// Done is closed when the session is over.
func (p *Peer) Done() <-chan struct{} { return p.side.s.Done() }

// Err tells why the session is over; nil while it is not.
func (p *Peer) Err() error { return p.side.s.Err() }

// OnEnd has f called when the session is over and nothing more will be received
// from it, or at once if it is so already. f must not block. The returned
// function takes f back.
func (p *Peer) OnEnd(f func()) (remove func()) {
	p.mu.Lock()
	if p.over {
		p.mu.Unlock()
		f()
		return func() {}
	}
	if p.onEnd == nil {
		p.onEnd = make(map[*func()]struct{})
	}
	p.onEnd[&f] = struct{}{}
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.onEnd, &f)
	}
}

// ended is called once, when no goroutine of the session is left.
func (p *Peer) ended() {
	p.mu.Lock()
	p.over = true
	hooks := p.onEnd
	p.onEnd = nil
	p.mu.Unlock()
	for f := range hooks {
		(*f)()
	}
}

// streamOpened reads a stream that a peer opened.
func (n *Node) streamOpened(s *transport.Session, st streams.Stream) {
	if err := sideOf(s).peer.in.read(&sideOf(s).peer, st); err != nil {
		s.Close(asError(err, fault.Unknown))
	}
}
