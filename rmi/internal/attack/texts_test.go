//go:build linux

package attack

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// hostile are texts that do harm where they are taken for more than text.
var hostile = []string{
	"\x1b[2J\x1b]0;owned\a", "a\nlevel=ERROR msg=\"all is lost\"", "\r\n\r\n", "\u009b31m\u0085", "\u202Eexe.txt", "\x00", "\xff\xfe\xc0\xaf",
	"../../etc/passwd", "/", "", "%s%n%d", "bank//x", strings.Repeat("a/", 500), strings.Repeat("x", 20_000), "localhost:1099/bank",
}

// hosts are hosts that are none.
var hosts = []string{"a\nb", "\x1b[2J", "..", "a b", "-", "[::1]", "1.2.3.4:5", "\xff\xff", "http://x", "a\x00b", "x/../y", ""}

// tableWith is a table of one reference, whose host is written as it stands.
func tableWith(host string) []byte {
	r := refs.Ref{Endpoint: refs.Endpoint{Host: "x", Port: 7000}, ID: refs.ID{Node: refs.NodeID{6: 0x80, 8: 0x80, 15: 1}, Time: 1, Object: 1 << 40}}
	b, err := r.AppendBinary(nil)
	if err != nil {
		panic(err)
	}
	b = bytes.Replace(b, []byte("\x01x"), append([]byte{byte(len(host))}, host...), 1)
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

// Names and hosts go to the registry that it must not bind, and are looked up there.
func TestHostileNamesAndHosts(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(2, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			slot := wire.Slot(0)
			refusedBy := func(what, method string, table, body []byte) error {
				p.seq[slot]++
				h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: refs.RegistryObject, Method: wire.MethodIDOf(method), Timeout: 60e6,
					Payload: wire.Payload{Table: uint32(len(table)), Body: uint32(len(body))}}
				if table != nil {
					h.Payload.References = 1
				}
				slot++
				if err := p.write(append(append(wire.AppendCall(nil, &h, 0, nil), table...), body...)); err != nil {
					return err
				}
				pre, rec, err := p.until(wire.FrameReturn)
				if err != nil {
					return err
				}
				if pre.Flags&wire.FlagError == 0 {
					t.Errorf("%s of %q was granted: %q", method, what, rec)
				}
				return nil
			}
			entry := map[string]any{"Ref": index(0), "Description": []byte{}}
			for _, name := range hostile {
				for _, err := range []error{
					refusedBy(name, "Bind", tableWith("bank.example"), pack(name, entry)),
					refusedBy(name, "Rebind", tableWith("bank.example"), pack(name, entry)),
					refusedBy(name, "Lookup", nil, pack(name)),
					refusedBy(name, "Unbind", nil, pack(name, nil)),
				} {
					if err != nil {
						return err
					}
				}
			}
			for _, host := range hosts[:len(hosts)-1] {
				if err := refusedBy(host, "Bind", tableWith(host), pack("attacker/x", entry)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Texts go wherever the victim's node may log them: refusals, farewells, errors of callbacks.
func TestLogInjection(t *testing.T) {
	after := suffer(t, func(a *attacker) int {
		return a.storm(2, func(i int) error {
			text := hostile[i%7]
			if i%3 == 0 {
				p, err := a.peer()
				if err != nil {
					return err
				}
				defer p.drop()
				if i%2 == 0 {
					return p.write(append([]byte(wire.Magic), wire.AppendRefuse(nil, fault.KindDenied, text)...))
				}
				if err := p.greet(); err != nil {
					return err
				}
				return p.write(wire.AppendRefuse(nil, fault.KindDenied, text))
			}
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			if i%3 == 1 {
				k := wire.FrameClose
				if i%2 == 0 {
					k = wire.FrameGoAway
				}
				if err := p.write(wire.AppendNotice(nil, k, uint8(fault.KindProtocol), text)); err != nil {
					return err
				}
				p.ended()
				return nil
			}
			// A function whose node answers each call with an error.
			mine := refs.Ref{ID: refs.ID{Node: p.node(), Time: 1, Object: 1 << 40}}
			if err := p.write(p.callWith(0, targetObject, "Call", []refs.Ref{mine}, pack(index(0), "x"))); err != nil {
				return err
			}
			for {
				pre, rec, err := p.record()
				if err != nil || pre.Kind == wire.FrameReturn {
					return err
				}
				if pre.Kind != wire.FrameCall {
					continue
				}
				l := wire.Limits{}.WithDefaults()
				var h wire.CallHeader
				if _, _, err := wire.ParseCall(pre, rec, &l, &h); err != nil {
					return err
				}
				body := pack(16, 2, text, text, []any{})
				answer := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: uint32(len(body))}}
				if err := p.write(append(wire.AppendReturn(nil, &answer, wire.FlagError, nil), body...)); err != nil {
					return err
				}
			}
		})
	})
	if after.Dirty > 0 {
		t.Errorf("%d of %d log lines have control characters: %q", after.Dirty, after.Lines, after.First)
	}
}

// Subscriptions, as many as one client may have and more, whose events are never read.
func TestSubscriptions(t *testing.T) {
	request := func(receiver, first, n int) []byte {
		var subs []any
		for i := range n {
			subs = append(subs, first+i)
		}
		return pack(map[string]any{"Receiver": receiver, "Subs": subs, "Token": 1, "Resume": false, "Match": "*", "Queue": 1024, "Policy": 0, "Snapshot": false, "Start": 0, "Seq": 0, "Epoch": 0})
	}
	suffer(t, func(a *attacker) int {
		n := 0
		a.storm(1, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			for i := range 1000 {
				if a.Err() != nil {
					return nil
				}
				if err := p.write(p.call(wire.Slot(i), topicObject, "Subscribe", request(1+i, 1, 100))); err != nil {
					return err
				}
				pre, rec, err := p.until(wire.FrameReturn)
				if err != nil {
					return err
				}
				if pre.Flags&wire.FlagError != 0 {
					if i < 655 {
						t.Errorf("subscription %d was refused: %q", i*100, rec)
					}
					return nil
				}
				n += 100
			}
			t.Errorf("one client has %d subscriptions", n)
			return nil
		})
		return n
	})
}
