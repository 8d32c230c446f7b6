package datagram

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/internal/lossy"
	"gormi/rmi/wire"
)

// stranger is a socket that sends to a listener what it wants.
type stranger struct {
	t *testing.T
	net.Conn
}

func newStranger(t *testing.T, packets *lossy.Network) *stranger {
	t.Helper()
	c, err := packets.DialContext(t.Context(), "udp", "owner:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &stranger{t, c}
}

func (s *stranger) send(b []byte) {
	s.t.Helper()
	if _, err := s.Write(b); err != nil {
		s.t.Fatal(err)
	}
}

// receive returns the answer; nil if there is none.
func (s *stranger) receive() []byte {
	s.t.Helper()
	_ = s.SetReadDeadline(time.Now().Add(time.Millisecond))
	b := make([]byte, 2*MaxDatagram)
	n, err := s.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return b[:n]
}

func (s *stranger) ask(b []byte) []byte {
	s.t.Helper()
	s.send(b)
	return s.receive()
}

// cookie asks for a cookie.
func (s *stranger) cookie(id connID) []byte {
	s.t.Helper()
	b := s.ask(appendInit(nil, id, nil))
	if len(b) != cookieAt+cookieSize || b[0] != typeCookie {
		s.t.Fatalf("INIT is answered by %x", b)
	}
	return b[cookieAt:]
}

func (s *stranger) want(typ byte, id connID, got []byte) {
	s.t.Helper()
	if !bytes.Equal(got, appendShort(nil, typ, id)) {
		s.t.Errorf("the answer is %x, want %x", got, appendShort(nil, typ, id))
	}
}

func listenOn(t *testing.T, packets *lossy.Network) *listener {
	t.Helper()
	socket, err := packets.ListenPacket(t.Context(), "udp", "owner:1")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(socket).(*listener)
	t.Cleanup(func() { l.Close() })
	return l
}

func (l *listener) count() int {
	defer l.mu.Unlock()
	return len(l.lock().conns)
}

func TestNothingIsKeptBeforeTheCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packets := lossy.New(lossy.Options{})
		l := listenOn(t, packets)
		s, other := newStranger(t, packets), newStranger(t, packets)
		for id := range connID(1000) {
			cookie := s.cookie(id)
			cookie[0]++
			if b := s.ask(appendInit(nil, id, cookie)); len(b) == 0 || b[0] != typeCookie {
				t.Fatalf("a forged cookie is answered by %x", b)
			}
		}
		cookie := bytes.Clone(s.cookie(7))
		for name, b := range map[string][]byte{
			"from another address": other.ask(appendInit(nil, 7, cookie)), "for another connection": s.ask(appendInit(nil, 8, cookie)),
		} {
			if len(b) == 0 || b[0] != typeCookie {
				t.Errorf("a cookie %s is answered by %x", name, b)
			}
		}
		time.Sleep(2 * cookieLife)
		if b := s.ask(appendInit(nil, 7, cookie)); len(b) == 0 || b[0] != typeCookie {
			t.Errorf("an old cookie is answered by %x", b)
		}
		if n := l.count(); n != 0 {
			t.Errorf("%d connections are kept", n)
		}
	})
}

// The secret changes between a dialler's cookie and its next INIT.
func TestACookieOutlivesItsSecret(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		s := newStranger(t, packets)
		s.cookie(1) // the secret is made
		time.Sleep(cookieLife - time.Second)
		cookie := bytes.Clone(s.cookie(7))
		time.Sleep(cookieLife - time.Second)
		s.cookie(2) // another one
		s.want(typeOpen, 7, s.ask(appendInit(nil, 7, cookie)))
		l.Close()
	})
}

// With the answers discarded, an INIT costs no memory, let alone for longer.
func TestAFloodOfInitsAllocatesNothing(t *testing.T) {
	l := &listener{socket: discard{}, waiting: make(chan *Conn, backlog), state: listenerState{conns: make(map[connID]*peerConn)}}
	from := addressOf(&net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 9})
	b := appendInit(nil, 1, []byte("sixteen bytes of"))
	l.datagram(b, from)                                                                 // makes the secrets
	if n := testing.AllocsPerRun(1000, func() { b[1]++; l.datagram(b, from) }); n > 1 { // the answer
		t.Errorf("%v allocations for an INIT", n)
	}
	if l.count() != 0 || len(l.waiting) != 0 {
		t.Error("something is kept")
	}
}

