package datagram

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gormi/rmi/wire"
)

var update = flag.Bool("update", false, "write the golden datagrams anew")

// part names the next bytes of a golden datagram.
type part struct {
	n    int
	name string
}

const goldenID = connID(0xc0c1c2c3c4c5c6c7)

// golden compares b with testdata/golden/name.txt, which has the bytes in hexadecimal, with
// their meaning after a '#'.
func golden(t *testing.T, name, about string, b []byte, parts ...part) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		var out strings.Builder
		out.WriteString("# " + about + "\n")
		rest := b
		for _, p := range parts {
			out.WriteString(hex.EncodeToString(rest[:p.n]) + " # " + p.name + "\n")
			rest = rest[p.n:]
		}
		if len(rest) > 0 {
			t.Fatalf("%s: %d bytes are left over", name, len(rest))
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readGolden(t, path); !bytes.Equal(got, b) {
		t.Errorf("%s:\ngot  %x\nwant %x", path, b, got)
	}
}

func readGolden(t testing.TB, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var digits strings.Builder
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		digits.WriteString(strings.Join(strings.Fields(line), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// packed returns the datagram that pack makes of a connection.
func packed(t *testing.T, prepare func(c *connState, p *packer)) []byte {
	t.Helper()
	began := time.Unix(1_700_000_000, 0)
	c := &connState{
		connConfig: &connConfig{id: goldenID, began: began}, receive: receiver{limit: window}, send: sender{limit: window},
		congestion: newCongestion(), peerSent: 1_000_000, peerAt: began.Add(2 * time.Second),
	}
	p := &packer{c: c, now: began.Add(2*time.Second + 3*time.Millisecond)}
	prepare(c, p)
	c.pack(p)
	if len(p.full) != 1 {
		t.Fatalf("%d datagrams", len(p.full))
	}
	b := slices.Clone(p.full[0].b[:p.full[0].n])
	if id, ok := idOf(b); !ok || id != goldenID || !wellFormed(b[dataHeader:]) {
		t.Errorf("malformed: %x", b)
	}
	return b
}

func nullCall(slot wire.Slot, seq wire.Seq) []byte {
	h := wire.CallHeader{Slot: slot, Seq: seq, Object: 0x9f3c5d7e11aa22bb, Timeout: 30_000_000, Method: wire.MethodID(0xf73397c4), Payload: wire.Payload{Body: 1}}
	return append(wire.AppendCall(nil, &h, 0, nil), 0x90)
}

func nullReturn(slot wire.Slot, seq wire.Seq) []byte {
	return append(wire.AppendReturn(nil, &wire.ReturnHeader{Slot: slot, Seq: seq, Payload: wire.Payload{Body: 1}}, 0, nil), 0x90)
}

func TestGoldenDatagrams(t *testing.T) {
	id := []part{{1, "version 1, type"}, {8, "connection"}}
	cookie := []byte("cookie of 16 b. ")
	golden(t, "init", "INIT, the first", appendInit(nil, goldenID, nil), append(id[:2:2], part{16, "no cookie"}, part{1175, "padding"})...)
	golden(t, "init_again", "INIT with the cookie", appendInit(nil, goldenID, cookie), append(id[:2:2], part{16, "cookie"}, part{1175, "padding"})...)
	golden(t, "cookie", "COOKIE", append(appendShort(nil, typeCookie, goldenID), cookie...), append(id[:2:2], part{16, "cookie"})...)
	golden(t, "open", "OPEN", appendShort(nil, typeOpen, goldenID), id...)
	golden(t, "reset", "RESET", appendShort(nil, typeReset, goldenID), id...)

	header := append(id[:2:2], part{4, "sent: 2.003 s"}, part{4, "echo: 1 s, held for 3 ms"})
	golden(t, "call", "a call that goes directly", packed(t, func(c *connState, p *packer) {
		c.writeRecord(p, nullCall(5, 7))
	}), append(header[:4:4], part{1, "DIRECT"}, part{8, "record: call"}, part{8, "slot, sequence number"}, part{50, "rest of the header"}, part{1, "body"})...)
	golden(t, "call_cancelled", "the same with its cancel", packed(t, func(c *connState, p *packer) {
		c.writeRecord(p, nullCall(5, 7))
		p.full = nil
		c.writeRecord(p, wire.AppendCancel(nil, 5, 7))
	}), append(header[:4:4], part{1, "DIRECT"}, part{8, "record: call"}, part{8, "slot, sequence number"}, part{50, "rest of the header"}, part{1, "body"},
		part{1, "DIRECT"}, part{8, "record: cancel"}, part{8, "slot, sequence number"})...)
	golden(t, "return", "a return that goes directly", packed(t, func(c *connState, p *packer) {
		c.calls.arrived(call{5, 7}, p.now)
		c.writeRecord(p, nullReturn(5, 7))
	}), append(header[:4:4], part{1, "DIRECT"}, part{8, "record: return"}, part{8, "slot, sequence number"}, part{12, "rest of the header"}, part{1, "body"})...)
	golden(t, "got", "two calls are here and run for a while", packed(t, func(c *connState, p *packer) {
		c.calls.arrived(call{5, 7}, p.now.Add(-ackDelay))
		c.calls.arrived(call{6, 1}, p.now.Add(-ackDelay))
	}), append(header[:4:4], part{1, "GOT"}, part{1, "calls"}, part{8, "slot, sequence number"}, part{8, "slot, sequence number"})...)
	golden(t, "segment", "a ping in order, and which segments are here: 40, 42, 43 and 46", packed(t, func(c *connState, p *packer) {
		c.send.next = 8
		c.send.queue = wire.AppendPing(nil, wire.FramePing, 1)
		c.receive.next = 40
		c.incoming.state = inNothing
		for _, n := range []segNum{40, 42, 43, 46} {
			c.frame(&frame{kind: frameSegment, num: n, data: []byte("x")}, p.now)
		}
	}), append(header[:4:4], part{1, "ACK"}, part{8, "first missing"}, part{2, "window"}, part{1, "ranges"}, part{2, "1 missing, 2 here"}, part{2, "2 missing, 1 here"},
		part{1, "SEGMENT"}, part{8, "number"}, part{2, "length"}, part{16, "record: ping"})...)
	golden(t, "end", "the end", packed(t, func(c *connState, p *packer) {
		c.send.ending = true
	}), append(header[:4:4], part{1, "END"}, part{8, "number"})...)
	golden(t, "ask", "the receiver has no room: still none?", packed(t, func(c *connState, p *packer) {
		c.send.next, c.send.queue = window, []byte("x")
		c.onTime(p)
	}), append(header[:4:4], part{1, "ASK"})...)
}

func TestDatagramsOfTheWrongLengthAreNone(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing": {}, "short": make([]byte, 8), "unknown type": appendShort(nil, 0x16, 1), "later version": appendShort(nil, 0x21, 1),
		"short init": appendInit(nil, 1, nil)[:MaxDatagram-1], "long init": append(appendInit(nil, 1, nil), 0),
		"short cookie": appendShort(nil, typeCookie, 1), "long open": append(appendShort(nil, typeOpen, 1), 0),
		"data without a frame": append(appendShort(nil, typeData, 1), make([]byte, 8)...), "long data": append(appendShort(nil, typeData, 1), make([]byte, MaxDatagram)...),
	} {
		if _, ok := idOf(b); ok {
			t.Errorf("%s: %x is taken", name, b)
		}
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	direct := func(rec []byte) []byte { return append([]byte{byte(frameDirect)}, rec...) }
	flagged := nullCall(0, 1)
	flagged[1] = wire.FlagFragmented
	long := nullCall(0, 1)
	long[7]++
	huge := nullCall(0, 1)
	huge[4] = 0xff
	for name, b := range map[string][]byte{
		"kind 0": {0}, "kind 7": {7}, "empty direct": {1}, "direct cut": direct(nullCall(0, 1)[:60]), "direct too long": direct(long), "length bomb": direct(huge),
		"fragmented call": direct(flagged), "direct ping": direct(wire.AppendPing(nil, wire.FramePing, 1)), "direct fragment": direct(wire.AppendFragment(nil, 1, 1, false, 0)),
		"call without a slot": direct([]byte{1, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0}),
		"segment cut":         {2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 'x'}, "empty segment": {2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
		"long segment": append([]byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, make([]byte, MaxDatagram)...),
		"end cut":      {3, 0}, "ack cut": {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "ack of ranges that are not there": {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1},
		"range of nothing": {4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0}, "many ranges": append([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 33}, bytes.Repeat([]byte{1}, 66)...),
		"got of nothing": {5, 0}, "got cut": {5, 1, 0, 0, 0, 0, 0, 0, 0}, "bytes behind": {6, 0},
	} {
		if wellFormed(b) {
			t.Errorf("%s: %x is taken", name, b)
		}
	}
}

func FuzzDatagram(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, path := range files {
		b := readGolden(f, path)
		f.Add(b)
		if len(b) > dataHeader {
			f.Add(append(slices.Clone(b), b[dataHeader:]...))
			f.Add(b[:len(b)-1])
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		id, ok := idOf(b)
		if !ok || b[0] != typeData {
			return
		}
		c := newTestConn()
		c.handle(b)
		if parseData(b).id != id {
			t.Error("the header has another connection")
		}
		c.state.checkBounds(t)
	})
}

// newTestConn is a connection after the handshake, with calls under way. What it sends is
// dropped, and it has no goroutine.
func newTestConn() *Conn {
	c := &Conn{
		connConfig: connConfig{id: goldenID, began: time.Now(), wake: make(chan struct{}, 1)},
		transmit:   func([]byte) error { return nil }, release: func() {}, pumped: make(chan struct{}),
	}
	c.state.init(c)
	c.state.outgoing.state, c.state.incoming.state = inRecords, inRecords
	close(c.pumped)
	c.Write(nullCall(5, 7))
	c.Write(wire.AppendPing(nil, wire.FramePing, 1))
	return c
}

// checkBounds checks the bounds that no datagram may break.
func (c *connState) checkBounds(t *testing.T) {
	t.Helper()
	if n := len(c.in) - c.read; n > maxUnread+window*maxSegment {
		t.Errorf("%d bytes are unread", n)
	}
	if n := len(c.receive.early); n >= window {
		t.Errorf("%d segments wait for an earlier one", n)
	}
	if c.send.out < 0 || c.send.out > len(c.send.flight) || c.send.first() > c.send.next || c.send.limit > c.send.next+window {
		t.Errorf("%d of %d segments are out, up to %d of %d", c.send.out, len(c.send.flight), c.send.next, c.send.limit)
	}
	if c.congestion.window < leastWindow || c.congestion.window > mostWindow {
		t.Errorf("a congestion window of %v", c.congestion.window)
	}
	if n := len(c.calls.gots); n > maxGots {
		t.Errorf("%d calls wait to be told of", n)
	}
}

// However the bytes are cut, the same units come out.
func FuzzFramer(f *testing.F) {
	stream := []byte(wire.Magic)
	for _, k := range []wire.HandshakeKind{wire.HandshakeHello, wire.HandshakeProof} {
		stream = append(append(stream, byte(k), 0, 3), "abc"...)
	}
	stream = append(append(stream, nullCall(1, 1)...), wire.AppendPing(nil, wire.FramePing, 9)...)
	stream = append(wire.AppendFragment(stream, 1, 1, false, 100), make([]byte, 100)...)
	f.Add(stream, uint8(1), true)
	f.Add(stream, uint8(7), true)
	f.Add(stream, uint8(200), false)
	f.Add([]byte("GoRMI\n\x04\x00\x01xyz"), uint8(2), false)
	f.Add([]byte("GoRMI\n\x03\x00\x00\x01\x00\x00\x00\xff\xff\xff\xff"), uint8(3), false)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, dialler bool) {
		cut := func(size int) (units [][]byte, raw []byte, err error) {
			fr := newFramer(dialler)
			for rest := stream; len(rest) > 0; rest = rest[min(size, len(rest)):] {
				for b := rest[:min(size, len(rest))]; len(b) > 0; {
					unit, n, record, err := fr.next(b)
					if err != nil {
						return units, raw, err
					}
					if n == 0 {
						t.Fatal("the framer stands still")
					}
					b = b[n:]
					if record {
						units = append(units, bytes.Clone(unit))
					} else {
						raw = append(raw, unit...)
					}
				}
				if cap(fr.buf) > 2*(wire.PrefixSize+wire.MaxRecord) {
					t.Fatalf("the framer holds %d bytes", cap(fr.buf))
				}
			}
			return units, raw, nil
		}
		units, raw, err := cut(max(1, int(piece)))
		whole, rawToo, errToo := cut(len(stream) + 1)
		if (err == nil) != (errToo == nil) || !slices.EqualFunc(units, whole, bytes.Equal) || err == nil && !bytes.Equal(raw, rawToo) { // before an error a prefix may pass in part
			t.Errorf("in pieces: %x %x %v\nwhole:     %x %x %v", raw, units, err, rawToo, whole, errToo)
		}
	})
}
