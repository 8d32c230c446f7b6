package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is what the dialling side of a connection sends.
func script() (b []byte, ends map[wire.FrameKind][2]int) {
	b = append(b, wire.Magic...)
	b = (&wire.Hello{Version: 1, Oldest: 1}).Append(b)
	b = (&wire.Proof{}).Append(b)
	ends = make(map[wire.FrameKind][2]int)
	add := func(k wire.FrameKind, more []byte) {
		ends[k] = [2]int{len(b), len(b) + len(more)}
		b = append(b, more...)
	}
	payload := bytes.Repeat([]byte{1, 2, 3}, 100)
	add(wire.FramePing, wire.AppendPing(nil, wire.FramePing, 7))
	add(wire.FrameCall, append(wire.AppendCall(nil, &wire.CallHeader{Timeout: 1, Payload: wire.Payload{Body: uint32(len(payload))}}, 0, nil), payload...))
	add(wire.FrameCancel, wire.AppendCancel(nil, 0, 1))
	add(wire.FrameFragment, append(wire.AppendFragment(nil, 0, 1, false, len(payload)), payload...))
	add(wire.FrameGoAway, wire.AppendNotice(nil, wire.FrameGoAway, 0, ""))
	return b, ends
}

func TestCutterCutsAtTheByte(t *testing.T) {
	all, ends := script()
	for kind, span := range ends {
		for _, where := range []Where{Before, Middle, After} {
			for _, piece := range []int{1, 3, len(all)} {
				t.Run(fmt.Sprintf("%v %v, %d bytes at a time", where, kind, piece), func(t *testing.T) {
					want := all[:span[0]]
					switch where {
					case Middle:
						want = all[:(span[0]+span[1])/2]
					case After:
						want = all[:span[1]]
					}
					network := memnet.New()
					c, err := NewCutter(network.Host("between"), "between:0", Rule{Way: Up, Where: where, Match: func(p wire.Prefix) bool { return p.Kind == kind }})
					if err != nil {
						t.Fatal(err)
					}
					defer c.Close()
					c.Arm()
					near, far := through(t, network, c.Forwarder)
					var sending sync.WaitGroup
					sending.Go(func() {
						for b := all; len(b) > 0; b = b[min(piece, len(b)):] {
							if _, err := near.Write(b[:min(piece, len(b))]); err != nil {
								break
							}
						}
						<-c.Cutting()
						near.Close()
					})
					got, err := io.ReadAll(far)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%d bytes came, %v; want %d of %d", len(got), err, len(want), len(all))
					}
					if _, err := far.Write([]byte("an answer")); err == nil {
						if b, _ := io.ReadAll(near); len(b) > 0 {
							t.Errorf("%q came back", b)
						}
					}
					far.Close()
					sending.Wait()
					if c.Seen(Up, kind) != 1 || c.Err() != nil {
						t.Errorf("saw %d, %v", c.Seen(Up, kind), c.Err())
					}

					// It cuts once.
					near, far = through(t, network, c.Forwarder)
					sending.Go(func() {
						near.Write(all)
						near.(interface{ CloseWrite() error }).CloseWrite()
					})
					if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, all) {
						t.Errorf("the next connection: %d bytes, %v", len(got), err)
					}
					far.Close()
					near.Close()
					sending.Wait()
					if n := c.Cuts(); n != 1 {
						t.Errorf("%d cuts", n)
					}
				})
			}
		}
	}
}