// discard is a socket into which everything disappears.
type discard struct{ net.PacketConn }

func (discard) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), nil }
func (discard) LocalAddr() net.Addr                       { return &net.UDPAddr{} }

func TestAnInitThatIsRepeatedOpensOneConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packets := lossy.New(lossy.Options{})
		l := listenOn(t, packets)
		s, other := newStranger(t, packets), newStranger(t, packets)
		again := appendInit(nil, 7, s.cookie(7))
		for range 5 {
			s.want(typeOpen, 7, s.ask(again))
		}
		if b := other.ask(again); b != nil {
			t.Errorf("another address gets %x", b)
		}
		if n := l.count(); n != 1 || len(l.waiting) != 1 {
			t.Errorf("%d connections, %d wait", n, len(l.waiting))
		}
	})
}

func TestTheBacklogIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packets := lossy.New(lossy.Options{})
		l := listenOn(t, packets)
		s := newStranger(t, packets)
		for id := range connID(backlog) {
			s.want(typeOpen, id, s.ask(appendInit(nil, id, s.cookie(id))))
		}
		if b := s.ask(appendInit(nil, backlog, s.cookie(backlog))); b != nil {
			t.Errorf("one more gets %x", b)
		}
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.want(typeOpen, backlog, s.ask(appendInit(nil, backlog, s.cookie(backlog))))
		c.(*Conn).reset()
		c.Close()
	})
}

// connected returns the two ends of a connection that writes records from the start.
func connected(t *testing.T, packets *lossy.Network, l *listener) (d, a *Conn) {
	t.Helper()
	socket, err := packets.DialContext(t.Context(), "udp", "owner:1")
	if err != nil {
		t.Fatal(err)
	}
	if d, err = Dial(t.Context(), socket); err != nil {
		t.Fatal(err)
	}
	accepted, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a = accepted.(*Conn)
	for _, c := range []*Conn{d, a} {
		s := c.lock()
		s.outgoing.state, s.incoming.state = inRecords, inRecords
		c.mu.Unlock()
		t.Cleanup(func() { c.Close() })
	}
	return d, a
}

// inBubble runs f with a listener on a network in memory.
func inBubble(t *testing.T, o lossy.Options, f func(t *testing.T, packets *lossy.Network, l *listener)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		packets := lossy.New(o)
		f(t, packets, listenOn(t, packets))
	})
}

func TestStrangersDoNotGetIntoAConnection(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		s := newStranger(t, packets)
		forged := make([]byte, dataHeader)
		data{id: d.id, sent: 1}.put(forged)
		forged = append(append(forged, byte(frameDirect)), nullCall(0, 1)...)
		if b := s.ask(forged); b != nil {
			t.Errorf("data from elsewhere is answered by %x", b)
		}
		if b := s.ask(appendShort(nil, typeReset, d.id)); b != nil {
			t.Errorf("a reset from elsewhere is answered by %x", b)
		}
		data{id: d.id + 1}.put(forged)
		s.want(typeReset, d.id+1, s.ask(forged))
		for _, b := range [][]byte{{}, {typeData}, appendShort(nil, typeOpen, d.id), appendShort(nil, typeReset, 1), make([]byte, MaxDatagram), make([]byte, 1500), forged[:dataHeader]} {
			if b := s.ask(b); b != nil {
				t.Errorf("garbage is answered by %x", b)
			}
		}
		call := nullCall(9, 1)
		if _, err := d.Write(call); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(call))
		if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, call) {
			t.Errorf("the first record is %x, %v", got, err)
		}
	})
}

func TestAPeerThatVanishes(t *testing.T) {
	for name, rec := range map[string][]byte{"call": nullCall(0, 1), "ping": wire.AppendPing(nil, wire.FramePing, 1)} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, lossy.Options{Delay: time.Millisecond}, func(t *testing.T, packets *lossy.Network, l *listener) {
				d, _ := connected(t, packets, l)
				packets.Set(lossy.Options{Loss: 1})
				time.Sleep(24 * time.Hour) // nothing was said, and nothing is wrong
				if _, err := d.Write(rec); err != nil {
					t.Fatal(err)
				}
				asked := time.Now()
				_, err := d.Read(make([]byte, 1))
				if took := time.Since(asked); !errors.Is(err, syscall.ETIMEDOUT) || took < deadAfter || took > deadAfter+2*mostTimeout {
					t.Errorf("after %v: %v", took, err)
				}
				if _, err := d.Write(rec); !errors.Is(err, syscall.ETIMEDOUT) {
					t.Errorf("Write: %v", err)
				}
				asked = time.Now()
				d.Close()
				if took := time.Since(asked); took > 0 {
					t.Errorf("Close waited %v for a peer that is gone", took)
				}
			})
		})
	}
}

