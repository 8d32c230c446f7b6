//go:build linux

package attack

import (
	"crypto/rand"
	"crypto/tls"
	"errors"
	"io"
	mathrand "math/rand/v2"
	"net"
	"os"
	"testing"
	"time"

	"gormi/rmi/wire"
)

func TestRandomBytes(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(i int) error {
			var p *peer
			var err error
			if i%3 == 0 {
				p, err = a.enter() // and then random records
			} else {
				p, err = a.peer()
			}
			if err != nil {
				return err
			}
			defer p.drop()
			b := make([]byte, 1+mathrand.IntN(16<<10))
			rand.Read(b)
			if i%3 == 1 {
				b = append([]byte(wire.Magic), b...)
			}
			_ = p.write(b) // the victim may have cut it
			_ = p.conn.(*net.TCPConn).CloseWrite()
			_ = p.read()
			return nil
		})
	})
}

// Others knock at the port of a node without TLS.
func TestOtherProtocols(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(4, func(i int) error {
			c, err := a.dial()
			if err != nil {
				return err
			}
			defer a.drop(c)
			_ = c.SetDeadline(time.Now().Add(10 * time.Second))
			if i%5 == 4 {
				if tls.Client(c, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(a) == nil {
					t.Error("TLS was spoken")
				}
				return nil
			}
			_, err = c.Write([]byte([]string{
				"GET / HTTP/1.1\r\nHost: victim\r\n\r\n",
				"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
				"JRMI\x00\x02K",
				"SSH-2.0-OpenSSH_9.9\r\n",
			}[i%5]))
			if err == nil {
				_, _ = io.Copy(io.Discard, c) // the victim ends it
			}
			return err
		})
	})
}

// phases are connections that have come to different points. Each returns what is to be said next.
var phases = []func(p *peer) ([]byte, error){
	func(p *peer) ([]byte, error) { return []byte(wire.Magic), nil },
	func(p *peer) ([]byte, error) { return p.makeHello().Append([]byte(wire.Magic)), nil },
	func(p *peer) ([]byte, error) { err := p.greet(); return p.proof(), err },
	func(p *peer) ([]byte, error) {
		return p.call(0, targetObject, "Echo", pack(make([]byte, 1000))), p.join()
	},
	func(p *peer) ([]byte, error) {
		b := p.begin(0, targetObject, "Echo", 1<<20)
		return append(wire.AppendFragment(b, 0, 1, false, 32<<10), make([]byte, 32<<10)...), p.join()
	},
	func(p *peer) ([]byte, error) { return wire.AppendStream(nil, 32<<10), p.join() },
}

// Bytes come one by one, so that the victim is always about to get something whole.
func TestSlowDrip(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.crowd(size(200, 400), func(i int) error {
			for a.Err() == nil {
				p, err := a.peer()
				if err != nil {
					return err
				}
				say, err := phases[i%len(phases)](p)
				if err != nil {
					return err
				}
				for _, b := range say {
					select {
					case <-a.Done():
						return nil
					case <-time.After(100 * time.Millisecond):
					}
					if p.write([]byte{b}) != nil {
						break
					}
				}
				p.drop()
			}
			return nil
		})
	})
}

// A part of a message comes, and nothing after it. In the long form the attacker stays
// until the victim has cut the connection.
func TestHalfAFrameAndSilence(t *testing.T) {
	suffer(t, func(a *attacker) int {
		n := a.crowd(size(300, 900), func(i int) error {
			p, err := a.peer()
			if err != nil {
				return err
			}
			say, err := phases[i%len(phases)](p)
			if err != nil {
				return err
			}
			if err := p.write(say[:mathrand.IntN(len(say))]); err != nil || !long {
				return err
			}
			_ = p.conn.SetReadDeadline(time.Now().Add(30 * time.Second))
			if err := p.read(); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("phase %d: the victim kept the connection", i%len(phases))
			}
			return nil
		})
		a.rest()
		return n
	})
}

// Connections are made and cut.
func TestConnectionStorm(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(8, func(int) error {
			c, err := a.dial()
			if err == nil {
				a.drop(c)
			}
			return err
		})
	})
}

// Connections are made and held, with sessions and silent ones. Above the number that is held, the
// oldest is replaced.
func TestThousandsOfConnections(t *testing.T) {
	suffer(t, func(a *attacker) int {
		most := size(4000, 10_000)
		held := make(chan *peer, 1<<16)
		return a.storm(8, func(i int) error {
			if i > most {
				select {
				case p := <-held:
					p.drop()
				default: // the victim refused some
				}
			}
			p, err := a.peer()
			if err != nil {
				return err
			}
			select {
			case held <- p:
			default:
				p.drop()
			}
			if i%4 > 0 {
				return p.join()
			}
			return nil
		})
	})
}

// Sessions are begun, and left in an orderly way.
func TestHandshakeStorm(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(8, func(int) error {
			p, err := a.enter()
			if err != nil {
				return err
			}
			defer p.drop()
			return p.write(wire.AppendNotice(nil, wire.FrameClose, 0, "bye"))
		})
	})
}

// The victim signs before it knows who is there. These handshakes stop then.
func TestHandshakesThatStopHalfway(t *testing.T) {
	suffer(t, func(a *attacker) int {
		return a.storm(8, func(i int) error {
			p, err := a.peer()
			if err != nil {
				return err
			}
			defer p.drop()
			if err := p.greet(); err != nil {
				return err
			}
			if i%2 == 0 { // a proof that is wrong
				return p.write(new(wire.Proof).Append(nil))
			}
			return nil
		})
	})
}
