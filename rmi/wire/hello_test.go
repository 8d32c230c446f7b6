package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

func TestHandshakePrefixesAreBounded(t *testing.T) {
	for _, test := range []struct{ hex, want string }{
		{"01 0000", ""}, {"04 1000", ""},
		{"00 0000", "unknown kind 0"}, {"05 0001", "unknown kind 5"}, {"47 6f52", "unknown kind 71"},
		{"01 1001", "4097 bytes: the limit is 4096"}, {"04 ffff", "65535 bytes"},
	} {
		_, _, err := wire.ParseHandshakePrefix(unhex(t, test.hex))
		switch {
		case test.want != "":
			wantProtocolError(t, err, test.want)
		case err != nil:
			t.Errorf("%s: %v", test.hex, err)
		}
	}
}

func TestHellosAreRefused(t *testing.T) {
	for _, test := range []struct {
		name string
		edit func(*wire.Hello)
		want string // empty: legal
	}{
		{"as it is", func(*wire.Hello) {}, ""},
		{"later version", func(h *wire.Hello) { h.Version = 9 }, ""},
		{"unknown features", func(h *wire.Hello) { h.Features = 1<<64 - 1 }, ""},
		{"no streams", func(h *wire.Hello) { h.Streams = 0 }, ""},
		{"smallest limits", func(h *wire.Hello) { h.Message, h.Assembly, h.Slots = 1024, 1024, 16 }, ""},
		{"version 0", func(h *wire.Hello) { h.Version, h.Oldest = 0, 0 }, "versions 0 to 0"},
		{"oldest 0", func(h *wire.Hello) { h.Oldest = 0 }, "versions 0 to 1"},
		{"oldest above newest", func(h *wire.Hello) { h.Oldest = 2 }, "versions 2 to 1"},
		{"too few slots", func(h *wire.Hello) { h.Slots = 15 }, "accepts 15 calls"},
		{"tiny messages", func(h *wire.Hello) { h.Message = 1023 }, "messages of 1023 bytes"},
		{"a message does not fit the budget", func(h *wire.Hello) { h.Assembly = h.Message - 1 }, "bytes under assembly"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := hello(diallerKey, 0xd1, refs.NodeID{})
			test.edit(h)
			got, err := wire.ParseHello(h.Append(nil)[wire.HandshakePrefix:])
			switch {
			case test.want != "":
				wantProtocolError(t, err, test.want)
			case err != nil || *got != *h:
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// withExtensions returns the body of a handshake message that had none.
func withExtensions(message, ext []byte) []byte {
	b := bytes.Clone(message[wire.HandshakePrefix:])
	binary.BigEndian.PutUint16(b[len(b)-2:], uint16(len(ext)))
	return append(b, ext...)
}

func TestHandshakeMessagesOfOtherLengths(t *testing.T) {
	messages := map[string]struct {
		b     []byte
		parse func([]byte) error
	}{
		"hello":   {diallerHello(), func(b []byte) error { _, err := wire.ParseHello(b); return err }},
		"proof":   {diallerProof(), func(b []byte) error { _, err := wire.ParseProof(b); return err }},
		"welcome": {wire.AppendWelcome(nil, session), func(b []byte) error { _, err := wire.ParseWelcome(b); return err }},
	}
	for name, m := range messages {
		t.Run(name, func(t *testing.T) {
			body := m.b[wire.HandshakePrefix:]
			if int(binary.BigEndian.Uint16(m.b[1:])) != len(body) {
				t.Errorf("the prefix of %d bytes says %x", len(body), m.b[:wire.HandshakePrefix])
			}
			for n := range body {
				wantProtocolError(t, m.parse(body[:n]), "cut short")
			}
			wantProtocolError(t, m.parse(append(bytes.Clone(body), 0)), "too long")
			if err := m.parse(withExtensions(m.b, wire.AppendExtension(nil, 0x90, count(0, 40)))); err != nil {
				t.Errorf("an extension that may be skipped: %v", err)
			}
			wantProtocolError(t, m.parse(withExtensions(m.b, wire.AppendExtension(nil, 0x10, nil))), "may not be skipped")
			wantProtocolError(t, m.parse(withExtensions(m.b, []byte{0x90, 0xff, 0xff})), "only 0 are left")
		})
	}
}

// A proof says once, in full and under its signature, for which connection of a session it is.
// Nothing else of the handshake says it.
func TestConnectionsOfASession(t *testing.T) {
	ext := wire.AppendConnection(nil, wire.Connection{Epoch: 0x01020304, Begin: true})
	if want := unhex(t, "04 0005 01020304 01"); !bytes.Equal(ext, want) {
		t.Errorf("%x, want %x", ext, want)
	}
	value := func(b ...byte) []byte { return wire.AppendExtension(nil, wire.ExtConnection, b) }
	for _, test := range []struct {
		name string
		ext  []byte
		want string // empty: legal
	}{
		{"begins", value(0, 0, 0, 1, 1), ""},
		{"goes on", value(0xff, 0xff, 0xff, 0xff, 0), ""},
		{"among others", append(wire.AppendExtension(value(0, 0, 0, 9, 0), 0x90, nil), 0xff, 0, 0), ""},
		{"empty", value(), "in 0 bytes"},
		{"short", value(0, 0, 0, 1), "in 4 bytes"},
		{"long", value(0, 0, 0, 1, 1, 0), "in 6 bytes"},
		{"begin 2", value(0, 0, 0, 1, 2), "connection of a session"},
		{"twice", append(value(0, 0, 0, 1, 1), value(0, 0, 0, 1, 1)...), "a second one"},
		{"cut short", value(0, 0, 0, 1, 1)[:7], "only 4 are left"},
		{"a call's target", append(value(0, 0, 0, 1, 1), wire.AppendTarget(nil, bank.Node, bank.Time)...), "for calls"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := wire.ParseProof(withExtensions(diallerProof(), test.ext))
			if test.want != "" {
				wantProtocolError(t, err, test.want)
				return
			}
			if err != nil || !p.Resumable || p.Connection.Begin != (test.ext[7] == 1) || p.Connection.Epoch != wire.Epoch(binary.BigEndian.Uint32(test.ext[3:])) {
				t.Fatalf("%+v, %v", p, err)
			}
			if !bytes.HasSuffix(p.Signed(nil), test.ext) {
				t.Errorf("%x is not signed", test.ext)
			}
		})
	}
	if p, err := wire.ParseProof(diallerProof()[wire.HandshakePrefix:]); err != nil || p.Resumable {
		t.Errorf("of a proof without the extension: %+v, %v", p, err)
	}
	_, err := wire.ParseHello(withExtensions(diallerHello(), ext))
	wantProtocolError(t, err, "has no place here")
	_, err = wire.ParseWelcome(withExtensions(wire.AppendWelcome(nil, session), ext))
	wantProtocolError(t, err, "has no place here")
}

func TestVersionsAreAgreedOn(t *testing.T) {
	for _, test := range []struct {
		version, oldest, peers, peersOldest uint16
		want                                uint16 // 0: none
	}{
		{1, 1, 1, 1, 1}, {3, 1, 2, 1, 2}, {2, 1, 3, 2, 2}, {3, 3, 2, 1, 0}, {1, 1, 9, 2, 0},
	} {
		mine, its := &wire.Hello{Version: test.version, Oldest: test.oldest}, &wire.Hello{Version: test.peers, Oldest: test.peersOldest}
		got, err := wire.Agree(mine, its)
		if test.want == 0 {
			wantProtocolError(t, err, "upgrade the older one")
		} else if got != test.want || err != nil {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}

// A signature holds for its role, these hellos in this order, and this
// channel, and for nothing else.
func TestProofsAreOfOneHandshake(t *testing.T) {
	d, a, channel := diallerHello(), acceptorHello(), count(0, 32)
	key := diallerKey.Public().(ed25519.PublicKey)
	signature := ed25519.Sign(diallerKey, wire.Transcript(true, d, a, channel))
	changed := bytes.Clone(d)
	changed[len(changed)-3] ^= 1
	for name, other := range map[string][]byte{
		"the other role":        wire.Transcript(false, d, a, channel),
		"hellos swapped":        wire.Transcript(true, a, d, channel),
		"a limit was changed":   wire.Transcript(true, changed, a, channel),
		"another channel":       wire.Transcript(true, d, a, count(1, 32)),
		"no channel":            wire.Transcript(true, d, a, nil),
		"the accepter's nonces": wire.Transcript(true, d, hello(acceptorKey, 0xa2, refs.NodeID{}).Append(nil), channel),
	} {
		if ed25519.Verify(key, other, signature) {
			t.Errorf("the proof holds for %s too", name)
		}
	}
	if !ed25519.Verify(key, wire.Transcript(true, d, a, channel), signature) {
		t.Error("the proof does not hold")
	}
}

func TestRefusals(t *testing.T) {
	b := wire.AppendRefuse(nil, wire.RefuseCrossed, strings.Repeat("ü", 1000))
	if len(b) != wire.HandshakePrefix+1+wire.MaxText {
		t.Errorf("%d bytes", len(b))
	}
	kind, text, err := wire.ParseRefuse(wire.AppendRefuse(nil, fault.KindDenied, "no\nentry")[wire.HandshakePrefix:])
	if kind != fault.KindDenied || text != "no entry" || err != nil {
		t.Errorf("%v, %q, %v", kind, text, err)
	}
	for _, n := range []int{0, 2 + wire.MaxText} {
		_, _, err := wire.ParseRefuse(make([]byte, n))
		wantProtocolError(t, err, "refusal of")
	}
}

func FuzzHandshake(f *testing.F) {
	for _, name := range []string{"hello_dialler", "hello_acceptor", "proof_dialler", "proof_acceptor", "proof_dialler_again", "proof_dialler_begin", "proof_dialler_resumed",
		"hello_dialler_resume", "welcome", "refuse"} {
		f.Add(readGolden(f, "testdata/golden/"+name+".txt"))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(unhex(f, "01ffff"))
	f.Add(append(unhex(f, "010074"), bytes.Repeat([]byte{0xff}, 0x74)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < wire.HandshakePrefix {
			return
		}
		kind, n, err := wire.ParseHandshakePrefix(b)
		body := b[wire.HandshakePrefix:]
		if err != nil || len(body) < n {
			return
		}
		body = body[:n]
		var back []byte
		switch kind {
		case wire.HandshakeHello:
			var h *wire.Hello
			if h, err = wire.ParseHello(body); err == nil {
				back = h.Append(nil)
			}
		case wire.HandshakeProof:
			var p *wire.Proof
			if p, err = wire.ParseProof(body); err == nil {
				back = p.Append(nil)
			}
		case wire.HandshakeWelcome:
			var id wire.SessionID
			if id, err = wire.ParseWelcome(body); err == nil {
				back = wire.AppendWelcome(nil, id)
			}
		case wire.HandshakeRefuse:
			_, _, err = wire.ParseRefuse(body)
		}
		switch {
		case err != nil:
			if fault.KindOf(err) != fault.KindProtocol {
				t.Fatalf("%v: not of kind Protocol", err)
			}
		case back != nil && len(back) > wire.HandshakePrefix+n:
			t.Fatalf("%x was read as %x", b, back)
		case len(back) == wire.HandshakePrefix+n && !bytes.Equal(back[wire.HandshakePrefix:], body):
			t.Fatalf("%x was read as %x", body, back) // without extensions nothing is lost
		}
	})
}