// Ten seconds of silence are few tries where answers take long. So tries count too.
func TestAPeerThatIsFarAwayIsAskedOften(t *testing.T) {
	inBubble(t, lossy.Options{Delay: 700 * time.Millisecond}, func(t *testing.T, packets *lossy.Network, l *listener) {
		const far = 700 * time.Millisecond
		d, _ := connected(t, packets, l)
		// What was repeated before the peer was heard again does not count.
		packets.Set(lossy.Options{Loss: 1})
		if _, err := d.Write(wire.AppendPing(nil, wire.FramePing, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(deadAfter - time.Second)
		packets.Set(lossy.Options{Delay: far})
		time.Sleep(10 * far) // the next repeat and its answer
		packets.Set(lossy.Options{Loss: 1})
		before := packets.Counts().Sent
		if _, err := d.Write(nullCall(0, 1)); err != nil {
			t.Fatal(err)
		}
		asked := time.Now()
		_, err := d.Read(make([]byte, 1))
		if n := packets.Counts().Sent - before; !errors.Is(err, syscall.ETIMEDOUT) || n < deadRepeats {
			t.Errorf("after %d datagrams in %v: %v", n, time.Since(asked), err)
		}
		if took := time.Since(asked); took < 12*1400*time.Millisecond {
			t.Errorf("%d repeats in %v, where an answer takes 1.4 s", deadRepeats, took)
		}
		d.Close()
	})
}

// The peer's program was killed and began anew: it does not know the connection.
func TestAPeerThatForgot(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		delete(l.lock().conns, a.id)
		l.mu.Unlock()
		if _, err := d.Write(nullCall(0, 1)); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
	})
}

func TestCloseDeliversWhatWasWritten(t *testing.T) {
	inBubble(t, lossy.Options{Seed: 3, Loss: 0.2, Dup: 0.1, Reorder: 0.2}, func(t *testing.T, packets *lossy.Network, l *listener) {
		for i := range 20 {
			d, a := connected(t, packets, l)
			from, to := d, a
			if i%2 == 1 {
				from, to = a, d
			}
			hello := wire.AppendPing(nil, wire.FramePing, 1)
			if _, err := to.Write(hello); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(from, make([]byte, len(hello))); err != nil {
				t.Fatal(err)
			}
			var want []byte
			for len(want) < 40<<10 {
				want = append(wire.AppendFragment(want, 1, 1, false, 1000), make([]byte, 1000)...)
			}
			if _, err := from.Write(want); err != nil {
				t.Fatal(err)
			}
			from.Close()
			if got, err := io.ReadAll(to); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d of %d bytes arrive, %v", len(got), len(want), err)
			}
			if _, err := to.Write(nullCall(0, 1)); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("writing to a peer that closed: %v", err)
			}
			if err := from.Close(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("the second Close: %v", err)
			}
		}
	})
}

func TestDeadlinesAndClose(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		_ = a
		began := time.Now()
		_ = d.SetReadDeadline(began.Add(time.Minute))
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(began) != time.Minute {
			t.Errorf("Read: %v after %v", err, time.Since(began))
		}
		_ = d.SetDeadline(time.Now().Add(-1))
		if _, err := d.Write(nullCall(0, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}
		_ = d.SetDeadline(time.Time{})
		if _, err := d.Write(nullCall(0, 1)); err != nil {
			t.Error(err)
		}
		ended := make(chan error)
		go func() {
			_, err := d.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		d.Close()
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Read ends with %v", err)
		}
		if _, err := d.Write(nullCall(0, 2)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Write: %v", err)
		}
		if err := d.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("SetDeadline: %v", err)
		}
	})
}

