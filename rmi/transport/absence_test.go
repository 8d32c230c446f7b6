package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/transport/datagram"
	"gormi/rmi/wire"
)

// kill makes a node's place refuse connections from now on, and cuts those that it has.
func kill(mem *memnet.Network, b *node) {
	b.stopListening()
	mem.Cut("a", "b")
}

// waitsFor makes a call, and returns how it ends.
func waitsFor(ctx context.Context, s *Session, m wire.MethodID, set ...func(*Request)) <-chan error {
	end := make(chan error, 1)
	r := request(ctx, m, nil)
	r.Deadline = time.Now().Add(time.Hour)
	for _, f := range set {
		f(r)
	}
	go func() { _, err := do(ctx, s, r); end <- err }()
	return end
}

func TestTwoRefusalsEndASession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, s := connected(t)
		running := waitsFor(t.Context(), s, linger)
		synctest.Wait()
		start := time.Now()
		kill(mem, b)
		synctest.Wait()
		waiting := waitsFor(t.Context(), s, echo)
		<-time.After(refusalGap - time.Millisecond)
		if s.Err() != nil {
			t.Errorf("over after one refusal: %v", s.Err())
		}
		<-s.Done()
		if d := time.Since(start); d != refusalGap {
			t.Errorf("over after %v", d)
		}
		wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "the peer's process ended: the connection was lost (read tcp")
		wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "its address "+b.at.String()+" refuses others (dial tcp")
		wantKind(t, <-running, fault.KindPeerGone, fault.OutcomeUnknown, "refuses")
		err := <-waiting
		wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "refuses")
		for _, e := range []error{ErrRefused, ErrOver, syscall.ECONNREFUSED} {
			if e != syscall.ECONNREFUSED && !errors.Is(err, e) {
				t.Errorf("%v is not %v", err, e)
			}
		}
		_, err = a.Session(t.Context(), b.at, b.Node())
		wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "nobody listens there")
	})
}

func TestOneRefusalEndsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t)
		running := waitsFor(t.Context(), s, echo)
		synctest.Wait()
		<-running
		for range 3 { // and they are not added up
			kill(mem, b)
			<-time.After(refusalGap - time.Millisecond)
			if _, err := b.Listen(t.Context(), "tcp", b.at.Address()); err != nil {
				t.Fatal(err)
			}
			works(t, s)
		}
	})
}

func TestWhatRefusesForAWhileEndsNothingIfThatIsSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t, func(c *Config) { c.RefusalsPass = true })
		kill(mem, b)
		waiting := waitsFor(t.Context(), s, echo)
		<-time.After(DefaultSessionLease - 10*time.Second)
		if _, err := b.Listen(t.Context(), "tcp", b.at.Address()); err != nil {
			t.Fatal(err)
		}
		if err := <-waiting; err != nil {
			t.Error(err)
		}
		works(t, s)
	})
}

// Only refusals in a row, and some time apart, count.
func TestRefusalsAreTwoInARow(t *testing.T) {
	refusal, other := connectFailed(&net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}), errors.New("no answer")
	type attempt struct {
		at  time.Duration // in milliseconds
		err error
	}
	for _, c := range []struct {
		name     string
		attempts []attempt
		gone     bool // with the last
	}{
		{"one", []attempt{{0, refusal}}, false},
		{"two", []attempt{{0, refusal}, {200, refusal}}, true},
		{"two at once", []attempt{{0, refusal}, {199, refusal}}, false},
		{"many at once", []attempt{{0, refusal}, {50, refusal}, {100, refusal}, {199, refusal}}, false},
		{"many", []attempt{{0, refusal}, {50, refusal}, {150, refusal}, {201, refusal}}, true},
		{"something else between", []attempt{{0, refusal}, {100, other}, {300, refusal}}, false},
		{"something else between, and two", []attempt{{0, refusal}, {100, other}, {300, refusal}, {500, refusal}}, true},
		{"something else", []attempt{{0, refusal}, {300, other}}, false},
		{"never", []attempt{{0, other}, {300, other}}, false},
	} {
		var r refusals
		start := time.Now()
		for i, x := range c.attempts {
			gone := r.settle(x.err, start.Add(x.at*time.Millisecond))
			if gone != (c.gone && i == len(c.attempts)-1) {
				t.Errorf("%s: after attempt %d gone is %v", c.name, i+1, gone)
			}
		}
	}
}

