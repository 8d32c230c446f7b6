package transport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/transport/datagram"
	"gormi/rmi/wire"
)

// closed reads records up to the close record, which must be the last. It returns its content,
// and how many bytes of payloads came before it.
func (p *raw) closed() (kind fault.Kind, text string, before int) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience))
	for {
		pre, rec, err := p.record()
		if err != nil {
			p.t.Fatalf("the connection ended without a close record: %v", err)
		}
		if pre.Kind == wire.FrameFragment {
			before += len(rec) - wire.FragmentHeaderSize
		}
		if pre.Kind != wire.FrameClose {
			continue
		}
		k, text, err := wire.ParseNotice(pre, rec)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.in.ReadByte(); !errors.Is(err, io.EOF) {
			p.t.Errorf("behind the close record: %v, want the end of the connection", err)
		}
		p.conn.Close()
		return fault.Kind(k), text, before
	}
}

// cites is how the reason of a breach of the protocol begins.
var cites = regexp.MustCompile(`^W-[0-9]+: `)

// breach is a call in a slot that no node has.
func (p *raw) breach() []byte { return p.call(1<<31, echo, "") }

func TestWhoBreaksTheProtocolIsToldWhy(t *testing.T) {
	for _, c := range []struct {
		name, network string
		host          func(*testing.T) string
		set           func(*testing.T, *Config)
	}{
		{"tcp", "tcp", func(*testing.T) string { return "127.0.0.1:0" }, nil},
		{"unix socket", "unix", func(t *testing.T) string { return filepath.Join(t.TempDir(), "s") }, nil},
		{"memory", "tcp", func(*testing.T) string { return "b:0" }, func(_ *testing.T, c *Config) { c.Network = memnet.New().Host("b") }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newNode(t, &tcp{}, "", func(x *Config) {
				if c.set != nil {
					c.set(t, x)
				}
			})
			a, err := b.Listen(t.Context(), c.network, c.host(t))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := b.Network.DialContext(t.Context(), c.network, a.String())
			if err != nil {
				t.Fatal(err)
			}
			p := newRaw(t, conn).join()
			p.write(p.call(0, echo, "hello"))
			p.returned(0)
			p.write(p.breach())
			kind, text, _ := p.closed()
			if kind != fault.KindProtocol || !cites.MatchString(text) || !strings.Contains(text, "slot 2147483648") {
				t.Errorf("close record with %v, %q", kind, text)
			}
			b.logs.wait(t, "session ended")
			if !strings.Contains(b.logs.String(), text) {
				t.Errorf("the log does not say %q:\n%s", text, b.logs)
			}
		})
	}
}

// A record that was begun is completed first. Otherwise the peer would take the close record
// for a piece of it.
func TestACloseRecordDoesNotInterruptAnother(t *testing.T) {
	for range 20 {
		b := newNode(t, &tcp{}, "127.0.0.1")
		conn, err := b.Network.DialContext(t.Context(), "tcp", b.at.Address())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.(*net.TCPConn).SetReadBuffer(64 << 10)
		p := newRaw(t, conn).join()
		const size = 4 << 20
		b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, size)) }
		p.write(p.call(0, first, ""))
		p.next(wire.FrameReturn) // its fragments are under way, and more than the socket takes
		p.write(p.breach())
		kind, text, before := p.closed()
		if kind != fault.KindProtocol || !cites.MatchString(text) || before == size {
			t.Errorf("close record with %v, %q after %d bytes", kind, text, before)
		}
	}
}

func TestWhoBreaksTheProtocolOverTLSIsToldWhy(t *testing.T) {
	cfg := certificate(t)
	served, note := noteFirst()
	set := func(c *Config) { c.TLS = cfg }
	a, b := newNode(t, &tcp{}, "", set), newNode(t, &tcp{}, "127.0.0.1", set, note)
	toldWhy(t, a, b, b.at, served)
}

func TestWhoBreaksTheProtocolOverDatagramsIsToldWhy(t *testing.T) {
	served, note := noteFirst()
	a, b := newNode(t, datagram.Network{}, ""), newNode(t, datagram.Network{}, "", note)
	addr, err := b.Listen(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at, err := refs.ParseEndpoint(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	at.UDP = true
	toldWhy(t, a, b, at, served)
}

// noteFirst makes method first of a node close served, and run on for a while.
func noteFirst() (served chan struct{}, set func(*Config)) {
	served = make(chan struct{})
	return served, func(c *Config) {
		c.Handler.(*handler).methods[first] = func(in *Incoming) {
			close(served)
			<-in.Context().Done()
		}
	}
}

// toldWhy makes node a break the protocol while b serves a call, and checks that a is told the
// rule.
func toldWhy(t *testing.T, a, b *node, at refs.Endpoint, served <-chan struct{}) {
	t.Helper()
	s, err := a.Session(t.Context(), at, b.Node())
	if err != nil {
		t.Fatal(err)
	}
	works(t, s)
	late := make(chan error, 1)
	go func() {
		_, err := do(t.Context(), s, request(t.Context(), first, nil))
		late <- err
	}()
	<-served
	h := wire.CallHeader{Slot: 1 << 31, Seq: 1, Timeout: 1e6}
	s.Link().out.control(func(b []byte) []byte { return wire.AppendCall(b, &h, 0, nil) })
	err = <-late
	wantKind(t, err, fault.KindProtocol, fault.OutcomeUnknown, "W-")
	var f *fault.Error
	if errors.As(err, &f) && f.Origin != fault.OriginPeer {
		t.Errorf("%v: made here, says the error", err)
	}
	a.logs.wait(t, "level=WARN msg=\"protocol broken\" audit=true")
}

// A close record is not answered, and its text is made safe to print.
func TestWhatAPeerSaysIsCleanedAndNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		p, _, _, end := calledRaw(t, a, mem, linger)
		said := "W-1: \x1b[31mred\r\nlevel=ERROR\u202e\u0085\u2028" + strings.Repeat("\xff", 600)
		rec := []byte{byte(wire.FrameClose), 0, 0, 0, 0, 0, byte((1 + len(said)) >> 8), byte(1 + len(said)), byte(fault.KindProtocol)}
		p.write(append(rec, said...))
		if got := p.ended(); len(got) != 0 {
			t.Errorf("the node answers %x", got)
		}
		err := <-end
		wantKind(t, err, fault.KindProtocol, fault.OutcomeUnknown, "W-1:  [31mred  level=ERROR")
		a.logs.wait(t, "session ended")
		for _, text := range []string{err.Error(), a.logs.String()} {
			if strings.ContainsAny(text, "\x1b\r\u202e\u0085\u2028\ufffd") || !utf8.ValidString(text) || strings.Contains(text, "\\x1b") || strings.Contains(text, "\\u") {
				t.Errorf("not clean: %q", text)
			}
		}
	})
}

