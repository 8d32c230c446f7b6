package multicast

import (
	"context"
	"encoding/binary"
	"reflect"
	"sync"
	"sync/atomic"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Host is what an Exchange needs of its node: sessions, and the counts of the references in
// packets.
type Host interface {
	// Limits bound what peers send.
	Limits() *wire.Limits
	// Live returns the session with a node, or nil.
	Live(refs.NodeID) *transport.Session

	// Pin returns the reference of a remote value. The object stays exported, or held, until
	// unpin is called.
	Pin(v reflect.Value, i *codec.Interface) (r refs.Ref, unpin func(), err error)
	// Give counts a reference that is about to be sent on s. It returns the form for the
	// receiver.
	Give(s *transport.Session, r refs.Ref) refs.Ref
	// Ungive undoes Give: the references are not sent.
	Ungive(s *transport.Session, rs ...refs.Ref)

	// Receive reads and counts a table of references that came on s. Decoded ends the hold that
	// Receive has on them.
	Receive(s *transport.Session, count uint32, table []byte) ([]refs.Ref, error)
	Decoded(rs []refs.Ref)
	// Importer makes values of references that came on s.
	Importer(s *transport.Session) codec.Importer
}

// Exchange is where a node sends packets and receives them. It is safe for concurrent use.
type Exchange struct {
	host      Host
	receivers receivers
}

// NewExchange returns the exchange of a node. The node's transport calls its Connected,
// Disconnected and Opened.
func NewExchange(h Host) *Exchange { return &Exchange{host: h} }

// Sender is the part of a session that belongs to an Exchange. The value that Session.Attached
// returns has a method Multicast that returns it. The zero value is ready for use.
type Sender struct {
	peer atomic.Pointer[Peer] // of the present connection, or of the last one
	end  hooks
}

// Ended is called when the session is over for good.
func (x *Sender) Ended() { x.end.run() }

// senderOf returns what is attached to a session.
func senderOf(s *transport.Session) *Sender {
	return s.Attached().(interface{ Multicast() *Sender }).Multicast()
}

// Peer is one connection with another node. There is one Peer per connection, and a session may
// have many, one after the other. A Peer is comparable and safe for concurrent use.
type Peer struct {
	exchange *Exchange
	session  *transport.Session
	sender   *Sender // the session's
	link     *transport.Link

	end hooks

	out outlet
	in  inlet
}

// ConnectionID names a connection. Both of its ends use the same one.
type ConnectionID [16]byte

// PeerOf returns the peer that made the call to which ctx belongs. If the call was relayed,
// that is the relay. The Peer is the current connection, or the last one. PeerOf returns nil if
// ctx does not belong to a remote call.
func PeerOf(ctx context.Context) *Peer {
	s := transport.SessionOf(ctx)
	if s == nil {
		return nil
	}
	return senderOf(s).peer.Load()
}

// Relayed reports whether the call to which ctx belongs came through a relay. Then PeerOf is not
// the caller.
func Relayed(ctx context.Context) bool { return transport.Relayed(ctx) }

// Peer returns the connection with a node, or nil if there is no session with it.
// The connection may just have been lost.
func (x *Exchange) Peer(id refs.NodeID) *Peer {
	s := x.host.Live(id)
	if s == nil {
		return nil
	}
	return senderOf(s).peer.Load()
}

// Connected makes the Peer of a new connection.
func (x *Exchange) Connected(l *transport.Link) any {
	s := l.Session()
	p := &Peer{exchange: x, session: s, sender: senderOf(s), link: l, out: outlet{turn: make(chan struct{}, 1)}}
	p.sender.peer.Store(p)
	return p
}

// Disconnected is called when a connection is lost and all its goroutines have ended.
func (x *Exchange) Disconnected(l *transport.Link) { l.Attached().(*Peer).end.run() }

// Opened reads a stream that a peer opened.
func (x *Exchange) Opened(l *transport.Link, st streams.Stream) {
	p := l.Attached().(*Peer)
	if err := p.in.read(p, st); err != nil {
		l.Session().Close(fault.Add(err, fault.OutcomeUnknown))
	}
}

// Node is the id of the node at the other end.
func (p *Peer) Node() refs.NodeID { return p.session.Peer() }

// Principal is who the peer has proved to be.
func (p *Peer) Principal() string { return p.session.Principal() }

// Host is the host from which the peer came, or at which it was reached.
func (p *Peer) Host() string { return p.session.PeerHost() }

// Local reports whether the peer is on this machine, by its newest connection.
func (p *Peer) Local() bool { return p.session.Local() }

// Connection names the connection.
func (p *Peer) Connection() ConnectionID {
	id := ConnectionID(p.session.ID())
	e := p.link.Epoch() - 1 // the first connection has the session's own id
	binary.BigEndian.PutUint32(id[12:], binary.BigEndian.Uint32(id[12:])^uint32(e))
	return id
}

// TakesStreams reports whether the peer takes streams. If not, Send cannot reach it.
func (p *Peer) TakesStreams() bool { return p.session.TakesStreams() }

// Done is closed when the connection is lost.
func (p *Peer) Done() <-chan struct{} { return p.link.Done() }

// Err returns why the connection is lost; nil while it is not.
func (p *Peer) Err() error { return p.link.Err() }

// Detached reports whether the session with the peer has no connection now.
func (p *Peer) Detached() bool { return p.session.Detached() }

// Await waits until the session with the peer has a connection again. It fails when
// ctx ends or the session is over.
func (p *Peer) Await(ctx context.Context) error { return p.session.Await(ctx) }

// OnEnd calls f when the connection is lost and nothing more will be received from it. If that
// is so already, it calls f at once. f must not block. The returned function removes f.
func (p *Peer) OnEnd(f func()) (remove func()) { return p.end.add(f) }

// OnGone is OnEnd for the session, which outlives its connections. It calls f when the session
// is over.
func (p *Peer) OnGone(f func()) (remove func()) { return p.sender.end.add(f) }

// hooks are functions that are called once, at an end.
type hooks struct {
	mu   sync.Mutex // guards the fields below
	over bool
	fs   map[*func()]struct{}
}

// add calls f at the end, or at once if the end was before. The returned function removes f.
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

// run is called at the end.
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