// What the system returns for a port, or a socket, on which nobody listens is a refusal.
func TestWhatTheSystemSaysOfNobodysPortIsARefusal(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Skip(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	tl, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tl.Close()
	ul, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ul.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	dial := func(network, address string) error {
		var n Network = new(tcp)
		if network == "udp" {
			n = datagram.Network{}
		}
		c, err := n.DialContext(ctx, network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	for _, c := range []struct {
		what string
		err  error
		want bool
	}{
		{"a port", dial("tcp", tl.Addr().String()), true},
		{"a port of UDP", dial("udp", ul.LocalAddr().String()), true},
		{"a socket that nobody serves", dial("unix", stale), true},
		{"no socket", dial("unix", filepath.Join(dir, "none")), true},
		{"a port on Windows", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connectex", syscall.Errno(10061))}, true},
		{"success", nil, false},
		{"no way there", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, false},
		{"no answer", &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}, false},
		{"a file that is missing", &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("open", syscall.ENOENT)}, false},
		{"a socket that one may not use", &net.OpError{Op: "dial", Net: "unix", Err: os.NewSyscallError("connect", syscall.EACCES)}, false},
		{"a connection that was reset", &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, false},
	} {
		var err error
		if c.err != nil {
			err = connectFailed(c.err)
		}
		if got := isRefusal(err); got != c.want {
			t.Errorf("%s: %v is a refusal: %v", c.what, err, got)
		}
	}
}

// names is a network in which answer says where a name leads.
type names struct {
	tcp
	name   string
	answer func(ctx context.Context) (net.Conn, error) // of a dial to the name

	mu    sync.Mutex
	dials []string
}

func (n *names) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials = append(n.dials, address)
	answer := n.answer
	n.mu.Unlock()
	if address == n.name && answer != nil {
		return answer(ctx)
	}
	return n.tcp.Dialer.DialContext(ctx, network, address)
}

// A name has several addresses, and the error of a dial is that of another address than the
// peer's.
func TestTheRefusalOfAnotherAddressEndsNothing(t *testing.T) {
	b := newNode(t, new(tcp), "127.0.0.1")
	f := &names{name: "bank.example:7000"}
	f.answer = func(ctx context.Context) (net.Conn, error) {
		return f.tcp.Dialer.DialContext(ctx, "tcp", b.at.Address())
	}
	a := newNode(t, f, "")
	s, err := a.Session(t.Context(), refs.Endpoint{Host: "bank.example", Port: 7000}, b.Node())
	if err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	f.answer = func(context.Context) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv6loopback, Port: 7000}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	f.mu.Unlock()
	for range 3 {
		l := s.Link()
		l.cut(errors.New("test"))
		<-l.gone
		works(t, s)
	}
	b.stopListening()
	l := s.Link()
	l.cut(errors.New("test"))
	select {
	case <-s.Done():
	case <-time.After(patience):
		t.Fatal("the peer's own address refuses, and the session lives")
	}
	if !errors.Is(s.Err(), ErrRefused) {
		t.Error(s.Err())
	}
}

// away cuts the session that b has with a, for longer than the grace.
func away(t *testing.T, mem *memnet.Network, s *Session) {
	t.Helper()
	lose(mem, s)
	<-time.After(DefaultGrace + tick)
	synctest.Wait()
}

