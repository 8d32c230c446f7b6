//go:build linux

package attack

import (
	"encoding/binary"
	"sync/atomic"
	"testing"

	"gormi/rmi/wire"
)

// Types and flags of yamux's frames.
const (
	data, window, ping, goaway uint8  = 0, 1, 2, 3
	syn, ack, fin, rst         uint16 = 1, 2, 4, 8
)

// frame is a frame of yamux, and what follows it.
func frame(kind uint8, flags uint16, stream, length uint32, rest ...byte) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return append(binary.BigEndian.AppendUint32(b, length), rest...)
}

// lane is the stream lane's bytes in records.
func lane(frames ...[]byte) (b []byte) {
	var all []byte
	for _, f := range frames {
		all = append(all, f...)
	}
	for len(all) > 0 {
		n := min(len(all), wire.MaxInline)
		b = append(wire.AppendStream(b, n), all[:n]...)
		all = all[n:]
	}
	return b
}

func TestStreamFloods(t *testing.T) {
	many := func(kind uint8, n int) func(*peer) []byte {
		return func(*peer) []byte {
			var all [][]byte
			for i := range n {
				all = append(all, frame(kind, syn, uint32(2*i+1), 0))
			}
			return lane(all...)
		}
	}
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{"10,000 streams": many(window, 10_000), "1,000 streams": many(data, 1000)})
	})
}

// Sessions that have as many streams as they may, and say nothing on them.
func TestStreamsThatSayNothing(t *testing.T) {
	var all [][]byte
	for i := range 255 {
		all = append(all, frame(window, syn, uint32(2*i+1), 0))
	}
	b := lane(all...)
	suffer(t, func(a *attacker) int {
		n := a.crowd(size(50, 500), func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			go func() { _ = p.read() }()
			return p.write(b)
		})
		a.rest()
		return n
	})
}

func TestRapidOpenAndReset(t *testing.T) {
	suffer(t, func(a *attacker) int {
		var n atomic.Int64
		a.storm(2, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			go func() { _ = p.read() }()
			id := uint32(1)
			for a.Err() == nil && id < 1<<20 {
				var all [][]byte
				for range 500 {
					all = append(all, frame(window, syn, id, 0), frame(window, rst, id, 0))
					id += 2
				}
				if p.write(lane(all...)) != nil {
					break // the victim has had enough
				}
				n.Add(500)
			}
			return nil
		})
		return int(n.Load())
	})
}

// Connections one after the other, each of which is cut while streams are in use.
func TestStreamsThatAreCut(t *testing.T) {
	var all [][]byte
	for i := range 200 {
		all = append(all, frame(window, syn, uint32(2*i+1), 0), frame(data, 0, uint32(2*i+1), 8, []byte(wire.MulticastPreamble)...))
	}
	b := lane(all...)
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			if err := p.write(b); err != nil {
				return err
			}
			p.ended() // the victim has read it
			return nil
		})
	})
}

// Streams with the numbers that are the victim's to give, and other breaches of yamux's rules.
func TestWrongParity(t *testing.T) {
	of := func(b ...[]byte) func(*peer) []byte {
		return func(*peer) []byte { return lane(b...) }
	}
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{
			"an even number":          of(frame(window, syn, 2, 0)),
			"number 0":                of(frame(window, syn, 0, 0)),
			"a number twice":          of(frame(window, syn, 1, 0), frame(window, syn, 1, 0)),
			"data of no stream":       of(frame(data, 0, 9, 4, 1, 2, 3, 4)),
			"an unknown type":         of(frame(9, syn, 1, 0)),
			"an answer to nothing":    of(frame(ping, ack, 0, 77)),
			"a ping of a stream":      of(frame(ping, syn, 1, 77)),
			"another version":         of([]byte("\x07\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00")),
			"an opening of the other": of(frame(window, ack, 2, 0)),
			"pings without end":       func(*peer) []byte { return lane(pings()...) },
			"data behind its own end": of(frame(window, syn, 1, 0), frame(data, fin, 1, 0), frame(data, 0, 1, 2, 1, 2)),
		})
	})
}

func pings() (all [][]byte) {
	for i := range 1000 {
		all = append(all, frame(ping, syn, 0, uint32(i)))
	}
	return all
}

// Data that does not wait for the window, to a stream that the victim may have reset by then.
func TestDataWithoutAWindow(t *testing.T) {
	all := [][]byte{frame(window, syn, 1, 0), frame(data, 0, 1, 8, []byte(wire.MulticastPreamble)...)}
	for range 100 {
		all = append(all, frame(data, 0, 1, 32_000, make([]byte, 32_000)...))
	}
	b := lane(all...)
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			_ = p.write(b) // the victim may cut it
			p.ended()
			return nil
		})
	})
}

// Lengths and windows that overflow.
func TestWindowAbuse(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.breaches(map[string]func(p *peer) []byte{
			"a length of 4 GiB": func(*peer) []byte {
				return lane(frame(window, syn, 1, 0), frame(data, 0, 1, 1<<32-1, make([]byte, 1000)...))
			},
			"a window that overflows": func(*peer) []byte {
				return lane(frame(window, syn, 1, 1<<32-1), frame(window, 0, 1, 1<<32-1), frame(window, 0, 1, 1<<32-1))
			},
		})
	})
}
