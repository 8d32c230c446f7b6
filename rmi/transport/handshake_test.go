package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// extend appends an extension to a handshake message whose extensions are empty.
func extend(msg []byte, t wire.ExtensionType) []byte {
	ext := wire.AppendExtension(nil, t, []byte("later"))
	msg = bytes.Clone(msg)
	n := len(msg)
	binary.BigEndian.PutUint16(msg[n-2:], uint16(len(ext)))
	binary.BigEndian.PutUint16(msg[1:], uint16(n-wire.HandshakePrefix+len(ext)))
	return append(msg, ext...)
}

// refusal finds the text of a refusal at the end of what a node sent.
func refusal(sent []byte) string {
	for i := range sent {
		if wire.HandshakeKind(sent[i]) == wire.HandshakeRefuse && len(sent)-i > wire.HandshakePrefix {
			if n := int(binary.BigEndian.Uint16(sent[i+1:])); n == len(sent)-i-wire.HandshakePrefix {
				_, text, _ := wire.ParseRefuse(sent[i+wire.HandshakePrefix:])
				return text
			}
		}
	}
	return ""
}

func TestWhoeverIsNoNodeIsRefused(t *testing.T) {
	hello := func(p *raw, set func(*wire.Hello)) []byte {
		h := p.makeHello()
		set(&h)
		return append([]byte(wire.Magic), h.Append(nil)...)
	}
	magic := func(b ...byte) []byte { return append([]byte(wire.Magic), b...) }
	for _, c := range []struct {
		name string
		send func(*raw) []byte
		log  string // part of the reason in the log
		tell string // part of what the peer is told; "": as log
	}{
		{"HTTP", func(*raw) []byte { return []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n") }, "looks like HTTP", "HTTP/1.1 400 Bad Request"},
		{"JRMI", func(*raw) []byte { return []byte("JRMI\x00\x02K") }, "looks like Java RMI", ""},
		{"TLS", func(*raw) []byte { return []byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03") }, "looks like TLS: set Options.TLS", ""},
		{"random bytes", func(*raw) []byte { return bytes.Repeat([]byte{0xa7, 0x03}, 5000) }, "is not a GoRMI node", ""},
		{"a refusal at once", func(*raw) []byte { return wire.AppendRefuse(magic(), fault.KindDenied, "no\nthanks") }, "no thanks", "-"},
		{"a huge message", func(*raw) []byte { return magic(1, 0xff, 0xff) }, "handshake message of 65535 bytes: the limit is 4096", ""},
		{"an unknown message", func(*raw) []byte { return magic(9, 0, 0) }, "unknown kind 9", ""},
		{"proof before hello", func(*raw) []byte { return new(wire.Proof).Append(magic()) }, "message 2 where 1 was due", ""},
		{"empty hello", func(*raw) []byte { return magic(1, 0, 0) }, "cut short or too long", ""},
		{"versions that do not meet", func(p *raw) []byte {
			return hello(p, func(h *wire.Hello) { h.Version, h.Oldest = 9, 7 })
		}, "speaks versions 7 to 9 of the protocol, this node 1 to 1: upgrade the older one", ""},
		{"versions upside down", func(p *raw) []byte { return hello(p, func(h *wire.Hello) { h.Oldest = 2 }) }, "versions 2 to 1", ""},
		{"no slots", func(p *raw) []byte { return hello(p, func(h *wire.Hello) { h.Slots = 0 }) }, "accepts 0 calls", ""},
		{"less assembly than a message", func(p *raw) []byte { return hello(p, func(h *wire.Hello) { h.Assembly = 1 }) }, "1 bytes under assembly", ""},
		{"another node is wanted", func(p *raw) []byte {
			return hello(p, func(h *wire.Hello) { h.Expected = refs.NodeID{1, 2} })
		}, "the owner was restarted or another program took its port", ""},
		{"an extension that must be known", func(p *raw) []byte {
			h := p.makeHello()
			return append(magic(), extend(h.Append(nil), 0x11)...)
		}, "extension 17 is not known here and may not be skipped", ""},
		{"an extension cut short", func(p *raw) []byte {
			h := p.makeHello()
			b := h.Append(nil)
			binary.BigEndian.PutUint16(b[len(b)-2:], 2)
			binary.BigEndian.PutUint16(b[1:], uint16(len(b)-wire.HandshakePrefix+2))
			return append(magic(), append(b, 0x90, 0)...)
		}, "extension is cut short", ""},
		{"wrong signature", func(p *raw) []byte {
			pr := p.greet(p.makeHello())
			pr.Signature[9] ^= 1
			return pr.Append(nil)
		}, "could not prove that it is node", ""},
		{"another's key", func(p *raw) []byte {
			pr := p.greet(p.makeHello())
			_, other, _ := ed25519.GenerateKey(rand.Reader)
			copy(pr.Signature[:], ed25519.Sign(other, []byte("x")))
			return pr.Append(nil)
		}, "could not prove", ""},
		{"no session id", func(p *raw) []byte {
			pr := p.greet(p.makeHello())
			pr.Session = wire.SessionID{}
			p.sign(pr)
			return pr.Append(nil)
		}, "a session without an id", ""},
		{"hello twice", func(p *raw) []byte {
			p.greet(p.makeHello())
			return p.hello
		}, "message 1 where 2 was due", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b, s := pair(t)
			p := rawTo(t, b, b.Network)
			p.write(c.send(p))
			got := p.ended()
			b.logs.wait(t, c.log)
			told := refusal(got)
			if c.tell == "" {
				c.tell = c.log
			}
			if c.tell != "-" && !strings.Contains(told, c.tell) && !strings.HasPrefix(string(got), c.tell) {
				t.Errorf("the peer was told %q (%q)", told, got)
			}
			works(t, s)
			if got := len(b.Sessions()) + len(a.Sessions()); got != 2 {
				t.Errorf("%d sessions", got)
			}
		})
	}
}

func TestAReplayedProofIsRefused(t *testing.T) {
	_, b, s := pair(t)
	p := rawTo(t, b, b.Network).join()
	p.conn.Close()
	again := rawTo(t, b, b.Network)
	again.write(append([]byte(wire.Magic), p.hello...)) // the very same hello, but the node's has a new nonce
	again.readMagic()
	again.message(wire.HandshakeHello)
	again.message(wire.HandshakeProof)
	again.write(p.proof)
	if told := refusal(again.ended()); !strings.Contains(told, "could not prove") {
		t.Errorf("the peer was told %q", told)
	}
	works(t, s)
}

func TestSkippableExtensionsAreSkipped(t *testing.T) {
	_, b, _ := pair(t)
	p := rawTo(t, b, b.Network)
	h := p.makeHello()
	p.hello = extend(h.Append(nil), 0x91)
	p.write(append([]byte(wire.Magic), p.hello...))
	p.readMagic()
	_, its := p.message(wire.HandshakeHello)
	p.message(wire.HandshakeProof)
	pr := wire.Proof{Session: wire.SessionID{1}, Extensions: wire.AppendExtension(nil, 0x92, []byte("later"))}
	copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(true, p.hello, its, nil))))
	p.write(pr.Append(nil))
	p.message(wire.HandshakeWelcome)

	call := p.call(0, echo, "x")
	ext := wire.AppendExtension(nil, 0x93, []byte("later"))
	with := append(bytes.Clone(call[:wire.PrefixSize+wire.CallHeaderSize]), append(ext, 'x')...)
	binary.BigEndian.PutUint16(with[2:], uint16(len(ext)))
	binary.BigEndian.PutUint32(with[4:], uint32(len(with)-wire.PrefixSize))
	p.write(with)
	if got, err := p.returned(0); err != nil || got != "x" {
		t.Errorf("a call with a skippable extension returned %q, %v", got, err)
	}
}