// A node that was dialled cannot dial. Calls that wait for its peer fail after the grace, new
// calls at once, and when the peer is back everything goes on.
func TestNobodyWaitsLongForAPeerThatOnlyCanDialItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, mine := connected(t)
		s := b.Live(a.Node())
		cancelled := make(chan struct{})
		a.handler.methods[first] = func(in *Incoming) { <-in.Context().Done(); close(cancelled); in.Reply(0, nil, nil) }
		running := waitsFor(t.Context(), s, first)
		synctest.Wait()
		lose(mem, s)
		<-time.After(time.Second)
		start := time.Now()
		oneWay, nested, large := func(r *Request) { r.OneWay = true }, func(r *Request) { r.Header.Depth = 1 }, func(r *Request) { r.Body = make([]byte, 100000) }
		coarse := func(r *Request) { r.Coarse = true }
		var waiting []<-chan error
		for _, set := range []func(*Request){coarse, oneWay, nested, large, func(*Request) {}} {
			waiting = append(waiting, waitsFor(t.Context(), s, echo, set))
		}
		const text = "the connection was lost, and the peer, which alone can make another, has not come back: since "
		wantKind(t, <-running, fault.KindPeerGone, fault.OutcomeUnknown, text)
		for _, w := range waiting {
			wantKind(t, <-w, fault.KindPeerGone, fault.OutcomeNotExecuted, text)
		}
		if d := time.Since(start); d < DefaultGrace-time.Second || d > DefaultGrace-time.Second+tick {
			t.Errorf("they waited %v", d)
		}
		start = time.Now()
		for _, set := range []func(*Request){coarse, oneWay, nested, large, func(*Request) {}} {
			wantKind(t, <-waitsFor(t.Context(), s, echo, set), fault.KindPeerGone, fault.OutcomeNotExecuted, text)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("new calls waited %v", d)
		}
		// The side that dials waits on.
		other := waitsFor(t.Context(), mine, echo)
		<-time.After(40 * time.Second)
		if s.Err() != nil || mine.Err() != nil {
			t.Fatalf("the session is over: %v, %v", s.Err(), mine.Err())
		}
		mem.Heal("a", "b")
		if err := <-other; err != nil {
			t.Error(err)
		}
		if err := s.Await(t.Context()); err != nil {
			t.Error(err)
		}
		works(t, s)
		<-cancelled // nobody waits for what ran there
		synctest.Wait()
		idle(t, a, b)
		away(t, mem, s) // and again
		wantKind(t, <-waitsFor(t.Context(), s, echo), fault.KindPeerGone, fault.OutcomeNotExecuted, text)
		<-s.Done()
		wantKind(t, s.Err(), fault.KindPeerGone, fault.OutcomeUnknown, "not made again within 1m0s")
	})
}

// A caller that waits for a slot waits for the peer.
func TestNobodyWaitsForASlotOfAPeerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, _ := connected(t, func(c *Config) { c.Limits.Slots = wire.LeastSlots })
		s := b.Live(a.Node())
		lose(mem, s)
		var waiting []<-chan error
		for range wire.LeastSlots {
			waiting = append(waiting, waitsFor(t.Context(), s, echo))
		}
		start := time.Now()
		for _, w := range waiting {
			wantKind(t, <-w, fault.KindPeerGone, fault.OutcomeNotExecuted, "has not come back")
		}
		if d := time.Since(start); d > DefaultGrace+tick {
			t.Errorf("they waited %v", d)
		}
		mem.Heal("a", "b")
		if err := s.Await(t.Context()); err != nil {
			t.Error(err)
		}
		works(t, s)
		idle(t, a, b)
	})
}

func TestWithoutAGraceCallsWaitForTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, a, b, _ := connected(t, func(c *Config) { c.Grace = -1 })
		s := b.Live(a.Node())
		lose(mem, s)
		waiting := waitsFor(t.Context(), s, echo)
		<-time.After(50 * time.Second)
		mem.Heal("a", "b")
		if err := <-waiting; err != nil {
			t.Error(err)
		}
	})
}

// A call was sent, and its connection is lost at its deadline: the error says so.
func TestADeadlineWithoutAConnectionSaysSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, coarse := range []bool{false, true} {
			mem, _, b, s := connected(t)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			b.handler.methods[first] = func(in *Incoming) { <-in.Context().Done(); in.Reply(0, nil, nil) }
			c := ctx
			if coarse {
				c = t.Context()
			}
			end := waitsFor(c, s, first, func(r *Request) { r.Deadline, r.Coarse = time.Now().Add(20*time.Second), coarse })
			synctest.Wait()
			lose(mem, s)
			err := <-end
			wantKind(t, err, fault.KindDeadline, fault.OutcomeUnknown, "the connection was lost and could not be made again in time: since ")
			wantKind(t, err, fault.KindDeadline, fault.OutcomeUnknown, ", for 20")
			wantKind(t, err, fault.KindDeadline, fault.OutcomeUnknown, "connection reset by peer); the last attempt to dial "+b.at.String()+" met: no answer within 10s")
			mem.Heal("a", "b")
			works(t, s)
		}
	})
}

