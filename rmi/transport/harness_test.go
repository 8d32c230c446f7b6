package transport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(nestingsSeen{m}) }

// patience bounds waits for events on real time; a test that needs it has failed.
const patience = 20 * time.Second

// Methods that every test node has.
const (
	echo   wire.MethodID = 1 // returns its argument
	linger wire.MethodID = 2 // returns when its context ends
	first  wire.MethodID = 10
)

// handler serves calls by method.
type handler struct {
	methods map[wire.MethodID]func(*Incoming)
	route   func(*Incoming) (Threading, *Turn)
}

func (h *handler) Route(in *Incoming) (Threading, *Turn) {
	if h.route == nil {
		return ThreadingConcurrent, nil
	}
	return h.route(in)
}

func (h *handler) Serve(in *Incoming) {
	switch f := h.methods[in.Header.Method]; {
	case f != nil:
		f(in)
	case in.Header.Method == linger:
		<-in.Context().Done()
		in.Fail(fault.New(fault.KindCancelled, fault.OutcomeExecuted, "lingered"))
	default:
		in.Reply(0, nil, in.Body())
	}
}

// logs stores what a node logged and lets tests wait for it.
type logs struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(b)
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
	return len(b), nil
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait waits until the log has the text.
func (l *logs) wait(t *testing.T, text string) {
	t.Helper()
	for late := time.After(patience); ; {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), text)
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the log does not say %q:\n%s", text, l)
		}
	}
}

// node is a transport under test.
type node struct {
	*Transport
	handler *handler
	logs    *logs
	at      refs.Endpoint
}

