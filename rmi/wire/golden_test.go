package wire_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

var update = flag.Bool("update", false, "write the golden frames anew")

// part names the next n bytes of a golden frame; n < 0 takes all that are left.
type part struct {
	n    int
	name string
}

// golden compares b with testdata/golden/name.txt, in which the bytes stand in
// hexadecimal, with what they mean after a '#'.
func golden(t *testing.T, name, about string, b []byte, parts ...part) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		if err := os.WriteFile(path, annotate(t, about, b, parts), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readGolden(t, path); !bytes.Equal(got, b) {
		t.Errorf("%s:\ngot  %x\nwant %x", path, b, got)
	}
}

func annotate(t *testing.T, about string, b []byte, parts []part) []byte {
	t.Helper()
	var out bytes.Buffer
	fmt.Fprintf(&out, "# %s\n", about)
	const perLine = 16
	for _, p := range parts {
		n := p.n
		if n < 0 {
			n = len(b)
		}
		if n > len(b) {
			t.Fatalf("%s: %d bytes of %s, but only %d are left", about, n, p.name, len(b))
		}
		for first := true; n > 0 || first; first = false {
			line := b[:min(n, perLine)]
			b, n = b[len(line):], n-len(line)
			if first {
				fmt.Fprintf(&out, "%-*s # %s\n", 2*perLine, hex.EncodeToString(line), p.name)
			} else {
				fmt.Fprintf(&out, "%x\n", line)
			}
		}
	}
	if len(b) > 0 {
		t.Fatalf("%s: %d bytes are left over", about, len(b))
	}
	return out.Bytes()
}

func readGolden(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return unhex(t, string(text))
}

