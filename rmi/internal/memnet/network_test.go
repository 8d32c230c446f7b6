package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// connected returns the two ends of a connection from host a to host b.
func connected(t *testing.T, n *Network) (dialer, accepted net.Conn) {
	t.Helper()
	l, err := n.Listen(t.Context(), "tcp", "b:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dialer, err = n.Host("a").DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	accepted, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dialer.Close(); accepted.Close() })
	return dialer, accepted
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if n, err := c.Write([]byte(s)); n != len(s) || err != nil {
		t.Fatalf("Write = %d, %v", n, err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	b := make([]byte, len(want))
	if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
		t.Fatalf("read %q, %v; want %q", b, err, want)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error is %v, want %v", what, err, want)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("%s: error is a %T, want a *net.OpError", what, err)
	}
}

func TestListen(t *testing.T) {
	n := New()
	a := n.Host("a")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.Listen(t.Context(), "tcp", "a:7000"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		call func() (net.Listener, error)
		addr string
		err  error
	}{
		{"a port", func() (net.Listener, error) { return n.Listen(t.Context(), "tcp", "b:7000") }, "b:7000", nil},
		{"port 0 picks", func() (net.Listener, error) { return n.Listen(t.Context(), "tcp", "b:0") }, "b:32768", nil},
		{"port 0 picks another", func() (net.Listener, error) { return n.Listen(t.Context(), "tcp", "b:0") }, "b:32769", nil},
		{"blank is this host", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", ":7001") }, "a:7001", nil},
		{"loopback is this host", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", "127.0.0.1:7002") }, "a:7002", nil},
		{"taken", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", "a:7000") }, "", syscall.EADDRINUSE},
		{"another host's address", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", "b:7003") }, "", syscall.EADDRNOTAVAIL},
		{"ended context", func() (net.Listener, error) { return a.Listen(ended, "tcp", ":0") }, "", context.Canceled},
		{"network", func() (net.Listener, error) { return a.Listen(t.Context(), "udp", ":0") }, "", net.UnknownNetworkError("udp")},
		{"no port", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", "a") }, "", nil},
		{"bad port", func() (net.Listener, error) { return a.Listen(t.Context(), "tcp", "a:70000") }, "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			l, err := test.call()
			switch {
			case test.err != nil:
				wantError(t, "Listen", err, test.err)
			case test.addr == "" && err == nil:
				t.Errorf("listens on %v", l.Addr())
			case test.addr != "" && (err != nil || l.Addr().String() != test.addr):
				t.Errorf("listens on %v, %v; want %v", l, err, test.addr)
			}
		})
	}
}

func TestDial(t *testing.T) {
	n := New()
	_, err := n.DialContext(t.Context(), "tcp", "nowhere:1")
	wantError(t, "dial to nobody", err, syscall.ECONNREFUSED)

	l, err := n.Listen(t.Context(), "tcp", "b:7000")
	if err != nil {
		t.Fatal(err)
	}
	c, err := n.Host("a").DialContext(t.Context(), "tcp", "b:7000")
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.LocalAddr().(Addr).Host, "a"; got != want {
		t.Errorf("dialer's host is %q, want %q", got, want)
	}
	if c.LocalAddr() != s.RemoteAddr() || c.RemoteAddr() != s.LocalAddr() || s.LocalAddr() != l.Addr() {
		t.Errorf("addresses do not match: %v-%v, %v-%v", c.LocalAddr(), c.RemoteAddr(), s.LocalAddr(), s.RemoteAddr())
	}

	unaccepted, err := n.Host("a").DialContext(t.Context(), "tcp", "b:7000")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = unaccepted.Read(make([]byte, 1))
	wantError(t, "read of a connection that was never accepted", err, syscall.ECONNRESET)
	_, err = n.DialContext(t.Context(), "tcp", "b:7000")
	wantError(t, "dial after the listener closed", err, syscall.ECONNREFUSED)
	_, err = l.Accept()
	wantError(t, "accept after close", err, net.ErrClosed)
	wantError(t, "second close", l.Close(), net.ErrClosed)
	write(t, c, "still up")
	read(t, s, "still up")
	if _, err := n.Listen(t.Context(), "tcp", "b:7000"); err != nil {
		t.Errorf("the port is not free again: %v", err)
	}
}

func TestCloseUnblocksAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := New().Listen(t.Context(), "tcp", "b:0")
		done := make(chan error)
		go func() { _, err := l.Accept(); done <- err }()
		synctest.Wait()
		l.Close()
		wantError(t, "accept", <-done, net.ErrClosed)
	})
}

func TestDialWaitsForRoomInTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		l, _ := n.Listen(t.Context(), "tcp", "b:1")
		for range backlog {
			if _, err := n.DialContext(t.Context(), "tcp", "b:1"); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := n.DialContext(ctx, "tcp", "b:1")
		wantError(t, "dial with a full backlog", err, context.DeadlineExceeded)
		done := make(chan error)
		go func() { _, err := n.DialContext(t.Context(), "tcp", "b:1"); done <- err }()
		synctest.Wait()
		l.Accept()
		if err := <-done; err != nil {
			t.Errorf("dial after an accept: %v", err)
		}
	})
}

func TestCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		c, s := connected(t, n)
		other, otherPeer := func() (net.Conn, net.Conn) {
			l, _ := n.Listen(t.Context(), "tcp", "x:1")
			c, _ := n.Host("a").DialContext(t.Context(), "tcp", "x:1")
			s, _ := l.Accept()
			return c, s
		}()
		blockedRead, blockedWrite := make(chan error), make(chan error)
		go func() { _, err := c.Read(make([]byte, 1)); blockedRead <- err }()
		go func() { _, err := c.Write(make([]byte, 2*capacity)); blockedWrite <- err }()
		synctest.Wait()
		n.Cut("b", "a")
		wantError(t, "blocked read", <-blockedRead, syscall.ECONNRESET)
		wantError(t, "blocked write", <-blockedWrite, syscall.ECONNRESET)
		_, err := s.Read(make([]byte, 1))
		wantError(t, "peer's read of pending bytes", err, syscall.ECONNRESET)
		_, err = s.Write([]byte("x"))
		wantError(t, "peer's write", err, syscall.ECONNRESET)
		if err := c.Close(); err != nil {
			t.Errorf("close of a cut connection: %v", err)
		}
		write(t, other, "other links live")
		read(t, otherPeer, "other links live")
		c, s = connected(t, n)
		write(t, c, "again")
		read(t, s, "again")
		if got := len(n.conns); got != 2 {
			t.Errorf("the network remembers %d connections, want 2", got)
		}
	})
}

