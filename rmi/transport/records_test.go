package transport

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// join returns the pieces as one.
func join(b ...[]byte) []byte { return bytes.Join(b, nil) }

// prefix returns a record of n bytes of nothing.
func prefix(k wire.FrameKind, flags uint8, ext uint16, length uint32, n int) []byte {
	b := make([]byte, wire.PrefixSize+n)
	b[0], b[1] = byte(k), flags
	binary.BigEndian.PutUint16(b[2:], ext)
	binary.BigEndian.PutUint32(b[4:], length)
	return b
}

func TestWhoBreaksTheProtocolLosesItsConnection(t *testing.T) {
	const slots = 100
	withPayload := func(p *raw, pl wire.Payload, flags uint8, carried int) []byte {
		p.seq[0]++
		h := wire.CallHeader{Seq: p.seq[0], Timeout: 1e6, Payload: pl}
		b := append(wire.AppendCall(nil, &h, flags, nil), make([]byte, carried)...)
		binary.BigEndian.PutUint32(b[4:], uint32(wire.CallHeaderSize+carried))
		return b
	}
	for _, c := range []struct {
		name  string
		send  func(*raw) []byte
		close bool // after sending
		log   string
	}{
		{"half a prefix", func(*raw) []byte { return []byte{1, 0, 0} }, true, "in the middle of a record"},
		{"a call cut short", func(p *raw) []byte { return p.call(0, echo, "hello")[:40] }, true, "in the middle of a record"},
		{"a fragment cut short", func(p *raw) []byte {
			return join(p.begin(0, echo, 40000), p.fragment(0, 30000)[:20000])
		}, true, "in the middle of a record"},
		{"an oversized record", func(*raw) []byte { return prefix(wire.FrameCall, 0, 0, 1<<31, 0) }, false, "the limit is 41018"},
		{"more extensions than record", func(*raw) []byte { return prefix(wire.FramePing, 0, 9, 8, 8) }, false, "9 bytes of extensions"},
		{"too many extensions", func(*raw) []byte { return prefix(wire.FrameCall, 0, 1<<14, 1<<15, 0) }, false, "16384 bytes of extensions"},
		{"an unknown kind", func(*raw) []byte { return prefix(0x33, 0, 0, 4, 4) }, false, "frame kind 51 is not known here and may not be skipped"},
		{"kind 0", func(*raw) []byte { return prefix(0, 0, 0, 0, 0) }, false, "frame kind 0 is not known"},
		{"a call too short", func(*raw) []byte { return prefix(wire.FrameCall, 0, 0, 20, 20) }, false, "is cut short"},
		{"extensions beyond the call", func(*raw) []byte { return prefix(wire.FrameCall, 0, 60, 100, 100) }, false, "is cut short"},
		{"a busy slot", func(p *raw) []byte {
			return join(p.call(3, linger, ""), p.call(3, echo, ""))
		}, false, "call 2 in slot 3, whose last was 1 (in flight: true)"},
		{"a sequence number left out", func(p *raw) []byte { p.seq[3]++; return p.call(3, echo, "") }, false, "call 2 in slot 3, whose last was 0"},
		{"a slot over the limit", func(p *raw) []byte { return p.call(slots, echo, "") }, false, "the announced limit is 100"},
		{"the last slot of all", func(p *raw) []byte { return p.call(1<<32-1, echo, "") }, false, "the announced limit is 100"},
		{"no timeout", func(p *raw) []byte {
			return p.call(0, echo, "", func(h *wire.CallHeader) { h.Timeout = 0 })
		}, false, "without a deadline"},
		{"more announced than carried", func(p *raw) []byte { return withPayload(p, wire.Payload{Body: 10}, 0, 9) }, false, "announces a payload of 10 bytes and carries 9"},
		{"more carried than announced", func(p *raw) []byte { return withPayload(p, wire.Payload{Body: 10}, 0, 11) }, false, "announces a payload of 10 bytes and carries 11"},
		{"sizes that overflow together", func(p *raw) []byte {
			return withPayload(p, wire.Payload{References: 1, Table: 1<<32 - 1, Body: 2}, 0, 1)
		}, false, "payload of 4294967297 bytes"},
		{"a body over the limit", func(p *raw) []byte {
			return withPayload(p, wire.Payload{Body: 4<<20 + 1}, wire.FlagFragmented, 0)
		}, false, "the announced limit is 4194304"},
		{"too many references", func(p *raw) []byte {
			return withPayload(p, wire.Payload{References: 50000, Table: 1 << 20}, wire.FlagFragmented, 0)
		}, false, "50000 references in one frame: the limit is"},
		{"references without a table", func(p *raw) []byte { return withPayload(p, wire.Payload{References: 1}, 0, 0) }, false, "1 references in a table of 0 bytes"},
		{"fragmented and carried", func(p *raw) []byte {
			return withPayload(p, wire.Payload{Body: 40000}, wire.FlagFragmented, 10)
		}, false, "carries 10 bytes itself"},
		{"fragments of nothing", func(p *raw) []byte { return withPayload(p, wire.Payload{}, wire.FlagFragmented, 0) }, false, "without a payload"},
		{"a fragment without a call", func(p *raw) []byte { return p.fragment(0, 10) }, false, "which has none under way"},
		{"a fragment of a slot over the limit", func(p *raw) []byte { return p.fragment(slots, 10) }, false, "which has none under way"},
		{"a fragment after the last", func(p *raw) []byte {
			return join(p.begin(0, linger, 40000), p.fragment(0, 20000), p.fragment(0, 20000), p.fragment(0, 1))
		}, false, "which has none under way"},
		{"a fragment too long", func(p *raw) []byte {
			return join(p.begin(0, echo, 40000), p.fragment(0, 30000), p.fragment(0, 10001))
		}, false, "a fragment of 10001 bytes: 10000 of 40000 are left"},
		{"an empty fragment", func(p *raw) []byte { return join(p.begin(0, echo, 40000), p.fragment(0, 0)) }, false, "fragment record of 8 bytes"},
		{"a fragment over the size of pieces", func(p *raw) []byte {
			return join(p.begin(0, echo, 60000), p.fragment(0, wire.MaxInline+1))
		}, false, "fragment record of 32777 bytes"},
		{"more under assembly than announced", func(p *raw) []byte {
			var b []byte
			for i := range wire.Slot(5) {
				b = append(b, p.begin(i, echo, 4<<20)...)
			}
			return b
		}, false, "16777216 bytes under assembly and 4194304 more: the announced budget is 16777216"},
		{"a return nobody waits for", func(p *raw) []byte { return p.answer(wire.CallHeader{Slot: 5, Seq: 1}, "") }, false, "return for slot 5, which was never used"},
		{"a fragment of a return nobody waits for", func(p *raw) []byte {
			return append(wire.AppendFragment(nil, 0, 1, true, 1), 0)
		}, false, "fragment of a return for call 1 of slot 0"},
		{"a cancel too long", func(*raw) []byte { return prefix(wire.FrameCancel, 0, 0, 12, 12) }, false, "cancel record of 12 bytes"},
		{"a ping too short", func(*raw) []byte { return prefix(wire.FramePing, 0, 0, 3, 3) }, false, "ping record of 3 bytes"},
		{"a pong too short", func(*raw) []byte { return prefix(wire.FramePong, 0, 0, 3, 3) }, false, "pong record of 3 bytes"},
		{"an empty goaway", func(*raw) []byte { return prefix(wire.FrameGoAway, 0, 0, 0, 0) }, false, "goaway record of 0 bytes"},
		{"a close with a novel", func(*raw) []byte { return prefix(wire.FrameClose, 0, 0, 2000, 2000) }, false, "close record of 2000 bytes"},
		{"stream garbage", func(*raw) []byte {
			return append(wire.AppendStream(nil, 24), bytes.Repeat([]byte{0xee}, 24)...)
		}, false, "stream lane: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, b, s := pair(t, func(c *Config) { c.Limits.Slots = slots })
			p := rawTo(t, b, b.Network).join()
			good := p.call(99, echo, "x")
			p.write(good)
			p.returned(99)
			p.write(c.send(p))
			if c.close {
				p.conn.Close()
			} else {
				p.ended()
			}
			b.logs.wait(t, "session ended")
			if l := b.logs.String(); !strings.Contains(l, c.log) {
				t.Errorf("the log does not say %q:\n%s", c.log, l)
			}
			works(t, s)
			b.Close(time.Second) // waits for methods that ran
			if held := b.held.now(); held != 0 {
				t.Errorf("%d bytes are still charged", held)
			}
		})
	}
}

