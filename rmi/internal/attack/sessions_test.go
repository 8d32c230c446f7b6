//go:build linux

package attack

import (
	"errors"
	"testing"

	"gormi/rmi/wire"
)

// Sessions are left behind with calls in flight, as if their connections had been lost.
func TestDetachedSessions(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(8, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			var b []byte
			for slot := range wire.Slot(5) {
				b = append(b, p.call(slot, targetObject, "Sleep", pack())...)
			}
			b = append(b, p.call(9, targetObject, "Blob", pack(100<<10))...)
			if err := p.write(b); err != nil {
				return err
			}
			_, _, err = p.until(wire.FrameReturn) // so the calls have come
			return err
		})
	})
}

// A session is left and resumed, again and again, with calls that come again.
func TestSessionsThatAreResumed(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			b := p.call(0, targetObject, "Blob", pack(50<<10))
			for range 20 {
				if err := p.write(b); err != nil {
					return err
				}
				if _, _, err := p.until(wire.FrameReturn); err != nil {
					return err
				}
				p.drop()
				if err := p.connect(); err != nil {
					return err
				}
				if err := p.join(); err != nil {
					return err
				}
			}
			p.drop()
			return nil
		})
	})
}

// Another node, and the same with a number that is used up, want to go on with a session. Only a
// proof by its key is of use, and the session goes on.
func TestStolenSessions(t *testing.T) {
	suffer(t, func(a *attacker) int {
		owner, err := a.enter()
		if err != nil {
			t.Error(err)
			return 0
		}
		n := a.storm(4, func(i int) error {
			thief, err := a.peer()
			if err != nil {
				return err
			}
			defer thief.drop()
			thief.session, thief.epoch = owner.session, wire.Epoch(i%3)
			if i%4 == 0 {
				thief.key, thief.epoch = owner.key, 0 // as if the first proof were said again
			}
			switch err := thief.join(); {
			case err == nil:
				t.Error("the session was handed to another")
				return nil
			case errors.As(err, new(refused)):
				return nil
			case i%4 == 0:
				return nil // late connections are closed, with or without a word
			default:
				return err
			}
		})
		if owner.ended() {
			t.Error("the session of the owner has ended")
		}
		return n
	})
}