// through connects two ends through a forwarder.
func through(t *testing.T, network *memnet.Network, f *Forwarder) (near, far net.Conn) {
	t.Helper()
	l, err := network.Listen(t.Context(), "tcp", "far:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f.To(l.Addr().String())
	if near, err = network.Host("near").DialContext(t.Context(), "tcp", f.Addr()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return near, far
}

// A cut of one way ends that one, at the byte, and the other goes on.
func TestCutterCutsOneWayInTheHandshake(t *testing.T) {
	all, ends := script()
	network := memnet.New()
	c, err := NewCutter(network.Host("between"), "between:0", Rule{Way: Up, Message: wire.HandshakeProof, Where: After, OneWay: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Arm()
	near, far := through(t, network, c.Forwarder)
	defer near.Close()
	defer far.Close()
	if _, err := near.Write(all); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(far); err != nil || !bytes.Equal(got, all[:ends[wire.FramePing][0]]) {
		t.Errorf("%d bytes came, %v; want %d", len(got), err, ends[wire.FramePing][0])
	}
	if _, err := far.Write([]byte("still here")); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(near, make([]byte, 10)); err != nil {
		t.Error(err)
	}
}

func TestCutterFollowsTheAcceptingSideAndRefusals(t *testing.T) {
	var s stream
	s.cutter, s.way = &Cutter{}, Down
	for w := range s.cutter.seen {
		s.cutter.seen[w] = make(map[wire.FrameKind]int)
	}
	b := append([]byte(wire.Magic), (&wire.Hello{Version: 1, Oldest: 1}).Append(nil)...)
	b = (&wire.Proof{}).Append(b)
	b = wire.AppendWelcome(b, wire.SessionID{})
	b = wire.AppendPing(b, wire.FramePong, 1)
	b = wire.AppendPing(b, wire.FramePong, 2)
	b = append(b, 1, 0xff, 0, 0, 0, 0, 0, 0) // a call with unknown flags
	if on, cut := s.pass(b); cut != nothing || !bytes.Equal(on, b) {
		t.Errorf("%d of %d bytes went on", len(on), len(b))
	}
	if s.cutter.Seen(Down, wire.FramePong) != 2 || s.cutter.Err() == nil {
		t.Errorf("saw %v, %v", s.cutter.seen, s.cutter.Err())
	}
	r := &stream{cutter: s.cutter, way: Down}
	b = append([]byte(wire.Magic), wire.AppendRefuse(nil, 1, "no")...)
	if on, cut := r.pass(b); cut != nothing || !bytes.Equal(on, b) || r.phase != refused {
		t.Errorf("a refusal: %d of %d bytes went on, phase %d", len(on), len(b), r.phase)
	}
}

// echo is a server that sends back what it gets.
func echo(t *testing.T) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				io.Copy(c, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		serving.Wait()
	})
	return l.Addr().String()
}

// What comes back through a storm is the beginning of what was sent, and every
// connection ends.
func TestStormCutsEveryConnection(t *testing.T) {
	f, err := Listen(TCP{}, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.To(echo(t))
	ctx, cancel := context.WithCancel(t.Context())
	var storm sync.WaitGroup
	storm.Go(func() { f.Storm(ctx, 1, 2*time.Millisecond) })
	var ends struct{ clean, hard int }
	for i := range uint64(40) {
		c, err := net.Dial("tcp", f.Addr())
		if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) { // that soon
			ends.hard++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		sent := rand.NewChaCha8([32]byte{byte(i)})
		want := rand.NewChaCha8([32]byte{byte(i)})
		var sending sync.WaitGroup
		var written error
		sending.Go(func() {
			b := make([]byte, 1000)
			for written = nil; written == nil; _, written = c.Write(b) {
				sent.Read(b)
			}
		})
		b, expected := make([]byte, 4096), make([]byte, 4096)
		for err = nil; err == nil; {
			var n int
			n, err = c.Read(b)
			want.Read(expected[:n])
			if !bytes.Equal(b[:n], expected[:n]) {
				t.Fatal("other bytes came than were sent")
			}
		}
		c.Close()
		sending.Wait()
		if err == io.EOF && !errors.Is(written, syscall.ECONNRESET) { // a reset is told once
			ends.clean++
		} else {
			ends.hard++
		}
	}
	cancel()
	storm.Wait()
	f.Close()
	if n := f.Cuts(); n != 40 || f.Opened() != 40 {
		t.Errorf("%d cuts of %d connections, want 40 of 40", n, f.Opened())
	}
	if ends.clean == 0 || ends.hard == 0 {
		t.Errorf("all ends are of one kind: %+v", ends)
	}
}

// A doomed connection carries as many bytes as were drawn, to the byte.
func TestDoomedConnectionsCarryTheirBytes(t *testing.T) {
	for _, style := range []int32{cleanly, oneWay} {
		for _, n := range []int64{0, 1, 999, 70_000} {
			network := memnet.New()
			f, err := Listen(network.Host("between"), "between:0")
			if err != nil {
				t.Fatal(err)
			}
			near, far := through(t, network, f)
			links := f.all()
			for ; len(links) == 0; links = f.all() { // it may have dialled and not noted it yet
				runtime.Gosched()
			}
			links[0].doom(style, n, unbounded)
			var sending sync.WaitGroup
			sending.Go(func() { near.Write(make([]byte, 100_000)) })
			b, err := io.ReadAll(far)
			if int64(len(b)) != n || err != nil {
				t.Errorf("style %d: %d bytes, %v; want %d", style, len(b), err, n)
			}
			if style == oneWay { // the other way goes on
				if _, err := far.Write([]byte("still here")); err != nil {
					t.Error(err)
				}
				if _, err := io.ReadFull(near, make([]byte, 10)); err != nil {
					t.Error(err)
				}
			}
			f.Close()
			near.Close()
			far.Close()
			sending.Wait()
		}
	}
}

func TestForwarderRunsOnVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := memnet.New()
		f, err := Listen(network.Host("between"), "between:0")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		near, far := through(t, network, f)
		defer near.Close()
		defer far.Close()
		synctest.Wait()
		start := time.Now()
		f.Cut()
		if b, err := io.ReadAll(far); len(b) != 0 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("the end took %v", d)
		}
		synctest.Wait()
		time.Sleep(parting) // nobody closes: it closes by itself
		synctest.Wait()
		if _, err := near.Write([]byte("x")); err == nil {
			t.Error("the forwarder still reads")
		}
		if f.Cuts() != 1 {
			t.Errorf("%d cuts", f.Cuts())
		}
	})
}