// calledRaw makes a node call a raw peer. It returns the peer and the call's end.
func calledRaw(t *testing.T, a *node, network *memnet.Network, m wire.MethodID) (p *raw, s *Session, h wire.CallHeader, end chan error) {
	t.Helper()
	peer := make(chan *raw)
	ep := serveRawOnce(t, network.Host("raw"), "raw", peer)
	end = make(chan error, 1)
	go func() {
		s, err := a.Session(t.Context(), ep, refs.NodeID{})
		if err == nil {
			_, err = do(t.Context(), s, request(t.Context(), m, []byte("x")))
		}
		end <- err
	}()
	p = (<-peer).welcome()
	h, _ = p.called()
	return p, a.Live(p.node()), h, end
}

func TestReturnsThatBreakTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(*raw, wire.CallHeader) []byte
		log  string
		ok   bool // the call itself succeeds
	}{
		{"another sequence number", func(p *raw, h wire.CallHeader) []byte { h.Seq++; return p.answer(h, "") }, "which is not in flight", false},
		{"twice", func(p *raw, h wire.CallHeader) []byte { return join(p.answer(h, "x"), p.answer(h, "x")) }, "which is not in flight", true},
		{"twice begun", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: 40000}}
			b := wire.AppendReturn(nil, &r, wire.FlagFragmented, nil)
			return join(b, b)
		}, "which is not in flight", false},
		{"too large", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: 1 << 31}}
			return wire.AppendReturn(nil, &r, wire.FlagFragmented, nil)
		}, "payload of 2147483648 bytes", false},
		{"an extension that must be known", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq}
			return wire.AppendReturn(nil, &r, 0, wire.AppendExtension(nil, 0x11, nil))
		}, "may not be skipped", false},
		{"metadata with a key of a control character", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq}
			return wire.AppendReturn(nil, &r, 0, wire.AppendMetadata(nil, "\x00\x01\n\x00\x00"))
		}, "has a control character", false},
		{"metadata with a key twice", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq}
			return wire.AppendReturn(nil, &r, 0, wire.AppendMetadata(nil, "\x00\x01k\x00\x00\x00\x01k\x00\x00"))
		}, "W-47: the metadata key", false},
		{"more metadata than there may be", func(p *raw, h wire.CallHeader) []byte {
			r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq}
			return wire.AppendReturn(nil, &r, 0, wire.AppendMetadata(nil, wire.Metadata("\x00\x01k\x1f\xbd"+strings.Repeat("v", wire.MaxMetadata-4))))
		}, "W-47: 8129 bytes of metadata", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			net := memnet.New()
			a, b := newNode(t, net.Host("a"), ""), newNode(t, net.Host("b"), "b")
			other := a.session(t, b)
			p, s, h, end := calledRaw(t, a, net, echo)
			p.write(c.send(p, h))
			p.ended()
			<-s.Done()
			if err := <-end; c.ok != (err == nil) {
				t.Errorf("the call returned %v", err)
			} else if !c.ok {
				wantKind(t, err, fault.KindProtocol, fault.OutcomeUnknown, c.log)
			}
			wantKind(t, s.Err(), fault.KindProtocol, fault.OutcomeUnknown, c.log)
			a.logs.wait(t, c.log)
			works(t, other)
		})
	}
}

