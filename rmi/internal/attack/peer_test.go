//go:build linux

package attack

import (
	"bufio"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"gormi/refs"
	"gormi/rmi/wire"
)

// peer is a connection of the attacker. It writes what it is told.
type peer struct {
	a       *attacker
	conn    net.Conn
	in      *bufio.Reader
	key     ed25519.PrivateKey
	hello   []byte // with its prefix
	its     []byte // the victim's
	session wire.SessionID
	epoch   wire.Epoch
	seq     map[wire.Slot]wire.Seq
}

// peer connects as a node with a new key.
func (a *attacker) peer() (*peer, error) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	p := &peer{a: a, key: key, seq: make(map[wire.Slot]wire.Seq)}
	rand.Read(p.session[:])
	return p, p.connect()
}

// connect makes a new connection.
func (p *peer) connect() error {
	c, err := p.a.dial()
	if err != nil {
		return err
	}
	_ = c.SetDeadline(time.Now().Add(10 * time.Second)) // else a victim that does not answer holds the test up
	p.conn, p.in = c, bufio.NewReader(c)
	return nil
}

// enter begins a session that may be resumed.
func (a *attacker) enter() (*peer, error) {
	p, err := a.peer()
	if err != nil {
		return nil, err
	}
	if err := p.join(); err != nil {
		p.drop()
		return nil, err
	}
	return p, nil
}

// drop cuts the connection.
func (p *peer) drop() { p.a.drop(p.conn) }

func (p *peer) write(b []byte) error {
	_, err := p.conn.Write(b)
	return err
}

func (p *peer) makeHello() *wire.Hello {
	h := &wire.Hello{Version: wire.Version, Oldest: wire.Oldest, Features: wire.FeatureResume, Time: 1,
		Message: 4 << 20, Assembly: 64 << 20, Slots: 1 << 16, Entries: 1 << 14, Streams: 256}
	copy(h.Key[:], p.key.Public().(ed25519.PublicKey))
	rand.Read(h.Nonce[:])
	return h
}

// message reads a message of the handshake, with its prefix.
func (p *peer) message(want wire.HandshakeKind) ([]byte, error) {
	all := make([]byte, wire.HandshakePrefix)
	if _, err := io.ReadFull(p.in, all); err != nil {
		return nil, err
	}
	k, n, err := wire.ParseHandshakePrefix(all)
	if err != nil {
		return nil, err
	}
	all = append(all, make([]byte, n)...)
	if _, err := io.ReadFull(p.in, all[wire.HandshakePrefix:]); err != nil {
		return nil, err
	}
	if k != want {
		_, text, _ := wire.ParseRefuse(all[wire.HandshakePrefix:])
		return nil, refused(text)
	}
	return all, nil
}

// refused is the victim's text, instead of what was due.
type refused string

func (r refused) Error() string { return "refused: " + string(r) }

// greet says hello and reads what the victim says to that.
func (p *peer) greet() (err error) {
	p.hello = p.makeHello().Append(nil)
	if err := p.write(append([]byte(wire.Magic), p.hello...)); err != nil {
		return err
	}
	if _, err := io.ReadFull(p.in, make([]byte, len(wire.Magic))); err != nil {
		return err
	}
	if p.its, err = p.message(wire.HandshakeHello); err != nil {
		return err
	}
	_, err = p.message(wire.HandshakeProof)
	return err
}

// proof is the message that says which connection of which session this is.
func (p *peer) proof() []byte {
	pr := &wire.Proof{Session: p.session, Extensions: wire.AppendConnection(nil, wire.Connection{Epoch: p.epoch + 1, Begin: p.epoch == 0})}
	copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(true, p.hello, p.its, nil))))
	return pr.Append(nil)
}

// join does the whole handshake.
func (p *peer) join() error {
	if err := p.greet(); err != nil {
		return err
	}
	if err := p.write(p.proof()); err != nil {
		return err
	}
	if _, err := p.message(wire.HandshakeWelcome); err != nil {
		return err
	}
	p.epoch++
	return p.conn.SetDeadline(time.Now().Add(span() + 10*time.Second))
}

// read throws away what the victim sends, until the connection ends.
func (p *peer) read() error {
	_, err := io.Copy(io.Discard, p.in)
	return err
}

// record reads the next record.
func (p *peer) record() (wire.Prefix, []byte, error) {
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

// until reads records up to one of a kind.
func (p *peer) until(k wire.FrameKind) (wire.Prefix, []byte, error) {
	for {
		pre, rec, err := p.record()
		if err != nil || pre.Kind == k {
			return pre, rec, err
		}
	}
}

// ended says whether the victim ended the session or cut the connection, after it was given time
// to handle what was written. It reads until then, or until a ping is answered.
func (p *peer) ended() bool {
	if p.write(wire.AppendPing(nil, wire.FramePing, 1)) != nil {
		return true
	}
	for {
		pre, _, err := p.record()
		if err != nil || pre.Kind == wire.FrameClose {
			return true
		}
		if pre.Kind == wire.FramePong {
			return false
		}
	}
}

// call is the record of the next call in a slot, with its payload.
func (p *peer) call(slot wire.Slot, object refs.ObjNum, method string, body []byte, set ...func(*wire.CallHeader)) []byte {
	return p.callWith(slot, object, method, nil, body, set...)
}

// callWith is call with references.
func (p *peer) callWith(slot wire.Slot, object refs.ObjNum, method string, table []refs.Ref, body []byte, set ...func(*wire.CallHeader)) []byte {
	t, err := wire.AppendTable(nil, table)
	if err != nil {
		panic(err)
	}
	p.seq[slot]++
	h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: object, Method: wire.MethodIDOf(method), Timeout: 60e6,
		Payload: wire.Payload{References: uint32(len(table)), Table: uint32(len(t)), Body: uint32(len(body))}}
	rand.Read(h.Chain[:])
	for _, f := range set {
		f(&h)
	}
	return append(append(wire.AppendCall(nil, &h, 0, nil), t...), body...)
}

// begin is the record of a call that announces n bytes of payload in fragments.
func (p *peer) begin(slot wire.Slot, object refs.ObjNum, method string, n int) []byte {
	p.seq[slot]++
	h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: object, Method: wire.MethodIDOf(method), Timeout: 60e6, Payload: wire.Payload{Body: uint32(n)}}
	return wire.AppendCall(nil, &h, wire.FlagFragmented, nil)
}

// index stands for a reference in a body.
type index uint16

// pre is a value that is packed already.
type pre []byte

// pack is the body of a call with these arguments.
func pack(args ...any) []byte { return value(nil, args) }

func value(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, 0xc0)
	case bool:
		if v {
			return append(b, 0xc3)
		}
		return append(b, 0xc2)
	case int:
		return value(b, int64(v))
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 0xd3), uint64(v))
	case string:
		return append(binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(len(v))), v...)
	case []byte:
		return append(binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(len(v))), v...)
	case []any:
		b = binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(len(v)))
		for _, x := range v {
			b = value(b, x)
		}
		return b
	case map[string]any:
		b = binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(len(v)))
		for k, x := range v {
			b = value(value(b, k), x)
		}
		return b
	case index:
		return binary.BigEndian.AppendUint16(append(b, 0xd5, 1), uint16(v))
	case pre:
		return append(b, v...)
	default:
		panic(fmt.Sprintf("pack: %T", v))
	}
}

// node is the id of the attacker's node.
func (p *peer) node() refs.NodeID {
	return refs.NodeIDFromKey(p.key.Public().(ed25519.PublicKey))
}