func TestSilenceInTheHandshakeEndsIt(t *testing.T) {
	for _, said := range []string{"", "Go", wire.Magic, wire.Magic + "\x01\x00\x40half a hello"} {
		t.Run(fmt.Sprintf("%.8q", said), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, b, s := pair(t)
				p := rawTo(t, b, b.Network)
				p.write([]byte(said))
				start := time.Now()
				p.ended()
				if d := time.Since(start); d != handshakeTimeout {
					t.Errorf("the connection lasted %v", d)
				}
				synctest.Wait()
				if l := b.logs.String(); !strings.Contains(l, "did not say hello within") && !strings.Contains(l, "the handshake took longer than") {
					t.Errorf("log: %s", l)
				}
				works(t, s)
			})
		})
	}
}

// serveRaw lets f have every connection to an address of its own.
func serveRaw(t *testing.T, network Network, host string, f func(net.Conn)) refs.Endpoint {
	t.Helper()
	l, err := network.Listen(t.Context(), "tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f(c)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	ep, err := refs.ParseEndpoint(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return ep
}

func TestDiallingWhatIsNoNodeSaysWhatItIs(t *testing.T) {
	var expected refs.NodeID
	for _, c := range []struct {
		name  string
		serve func(net.Conn)
		kind  fault.Kind
		text  string
	}{
		{"a web server", func(c net.Conn) {
			c.Read(make([]byte, 1))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			if got, _ := io.ReadAll(c); strings.Contains(string(got), "HTTP/1.1 400") {
				t.Errorf("the web server was sent %q", got)
			}
		}, fault.KindProtocol, "looks like HTTP"},
		{"a Java registry", func(c net.Conn) { c.Read(make([]byte, 1)); io.WriteString(c, "NABCDEFG") }, fault.KindProtocol, "looks like Java RMI"},
		{"a TLS server", func(c net.Conn) { c.Read(make([]byte, 1)); io.WriteString(c, "\x15\x03\x01\x00\x02\x02\x16") }, fault.KindProtocol, "set Options.TLS"},
		{"one that babbles", func(c net.Conn) {
			for {
				if _, err := c.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		}, fault.KindProtocol, "is not a GoRMI node"},
		{"one that closes", func(c net.Conn) { c.Read(make([]byte, 512)) }, fault.KindConnectFailed, "closed the connection without a hello"},
		{"one that closes after its magic", func(c net.Conn) { c.Read(make([]byte, 512)); io.WriteString(c, wire.Magic) }, fault.KindConnectFailed, "lost in the handshake"},
		{"a silent one", func(c net.Conn) { io.Copy(io.Discard, c) }, fault.KindConnectFailed, "did not say hello within 5s"},
		{"a busy node", func(c net.Conn) {
			c.Write(wire.AppendRefuse([]byte(wire.Magic), fault.KindOverloaded, "too many"))
			io.Copy(io.Discard, c)
		}, fault.KindOverloaded, "too many"},
		{"one that proves nothing", func(c net.Conn) {
			p := newRaw(t, c)
			h := p.makeHello()
			var pr wire.Proof
			p.write(pr.Append(h.Append([]byte(wire.Magic))))
			io.Copy(io.Discard, c)
		}, fault.KindDenied, "could not prove"},
		{"one that welcomes another session", func(c net.Conn) {
			p := newRaw(t, c)
			p.readMagic()
			_, its := p.message(wire.HandshakeHello)
			h := p.makeHello()
			mine := h.Append(nil)
			var pr wire.Proof
			copy(pr.Signature[:], ed25519.Sign(p.key, pr.Signed(wire.Transcript(false, its, mine, nil))))
			p.write(pr.Append(append([]byte(wire.Magic), mine...)))
			p.write(wire.AppendWelcome(nil, wire.SessionID{9}))
			io.Copy(io.Discard, c)
		}, fault.KindProtocol, "welcomed another session"},
		{"another node", func(c net.Conn) {
			p := newRaw(t, c)
			h := p.makeHello()
			p.write(h.Append([]byte(wire.Magic)))
			io.Copy(io.Discard, c)
		}, fault.KindStaleReference, "look the name up again"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := memnet.New()
				a := newNode(t, net.Host("a"), "")
				ep := serveRaw(t, net.Host("b"), "b", c.serve)
				expected = refs.NodeID{}
				if c.kind == fault.KindStaleReference {
					expected = refs.NodeID{1}
				}
				_, err := a.Session(t.Context(), ep, expected)
				wantKind(t, err, c.kind, fault.OutcomeNotExecuted, c.text)
				if n := a.conns.Load(); n != 0 {
					t.Errorf("%d connections are still counted", n)
				}
			})
		})
	}
}