// The session is over at once, whatever the peer reads; its connection a moment later.
func TestAPeerThatDoesNotReadItsCloseRecordHoldsNothingUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, 4<<20)) }
		p := rawTo(t, b, b.Network).join()
		p.write(p.call(0, first, ""))
		p.write(p.call(1, linger, ""))
		synctest.Wait() // the node's write waits for the raw peer to read
		s := b.Live(p.node())
		late := make(chan error, 1)
		go func() {
			_, err := do(t.Context(), s, request(t.Context(), echo, nil))
			late <- err
		}()
		synctest.Wait()
		begin := time.Now()
		p.write(p.breach())
		<-s.Done()
		wantKind(t, <-late, fault.KindProtocol, fault.OutcomeUnknown, "W-")
		if d := time.Since(begin); d != 0 {
			t.Errorf("the session is over after %v", d)
		}
		select {
		case <-s.gone:
		case <-time.After(time.Minute):
			p.conn.Close()
			t.Fatal("the connection is still there after a minute")
		}
		if d := time.Since(begin); d != closeTimeout {
			t.Errorf("the connection is closed after %v, want %v", d, closeTimeout)
		}
		if n := b.conns.Load(); n != 0 {
			t.Errorf("%d connections are counted", n)
		}
	})
}

func TestBreachesOfTheProtocolDoNotFloodTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		const peers = 50
		for range peers {
			p := rawTo(t, b, b.Network).join()
			p.write(p.breach())
			p.closed()
		}
		time.Sleep(2 * time.Second) // of the test's own clock
		synctest.Wait()
		if n := strings.Count(b.logs.String(), "protocol broken\" audit=true"); n != remarksPerSecond {
			t.Errorf("%d lines for %d peers, want %d", n, peers, remarksPerSecond)
		}
		b.logs.wait(t, fmt.Sprintf("event=\"protocol broken\" number=%d", peers-remarksPerSecond))
	})
}

func TestALateBreachOfASessionThatIsClosedIsNotToldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := rawTo(t, b, b.Network).join()
		done := make(chan struct{})
		s := b.Live(p.node())
		go func() { s.Close(errClosed()); close(done) }()
		synctest.Wait()
		p.write(p.breach())
		if kind, text, _ := p.closed(); kind != fault.KindPeerGone {
			t.Errorf("close record with %v, %q", kind, text)
		}
		<-done
	})
}

// Behind a close record nobody reads what a stream sends. It does not end the connection before
// the peer closes it.
func TestAClosingNodeDoesNotTripOverStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := rawTo(t, b, b.Network).join()
		done := make(chan struct{})
		s := b.Live(p.node())
		go func() { s.Close(errClosed()); close(done) }()
		synctest.Wait()
		ping := []byte{0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7} // of the stream lane: it is answered
		for range 2 {
			p.write(append(wire.AppendStream(nil, len(ping)), ping...))
			synctest.Wait()
		}
		if s.Err() != nil {
			t.Errorf("the session ended before its peer closed the connection: %v", s.Err())
		}
		if kind, text, _ := p.closed(); kind != fault.KindPeerGone {
			t.Errorf("close record with %v, %q", kind, text)
		}
		<-done
	})
}

// Bytes that the node has not read when it closes a TCP connection would take the close record
// back: the peer would see a reset instead.
func TestACloseRecordIsNotTakenBackByWhatThePeerStillSends(t *testing.T) {
	for range 10 {
		b := newNode(t, &tcp{}, "127.0.0.1")
		conn, err := b.Network.DialContext(t.Context(), "tcp", b.at.Address())
		if err != nil {
			t.Fatal(err)
		}
		p := newRaw(t, conn).join()
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(append(p.breach(), make([]byte, 2<<20)...)) // to the end, or it hangs
			sent <- err
		}()
		if err := <-sent; err != nil {
			t.Fatalf("the node does not take what was on its way: %v", err)
		}
		if kind, text, _ := p.closed(); kind != fault.KindProtocol || !cites.MatchString(text) {
			t.Errorf("close record with %v, %q", kind, text)
		}
	}
}