// newNode returns a node that listens at a free port of host, if that is not blank.
func newNode(t testing.TB, network Network, host string, set ...func(*Config)) *node {
	t.Helper()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	n := &node{handler: &handler{methods: make(map[wire.MethodID]func(*Incoming))}, logs: new(logs)}
	c := Config{Key: key, Time: 1, Handler: n.handler, Network: network,
		Logger: slog.New(slog.NewTextHandler(n.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, f := range set {
		f(&c)
	}
	n.Transport = New(c)
	t.Cleanup(func() { n.Close(time.Second) })
	if host != "" {
		a, err := n.Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		if n.at, err = refs.ParseEndpoint(a.String()); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// pair returns two nodes on hosts a and b of a network in memory, and the session that a dialled.
func pair(t testing.TB, set ...func(*Config)) (a, b *node, s *Session) {
	t.Helper()
	net := memnet.New()
	a, b = newNode(t, net.Host("a"), "a", set...), newNode(t, net.Host("b"), "b", set...)
	return a, b, a.session(t, b)
}

// session returns n's session with another node.
func (n *node) session(t testing.TB, to *node) *Session {
	t.Helper()
	s, err := n.Session(t.Context(), to.at, to.Node())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// tcp is the system's network.
type tcp struct {
	net.Dialer
	net.ListenConfig
}

// request makes a call of depth 0 with the context's deadline, or a coarse one of 30 s.
func request(ctx context.Context, m wire.MethodID, body []byte) *Request {
	r := &Request{Header: wire.CallHeader{Object: 7, Method: m}, Body: body}
	rand.Read(r.Header.Chain[:])
	var ok bool
	if r.Deadline, ok = ctx.Deadline(); !ok {
		r.Deadline, r.Coarse = time.Now().Add(30*time.Second), true
	}
	return r
}

// do makes a call and returns a copy of the reply.
func do(ctx context.Context, s *Session, r *Request) ([]byte, error) {
	reply, err := s.Call(ctx, r)
	if err != nil {
		return nil, err
	}
	defer reply.Release()
	if reply.Failed {
		l := wire.Limits{}.WithDefaults()
		f, err := codec.ParseError(reply.Body, &l)
		if err != nil {
			return nil, err
		}
		return nil, f
	}
	return bytes.Clone(reply.Body), nil
}

// uncharged waits until no payload is charged to a node. A call's payload is charged until its
// handler has released the arguments, shortly after the answer. The session that serves the
// call signals that.
func uncharged(t *testing.T, n *node, serving *Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		changed := serving.changed.next()
		held := n.held.now()
		if held == 0 {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Errorf("%d bytes are charged for ever", held)
			return
		}
	}
}

// works checks that a session carries calls.
func works(t *testing.T, s *Session) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if got, err := do(ctx, s, request(ctx, echo, []byte("hello"))); err != nil || string(got) != "hello" {
		t.Errorf("a call on the session returned %q, %v", got, err)
	}
}

func wantKind(t *testing.T, err error, kind fault.Kind, outcome fault.Outcome, text string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != kind || f.Outcome != outcome || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %v, %v, with %q", err, kind, outcome, text)
	}
}

// raw is a peer that writes bytes by hand.
type raw struct {
	t    testing.TB
	conn net.Conn
	in   *bufio.Reader
	key  ed25519.PrivateKey

	hello, proof []byte // as sent
	its          []byte // the node's hello
	session      wire.SessionID
	epoch        wire.Epoch // of the connection, if the session is resumable
	seq          map[wire.Slot]wire.Seq
}

func newRaw(t testing.TB, conn net.Conn) *raw {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	t.Cleanup(func() { conn.Close() })
	return &raw{t: t, conn: conn, in: bufio.NewReader(conn), key: key, seq: make(map[wire.Slot]wire.Seq)}
}

// rawTo connects to a node from a host called raw.
func rawTo(t testing.TB, n *node, network Network) *raw {
	t.Helper()
	conn, err := network.DialContext(t.Context(), "tcp", n.at.Address())
	if err != nil {
		t.Fatal(err)
	}
	return newRaw(t, conn)
}

func (p *raw) node() refs.NodeID { return refs.NodeIDFromKey(p.key.Public().(ed25519.PublicKey)) }

func (p *raw) makeHello() wire.Hello {
	h := wire.Hello{Version: wire.Version, Oldest: wire.Oldest, Time: 1, Message: 4 << 20, Assembly: 16 << 20, Slots: 1 << 16, Streams: 256}
	copy(h.Key[:], p.key.Public().(ed25519.PublicKey))
	rand.Read(h.Nonce[:])
	return h
}

func (p *raw) write(b []byte) {
	p.t.Helper()
	if _, err := p.conn.Write(b); err != nil {
		p.t.Fatalf("raw peer: %v", err)
	}
}

func (p *raw) readMagic() {
	p.t.Helper()
	b := make([]byte, len(wire.Magic))
	if _, err := io.ReadFull(p.in, b); err != nil || string(b) != wire.Magic {
		p.t.Fatalf("read %q, %v instead of the magic", b, err)
	}
}

// message reads a handshake message; all has its prefix.
func (p *raw) message(want wire.HandshakeKind) (body, all []byte) {
	p.t.Helper()
	var pre [wire.HandshakePrefix]byte
	if _, err := io.ReadFull(p.in, pre[:]); err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	k, n, err := wire.ParseHandshakePrefix(pre[:])
	if err != nil {
		p.t.Fatal(err)
	}
	all = append(pre[:], make([]byte, n)...)
	if _, err := io.ReadFull(p.in, all[len(pre):]); err != nil {
		p.t.Fatalf("handshake: %v", err)
	}
	body = all[len(pre):]
	if k != want {
		_, text, _ := wire.ParseRefuse(body)
		p.t.Fatalf("handshake message %d (%s), want %d", k, text, want)
	}
	return body, all
}

// greet exchanges hellos as the dialling side and returns the proof to send.
func (p *raw) greet(h wire.Hello) *wire.Proof {
	p.t.Helper()
	p.hello = h.Append(nil)
	p.write(append([]byte(wire.Magic), p.hello...))
	p.readMagic()
	_, p.its = p.message(wire.HandshakeHello)
	p.message(wire.HandshakeProof)
	pr := new(wire.Proof)
	rand.Read(pr.Session[:])
	p.sign(pr)
	return pr
}

// sign signs a proof of the dialling side.
func (p *raw) sign(pr *wire.Proof) {
	copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(true, p.hello, p.its, nil))))
}

// signAs signs a proof of either side.
func (p *raw) signAs(pr *wire.Proof, dialler bool, diallers, acceptors []byte) {
	copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(dialler, diallers, acceptors, nil))))
}

// join does the whole handshake of the dialling side.
func (p *raw) join() *raw {
	p.t.Helper()
	return p.joinAs(p.makeHello())
}

func (p *raw) joinAs(h wire.Hello) *raw {
	p.t.Helper()
	pr := p.greet(h)
	p.proof = pr.Append(nil)
	p.write(p.proof)
	body, _ := p.message(wire.HandshakeWelcome)
	id, err := wire.ParseWelcome(body)
	if err != nil || id != pr.Session {
		p.t.Fatalf("welcome: %v %v", id, err)
	}
	p.session = id
	return p
}