func TestNobodyListens(t *testing.T) {
	a := newNode(t, &tcp{}, "")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ep, _ := refs.ParseEndpoint(l.Addr().String())
	l.Close()
	_, err = a.Session(t.Context(), ep, refs.NodeID{})
	wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "is the program running, and is this its port?")
	_, err = a.Session(t.Context(), refs.Endpoint{}, refs.NodeID{1})
	wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "listens nowhere")
}

func TestADialEndsWithItsCallersContextOrItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a, b := newNode(t, net.Host("a"), ""), newNode(t, net.Host("b"), "b")
		net.Partition("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := a.Session(ctx, b.at, b.Node())
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "while dialling")
		if d := time.Since(start); d != time.Second {
			t.Errorf("returned after %v", d)
		}
		_, err = a.Session(t.Context(), b.at, b.Node())
		wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "does a firewall")
		if d := time.Since(start); d != dialTimeout {
			t.Errorf("gave up after %v", d)
		}
	})
}

func TestConnectionLimit(t *testing.T) {
	net := memnet.New()
	b := newNode(t, net.Host("b"), "b", func(c *Config) { c.Limits.Connections, c.Limits.Share = 2, 100 })
	one := rawTo(t, b, net.Host("raw")).join()
	rawTo(t, b, net.Host("raw")).join()
	if told := refusal(rawTo(t, b, net.Host("raw")).ended()); !strings.Contains(told, "as many connections as it accepts") {
		t.Errorf("the third was told %q", told)
	}
	one.write(one.call(0, echo, "still"))
	if got, err := one.returned(0); got != "still" || err != nil {
		t.Errorf("the first connection returned %q, %v", got, err)
	}
	one.conn.Close()
	b.logs.wait(t, "session ended")
	rawTo(t, b, net.Host("raw")).join()
}