// A peer that does not read holds up the writer, and a bounded number of bytes.
func TestAPeerThatDoesNotRead(t *testing.T) {
	inBubble(t, lossy.Options{Seed: 5, Loss: 0.1, Delay: time.Millisecond}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		piece := append(wire.AppendFragment(nil, 1, 1, false, 30000), make([]byte, 30000)...)
		written := 0
		for written < 100 {
			_ = d.SetWriteDeadline(time.Now().Add(time.Hour))
			n, err := d.Write(piece)
			if err != nil {
				if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal(n, err)
				}
				break
			}
			written++
		}
		held := len(a.lock().in)
		a.mu.Unlock()
		if written == 100 || held > window*maxSegment+MaxDatagram {
			t.Errorf("%d pieces were written, %d bytes are held", written, held)
		}
		if n, err := d.TryWrite(piece); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("TryWrite: %d, %v", n, err)
		}
		_ = d.SetWriteDeadline(time.Time{})
		if n, err := d.TryWrite(piece); n != 0 || err != nil {
			t.Errorf("TryWrite: %d, %v", n, err)
		}
		go d.Write(piece)
		if n, err := io.CopyN(io.Discard, a, int64((written+1)*len(piece))); err != nil {
			t.Errorf("%d bytes arrive: %v", n, err)
		}
	})
}

func TestDialling(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		dial := func(ctx context.Context) error {
			c, err := Network{Packets: packets}.DialContext(ctx, "udp", "owner:1")
			if err == nil {
				c.Close()
			} else if c != nil {
				t.Error("an error and a connection")
			}
			return err
		}
		d, _ := connected(t, packets, l)
		packets.Set(lossy.Options{Loss: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("nobody answers: %v", err)
		}
		if err := dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a context that is over: %v", err)
		}
		packets.Set(lossy.Options{})
		if err := l.Close(); err != nil { // while a connection lives
			t.Error(err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the second Close: %v", err)
		}
		if err := dial(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("the listener is closed: %v", err)
		}
		if _, err := d.Write(nullCall(0, 1)); err != nil {
			t.Errorf("the connection ended with its listener: %v", err)
		}
	})
}

func TestConnectionsThatNobodyAcceptedAreReset(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		c, err := Network{Packets: packets}.DialContext(t.Context(), "udp", "owner:1")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		l.Close()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		if _, err := packets.ListenPacket(t.Context(), "udp", "owner:1"); err != nil {
			t.Errorf("the socket is still open: %v", err)
		}
	})
}

// A peer that ends without a word, and whose port is then closed, is gone when the system says
// so again and again.
func TestRealSocketsTellThatNobodyListens(t *testing.T) {
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Listen(socket)
	c, err := Network{}.DialContext(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	socket.Close() // as a kernel does for a program that was killed
	_, _ = c.Write([]byte(wire.Magic))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	if _, err := (Network{}).DialContext(t.Context(), "udp", l.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dialling a port that is nobody's: %v", err)
	}
	a.Close()
	l.Close()
}

// Anybody may forge in the peer's name that nobody listens there. It counts only if it is said
// again and again, and nothing comes from the peer in between.
func TestARefusalIsNotTheEnd(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		refused := &net.OpError{Op: "read", Err: syscall.ECONNREFUSED}
		for seq := range wire.Seq(3) {
			for range refusals - 1 {
				d.trouble(refused)
			}
			call := nullCall(0, seq+1)
			if _, err := a.Write(call); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(d, make([]byte, len(call))); err != nil {
				t.Fatalf("after %d refusals, and none in between: %v", refusals-1, err)
			}
		}
		for range refusals {
			d.trouble(refused)
		}
		if _, err := d.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("after %d refusals: %v", refusals, err)
		}
	})
}

func TestDatagramsStayOnThisMachine(t *testing.T) {
	if l, err := (Network{}).Listen(t.Context(), "udp", "0.0.0.0:0"); err == nil {
		l.Close()
		t.Error("a listener that others can reach")
	}
	l, err := (Network{Insecure: true}).Listen(t.Context(), "udp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// While much waits for the session, direct records are dropped, and come again when there is room.
func TestUnreadDirectRecordsAreBounded(t *testing.T) {
	inBubble(t, lossy.Options{}, func(t *testing.T, packets *lossy.Network, l *listener) {
		d, a := connected(t, packets, l)
		unread := func(n int) (was int) {
			s := a.lock()
			defer a.mu.Unlock()
			was = len(s.in)
			s.in = make([]byte, n)
			return was
		}
		unread(maxUnread + 1)
		call := nullCall(0, 1)
		if _, err := d.Write(call); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := unread(0); n != maxUnread+1 {
			t.Errorf("%d bytes wait", n)
		}
		if _, err := io.ReadFull(a, make([]byte, len(call))); err != nil {
			t.Error(err)
		}
	})
}