// unhex reads lines of hexadecimal digits with spaces and '#' comments.
func unhex(t testing.TB, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The fixed inputs of all golden frames.
var (
	diallerKey  = ed25519.NewKeyFromSeed(count(0x00, ed25519.SeedSize))
	acceptorKey = ed25519.NewKeyFromSeed(count(0x20, ed25519.SeedSize))
	session     = wire.SessionID(count(0xe0, 16))
	previous    = wire.SessionID(count(0xf0, 16))
	chain       = wire.ChainID(count(0xc0, 16))
	bank        = refs.Ref{
		Endpoint:  refs.Endpoint{Host: "bank.example", Port: 7000},
		ID:        refs.ID{Node: nodeOf(acceptorKey), Time: 1_700_000_000_000_000_000, Object: 0x9f3c5d7e11aa22bb},
		Interface: refs.Interface{Name: "bank.Account", Fingerprint: refs.Fingerprint(count(0x70, 16))},
	}
)

// count returns n bytes that count up from the first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

func nodeOf(k ed25519.PrivateKey) refs.NodeID {
	return refs.NodeIDFromKey(k.Public().(ed25519.PublicKey))
}

func hello(k ed25519.PrivateKey, nonce byte, expected refs.NodeID) *wire.Hello {
	h := &wire.Hello{
		Version: 1, Oldest: 1, Expected: expected, Time: 1_700_000_000_000_000_000,
		Message: 4 << 20, Assembly: 16 << 20, Slots: 1 << 16, Entries: 16384, Streams: 256,
	}
	copy(h.Key[:], k.Public().(ed25519.PublicKey))
	copy(h.Nonce[:], bytes.Repeat([]byte{nonce}, len(h.Nonce)))
	return h
}

// The two hellos of the golden handshake, and its proofs.
func diallerHello() []byte {
	return hello(diallerKey, 0xd1, nodeOf(acceptorKey)).Append(nil)
}
func acceptorHello() []byte { return hello(acceptorKey, 0xa1, refs.NodeID{}).Append(nil) }

// The same with the feature by which sessions outlive their connections.
func resumable(h *wire.Hello) []byte {
	h.Features = wire.FeatureResume
	return h.Append(nil)
}
func resumableDialler() []byte  { return resumable(hello(diallerKey, 0xd1, nodeOf(acceptorKey))) }
func resumableAcceptor() []byte { return resumable(hello(acceptorKey, 0xa1, refs.NodeID{})) }

// resumableProof is the dialling side's for a connection of the session.
func resumableProof(c wire.Connection) []byte {
	p := wire.Proof{Session: session, Extensions: wire.AppendConnection(nil, c)}
	copy(p.Signature[:], ed25519.Sign(diallerKey, p.Signed(wire.Transcript(true, resumableDialler(), resumableAcceptor(), nil))))
	return p.Append(nil)
}

func proof(k ed25519.PrivateKey, dialler bool, id, last wire.SessionID) []byte {
	p := wire.Proof{Session: id, Previous: last}
	copy(p.Signature[:], ed25519.Sign(k, p.Signed(wire.Transcript(dialler, diallerHello(), acceptorHello(), nil))))
	return p.Append(nil)
}
func acceptorProof() []byte { return proof(acceptorKey, false, wire.SessionID{}, wire.SessionID{}) }
func diallerProof() []byte  { return proof(diallerKey, true, session, wire.SessionID{}) }

var (
	handshakePrefix = []part{{1, "kind"}, {2, "length"}}
	helloParts      = append(handshakePrefix[:2:2], part{2, "version"}, part{2, "oldest version"}, part{8, "features"}, part{32, "key"},
		part{32, "nonce"}, part{16, "expected node"}, part{8, "time"}, part{4, "message limit"}, part{4, "assembly budget"},
		part{4, "slots"}, part{4, "entries of a table"}, part{2, "streams"}, part{2, "length of extensions"})
	proofParts = append(handshakePrefix[:2:2], part{64, "signature"}, part{16, "session"}, part{16, "previous session"}, part{2, "length of extensions"})

	recordPrefix = []part{{1, "kind"}, {1, "flags"}, {2, "length of extensions"}, {4, "length"}}
	payloadParts = []part{{4, "references"}, {4, "length of table"}, {4, "length of body"}}
	callParts    = join(recordPrefix, part{4, "slot"}, part{4, "sequence number"}, part{16, "chain"}, part{8, "object"},
		part{8, "microseconds left"}, part{4, "method"}, payloadParts[0], payloadParts[1], payloadParts[2], part{1, "depth"}, part{1, "hops"})
	returnParts   = join(recordPrefix, part{4, "slot"}, part{4, "sequence number"}, payloadParts[0], payloadParts[1], payloadParts[2])
	fragmentParts = join(recordPrefix, part{4, "slot"}, part{4, "sequence number"}, part{-1, "piece of the payload"})
)

func join(parts []part, more ...part) []part { return append(parts[:len(parts):len(parts)], more...) }

func TestGoldenHandshake(t *testing.T) {
	golden(t, "hello_dialler", "HELLO of the dialling side, key from the seed 00 01 ... 1f", diallerHello(), helloParts...)
	golden(t, "hello_acceptor", "HELLO of the accepting side, key from the seed 20 21 ... 3f", acceptorHello(), helloParts...)
	golden(t, "proof_acceptor", "PROOF of the accepting side for these two hellos, without TLS", acceptorProof(), proofParts...)
	golden(t, "proof_dialler", "PROOF of the dialling side", diallerProof(), proofParts...)
	golden(t, "proof_dialler_again", "PROOF of a dialling side that knows an earlier session to be over",
		proof(diallerKey, true, session, previous), proofParts...)
	overTLS := wire.Proof{Session: session}
	copy(overTLS.Signature[:], ed25519.Sign(diallerKey, overTLS.Signed(wire.Transcript(true, diallerHello(), acceptorHello(), count(0x50, 32)))))
	golden(t, "proof_dialler_tls", "PROOF of the dialling side, over TLS whose exporter value is 50 51 ... 6f", overTLS.Append(nil), proofParts...)
	golden(t, "hello_dialler_resume", "HELLO of the dialling side, with the feature resume", resumableDialler(), helloParts...)
	golden(t, "hello_acceptor_resume", "HELLO of the accepting side, with the feature resume", resumableAcceptor(), helloParts...)
	connectionParts := join(proofParts, part{1, "extension: connection"}, part{2, "its length"}, part{4, "number of the connection"}, part{1, "begin"})
	golden(t, "proof_dialler_begin", "PROOF of the dialling side for these two hellos: the first connection of a session",
		resumableProof(wire.Connection{Epoch: 1, Begin: true}), connectionParts...)
	golden(t, "proof_dialler_resumed", "PROOF of the dialling side for these two hellos: the second connection of the session",
		resumableProof(wire.Connection{Epoch: 2}), connectionParts...)
	golden(t, "welcome", "WELCOME", wire.AppendWelcome(nil, session), join(handshakePrefix, part{16, "session"}, part{2, "length of extensions"})...)
	golden(t, "refuse", "REFUSE, kind StaleReference", wire.AppendRefuse(nil, fault.KindStaleReference, "another node answers here"),
		join(handshakePrefix, part{1, "error kind"}, part{-1, "text"})...)

	for name, key := range map[string]ed25519.PrivateKey{
		"hello_dialler": diallerKey, "hello_acceptor": acceptorKey, "hello_dialler_resume": diallerKey, "hello_acceptor_resume": acceptorKey,
	} {
		b := readGolden(t, filepath.Join("testdata", "golden", name+".txt"))
		h, err := wire.ParseHello(b[wire.HandshakePrefix:])
		if err != nil || h.Node() != nodeOf(key) || !bytes.Equal(h.Append(nil), b) {
			t.Fatalf("%s: %+v, %v", name, h, err)
		}
		if want := strings.HasSuffix(name, "_resume"); (h.Features&wire.FeatureResume != 0) != want {
			t.Errorf("%s: features %#x", name, h.Features)
		}
	}
	for name, want := range map[string]wire.Connection{"proof_dialler_begin": {Epoch: 1, Begin: true}, "proof_dialler_resumed": {Epoch: 2}} {
		b := readGolden(t, filepath.Join("testdata", "golden", name+".txt"))
		p, err := wire.ParseProof(b[wire.HandshakePrefix:])
		if err != nil || !p.Resumable || p.Connection != want || p.Session != session || !bytes.Equal(p.Append(nil), b) {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		signed := p.Signed(wire.Transcript(true, resumableDialler(), resumableAcceptor(), nil))
		if key := diallerKey.Public().(ed25519.PublicKey); !ed25519.Verify(key, signed, p.Signature[:]) {
			t.Errorf("%s: the signature is not over the transcript", name)
		}
	}
	for name, dialler := range map[string]bool{"proof_dialler": true, "proof_acceptor": false, "proof_dialler_again": true} {
		b := readGolden(t, filepath.Join("testdata", "golden", name+".txt"))
		p, err := wire.ParseProof(b[wire.HandshakePrefix:])
		if err != nil || !bytes.Equal(p.Append(nil), b) {
			t.Fatalf("%s: %+v, %v", name, p, err)
		}
		key := acceptorKey
		if dialler {
			key = diallerKey
		}
		signed := p.Signed(wire.Transcript(dialler, diallerHello(), acceptorHello(), nil))
		if !ed25519.Verify(key.Public().(ed25519.PublicKey), signed, p.Signature[:]) {
			t.Errorf("%s: the signature is not over the transcript", name)
		}
	}
}

func payload(references, table, body uint32) wire.Payload {
	return wire.Payload{References: references, Table: table, Body: body}
}

func nullCall() []byte {
	h := wire.CallHeader{Slot: 0, Seq: 1, Chain: chain, Object: bank.Object, Timeout: 30_000_000,
		Method: wire.MethodIDOf("Null"), Payload: payload(0, 0, 1)}
	return append(wire.AppendCall(nil, &h, 0, nil), 0x90)
}

func nullReturn() []byte {
	return append(wire.AppendReturn(nil, &wire.ReturnHeader{Slot: 0, Seq: 1, Payload: payload(0, 0, 1)}, 0, nil), 0x90)
}

func TestGoldenRecords(t *testing.T) {
	golden(t, "call", "call of Null(), which takes nothing", nullCall(), join(callParts, part{1, "body: no arguments"})...)
	golden(t, "return", "return of Null(): no results", nullReturn(), join(returnParts, part{1, "body: no results"})...)

	table, err := wire.AppendTable(nil, []refs.Ref{bank})
	if err != nil {
		t.Fatal(err)
	}
	target := wire.AppendTarget(nil, bank.Node, bank.Time)
	target = wire.AppendMetadata(target, metadata(t, wire.MetadataPair{Key: "k", Value: "v"}))
	h := wire.CallHeader{Slot: 3, Seq: 7, Chain: chain, Object: bank.Object, Timeout: 1_500_000, Method: wire.MethodIDOf("Watch"),
		Payload: payload(1, uint32(len(table)), 5), Depth: 2, Hops: 1}
	body := []byte{0x91, 0xd5, 0x01, 0, 0}
	golden(t, "call_relayed", "call of Watch(reference) through a relay",
		append(append(wire.AppendCall(nil, &h, 0, target), table...), body...),
		join(callParts, part{1, "extension: target"}, part{2, "its length"}, part{16, "node of the owner"}, part{8, "time of the owner"},
			part{1, "extension: metadata, may be skipped"}, part{2, "its length"}, part{1, "flags"}, part{2, `length and key: "k"`}, part{3, `length and value: "v"`},
			part{2, "length of reference 0"}, part{len(table) - 2, "reference 0"}, part{-1, "body: an array of reference 0"})...)

	pairs := metadata(t, wire.MetadataPair{Key: "tenant", Value: "blue", PassOn: true}, wire.MetadataPair{Key: "authorization", Value: "Bearer s3cret"})
	metadataParts := []part{{1, "extension: metadata, may be skipped"}, {2, "its length"}}
	h = wire.CallHeader{Slot: 0, Seq: 1, Chain: chain, Object: bank.Object, Timeout: 30_000_000, Method: wire.MethodIDOf("Null"), Payload: payload(0, 0, 1)}
	golden(t, "call_metadata", "call of Null() with metadata, of which tenant is passed on", append(wire.AppendCall(nil, &h, 0, wire.AppendMetadata(nil, pairs)), 0x90),
		join(callParts, append(metadataParts, part{1, "flags"}, part{14, `length and key: "authorization"`}, part{15, `length and value: "Bearer s3cret"`},
			part{1, "flags: passed on"}, part{7, `length and key: "tenant"`}, part{6, `length and value: "blue"`}, part{1, "body: no arguments"})...)...)
	golden(t, "return_metadata", "return of Null() with metadata", append(wire.AppendReturn(nil, &wire.ReturnHeader{Slot: 0, Seq: 1, Payload: payload(0, 0, 1)}, 0,
		wire.AppendMetadata(nil, metadata(t, wire.MetadataPair{Key: "version", Value: "7"}))), 0x90),
		join(returnParts, append(metadataParts, part{1, "flags"}, part{8, `length and key: "version"`}, part{3, `length and value: "7"`}, part{1, "body: no results"})...)...)

	orderParts := []part{{1, "extension: order"}, {2, "its length"}, {8, "number of the call on its connection"}}
	h = wire.CallHeader{Slot: 0, Seq: 1, Chain: chain, Object: bank.Object, Timeout: 30_000_000, Method: wire.MethodIDOf("Null"), Payload: payload(0, 0, 1)}
	golden(t, "call_datagrams", "call of Null() over datagrams, the third on its connection",
		append(wire.AppendCall(nil, &h, 0, wire.AppendOrder(nil, 3)), 0x90), join(callParts, append(orderParts, part{1, "body: no arguments"})...)...)

	big := bytes.Repeat([]byte{0x2a}, 40_000)
	h = wire.CallHeader{Slot: 1, Seq: 1, Chain: chain, Object: bank.Object, Timeout: 30_000_000, Method: wire.MethodIDOf("Echo"),
		Payload: payload(0, 0, uint32(len(big)+4))}
	golden(t, "call_fragmented", "call of Echo(40,000 bytes), whose payload comes in fragments", wire.AppendCall(nil, &h, wire.FlagFragmented, nil), callParts...)
	last := big[:8]
	golden(t, "fragment_of_call", "fragment of a call's payload: 8 bytes of it", append(wire.AppendFragment(nil, 1, 1, false, len(last)), last...), fragmentParts...)
	golden(t, "fragment_last_datagrams", "last fragment of a call's payload over datagrams: 8 bytes of it",
		append(wire.AppendLastFragment(nil, 1, 1, len(last), 4), last...),
		join(fragmentParts[:len(fragmentParts)-1], append(orderParts, fragmentParts[len(fragmentParts)-1])...)...)
	r := wire.ReturnHeader{Slot: 1, Seq: 1, Payload: payload(0, 0, uint32(len(big)+4))}
	golden(t, "return_fragmented", "return of Echo, whose payload comes in fragments", wire.AppendReturn(nil, &r, wire.FlagFragmented, nil), returnParts...)
	golden(t, "fragment_of_return", "fragment of a return's payload: 8 bytes of it", append(wire.AppendFragment(nil, 1, 1, true, len(last)), last...), fragmentParts...)

	form := codec.AppendError(nil, fault.New(fault.KindNoSuchObject, fault.OutcomeNotExecuted, "the object is not exported"))
	r = wire.ReturnHeader{Slot: 3, Seq: 7, Payload: payload(0, 0, uint32(len(form)))}
	golden(t, "return_error", "return of a call that failed", append(wire.AppendReturn(nil, &r, wire.FlagError, nil), form...),
		join(returnParts, part{-1, "body: error form"})...)

	form = codec.AppendError(nil, fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "the call was lost with its connection, and given up"))
	r = wire.ReturnHeader{Slot: 3, Seq: 8, Payload: payload(0, 0, uint32(len(form)))}
	golden(t, "return_uncounted", "return of a call that never came: the references in it were not given",
		append(wire.AppendReturn(nil, &r, wire.FlagError|wire.FlagUncounted, nil), form...), join(returnParts, part{-1, "body: error form"})...)

	slotParts := join(recordPrefix, part{4, "slot"}, part{4, "sequence number"})
	golden(t, "cancel", "cancel", wire.AppendCancel(nil, 3, 7), slotParts...)
	golden(t, "cancel_settle", "cancel of a one-way call that may be lost: if it came it goes on", wire.AppendSettle(nil, 3, 7), slotParts...)
	golden(t, "ack", "ack: the last return of slot 3 arrived", wire.AppendAck(nil, 3, 7), slotParts...)
	golden(t, "ping", "ping", wire.AppendPing(nil, wire.FramePing, 20), join(recordPrefix, part{8, "token"})...)
	golden(t, "pong", "pong", wire.AppendPing(nil, wire.FramePong, 20), join(recordPrefix, part{8, "token"})...)
	chunk := unhex(t, "00 01 0001 00000001 00000000")
	golden(t, "stream", "stream: yamux opens stream 1", append(wire.AppendStream(nil, len(chunk)), chunk...), join(recordPrefix, part{-1, "chunk of the stream lane"})...)
	notice := join(recordPrefix, part{1, "error kind"}, part{-1, "text"})
	golden(t, "goaway", "goaway", wire.AppendNotice(nil, wire.FrameGoAway, uint8(fault.KindPeerGone), "the node is shutting down"), notice...)
	golden(t, "close", "close", wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindPeerGone), "the peer closed its node"), notice...)
	golden(t, "table", "table of references with two entries", tableOfTwo(t), part{2, "length of reference 0"}, part{77, "reference 0"},
		part{2, "length of reference 1"}, part{-1, "reference 1, with a relay"})
	overUDP := bank
	overUDP.UDP = true
	udp, err := wire.AppendTable(nil, []refs.Ref{overUDP})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "reference_udp", "table of a reference to an object behind a UDP port", udp, part{2, "length of reference 0"}, part{1, "flags: UDP"}, part{-1, "rest of the reference"})
}

