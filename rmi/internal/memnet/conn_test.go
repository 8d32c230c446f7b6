package memnet

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestFullDuplex(t *testing.T) {
	c, s := connected(t, New())
	const size = 8 << 20
	var wg sync.WaitGroup
	for seed, end := range []net.Conn{c, s} {
		sent := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(seed)}).Read(sent)
		want := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(1 - seed)}).Read(want)
		wg.Go(func() { end.Write(sent); end.(*conn).CloseWrite() })
		wg.Go(func() {
			got, err := io.ReadAll(end)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("end %d read %d bytes, %v; want %d others", seed, len(got), err, size)
			}
		})
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	n := New()
	c, s := connected(t, n)
	write(t, c, "last words")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	wantError(t, "second close", c.Close(), net.ErrClosed)
	wantError(t, "CloseWrite", c.(*conn).CloseWrite(), net.ErrClosed)
	_, err := c.Read(make([]byte, 1))
	wantError(t, "read", err, net.ErrClosed)
	_, err = c.Write([]byte("x"))
	wantError(t, "write", err, net.ErrClosed)
	wantError(t, "SetDeadline", c.SetDeadline(time.Now()), net.ErrClosed)
	wantError(t, "SetReadDeadline", c.SetReadDeadline(time.Now()), net.ErrClosed)
	wantError(t, "SetWriteDeadline", c.SetWriteDeadline(time.Now()), net.ErrClosed)

	b, err := io.ReadAll(s)
	if string(b) != "last words" || err != nil {
		t.Errorf("peer read %q, %v", b, err)
	}
	_, err = s.Write([]byte("x"))
	wantError(t, "peer's write", err, syscall.EPIPE)
	if s.Close(); len(n.conns) != 0 {
		t.Errorf("the network remembers %d closed connections", len(n.conns))
	}
}

func TestCloseWrite(t *testing.T) {
	c, s := connected(t, New())
	write(t, c, "question")
	if err := c.(*conn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	_, err := c.Write([]byte("x"))
	wantError(t, "write after CloseWrite", err, net.ErrClosed)
	if b, err := io.ReadAll(s); string(b) != "question" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
	write(t, s, "answer")
	read(t, c, "answer")
}

func TestCloseUnblocks(t *testing.T) {
	for _, test := range []struct {
		name    string
		end     func(c, s net.Conn)
		read    error
		write   error
		written int
	}{
		{"our Close", func(c, _ net.Conn) { c.Close() }, net.ErrClosed, net.ErrClosed, capacity},
		{"peer's Close", func(_, s net.Conn) { s.Close() }, io.EOF, syscall.EPIPE, capacity},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, s := connected(t, New())
				var wg sync.WaitGroup
				wg.Go(func() {
					if _, err := c.Read(make([]byte, 1)); !errors.Is(err, test.read) {
						t.Errorf("read: %v, want %v", err, test.read)
					}
				})
				wg.Go(func() {
					if n, err := c.Write(make([]byte, 2*capacity)); n != test.written || !errors.Is(err, test.write) {
						t.Errorf("write: %d, %v; want %d, %v", n, err, test.written, test.write)
					}
				})
				synctest.Wait()
				test.end(c, s)
				wg.Wait()
			})
		})
	}
}

func TestDeadlines(t *testing.T) {
	type deadline struct {
		name string
		set  func(net.Conn, time.Time) error
		op   func(net.Conn) error
	}
	readOne := func(c net.Conn) error { _, err := c.Read(make([]byte, 1)); return err }
	fill := func(c net.Conn) error { _, err := c.Write(make([]byte, 2*capacity)); return err }
	for _, d := range []deadline{
		{"read", net.Conn.SetReadDeadline, readOne},
		{"write", net.Conn.SetWriteDeadline, fill},
		{"both, reading", net.Conn.SetDeadline, readOne},
		{"both, writing", net.Conn.SetDeadline, fill},
	} {
		t.Run(d.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := connected(t, New())
				timedOut := func(what string, after time.Duration, f func() error) {
					t.Helper()
					start := time.Now()
					err := f()
					wantError(t, what, err, os.ErrDeadlineExceeded)
					var ne net.Error
					if !errors.As(err, &ne) || !ne.Timeout() {
						t.Errorf("%s: %v is no time-out", what, err)
					}
					if got := time.Since(start); got != after {
						t.Errorf("%s: after %v, want %v", what, got, after)
					}
				}
				d.set(c, time.Now().Add(time.Minute))
				timedOut("future", time.Minute, func() error { return d.op(c) })
				timedOut("passed", 0, func() error { return d.op(c) })
				d.set(c, time.Unix(1, 0))
				timedOut("long passed", 0, func() error { return d.op(c) })

				d.set(c, time.Time{})
				done := make(chan error)
				go func() { done <- d.op(c) }()
				synctest.Wait()
				select {
				case err := <-done:
					t.Fatalf("ended without a deadline: %v", err)
				default:
				}
				d.set(c, time.Now().Add(time.Second))
				synctest.Wait()
				d.set(c, time.Now().Add(time.Hour))
				timedOut("moved while blocked", time.Hour, func() error { return <-done })
			})
		})
	}
}

func TestPassedDeadlineRefusesReadyBytes(t *testing.T) {
	c, s := connected(t, New())
	write(t, c, "x")
	s.SetReadDeadline(time.Unix(1, 0))
	_, err := s.Read(make([]byte, 1))
	wantError(t, "read", err, os.ErrDeadlineExceeded)
	s.SetReadDeadline(time.Time{})
	read(t, s, "x")
}

func TestWritesDoNotMix(t *testing.T) {
	c, s := connected(t, New())
	const writers, size = 8, capacity + 1000
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() { c.Write(bytes.Repeat([]byte{byte(i)}, size)) })
	}
	for range writers {
		b := make([]byte, size)
		if _, err := io.ReadFull(s, b); err != nil {
			t.Fatal(err)
		}
		if bytes.Count(b, b[:1]) != size {
			t.Error("two writes are mixed")
		}
	}
	wg.Wait()
}

// TestConcurrentMethods lets the race detector look at every pair of methods.
func TestConcurrentMethods(t *testing.T) {
	n := New()
	c, s := connected(t, n)
	go io.Copy(s, s)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { c.Read(make([]byte, 1024)) })
		wg.Go(func() { c.Write(make([]byte, 1024)) })
		wg.Go(func() { c.SetDeadline(time.Now().Add(time.Minute)) })
		wg.Go(func() { c.SetReadDeadline(time.Now().Add(time.Minute)) })
		wg.Go(func() { c.SetWriteDeadline(time.Now().Add(time.Minute)) })
		wg.Go(func() { _, _ = c.LocalAddr(), c.RemoteAddr() })
		wg.Go(func() { n.Partition("a", "b"); n.Delay("a", "b", time.Microsecond); n.Heal("a", "b") })
	}
	wg.Wait()
	c.Close()
}

func TestEmptyReadAndWrite(t *testing.T) {
	c, _ := connected(t, New())
	if n, err := c.Read(nil); n != 0 || err != nil {
		t.Errorf("Read(nil) = %d, %v", n, err)
	}
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Errorf("Write(nil) = %d, %v", n, err)
	}
}

func BenchmarkPingPong(b *testing.B) {
	n := New()
	l, _ := n.Listen(b.Context(), "tcp", "b:1")
	c, _ := n.DialContext(b.Context(), "tcp", "b:1")
	s, _ := l.Accept()
	go io.Copy(s, s)
	buf := make([]byte, 64)
	for b.Loop() {
		c.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			b.Fatal(err)
		}
	}
	c.Close()
}
