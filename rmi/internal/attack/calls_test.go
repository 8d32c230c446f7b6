//go:build linux

package attack

import (
	"testing"

	"gormi/refs"
	"gormi/rmi/wire"
)

// nested makes a call claim that it is made to serve another.
func nested(h *wire.CallHeader) { h.Depth = 1 }

// ask makes each of many sessions send calls, and wait with them for the end of the attack.
// It counts the calls.
func (a *attacker) ask(sessions, calls int, reads bool, call func(p *peer, slot wire.Slot) []byte) int {
	n := a.crowd(sessions, func(int) error {
		p, err := a.enter()
		if err != nil {
			return err
		}
		if reads {
			go func() { _ = p.read() }()
		}
		var b []byte
		for slot := range wire.Slot(calls) {
			b = append(b, call(p, slot)...)
		}
		return p.write(b)
	})
	a.rest()
	return n * calls
}

// Calls that return when they are cancelled, or after a minute. Those above the victim's limits
// wait, or are refused.
func TestManySlowCalls(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(24, 1024, true, func(p *peer, slot wire.Slot) []byte { return p.call(slot, targetObject, "Sleep", pack()) })
	})
}

// Nested calls wait for nobody, but not without end.
func TestCallsThatClaimDepthOne(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(3, 9000, true, func(p *peer, slot wire.Slot) []byte {
			return p.call(slot, targetObject, "Sleep", pack(), nested)
		})
	})
}

// A megabyte is asked for by a hundred bytes, and nothing is read. A result is counted as it is
// encoded, so calls that run at once do not hold one each.
func TestNeverReading(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(size(4, 12), 1000, false, func(p *peer, slot wire.Slot) []byte {
			return p.call(slot, targetObject, "Blob", pack(1<<20))
		})
	})
}

// Quick calls, of whose replies none is read.
func TestSmallRepliesThatAreNotRead(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(4, 9000, false, func(p *peer, slot wire.Slot) []byte {
			return p.call(slot, targetObject, "Echo", pack(make([]byte, 100)))
		})
	})
}

// Replies are read, and the victim never hears that they arrived.
func TestRepliesThatNobodyAcknowledges(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(size(4, 12), 1000, true, func(p *peer, slot wire.Slot) []byte {
			return p.call(slot, targetObject, "Blob", pack(1<<20))
		})
	})
}

// Large arguments are announced and begun, and never end.
func TestArgumentsThatNeverEnd(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.ask(40, 4, true, func(p *peer, slot wire.Slot) []byte {
			b := p.begin(slot, targetObject, "Echo", 4<<20-1000)
			return append(wire.AppendFragment(b, slot, 1, false, 1000), make([]byte, 1000)...)
		})
	})
}

// Each call makes the victim export an object for the attacker, who gives none back.
func TestExportsOnBehalf(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(2, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			for a.Err() == nil {
				var b []byte
				for slot := range wire.Slot(500) {
					b = append(b, p.call(slot, targetObject, "Give", pack())...)
				}
				if err := p.write(b); err != nil {
					return err
				}
				for range 500 {
					if _, _, err := p.until(wire.FrameReturn); err != nil {
						return err
					}
				}
			}
			return nil
		})
	})
}

// Counts of references that were never given, of objects that do not exist, in lists of all
// lengths.
func TestLeaseFloods(t *testing.T) {
	many := func(n int, v any) (l []any) {
		for range n {
			l = append(l, v)
		}
		return l
	}
	id := make([]byte, 16)
	const leases refs.ObjNum = 2
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			var b []byte
			for slot, body := range [][]byte{
				pack(1, many(500, []any{4242, int64(1<<32 - 1)}), many(200, []any{id, 1, 7, 1 << 30})),
				pack(2, many(1000, []any{77777777, 9}), []any{}),
				pack(2, nil, nil), pack(int64(1)<<62, []any{}, []any{}),
			} {
				b = append(b, p.call(wire.Slot(slot), leases, "Clean", body)...)
			}
			b = append(b, p.call(10, leases, "Dirty", pack(3, many(2000, 4242)))...)
			b = append(b, p.call(11, leases, "Dirty", pack(4, many(2000, int64(1)<<62)))...)
			b = append(b, p.call(12, leases, "Linger", pack(many(1000, 4242), many(500, []any{id, 1, 7})))...)
			go func() { _ = p.write(b) }()
			for range 7 {
				if _, _, err := p.until(wire.FrameReturn); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// The victim's registry relays calls to an object that never answers.
func TestRelayedCallsThatNeverReturn(t *testing.T) {
	suffer(t, func(a *attacker) int {
		owner, err := a.enter()
		if err != nil {
			t.Error(err)
			return 0
		}
		mine := refs.Ref{ID: refs.ID{Node: owner.node(), Time: 1, Object: 1 << 40}}
		bound := owner.callWith(0, refs.RegistryObject, "Acquire", []refs.Ref{mine}, pack([]any{map[string]any{
			"Name": "attacker/silent", "Entry": map[string]any{"Ref": index(0), "Description": []byte{}}, "Lease": 1_000_000_000, "Replace": false, "Held": 0}}))
		if err := owner.write(bound); err != nil {
			t.Error(err)
			return 0
		}
		if pre, rec, err := owner.until(wire.FrameReturn); err != nil || pre.Flags&wire.FlagError != 0 {
			t.Errorf("the object was not bound: %q, %v", rec, err)
			return 0
		}
		go func() { _ = owner.read() }()
		target := wire.AppendTarget(nil, mine.Node, mine.Time)
		return a.ask(2, 9000, true, func(p *peer, slot wire.Slot) []byte {
			p.seq[slot]++
			h := wire.CallHeader{Slot: slot, Seq: 1, Object: mine.Object, Method: wire.MethodIDOf("Wait"), Timeout: 60e6, Payload: wire.Payload{Body: 1}}
			return append(wire.AppendCall(nil, &h, 0, target), 0x90)
		})
	})
}