func TestPartition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		c, s := connected(t, n)
		l, _ := n.Listen(t.Context(), "tcp", "b:1")
		write(t, c, "before ")
		n.Partition("a", "b")
		write(t, c, "during")
		c.(*conn).CloseWrite()
		read(t, s, "before ") // had arrived
		s.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := s.Read(make([]byte, 1))
		wantError(t, "read during", err, os.ErrDeadlineExceeded)
		s.SetReadDeadline(time.Time{})

		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = n.Host("a").DialContext(ctx, "tcp", "b:1")
		wantError(t, "dial during", err, context.DeadlineExceeded)
		dialled := make(chan error)
		go func() { _, err := n.Host("b").DialContext(t.Context(), "tcp", "b:1"); dialled <- err }()
		if err := <-dialled; err != nil {
			t.Errorf("a host cannot reach itself: %v", err)
		}
		go func() { _, err := n.Host("a").DialContext(t.Context(), "tcp", "b:1"); dialled <- err }()
		rest := make(chan []byte)
		go func() { b, _ := io.ReadAll(s); rest <- b }()
		synctest.Wait()
		n.Heal("b", "a")
		if b := <-rest; string(b) != "during" {
			t.Errorf("after healing read %q", b)
		}
		if err := <-dialled; err != nil {
			t.Errorf("dial that waited: %v", err)
		}
		l.Close()
	})
}

func TestWhatArrivedBeforeAPartitionStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Delay("a", "b", time.Second)
		c, s := connected(t, n)
		write(t, c, "arrived")
		<-time.After(time.Second)
		n.Partition("a", "b")
		write(t, c, "in flight")
		read(t, s, "arrived")
		s.SetReadDeadline(time.Now().Add(time.Hour))
		_, err := s.Read(make([]byte, 1))
		wantError(t, "read of what was in flight", err, os.ErrDeadlineExceeded)
	})
}

func TestCutDuringPartition(t *testing.T) {
	n := New()
	c, s := connected(t, n)
	n.Partition("a", "b")
	write(t, c, "lost")
	n.Cut("a", "b")
	_, err := s.Read(make([]byte, 1))
	wantError(t, "read", err, syscall.ECONNRESET)
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		c, s := connected(t, n)
		n.Delay("a", "b", 30*time.Millisecond)
		n.Delay("b", "a", 5*time.Millisecond)
		start := time.Now()
		write(t, c, "x")
		if d := time.Since(start); d != 0 {
			t.Errorf("the writer waited %v", d)
		}
		read(t, s, "x")
		write(t, s, "y")
		read(t, c, "y")
		if d := time.Since(start); d != 35*time.Millisecond {
			t.Errorf("round trip took %v", d)
		}

		// A shorter delay does not overtake.
		start = time.Now()
		write(t, c, "slow ")
		n.Delay("a", "b", 0)
		write(t, c, "fast")
		c.Close()
		b, err := io.ReadAll(s)
		if string(b) != "slow fast" || err != nil || time.Since(start) != 30*time.Millisecond {
			t.Errorf("read %q, %v after %v", b, err, time.Since(start))
		}

		n.Delay("a", "b", 30*time.Millisecond)
		start = time.Now()
		connected(t, n)
		if d := time.Since(start); d != 35*time.Millisecond {
			t.Errorf("dial took %v", d)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = n.Host("a").DialContext(ctx, "tcp", "b:1")
		wantError(t, "dial shorter than the delay", err, context.DeadlineExceeded)
	})
}

func TestDelayedBytesArriveOnceInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.Delay("a", "b", time.Second)
		c, s := connected(t, n)
		sent := make([]byte, 5*capacity)
		for i := range sent {
			sent[i] = byte(i * 31 / 7)
		}
		go func() {
			for part := range slices.Chunk(sent, 1000) {
				c.Write(part)
			}
			c.Close()
		}()
		got, err := io.ReadAll(s)
		if err != nil || !slices.Equal(got, sent) {
			t.Errorf("read %d bytes, %v; want the %d sent", len(got), err, len(sent))
		}
	})
}
