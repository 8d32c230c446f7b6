package streams

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

func TestReset(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	ours.Write([]byte("never read"))
	blocked := make(chan error)
	go func() { _, err := ours.Read(make([]byte, 1)); blocked <- err }()
	full := make(chan error)
	go func() { _, err := theirs.Write(make([]byte, 4*protocolWindow)); full <- err }()
	until(t, "the writer blocks", func() bool { return s.dialer.Stats().Received > 0 })
	ours.Reset()
	for {
		if err := <-blocked; err == nil { // a byte came first
			go func() { _, err := ours.Read(make([]byte, 1)); blocked <- err }()
		} else if errors.Is(err, net.ErrClosed) {
			break
		} else {
			t.Fatalf("our read: %v", err)
		}
	}
	if _, err := ours.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("our write: %v", err)
	}
	if err := <-full; !errors.Is(err, ErrReset) {
		t.Errorf("peer's write: %v", err)
	}
	if _, err := io.ReadAll(theirs); !errors.Is(err, ErrReset) {
		t.Errorf("peer's read: %v", err)
	}
	until(t, "both forget it", func() bool { return s.dialer.Stats().Streams+s.peer.Stats().Streams == 0 })
	s.end()
	if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
		t.Errorf("peer's read after the session: %v", err)
	}
}

func TestResetBeforeAcceptIsNotAccepted(t *testing.T) {
	s := newSession(t, Config{})
	for range 300 { // more than the bound: the numbers are free again
		st, err := s.dialer.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		st.Reset()
	}
	last, err := s.dialer.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.peer.Accept(t.Context())
	if err != nil || got.ID() != last.ID() {
		t.Errorf("accepted %v, %v; want stream %d", got, err, last.ID())
	}
}

func TestClose(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	blocked := make(chan error)
	go func() { _, err := ours.Read(make([]byte, 1)); blocked <- err }()
	sent := noise(3, protocolWindow)
	if _, err := ours.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := ours.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-blocked; !errors.Is(err, net.ErrClosed) {
		t.Errorf("blocked read: %v", err)
	}
	for what, err := range map[string]error{
		"Read":        func() error { _, err := ours.Read(make([]byte, 1)); return err }(),
		"Write":       func() error { _, err := ours.Write([]byte("x")); return err }(),
		"CloseWrite":  ours.CloseWrite(),
		"SetDeadline": ours.SetDeadline(time.Now()),
	} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v", what, err)
		}
	}
	if err := ours.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if got, err := io.ReadAll(theirs); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the peer reads %d bytes, %v", len(got), err)
	}
	theirs.Close()
	until(t, "both forget it", func() bool { return s.dialer.Stats().Streams+s.peer.Stats().Streams == 0 })
}

func TestClosedStreamDoesNotWaitForEver(t *testing.T) {
	s := newSession(t, Config{CloseTimeout: time.Millisecond})
	ours, theirs := s.open()
	ours.Close()
	_, err := theirs.Write(make([]byte, 8*protocolWindow))
	if !errors.Is(err, ErrReset) {
		t.Errorf("the peer's write: %v", err)
	}
}

func TestCloseUnblocksWrite(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			if _, err := ours.Write(make([]byte, 4*protocolWindow)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %v", err)
			}
		})
	}
	until(t, "the window fills", func() bool { return s.peer.Stats().Received == protocolWindow })
	ours.Close()
	wg.Wait()
	if got, err := io.ReadAll(theirs); err != nil || len(got) != protocolWindow {
		t.Errorf("the peer reads %d bytes, %v", len(got), err)
	}
}

func TestDeadlines(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	wantTimeout := func(what string, err error) {
		t.Helper()
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: %v", what, err)
		}
	}
	readOne := func() error { _, err := ours.Read(make([]byte, 1)); return err }
	fill := func() error { _, err := ours.Write(make([]byte, 2*protocolWindow)); return err }

	ours.SetReadDeadline(time.Now().Add(time.Millisecond))
	wantTimeout("read", readOne())
	theirs.Write([]byte("ab"))
	until(t, "it arrives", func() bool { return s.dialer.Stats().Received == 2 })
	wantTimeout("read of what is there", readOne())
	ours.SetReadDeadline(time.Time{})
	if err := readOne(); err != nil {
		t.Error(err)
	}
	readOne()

	for name, f := range map[string]func() error{"read": readOne, "write": fill} {
		ours.SetDeadline(time.Time{})
		done := make(chan error)
		go func() { done <- f() }()
		if name == "write" {
			until(t, "the window fills", func() bool { return s.peer.Stats().Received == protocolWindow })
		}
		ours.SetDeadline(time.Now().Add(time.Hour))
		ours.SetDeadline(time.Now().Add(time.Millisecond))
		wantTimeout("blocked "+name, <-done)
		ours.SetDeadline(time.Unix(1, 0))
		wantTimeout("long passed "+name, f())
	}
}

func TestWritesDoNotMix(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	const size = 3*partSize + 17
	for i := range 4 {
		go ours.Write(bytes.Repeat([]byte{byte(i)}, size))
	}
	got := make([]byte, size)
	for range 4 {
		if _, err := io.ReadFull(theirs, got); err != nil {
			t.Fatal(err)
		}
		if bytes.Count(got, got[:1]) != size {
			t.Error("two writes are mixed")
		}
	}
}

// TestConcurrentMethods lets the race detector look at every pair of methods.
func TestConcurrentMethods(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	go io.Copy(theirs, theirs)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { ours.Read(make([]byte, 100)) })
		wg.Go(func() { ours.Write(make([]byte, 100)) })
		wg.Go(func() { ours.SetDeadline(time.Now().Add(time.Hour)) })
		wg.Go(func() { ours.SetReadDeadline(time.Time{}) })
		wg.Go(func() { _, _, _ = ours.ID(), ours.LocalAddr(), ours.RemoteAddr() })
		wg.Go(func() { s.dialer.Stats() })
	}
	wg.Wait()
	for range 4 {
		wg.Go(func() { ours.CloseWrite() })
		wg.Go(func() { ours.Close() })
		wg.Go(func() { ours.Reset() })
	}
	wg.Wait()
}
