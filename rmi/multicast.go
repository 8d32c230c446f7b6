package rmi

import (
	"context"
	"encoding/binary"
	"reflect"
	"sync"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/transport/streams"
)

// Peer is one connection with another node. It is not for programs but for packages that send
// values to many: see Peer.Multicast. There is one Peer per connection. It is comparable and safe
// for concurrent use. For calls, the session between the two nodes outlives the Peer. Gone tells
// whether the other node is gone for good.
//
// Multicast uses one stream per direction of the connection, which is opened when the first packet
// is sent. A packet names the receivers that it is for (Node.Receive). It carries a value that was
// encoded once (Codec.Packet), whatever the number of peers and receivers. The order of packets to
// one peer is kept. What Multicast accepted is lost only with the connection.
type Peer struct {
	side *side
	link *transport.Link

	end hooks

	out outlet
	in  inlet
}

// SessionID names a connection of a session. Both ends of the connection use the same SessionID.
type SessionID [16]byte

// PeerOf returns the peer that made the call to which ctx belongs. If the call was relayed, that is
// the relay. The Peer is the current connection, or the last one. PeerOf returns nil if ctx is not
// of a remote call.
func PeerOf(ctx context.Context) *Peer {
	s := transport.SessionOf(ctx)
	if s == nil {
		return nil
	}
	return sideOf(s).peer.Load()
}

// Relayed reports whether the call to which ctx belongs came through a relay. Then PeerOf is not
// the caller.
func Relayed(ctx context.Context) bool { return transport.Relayed(ctx) }

// Peer returns the connection with a node, or nil if there is no session with it.
// The connection may just have been lost.
func (n *Node) Peer(id refs.NodeID) *Peer {
	s := n.transport.Live(id)
	if s == nil {
		return nil
	}
	return sideOf(s).peer.Load()
}

// linked makes the Peer of a new connection.
func (n *Node) linked(l *transport.Link) any {
	x := sideOf(l.Session())
	p := &Peer{side: x, link: l}
	x.peer.Store(p)
	return p
}

// unlinked is called when a connection is lost and no goroutine of it is left.
func (n *Node) unlinked(l *transport.Link) { l.Attached().(*Peer).ended() }

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

// Session names the connection.
func (p *Peer) Session() SessionID {
	id := SessionID(p.side.s.ID())
	e := p.link.Epoch() - 1 // the first has the session's own
	binary.BigEndian.PutUint32(id[12:], binary.BigEndian.Uint32(id[12:])^uint32(e))
	return id
}

// TakesStreams reports whether the peer takes streams: else Multicast cannot reach it.
func (p *Peer) TakesStreams() bool { return p.side.s.TakesStreams() }

// Done is closed when the connection is lost.
func (p *Peer) Done() <-chan struct{} { return p.link.Done() }

// Err tells why the connection is lost; nil while it is not.
func (p *Peer) Err() error { return p.link.Err() }

// Detached reports whether the session with the peer has no connection now.
func (p *Peer) Detached() bool { return p.side.s.Detached() }

// Await waits until the session with the peer has a connection again. It fails when
// ctx ends or the session is over.
func (p *Peer) Await(ctx context.Context) error { return p.side.s.Await(ctx) }

// OnEnd has f called when the connection is lost and nothing more will be received
// from it, or at once if it is so already. f must not block. The returned
// function takes f back.
func (p *Peer) OnEnd(f func()) (remove func()) { return p.end.add(f) }

// OnGone is OnEnd for the session, which outlives its connections: f is called
// when it is over for good.
func (p *Peer) OnGone(f func()) (remove func()) { return p.side.end.add(f) }

// ended is called once, when no goroutine of the connection is left.
func (p *Peer) ended() { p.end.run() }

// hooks are called once, at an end.
type hooks struct {
	mu   sync.Mutex // guards the fields below
	over bool
	fs   map[*func()]struct{}
}

// add has f called at the end, or at once if that was. The returned function
// takes f back.
func (h *hooks) add(f func()) (remove func()) {
	h.mu.Lock()
	if h.over {
		h.mu.Unlock()
		f()
		return func() {}
	}
	if h.fs == nil {
		h.fs = make(map[*func()]struct{})
	}
	h.fs[&f] = struct{}{}
	h.mu.Unlock()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.fs, &f)
	}
}

// run is the end.
func (h *hooks) run() {
	h.mu.Lock()
	h.over = true
	fs := h.fs
	h.fs = nil
	h.mu.Unlock()
	for f := range fs {
		(*f)()
	}
}

// streamOpened reads a stream that a peer opened.
func (n *Node) streamOpened(l *transport.Link, st streams.Stream) {
	p := l.Attached().(*Peer)
	if err := p.in.read(p, st); err != nil {
		l.Session().Close(asError(err, fault.Unknown))
	}
}
