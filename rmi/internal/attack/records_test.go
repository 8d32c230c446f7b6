//go:build linux

package attack

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"gormi/refs"
	"gormi/rmi/wire"
)

// breach begins a session, says something that breaks the protocol, and sees that the session ends.
func (a *attacker) breach(what string, say func(p *peer) []byte) error {
	p, err := a.enter()
	if err != nil {
		return err
	}
	defer p.drop()
	if err := p.write(say(p)); err != nil {
		return nil // cut already
	}
	if a.Err() == nil && !p.ended() {
		a.t.Errorf("%s did not end the session", what)
	}
	return nil
}

// breaches does each breach again and again.
func (a *attacker) breaches(say map[string]func(p *peer) []byte) int {
	var names []string
	for what := range say {
		names = append(names, what)
	}
	return a.storm(4, func(i int) error {
		what := names[i%len(names)]
		return a.breach(what, say[what])
	})
}

// prefix is the beginning of a record, whatever follows.
func prefix(k wire.FrameKind, flags uint8, extensions uint16, length uint32) []byte {
	b := []byte{byte(k), flags}
	b = binary.BigEndian.AppendUint16(b, extensions)
	return binary.BigEndian.AppendUint32(b, length)
}

func TestHugeLengths(t *testing.T) {
	announce := func(set func(*wire.CallHeader)) func(p *peer) []byte {
		return func(p *peer) []byte {
			h := wire.CallHeader{Seq: 1, Object: targetObject, Method: wire.MethodIDOf("Echo"), Timeout: 60e6}
			set(&h)
			return wire.AppendCall(nil, &h, wire.FlagFragmented, nil)
		}
	}
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{
			"a record of 4 GiB":     func(*peer) []byte { return prefix(wire.FrameCall, 0, 0, 1<<32-1) },
			"an unknown one":        func(*peer) []byte { return prefix(0x99, 0, 0, 1<<31) },
			"a chunk of 1 GiB":      func(*peer) []byte { return prefix(wire.FrameStream, 0, 0, 1<<30) },
			"64 KiB of extensions":  func(*peer) []byte { return prefix(wire.FrameCall, 0, 1<<16-1, wire.MaxRecord) },
			"a body of 4 GiB":       announce(func(h *wire.CallHeader) { h.Payload.Body = 1<<32 - 1 }),
			"a table of 4 GiB":      announce(func(h *wire.CallHeader) { h.Payload.Table, h.Payload.References = 1<<32-1, 1 }),
			"4 billion references":  announce(func(h *wire.CallHeader) { h.Payload.Table, h.Payload.References = 100, 1<<32-1 }),
			"lengths that overflow": announce(func(h *wire.CallHeader) { h.Payload.Table, h.Payload.References, h.Payload.Body = 1<<31, 1, 1<<31 }),
			"slot 4 billion":        announce(func(h *wire.CallHeader) { h.Slot, h.Payload.Body = 1<<32-1, 1000 }),
			"more than the budget": func(p *peer) (b []byte) {
				for slot := range wire.Slot(10) {
					b = append(b, p.begin(slot, targetObject, "Echo", 4<<20)...)
				}
				return b
			},
		})
	})
}

// bombs are bodies that are small, and that a careless decoder makes large or deep.
var bombs = []struct {
	method string
	body   []byte
}{
	{"Echo", []byte("\x91\xc6\xff\xff\xff\xff")},                                                       // bytes
	{"Echo", []byte("\xdd\xff\xff\xff\xff")},                                                           // arguments
	{"Any", []byte("\x91\x92\xa5[]any\xdd\x7f\xff\xff\xff")},                                           // elements
	{"Any", []byte("\x91\x92\xaemap[string]any\xdf\x7f\xff\xff\xff")},                                  // keys
	{"Any", append([]byte("\x91\x92\xa5[]any"), bytes.Repeat([]byte{0x91}, 30_000)...)},                // nesting
	{"Any", append([]byte("\x91\x92\xa5[]any"), bytes.Repeat([]byte("\x91\x92\xa5[]any"), 3000)...)},   // of any
	{"Any", append([]byte("\x91\x92\xa6string\xdb\x40\x00\x00\x00"), make([]byte, 30_000)...)},         // text
	{"Wides", append(append([]byte("\x92\xdc\x75\x30"), bytes.Repeat([]byte{0xc0}, 30_000)...), 0x80)}, // 1 byte for 512
	{"Wides", append([]byte("\x92\x90\xde\x75\x30"), bytes.Repeat([]byte("\xa0\x90"), 14_000)...)},     // one key again and again
	{"Wides", append([]byte("\x92\xdc\x75\x30"), bytes.Repeat([]byte{0x80}, 10)...)},                   // cut short
}