func TestWhatASessionPutsUpWith(t *testing.T) {
	_, b, _ := pair(t)
	p := rawTo(t, b, b.Network).join()

	p.write(prefix(0xb3, 0xff, 0, 1000, 1000)) // an unknown kind with the skippable bit
	p.write(wire.AppendCancel(nil, 9, 4))      // of a slot that was never used
	p.write(wire.AppendCancel(nil, 1<<31, 4))
	p.write(wire.AppendPing(nil, wire.FramePong, 5)) // to no ping
	p.write(wire.AppendPing(nil, wire.FramePing, 77))
	if _, rec := p.next(wire.FramePong); binary.BigEndian.Uint64(rec) != 77 {
		t.Errorf("the pong carries %x", rec)
	}

	p.write(p.call(0, linger, ""))
	p.write(wire.AppendCancel(nil, 0, 1))
	if _, err := p.returned(0); fault.KindOf(err) != fault.KindCancelled {
		t.Errorf("a cancelled call returned %v", err)
	}
	p.write(wire.AppendCancel(nil, 0, 1)) // once more, of a call that was answered
	p.write(p.call(0, echo, "again"))
	if got, err := p.returned(0); got != "again" || err != nil {
		t.Errorf("the slot's next call returned %q, %v", got, err)
	}

	p.write(p.begin(1, echo, 100000))
	p.write(p.fragment(1, 30000))
	p.write(wire.AppendCancel(nil, 1, 1))
	_, err := p.returned(1)
	wantKind(t, err, fault.KindCancelled, fault.OutcomeNotExecuted, "while it sent the arguments")
	p.write(p.call(1, echo, "whole"))
	if got, err := p.returned(1); got != "whole" || err != nil {
		t.Errorf("the slot's next call returned %q, %v", got, err)
	}
	if held := b.held.now(); held != 0 {
		t.Errorf("%d bytes are still charged", held)
	}

	deep := p.call(2, echo, "x", func(h *wire.CallHeader) { h.Depth = wire.MaxDepth + 1 })
	p.write(deep)
	_, err = p.returned(2)
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "deeper than 32")

	ext := wire.AppendExtension(nil, 0x11, []byte("later"))
	p.seq[3]++
	p.write(wire.AppendCall(nil, &wire.CallHeader{Slot: 3, Seq: 1, Timeout: 1e6}, 0, ext))
	_, err = p.returned(3)
	wantKind(t, err, fault.KindProtocol, fault.OutcomeNotExecuted, "extension 17 is not known here and may not be skipped")

	for i, c := range []struct{ metadata, want string }{
		{"\x00\x00\x00\x00", `W-47: the metadata key "" is empty`},
		{"\x00\x01\xff\x00\x00", "W-47: the metadata key \"\\xff\" is not UTF-8"},
		{"\x00\x01\x7f\x00\x00", "has a control character"},
		{"\x00\x01k\x00\x00\x00\x01k\x00\x00", `the metadata key "k" after "k"`},
		{"\x00\x01k\xff\xff", "a metadata value of 65535 bytes: only 0 are left"},
	} {
		slot := wire.Slot(3000 + i)
		p.seq[slot]++
		p.write(wire.AppendCall(nil, &wire.CallHeader{Slot: slot, Seq: 1, Timeout: 1e6}, 0, wire.AppendMetadata(nil, wire.Metadata(c.metadata))))
		_, err = p.returned(slot)
		wantKind(t, err, fault.KindProtocol, fault.OutcomeNotExecuted, c.want)
	}

	p.write(p.call(4, echo, "x", func(h *wire.CallHeader) { h.Timeout = 1<<64 - 1 }))
	if got, err := p.returned(4); got != "x" || err != nil {
		t.Errorf("a call with all the time of the world returned %q, %v", got, err)
	}

	// Records that arrive byte by byte, and many in one write.
	for _, c := range p.call(5, echo, strings.Repeat("y", 3000)) {
		p.write([]byte{c})
	}
	if got, err := p.returned(5); len(got) != 3000 || err != nil {
		t.Errorf("returned %d bytes, %v", len(got), err)
	}
	var many []byte
	for i := range wire.Slot(1000) {
		many = append(many, p.call(10+i, echo, "z")...)
	}
	p.write(many)
	for range 1000 {
		p.next(wire.FrameReturn)
	}
}

