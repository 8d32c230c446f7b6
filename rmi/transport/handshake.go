package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// handshake is one side of the exchange with which a connection begins:
//
//	dialling side            accepting side
//	magic, HELLO        →
//	                    ←    magic, HELLO, PROOF
//	PROOF               →
//	                    ←    WELCOME
//
// The proof of the dialling side says which session the connection is for: a new one, or one
// whose connection was lost.
//
// Either side may send REFUSE instead and close. Until a peer's proof was checked, it costs its
// carrier, this struct, and at most wire.MaxHandshake bytes.
type handshake struct {
	carrier
	t       *Transport
	dialler bool
	limit   time.Duration // for all of it

	mine, peers       *wire.Hello
	myBytes, itsBytes []byte // of the hello messages
	binding           []byte // the TLS channel's exporter value
	proved            bool   // the dialling side's proof may have been sent
	known             bool   // the peer said that it is a node, or there was a session with it
	met               bool   // there was a session with it
	principal         string // of the peer
}

func (t *Transport) newHandshake(c carrier, dialler bool) (*handshake, error) {
	h := &handshake{carrier: c, t: t, dialler: dialler, limit: c.handshakeLimit()}
	if err := c.conn.SetDeadline(time.Now().Add(h.limit)); err != nil {
		return nil, connectionLost(err)
	}
	if tc := c.tls; tc != nil {
		if err := tc.HandshakeContext(context.Background()); err != nil { // bounded by the deadline above
			h.refusePlain(err)
			return nil, tlsFailed(h.cut(err))
		}
		cs := tc.ConnectionState()
		var err error
		if h.binding, err = cs.ExportKeyingMaterial("EXPORTER-GoRMI", nil, 32); err != nil {
			return nil, fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "the TLS channel cannot be bound to the nodes' proofs: use TLS 1.3, or 1.2 with the extended master secret: %w", err)
		}
	}
	h.principal = h.peerPrincipal()
	return h, nil
}

func (h *handshake) hello(expected refs.NodeID) *wire.Hello {
	l := &h.t.Limits
	m := &wire.Hello{
		Version: wire.Version, Oldest: wire.Oldest, Features: wire.Features,
		Expected: expected, Time: h.t.Time,
		Message: uint32(l.Message), Assembly: uint32(l.Assembly), Slots: uint32(l.Slots), Entries: uint32(l.References), Streams: uint16(min(l.Streams, 1<<16-1)),
	}
	if h.t.NoResume {
		m.Features &^= wire.FeatureResume
	}
	copy(m.Key[:], h.t.Key.Public().(ed25519.PublicKey))
	rand.Read(m.Nonce[:])
	h.mine = m
	h.myBytes = m.Append(nil)
	return m
}

// readMagic reads the first bytes of the peer. If they are not those of a node, the error says
// what the peer seems to be.
func (h *handshake) readMagic() error {
	got := make([]byte, len(wire.Magic))
	n, err := io.ReadFull(h.conn, got)
	got = got[:n]
	if string(got) == wire.Magic {
		h.known = true
		return nil
	}
	if n > 0 && !bytes.HasPrefix([]byte(wire.Magic), got) {
		return fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-2: the peer is not a GoRMI node: it sent %q%s", got, guess(got))
	}
	if f := tlsRefused(err); f != nil {
		return f
	}
	timeout, ended := isTimeout(err), errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case timeout && h.known:
		return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted,
			"the peer did not say hello within %v: its process stands still or is busy, or the network lets nothing through%w", h.limit, silent{&cutError{err, true}})
	case timeout:
		return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "the peer did not say hello within %v: is it a GoRMI node?", h.limit)
	case ended && h.known:
		return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "the connection ended before the peer said hello: %w", h.cut(err))
	case ended:
		return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted,
			"the peer closed the connection without a hello: is it a GoRMI node (not a Java registry, a web server, or a node that wants TLS)?%w", silent{h.cut(err)})
	default:
		return h.lost(err)
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// cutError says that the connection ended during the handshake. Another attempt may succeed.
type cutError struct {
	error
	node bool // the peer is a node
}