// What these calls ask for is refused, or small. Some are asked for by many at once.
func TestBombs(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(i int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			var b []byte
			for slot := range wire.Slot(50) {
				bomb := bombs[(i+int(slot))%len(bombs)]
				b = append(b, p.call(slot, targetObject, bomb.method, bomb.body)...)
			}
			go func() { _ = p.write(b) }() // the answers are read meanwhile
			for range 50 {
				if _, _, err := p.until(wire.FrameReturn); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// A million elements of 512 bytes each, announced and sent.
func TestLargeBombs(t *testing.T) {
	body := append(append([]byte("\x92\xdd\x00\x0f\x00\x00"), bytes.Repeat([]byte{0xc0}, 0xf0000)...), 0x80)
	suffer(t, func(a *attacker) int {
		return a.storm(2, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			b := p.begin(0, targetObject, "Wides", len(body))
			for rest := body; len(rest) > 0; {
				n := min(len(rest), 32<<10)
				b = append(wire.AppendFragment(b, 0, 1, false, n), rest[:n]...)
				rest = rest[n:]
			}
			if err := p.write(b); err != nil {
				return err
			}
			pre, _, err := p.until(wire.FrameReturn)
			if err == nil && pre.Flags&wire.FlagError == 0 {
				t.Error("480 MiB were granted: the limit is 256 MiB")
			}
			return err
		})
	})
}

// Pings whose answers are read, and pings whose answers are not.
func TestPingFloods(t *testing.T) {
	var b []byte
	for i := range uint64(1000) {
		b = wire.AppendPing(b, wire.FramePing, i)
	}
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(i int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			if i%2 == 0 {
				go func() { _ = p.read() }()
			}
			for range 200 {
				if err := p.write(b); err != nil {
					break // the victim has had enough
				}
			}
			return nil
		})
	})
}

func TestRepliesThatNobodyAskedFor(t *testing.T) {
	forged := func(slot wire.Slot, flags uint8, n int) func(p *peer) []byte {
		return func(*peer) []byte {
			h := wire.ReturnHeader{Slot: slot, Seq: 1, Payload: wire.Payload{Body: uint32(n)}}
			return append(wire.AppendReturn(nil, &h, flags, nil), make([]byte, n)...)
		}
	}
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{
			"a return":            forged(0, 0, 1),
			"a return of slot 99": forged(99, 0, 1),
			"an error":            forged(1, wire.FlagError, 100),
			"a fragment": func(*peer) []byte {
				return append(wire.AppendFragment(nil, 0, 1, true, 100), make([]byte, 100)...)
			},
			"a fragment of a call": func(*peer) []byte {
				return append(wire.AppendFragment(nil, 0, 1, false, 100), make([]byte, 100)...)
			},
		})
	})
}

// The number of a call is used again, with other content, while the call runs and after it.
func TestRepeatedNumbers(t *testing.T) {
	again := func(method string) func(p *peer) []byte {
		return func(p *peer) []byte {
			b := p.call(0, targetObject, method, pack())
			p.seq[0]--
			return append(b, p.call(0, targetObject, "Echo", pack([]byte("other")))...)
		}
	}
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{
			"a running call again":   again("Sleep"),
			"an answered call again": again("Give"),
			"a number that is skipped": func(p *peer) []byte {
				p.seq[0] = 7
				return p.call(0, targetObject, "Echo", pack([]byte("x")))
			},
			"the next call while one runs": func(p *peer) []byte {
				return append(p.call(0, targetObject, "Sleep", pack()), p.call(0, targetObject, "Echo", pack([]byte("x")))...)
			},
		})
	})
}

// Objects are guessed, by their numbers, as those of the victim and of others. No guess is right.
func TestForgedObjectNumbers(t *testing.T) {
	suffer(t, func(a *attacker) int {
		n := 0
		a.storm(1, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			for a.Err() == nil {
				var b []byte
				const many = 500
				for slot := range wire.Slot(many) {
					b = append(b, p.call(slot, refs.ObjNum(rand.Uint64()|1<<63), "Call", pack("x"))...)
				}
				go func() { _ = p.write(b) }()
				for range many {
					pre, _, err := p.until(wire.FrameReturn)
					if err != nil {
						return err
					}
					if pre.Flags&wire.FlagError == 0 {
						t.Error("a guess was right")
					}
					n++
				}
			}
			return nil
		})
		return n
	})
}

// References to objects that do not exist, of nodes that nobody knows, and a function of the
// attacker that does not answer.
func TestForgedReferences(t *testing.T) {
	forge := func(host string, port uint16) refs.Ref {
		r := refs.Ref{Endpoint: refs.Endpoint{Host: host, Port: port}, ID: refs.ID{Node: refs.NodeID{1, 2, 3}, Time: 1, Object: refs.ObjNum(rand.Uint64() | 1<<63)}}
		rand.NewChaCha8([32]byte{byte(port)}).Read(r.Node[:])
		r.Node[6], r.Node[8] = 0x80, 0x80
		return r
	}
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(i int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			var table []refs.Ref
			for range 60 {
				table = append(table, forge("192.0.2.77", uint16(1+rand.IntN(60_000))))
			}
			var b []byte
			for slot := range wire.Slot(20) {
				b = append(b, p.callWith(slot, targetObject, "Any", table, pack([]any{"refs.Ref", index(slot)}))...)
			}
			if err := p.write(b); err != nil {
				return err
			}
			for range 20 {
				if _, _, err := p.until(wire.FrameReturn); err != nil {
					return err
				}
			}
			return nil
		})
	})
}