func TestAPeerThatDoesNotReadWhatItAsksForLosesItsConnection(t *testing.T) {
	const bound = 8 << 10
	for _, c := range []struct {
		name string
		ask  func(*raw, wire.Slot) []byte
	}{
		{"pings", func(*raw, wire.Slot) []byte { return wire.AppendPing(nil, wire.FramePing, 1) }},
		{"calls that are refused", func(p *raw, i wire.Slot) []byte {
			return p.call(i, echo, "", func(h *wire.CallHeader) { h.Depth = 99 })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owed := make(chan int, 8)
				_, b, s := pair(t, func(c *Config) {
					c.Limits.Pending = bound
					c.OnDisconnect = func(l *Link) {
						owed <- len(l.out.mu.Lock().small)
						l.out.mu.Unlock()
					}
				})
				p := rawTo(t, b, b.Network).join()
				for i := wire.Slot(0); ; i++ {
					if _, err := p.conn.Write(c.ask(p, i)); err != nil {
						break
					}
					if i > 1<<21 {
						t.Fatal("the session puts up with anything")
					}
				}
				synctest.Wait()
				if l := b.logs.String(); !strings.Contains(l, "makes answers necessary and does not read them") {
					t.Errorf("log: %s", l)
				}
				if n := <-owed; n > 2*bound+1000 {
					t.Errorf("%d bytes were kept for it", n)
				}
				works(t, s)
			})
		})
	}
}