func (c *cutError) Unwrap() error { return c.error }

// cut makes a cutError of the error of a connection that ended. It returns other errors
// unchanged.
func (h *handshake) cut(err error) error {
	var op *net.OpError // TLS alerts are such errors too
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && !op.Timeout() && (op.Op == "read" || op.Op == "write") {
		return &cutError{err, h.known}
	}
	return err
}

// silent is a cause whose text is left out, because the text around it says the same.
type silent struct{ error }

func (silent) Error() string   { return "" }
func (s silent) Unwrap() error { return s.error }

// guess names the protocol that begins with b.
func guess(b []byte) string {
	switch {
	case bytes.HasPrefix(b, []byte("HTTP")), bytes.HasPrefix(b, []byte("GET ")), bytes.HasPrefix(b, []byte("POST")), bytes.HasPrefix(b, []byte("HEAD")):
		return ", which looks like HTTP"
	case bytes.HasPrefix(b, []byte("JRMI")), b[0] == 'N' || b[0] == 'Q':
		return ", which looks like Java RMI"
	case b[0] == 0x16, b[0] == 0x15:
		return ", which looks like TLS: set Options.TLS on both sides or on neither"
	}
	return ""
}

// read reads one message, which must be of kind want.
func (h *handshake) read(want wire.HandshakeKind) (body, all []byte, err error) {
	var p [wire.HandshakePrefix]byte
	if _, err := io.ReadFull(h.conn, p[:]); err != nil {
		return nil, nil, h.lost(err)
	}
	kind, n, err := wire.ParseHandshakePrefix(p[:])
	if err != nil {
		return nil, nil, err
	}
	all = make([]byte, len(p)+n)
	copy(all, p[:])
	body = all[len(p):]
	if _, err := io.ReadFull(h.conn, body); err != nil {
		return nil, nil, h.lost(err)
	}
	if kind == wire.HandshakeRefuse {
		k, text, err := wire.ParseRefuse(body)
		if err != nil {
			return nil, nil, err
		}
		if k == wire.RefuseCrossed {
			return nil, nil, errCrossed
		}
		return nil, nil, fault.Add(fault.New(k, fault.OutcomeNotExecuted, "%s", text), fault.OriginPeer)
	}
	if kind != want {
		return nil, nil, fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-5: handshake message %d where %d was due", kind, want)
	}
	return body, all, nil
}

func (h *handshake) lost(err error) error {
	if isTimeout(err) {
		if h.met { // a node may stand still for a while
			err = &cutError{err, true}
		}
		return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "the handshake took longer than %v%w", h.limit, silent{err})
	}
	return fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "the connection was lost in the handshake: %w", h.cut(err))
}

func (h *handshake) readHello() error {
	body, all, err := h.read(wire.HandshakeHello)
	if err != nil {
		return err
	}
	if h.peers, err = wire.ParseHello(body); err != nil {
		return err
	}
	h.itsBytes = all
	if _, err = wire.Agree(h.mine, h.peers); err != nil {
		return err
	}
	if h.lossy && !h.resumable() {
		return fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-17: one of the nodes cannot tell calls that come twice, as they do over datagrams: use TCP between them")
	}
	return nil
}

func (h *handshake) transcript(dialler bool) []byte {
	d, a := h.myBytes, h.itsBytes
	if !h.dialler {
		d, a = a, d
	}
	return wire.Transcript(dialler, d, a, h.binding)
}

// proof signs the transcript.
func (h *handshake) proof(p wire.Proof) []byte {
	copy(p.Signature[:], ed25519.Sign(h.t.Key, p.Signed(h.transcript(h.dialler))))
	return p.Append(nil)
}

func (h *handshake) readProof() (*wire.Proof, error) {
	body, _, err := h.read(wire.HandshakeProof)
	if err != nil {
		return nil, err
	}
	p, err := wire.ParseProof(body)
	if err != nil {
		return nil, err
	}
	if h.dialler && p.Resumable {
		return nil, fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-20: the proof of the accepting side has the extension connection")
	}
	if !ed25519.Verify(h.peers.Key[:], p.Signed(h.transcript(!h.dialler)), p.Signature[:]) {
		return nil, fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "the peer could not prove that it is node %v", h.peers.Node())
	}
	return p, nil
}