// A first connection that is cut anywhere in its handshake is made again.
func TestAFirstHandshakeThatIsCutIsTriedAgain(t *testing.T) {
	// How many bytes the dialling side reads before the connection ends: in the listener's
	// magic, hello, proof, and welcome.
	for _, bytes := range []int{0, 1, 8, 20, 100, 200, 230} {
		synctest.Test(t, func(t *testing.T) {
			mem := memnet.New()
			cuts := 4
			g := &gated{Network: mem.Host("a")}
			g.wrap = func(c net.Conn) net.Conn {
				if cuts--; cuts < 0 {
					return c
				}
				return &shortConn{Conn: c, left: bytes}
			}
			a, b := newNode(t, g, ""), newNode(t, mem.Host("b"), "b")
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			s, err := a.Session(ctx, b.at, b.Node())
			if err != nil {
				t.Fatalf("cut after %d bytes: %v", bytes, err)
			}
			if n := g.dials.Load(); n != 5 {
				t.Errorf("%d dials", n)
			}
			works(t, s)
			synctest.Wait()
			if n := len(b.Sessions()); n != 1 {
				t.Errorf("%d sessions", n)
			}
		})
	}
}

// shortConn ends after so many bytes were read.
type shortConn struct {
	net.Conn
	left int
}

func (c *shortConn) Read(b []byte) (int, error) {
	if c.left == 0 {
		c.Conn.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// A first connection is tried as long as somebody waits, and the callers get the last error.
func TestAHandshakeThatIsAlwaysCutEndsWithItsCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		g := &gated{Network: mem.Host("a")}
		g.wrap = func(c net.Conn) net.Conn { return &shortConn{Conn: c, left: 20} }
		a, b := newNode(t, g, ""), newNode(t, mem.Host("b"), "b")
		start := time.Now()
		var callers sync.WaitGroup
		for _, d := range []time.Duration{5 * time.Second, 25 * time.Second} {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), d)
				defer cancel()
				_, err := a.Session(ctx, b.at, b.Node())
				wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "while dialling "+b.at.String()+"; the last attempt met: dialling "+b.at.String()+": the connection was lost in the handshake")
				if got := time.Since(start); got != d {
					t.Errorf("after %v", got)
				}
			})
		}
		callers.Wait()
		n := g.dials.Load()
		if n < 20 || n > 60 {
			t.Errorf("%d dials", n)
		}
		<-time.After(time.Minute)
		if m := g.dials.Load(); m > n+1 {
			t.Errorf("%d dials when nobody waited", m-n)
		}
	})
}

// A stranger that sends its hello byte by byte gets the time of one attempt.
func TestAStrangerThatDripsIsTriedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		b := mem.Host("b")
		l, err := b.Listen(t.Context(), "tcp", "b:1")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		accepted := 0
		var talks sync.WaitGroup
		defer talks.Wait()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				accepted++
				talks.Go(func() {
					defer c.Close()
					for _, b := range []byte(wire.Magic + "\x01\x00\x78") {
						if _, err := c.Write([]byte{b}); err != nil {
							return
						}
						<-time.After(900 * time.Millisecond)
					}
				})
			}
		}()
		a := newNode(t, mem.Host("a"), "")
		at, err := refs.ParseEndpoint(l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_, err = a.Session(t.Context(), at, refs.NodeID{})
		wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "the handshake took longer than")
		if accepted != 1 {
			t.Errorf("%d dials", accepted)
		}
	})
}

// A stranger that ends connections without a word may not be a node.
func TestAStrangerThatEndsConnectionsIsNotTriedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		g := &gated{Network: mem.Host("a")}
		g.wrap = func(c net.Conn) net.Conn { return &shortConn{Conn: c} }
		a, b := newNode(t, g, ""), newNode(t, mem.Host("b"), "b")
		start := time.Now()
		_, err := a.Session(t.Context(), b.at, b.Node())
		wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "is it a GoRMI node (not a Java registry")
		if strings.Contains(err.Error(), "EOF") {
			t.Errorf("it says more than it knows: %v", err)
		}
		if d := time.Since(start); d < strangerTries || d > strangerTries+lastFirstDial {
			t.Errorf("after %v", d)
		}
	})
}

// Where there was a session, there is a node.
func TestASilentPeerThatWasThereIsNotTakenForAStranger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		r := accepts(t, mem)
		s, p := r.session(a)
		p.conn.Close()
		<-time.After(20 * time.Second) // it accepts, and says nothing
		_, err := do(t.Context(), s, func() *Request {
			r := request(t.Context(), echo, nil)
			r.Deadline = time.Now().Add(5 * time.Second)
			return r
		}())
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "met: the peer did not say hello within 5s: its process stands still or is busy")
		if strings.Contains(err.Error(), "is it a GoRMI node") {
			t.Error(err)
		}
		s.end(errClosed())
		<-s.gone
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		_, err = a.Session(ctx, r.at, p.node()) // another session
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "its process stands still or is busy")
	})
}