func metadata(t testing.TB, pairs ...wire.MetadataPair) wire.Metadata {
	t.Helper()
	m, err := wire.NewMetadata(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func tableOfTwo(t testing.TB) []byte {
	relayed := refs.Ref{ID: bank.ID, Interface: bank.Interface, Via: refs.Via{Node: nodeOf(diallerKey), Endpoint: refs.Endpoint{Port: 1099}}}
	b, err := wire.AppendTable(nil, []refs.Ref{bank, relayed})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every golden record reads back as what it was made of, by the parsers alone.
func TestGoldenRecordsReadBack(t *testing.T) {
	limits := wire.Limits{}.WithDefaults()
	files, err := filepath.Glob(filepath.Join("testdata", "golden", "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, path := range files {
		b := readGolden(t, path)
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		var back []byte
		switch kind, _, _ := strings.Cut(name, "_"); kind {
		case "call", "return", "fragment", "cancel", "ping", "pong", "stream", "goaway", "close", "ack":
			p, err := wire.ParsePrefix(b)
			if err != nil || p.Kind.String() != kind || int(p.Length) != len(b)-wire.PrefixSize {
				t.Errorf("%s: %+v, %v", name, p, err)
				continue
			}
			back, err = writeAgain(p, b[wire.PrefixSize:], &limits)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case "table":
			table, err := wire.ParseTable(b, 2)
			if err != nil || table[0] != bank || table[1].Via.Node != nodeOf(diallerKey) {
				t.Errorf("%s: %v, %v", name, table, err)
			}
			continue
		default:
			continue
		}
		if !bytes.Equal(back, b) {
			t.Errorf("%s: written again it is\n%x, was\n%x", name, back, b)
		}
	}
}

// writeAgain parses a record by its kind and writes what was found.
func writeAgain(p wire.Prefix, rec []byte, l *wire.Limits) ([]byte, error) {
	switch p.Kind {
	case wire.FrameCall:
		var h wire.CallHeader
		ext, rest, err := wire.ParseCall(p, rec, l, &h)
		if err != nil {
			return nil, err
		}
		return append(wire.AppendCall(nil, &h, p.Flags, ext), rest...), nil
	case wire.FrameReturn:
		var h wire.ReturnHeader
		rest, err := wire.ParseReturn(p, rec, l, &h)
		if err != nil {
			return nil, err
		}
		ext := rec[wire.ReturnHeaderSize:][:p.Extensions]
		return append(wire.AppendReturn(nil, &h, p.Flags, ext), rest...), nil
	case wire.FrameFragment:
		f, err := wire.ParseFragment(p, rec)
		if err != nil {
			return nil, err
		}
		if f.Order != 0 {
			return append(wire.AppendLastFragment(nil, f.Slot, f.Seq, f.Size, f.Order), f.Piece...), nil
		}
		return append(wire.AppendFragment(nil, f.Slot, f.Seq, f.OfReturn, f.Size), f.Piece...), nil
	case wire.FrameCancel, wire.FrameAck:
		slot, seq, err := wire.ParseCancel(p, rec)
		switch {
		case err != nil:
			return nil, err
		case p.Kind == wire.FrameAck:
			return wire.AppendAck(nil, slot, seq), nil
		case p.Flags&wire.FlagSettle != 0:
			return wire.AppendSettle(nil, slot, seq), nil
		}
		return wire.AppendCancel(nil, slot, seq), nil
	case wire.FramePing, wire.FramePong:
		token, err := wire.ParsePing(p, rec)
		if err != nil {
			return nil, err
		}
		return wire.AppendPing(nil, p.Kind, token), nil
	case wire.FrameStream:
		return append(wire.AppendStream(nil, len(rec)), rec...), nil
	case wire.FrameGoAway, wire.FrameClose:
		kind, text, err := wire.ParseNotice(p, rec)
		if err != nil {
			return nil, err
		}
		return wire.AppendNotice(nil, p.Kind, kind, text), nil
	}
	return nil, fmt.Errorf("%v", p.Kind)
}

// Account is the interface of the golden description.
type Account interface {
	Deposit(ctx context.Context, cents int64) (int64, error)
	Watch(ctx context.Context, o Options, f func(ctx context.Context, balance int64) error) error
	Tag(ctx context.Context, tags ...string) (map[string]uint8, error)
}

type Options struct {
	From, To *Options
	Every    [2]float64
	Salt     []byte
}

func TestGoldenPacket(t *testing.T) {
	table, err := wire.AppendTable(nil, []refs.Ref{bank})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte{0x91, 0xd5, 0x01, 0, 0}
	to := []wire.ReceiverID{3, 4, 200}
	b := append(wire.AppendMulticast(nil, to, []byte("head"), 1, table, len(body)), body...)
	golden(t, "packet", "multicast of a reference to the receivers 3, 4 and 200", b,
		part{4, "length"}, part{1, "receivers"}, part{1, "3"}, part{1, "4 - 3"}, part{2, "200 - 4"}, part{2, "length of the head"}, part{4, "head"},
		part{1, "references"}, part{1, "length of the table"}, part{len(table), "table"}, part{len(body), "body: [index 0]"})
	limits := wire.Limits{}.WithDefaults()
	var m wire.Multicast
	got, err := wire.ParseMulticast(b[4:], nil, &limits, &m)
	if err != nil || !slices.Equal(got, to) || string(m.Head) != "head" || m.References != 1 || !bytes.Equal(m.Table, table) || !bytes.Equal(m.Body, body) {
		t.Errorf("%v, %+v, %v", got, m, err)
	}
}

func TestGoldenForms(t *testing.T) {
	failed := fault.New(fault.KindApplication, fault.OutcomeExecuted, "deposit: %w", io.ErrUnexpectedEOF)
	for _, form := range []struct {
		name, about string
		err         error
	}{
		{"error_refused", "error form of a call that was not executed", fault.New(fault.KindNoSuchMethod, fault.OutcomeNotExecuted, "bank.Account has no such method")},
		{"error_application", "error form of a method that failed with io.ErrUnexpectedEOF in it", failed},
		{"error_plain", "error form of an error that is of no kind", errors.New("poor")},
	} {
		golden(t, form.name, form.about, codec.AppendError(nil, form.err), part{-1, "[kind, outcome, text, op, identities]"})
		f, err := codec.ParseError(readGolden(t, filepath.Join("testdata", "golden", form.name+".txt")), nil)
		if err != nil || f.Origin != fault.OriginPeer {
			t.Fatalf("%s: %v, %v", form.name, f, err)
		}
		if want := errors.Is(form.err, io.ErrUnexpectedEOF); errors.Is(f, io.ErrUnexpectedEOF) != want {
			t.Errorf("%s: %v is io.ErrUnexpectedEOF: want %v", form.name, f, want)
		}
	}

	i, err := codec.InterfaceOf(reflect.TypeFor[Account]())
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.Description().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "description", "description of the interface Account in golden_test.go; its fingerprint stands at the end",
		append(b, i.Fingerprint[:]...), part{len(b), "description"}, part{16, "fingerprint, no part of it"})
	d, err := codec.ParseDescription(b)
	if err != nil || d.Fingerprint() != i.Fingerprint {
		t.Errorf("%v, %v", d, err)
	}
}

func TestGoldenSemantics(t *testing.T) {
	i, err := codec.InterfaceOf(reflect.TypeFor[Account]())
	if err != nil {
		t.Fatal(err)
	}
	i, err = i.With(map[string]codec.Semantics{
		"Deposit": {Idempotent: true, Timeout: 1500 * time.Millisecond}, "Watch": {OneWay: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	b, err := i.Description().MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "description_semantics", "description of the same interface, with Deposit idempotent and given 1.5 s, and Watch one-way",
		append(b, i.Fingerprint[:]...), part{len(b), "description"}, part{16, "fingerprint, no part of it"})

	// The fingerprint, by hand: of that without semantics, and the two methods'.
	plain := readGolden(t, filepath.Join("testdata", "golden", "description.txt"))
	by := append([]byte("semantics"), plain[len(plain)-16:]...)
	by = append(by, "\x07Deposit\x01\x00\x00\x00\x00\x00\x16\xe3\x60\x05Watch\x02\x00\x00\x00\x00\x00\x00\x00\x00"...)
	if sum := sha256.Sum256(by); refs.Fingerprint(sum[:16]) != i.Fingerprint {
		t.Errorf("the fingerprint is %x, by hand it is %x", i.Fingerprint, sum[:16])
	}
}

// The exchange at the end of the package's documentation is what the code
// writes.
func TestWorkedExample(t *testing.T) {
	steps := []struct {
		name string
		b    []byte
	}{
		{"D: magic", []byte(wire.Magic)}, {"D: HELLO", diallerHello()},
		{"A: magic", []byte(wire.Magic)}, {"A: HELLO", acceptorHello()}, {"A: PROOF", acceptorProof()},
		{"D: PROOF", diallerProof()}, {"A: WELCOME", wire.AppendWelcome(nil, session)},
		{"D: call", nullCall()}, {"A: return", nullReturn()},
	}
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(source), "// # A worked example")
	example, _, _ = strings.Cut(example, "package wire")
	var stated strings.Builder
	for line := range strings.Lines(example) {
		if code, ok := strings.CutPrefix(line, "//\t"); ok {
			stated.WriteString(code)
		}
	}
	var all bytes.Buffer
	for _, s := range steps {
		fmt.Fprintf(&all, "# %s\n", s.name)
		for b := s.b; len(b) > 0; {
			n := min(len(b), 32)
			fmt.Fprintf(&all, "%x\n", b[:n])
			b = b[n:]
		}
	}
	if !bytes.Equal(unhex(t, stated.String()), unhex(t, all.String())) {
		t.Errorf("the documentation should say\n%s", all.String())
	}
}