// write sends b.
func (h *handshake) write(b []byte) error {
	if _, err := h.conn.Write(b); err != nil {
		return h.lost(err)
	}
	return nil
}

// refuse tells the peer why the connection ends, if the peer can still be told.
func (h *handshake) refuse(err error) {
	if h.proved {
		return // the session may have begun at the other side, which reads records now
	}
	if fault.KindOf(err) == fault.KindProtocol && !h.dialler {
		if s := err.Error(); bytes.Contains([]byte(s), []byte("looks like HTTP")) {
			_, _ = io.WriteString(h.conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks GoRMI, not HTTP.\n")
			return
		}
	}
	var f *fault.Error
	if errors.As(err, &f) && f.Origin == fault.OriginPeer {
		return // it refused us
	}
	kind := fault.KindOf(err)
	switch {
	case errors.Is(err, errCrossed):
		kind = wire.RefuseCrossed
	case kind == 0:
		kind = fault.KindInternal
	}
	b := wire.AppendRefuse(nil, kind, text(err))
	if h.mine == nil {
		b = append([]byte(wire.Magic), b...)
	}
	_, _ = h.conn.Write(b)
}

// text is what a peer is told of err.
func text(err error) string {
	var f *fault.Error
	if errors.As(err, &f) {
		if f.Msg != "" {
			return f.Msg
		}
		if f.Err != nil {
			return f.Err.Error()
		}
	}
	return err.Error()
}

// greet runs the dialling side's handshake up to its proof, and returns which node answered.
func (h *handshake) greet(expected refs.NodeID) (peer refs.NodeID, err error) {
	h.hello(expected)
	if err := h.write(append([]byte(wire.Magic), h.myBytes...)); err != nil {
		return peer, err
	}
	if err := h.readMagic(); err != nil {
		return peer, err
	}
	if err := h.readHello(); err != nil {
		return peer, err
	}
	peer = h.peers.Node()
	if !expected.IsZero() && subtle.ConstantTimeCompare(expected[:], peer[:]) == 0 {
		return peer, staleNode(expected, peer)
	}
	if _, err = h.readProof(); err != nil {
		return peer, err
	}
	return peer, h.identify()
}

// resumable reports whether both sides can resume a session.
func (h *handshake) resumable() bool {
	return h.mine.Features&h.peers.Features&wire.FeatureResume != 0
}

// prove sends the dialling side's proof and waits for the welcome.
func (h *handshake) prove(id, previous wire.SessionID, c wire.Connection) error {
	p := wire.Proof{Session: id, Previous: previous}
	if h.resumable() {
		p.Extensions = wire.AppendConnection(nil, c)
	}
	proof := h.proof(p)
	h.proved = true
	if err := h.write(proof); err != nil {
		return err
	}
	body, _, err := h.read(wire.HandshakeWelcome)
	if err != nil {
		return err
	}
	got, err := wire.ParseWelcome(body)
	if err == nil && got != id {
		err = fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-15: the peer welcomed another session")
	}
	return err
}

// dial runs the dialling side for a new session. If the two nodes have a session already, it is
// returned as existing, and the connection is not needed.
func (h *handshake) dial(expected refs.NodeID, host string, at target) (l *Link, existing *Session, err error) {
	peer, err := h.greet(expected)
	if err != nil {
		return nil, nil, err
	}
	t := h.t
	begin, existing, ticket, err := t.peers.dialling(t.node, peer, h.peers.Time)
	if existing != nil || err != nil {
		return nil, existing, err
	}
	defer ticket.done()
	if err := h.prove(begin.id, begin.previous, wire.Connection{Epoch: begin.epoch, Begin: true}); err != nil {
		return nil, nil, err
	}
	s := h.session(begin.id, peer, host)
	s.dialled, s.endpoint, s.chosenBy, s.resumable = true, at.endpoint, at.from, h.resumable()
	if err := t.peers.dialled(s); err != nil {
		return nil, nil, err
	}
	return h.link(s, begin.epoch), nil, nil
}

// resume runs the dialling side for a session whose connection was lost.
func (h *handshake) resume(s *Session, epoch wire.Epoch) (*Link, error) {
	h.known, h.met = true, true
	if _, err := h.greet(s.peer); err != nil {
		return nil, err
	}
	if err := h.same(s); err != nil {
		return nil, err
	}
	if !h.resumable() {
		return nil, staleNode(s.peer, s.peer) // the process that answers cannot be the one that the session was with
	}
	if err := h.prove(s.id, wire.SessionID{}, wire.Connection{Epoch: epoch}); err != nil {
		return nil, err
	}
	return h.link(s, epoch), nil
}

// staleNode is the error for a reference to a node that no longer exists.
func staleNode(expected, found refs.NodeID) error {
	return fault.New(fault.KindStaleReference, fault.OutcomeNotExecuted,
		"node %.8s is wanted and node %.8s answers at its address: the owner was restarted or another program took its port; look the name up again", expected, found)
}

// accept runs the accepting side. It registers the link's session in peers. The first bytes
// that the link writes are the welcome.
func (h *handshake) accept() (*Link, error) {
	if err := h.readMagic(); err != nil {
		return nil, err
	}
	m := h.hello(refs.NodeID{})
	if err := h.readHello(); err != nil {
		h.mine = nil // the peer has not seen our magic yet
		return nil, err
	}
	if e := h.peers.Expected; !e.IsZero() && e != m.Node() {
		h.mine = nil
		return nil, staleNode(e, m.Node())
	}
	if err := h.write(append(append([]byte(wire.Magic), h.myBytes...), h.proof(wire.Proof{})...)); err != nil {
		return nil, err
	}
	p, err := h.readProof()
	if err != nil {
		return nil, err
	}
	if err := h.identify(); err != nil {
		return nil, err
	}
	if p.Session == (wire.SessionID{}) {
		return nil, fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-12: a session without an id")
	}
	resumable := h.resumable()
	if p.Resumable != resumable {
		return nil, fault.New(fault.KindProtocol, fault.OutcomeNotExecuted,
			"W-20: the proof of the dialling side has the extension connection if both nodes have the feature resume, and only then (here: %v, the feature: %v)", p.Resumable, resumable)
	}
	epoch := wire.Epoch(1)
	if resumable {
		if epoch = p.Connection.Epoch; epoch == 0 {
			return nil, fault.New(fault.KindProtocol, fault.OutcomeNotExecuted, "W-30: a connection without a number")
		}
		if s := h.t.accepted(p.Session, h.peers); s != nil {
			if err := h.same(s); err != nil {
				return nil, err
			}
			return h.welcome(s, epoch), nil
		}
		if !p.Connection.Begin {
			return nil, fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the session is over at this end")
		}
	}
	if h.t.goingOff() {
		return nil, fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "the node is shutting down and takes no new peers")
	}
	if h.t.ofAnother(p.Session, h.peers.Node()) {
		return nil, fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "the session is another node's")
	}
	s := h.session(p.Session, h.peers.Node(), h.remoteHost())
	s.resumable = resumable
	if err := h.t.peers.accepted(h.t.node, s, p.Previous); err != nil {
		return nil, err
	}
	return h.welcome(s, epoch), nil
}

// ofAnother reports whether another node has a session with this id. A second session with the
// same id would be found when the first is resumed.
func (t *Transport) ofAnother(id wire.SessionID, peer refs.NodeID) bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	s := st.byID[id]
	return s != nil && s.peer != peer
}

// welcome makes a link whose first bytes are the welcome.
func (h *handshake) welcome(s *Session, epoch wire.Epoch) *Link {
	l := h.link(s, epoch)
	l.out.mu.Lock().small = wire.AppendWelcome(nil, s.id)
	l.out.mu.Unlock()
	return l
}

var errCrossed = errors.New("the two nodes dialled each other; the other connection is used")