// welcome does the handshake of the accepting side.
func (p *raw) welcome() *raw {
	p.t.Helper()
	p.readMagic()
	_, its := p.message(wire.HandshakeHello)
	h := p.makeHello()
	mine := h.Append(nil)
	var pr wire.Proof
	copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(false, its, mine, nil))))
	p.write(append(append([]byte(wire.Magic), mine...), pr.Append(nil)...))
	body, _ := p.message(wire.HandshakeProof)
	theirs, err := wire.ParseProof(body)
	if err != nil {
		p.t.Fatal(err)
	}
	p.session = theirs.Session
	p.write(wire.AppendWelcome(nil, theirs.Session))
	return p
}

// call returns the record of the next call in a slot.
func (p *raw) call(slot wire.Slot, m wire.MethodID, body string, set ...func(*wire.CallHeader)) []byte {
	p.seq[slot]++
	h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: 7, Method: m, Timeout: 10e6, Payload: wire.Payload{Body: uint32(len(body))}}
	rand.Read(h.Chain[:])
	for _, f := range set {
		f(&h)
	}
	return append(wire.AppendCall(nil, &h, 0, nil), body...)
}

// begin returns the record of a call whose payload of n bytes travels in fragments.
func (p *raw) begin(slot wire.Slot, m wire.MethodID, n int, set ...func(*wire.CallHeader)) []byte {
	p.seq[slot]++
	h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: 7, Method: m, Timeout: 10e6, Payload: wire.Payload{Body: uint32(n)}}
	for _, f := range set {
		f(&h)
	}
	return wire.AppendCall(nil, &h, wire.FlagFragmented, nil)
}

// fragment returns a fragment of n bytes of the last call in a slot.
func (p *raw) fragment(slot wire.Slot, n int) []byte {
	return append(wire.AppendFragment(nil, slot, p.seq[slot], false, n), make([]byte, n)...)
}

// record reads the next record.
func (p *raw) record() (wire.Prefix, []byte, error) {
	var b [wire.PrefixSize]byte
	if _, err := io.ReadFull(p.in, b[:]); err != nil {
		return wire.Prefix{}, nil, err
	}
	pre, err := wire.ParsePrefix(b[:])
	if err != nil {
		return pre, nil, err
	}
	rec := make([]byte, pre.Length)
	_, err = io.ReadFull(p.in, rec)
	return pre, rec, err
}

// next reads the next record, which must be of a kind.
func (p *raw) next(want wire.FrameKind) (wire.Prefix, []byte) {
	p.t.Helper()
	pre, rec, err := p.record()
	if err != nil || pre.Kind != want {
		p.t.Fatalf("%v record, %v; want %v", pre.Kind, err, want)
	}
	return pre, rec
}

// returned reads the return of a call: its body, or its error.
func (p *raw) returned(slot wire.Slot) (string, error) {
	p.t.Helper()
	pre, rec := p.next(wire.FrameReturn)
	l := wire.Limits{}.WithDefaults()
	var h wire.ReturnHeader
	body, err := wire.ParseReturn(pre, rec, &l, &h)
	if err != nil || h.Slot != slot || h.Seq != p.seq[slot] {
		p.t.Fatalf("return for call %d of slot %d, %v; want call %d of slot %d", h.Seq, h.Slot, err, p.seq[slot], slot)
	}
	if pre.Flags&wire.FlagError != 0 {
		f, err := codec.ParseError(body, &l)
		if err != nil {
			p.t.Fatal(err)
		}
		return "", f
	}
	return string(body), nil
}

// called reads a call record, which may be fragmented.
func (p *raw) called() (wire.CallHeader, string) {
	p.t.Helper()
	pre, rec := p.next(wire.FrameCall)
	return p.parseCall(pre, rec)
}

func (p *raw) parseCall(pre wire.Prefix, rec []byte) (wire.CallHeader, string) {
	p.t.Helper()
	l := wire.Limits{}.WithDefaults()
	var h wire.CallHeader
	_, body, err := wire.ParseCall(pre, rec, &l, &h)
	if err != nil {
		p.t.Fatal(err)
	}
	return h, string(body)
}

// answer returns a call.
func (p *raw) answer(h wire.CallHeader, body string) []byte {
	r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: uint32(len(body))}}
	return append(wire.AppendReturn(nil, &r, 0, nil), body...)
}

// ended reads until the node closes the connection.
func (p *raw) ended() []byte {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	b, err := io.ReadAll(p.in)
	p.conn.Close() // the node waits for that
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		p.t.Fatalf("the node does not close the connection; it sent %q", b)
	}
	return b
}

// serveRawOnce listens for one connection and passes it on as a raw peer.
func serveRawOnce(t *testing.T, network Network, host string, to chan<- *raw) refs.Endpoint {
	t.Helper()
	l, err := network.Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c, err := l.Accept(); err == nil {
			to <- newRaw(t, c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	ep, err := refs.ParseEndpoint(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ep
}
