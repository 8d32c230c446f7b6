package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"reflect"
	"runtime"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errSessionOver = errors.New("session over")

// pump carries one lane's chunks to the other as a session would: a few are on the way, then
// Send blocks. It can be stopped, as a congested connection is.
type pump struct {
	chunks  chan []byte
	over    chan struct{}
	stopped sync.Mutex // held while nothing moves
}

func (p *pump) send(chunk []byte) error {
	if len(chunk) > MaxChunk || len(chunk) == 0 {
		panic("chunk of a wrong size")
	}
	select {
	case p.chunks <- bytes.Clone(chunk):
		return nil
	case <-p.over:
		return errSessionOver
	}
}

func (p *pump) run(t *testing.T, to *Lane) {
	for {
		select {
		case chunk := <-p.chunks:
			p.stopped.Lock()
			err := to.Feed(chunk)
			p.stopped.Unlock()
			if errors.Is(err, ErrProtocol) {
				t.Errorf("Feed: %v", err)
			}
		case <-p.over:
			return
		}
	}
}

// session is two lanes joined by two pumps.
type session struct {
	t            *testing.T
	dialer, peer *Lane
	out, back    *pump // dialer to peer, and the other way
	end          func()
}

func newSession(t *testing.T, c Config) *session {
	s := &session{t: t}
	over := make(chan struct{})
	s.out = &pump{chunks: make(chan []byte, 2), over: over}
	s.back = &pump{chunks: make(chan []byte, 2), over: over}
	dialer, peer := c, c
	dialer.Dialer, dialer.Send = true, s.out.send
	peer.Send = s.back.send
	s.dialer, s.peer = New(dialer), New(peer)
	var wg sync.WaitGroup
	wg.Go(func() { s.out.run(t, s.peer) })
	wg.Go(func() { s.back.run(t, s.dialer) })
	s.end = sync.OnceFunc(func() {
		close(over)
		wg.Wait()
		s.dialer.Close(errSessionOver)
		s.peer.Close(errSessionOver)
	})
	t.Cleanup(s.end)
	return s
}

// open returns both ends of a new stream.
func (s *session) open() (ours, theirs Stream) {
	s.t.Helper()
	ours, err := s.dialer.Open(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	theirs, err = s.peer.Accept(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	if ours.ID() != theirs.ID() {
		s.t.Fatalf("opened stream %d, accepted %d", ours.ID(), theirs.ID())
	}
	return ours, theirs
}

// until lets others run until the condition holds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for !condition() {
		if t.Context().Err() != nil {
			t.Fatal(what)
		}
		runtime.Gosched()
	}
}

func noise(seed byte, n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{seed}).Read(b)
	return b
}

func TestTransferBothWays(t *testing.T) {
	for _, window := range []uint32{0, 1 << 20} {
		s := newSession(t, Config{Window: window})
		ours, theirs := s.open()
		const size = 8 << 20
		var wg sync.WaitGroup
		for i, end := range []Stream{ours, theirs} {
			wg.Go(func() {
				sent := noise(byte(i), size)
				if n, err := end.Write(sent); n != size || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
				if err := end.CloseWrite(); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				got, err := io.ReadAll(end)
				if err != nil || !bytes.Equal(got, noise(byte(1-i), size)) {
					t.Errorf("read %d bytes, %v; want the %d sent", len(got), err, size)
				}
			})
		}
		wg.Wait()
		until(t, "the stream ends", func() bool {
			return s.dialer.Stats() == Stats{} && s.peer.Stats() == Stats{}
		})
		ours.Close()
		theirs.Close()
	}
}

func TestIdleLaneCostsNothing(t *testing.T) {
	l := New(Config{Send: func([]byte) error { t.Error("sent"); return nil }})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Accept(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Accept: %v", err)
	}
	if l.state.session != nil {
		t.Error("yamux was set up")
	}
	l.Close(nil)
	if _, err := l.Open(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Open after Close: %v", err)
	}
	if err := l.Feed([]byte{0}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Feed after Close: %v", err)
	}
}

func TestManyStreams(t *testing.T) {
	s := newSession(t, Config{})
	var wg sync.WaitGroup
	for from, to := range map[*Lane]*Lane{s.dialer: s.peer, s.peer: s.dialer} {
		const streams = 100
		wg.Go(func() { // echo
			for range streams {
				st, err := to.Accept(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				wg.Go(func() {
					io.Copy(st, st)
					st.Close()
				})
			}
		})
		for i := range streams {
			wg.Go(func() {
				st, err := from.Open(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer st.Close()
				sent := noise(byte(i), 100_000)
				wg.Go(func() { st.Write(sent); st.CloseWrite() })
				got, err := io.ReadAll(st)
				if err != nil || !bytes.Equal(got, sent) {
					t.Errorf("stream %d: read %d bytes back, %v", st.ID(), len(got), err)
				}
			})
		}
	}
	wg.Wait()
	until(t, "all streams end", func() bool {
		return s.dialer.Stats().Streams+s.peer.Stats().Streams == 0
	})
}

func TestSlowReaderHoldsBackOnlyItsWriter(t *testing.T) {
	s := newSession(t, Config{})
	slow, slowReader := s.open()
	fast, fastReader := s.open()
	sent := noise(1, 4*protocolWindow)
	written := make(chan error)
	go func() { _, err := slow.Write(sent); written <- err }()
	until(t, "the window fills", func() bool { return s.peer.Stats().Received == protocolWindow })

	go fast.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(fastReader, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("the other stream: %v", err)
	}
	if r := s.peer.Stats().Received; r != protocolWindow {
		t.Errorf("%d bytes wait for the slow reader, want its window of %d", r, protocolWindow)
	}
	if q := s.dialer.Stats().Queued; q > outSize {
		t.Errorf("%d bytes are queued", q)
	}
	select {
	case err := <-written:
		t.Errorf("Write returned before anybody read: %v", err)
	default:
	}
	if _, err := io.ReadFull(slowReader, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the slow stream: %v", err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestCongestion(t *testing.T) {
	s := newSession(t, Config{})
	var streams []Stream
	for range 20 {
		st, _ := s.open()
		streams = append(streams, st)
	}
	s.out.stopped.Lock()
	var wg sync.WaitGroup
	for _, st := range streams {
		st.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
		wg.Go(func() {
			n, err := st.Write(make([]byte, protocolWindow))
			if !errors.Is(err, os.ErrDeadlineExceeded) || n == protocolWindow {
				t.Errorf("Write = %d, %v", n, err)
			}
		})
	}
	wg.Wait() // a congested connection does not keep a writer from its deadline
	if q := s.dialer.Stats().Queued; q > outSize+20*headerSize {
		t.Errorf("%d bytes are queued, want at most %d", q, outSize)
	}
	s.out.stopped.Unlock()
	st := streams[0]
	st.SetWriteDeadline(time.Time{})
	if _, err := st.Write([]byte("x")); err != nil {
		t.Errorf("after the congestion: %v", err)
	}
}

// TestSimultaneousOpensStayWithinTheBound opens as many streams as fit from both ends
// concurrently: some are refused, nothing breaks.
func TestSimultaneousOpensStayWithinTheBound(t *testing.T) {
	const most = 10
	s := newSession(t, Config{MaxStreams: most})
	for range 20 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		var open []Stream
		for _, l := range []*Lane{s.dialer, s.peer} {
			for range most {
				wg.Go(func() {
					st, err := l.Open(t.Context())
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err == nil:
						open = append(open, st)
					case errors.Is(err, ErrRefused) || errors.Is(err, ErrTooManyStreams):
					default:
						t.Error(err)
					}
				})
			}
		}
		wg.Wait()
		if len(open) > most {
			t.Errorf("%d streams are open", len(open))
		}
		for _, st := range open {
			st.Reset()
		}
		until(t, "the resets arrive", func() bool {
			s.dialer.mu.Lock()
			ours := s.dialer.state.slots
			s.dialer.mu.Unlock()
			s.peer.mu.Lock()
			defer s.peer.mu.Unlock()
			return ours+s.peer.state.slots == 0
		})
	}
}

func TestOpenTimesOut(t *testing.T) {
	sent := make(chan []byte, 10)
	l := New(Config{
		Dialer:      true,
		OpenTimeout: time.Millisecond,
		Send:        func(b []byte) error { sent <- bytes.Clone(b); return nil },
	})
	defer l.Close(nil)
	for range 3 { // the lane lives on
		_, err := l.Open(t.Context())
		if !errors.Is(err, ErrOpenTimeout) || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Open: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	l.c.OpenTimeout = time.Hour
	go func() {
		until(t, "the open is sent", func() bool { return l.Stats().Streams == 1 })
		cancel()
	}()
	if _, err := l.Open(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}
	if got := l.Stats().Streams; got != 0 {
		t.Errorf("%d streams are left", got)
	}
	// Acknowledgements that crossed the reset are nobody's fault.
	h := makeHeader(typeWindowUpdate, flagACK, 1, 0)
	if err := l.Feed(h[:]); err != nil {
		t.Errorf("late acknowledgement: %v", err)
	}
	if l.state.session.IsClosed() {
		t.Error("yamux was closed")
	}
	until(t, "yamux sees the resets", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.state.in.Len() == 0
	})
	l.Close(nil)
	for _, table := range []string{"inflight", "streams"} {
		if n := reflect.ValueOf(l.state.session).Elem().FieldByName(table).Len(); n != 0 {
			t.Errorf("yamux keeps %d entries in %s", n, table)
		}
	}
}

func TestCloseInTheMiddleIsNoEndOfFile(t *testing.T) {
	s := newSession(t, Config{})
	ours, theirs := s.open()
	ended, endedPeer := s.open()
	ended.Write([]byte("all"))
	ended.CloseWrite()
	ours.Write([]byte("some"))
	until(t, "the bytes arrive", func() bool { return s.peer.Stats().Received == 7 })
	until(t, "the end arrives", func() bool {
		s.peer.mu.Lock()
		defer s.peer.mu.Unlock()
		return endedPeer.(*stream).state.finIn && s.peer.state.in.Len() == 0
	})
	if _, err := s.peer.Open(t.Context()); err != nil { // yamux took what came before
		t.Fatal(err)
	}
	if _, err := s.dialer.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(theirs, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}

	blocked := make(chan error)
	go func() { _, err := ours.Read(make([]byte, 1)); blocked <- err }()
	full := make(chan error)
	go func() { _, err := ours.Write(make([]byte, 4*protocolWindow)); full <- err }()
	accepting := make(chan error)
	go func() {
		_, err := s.dialer.Accept(t.Context())
		accepting <- err
	}()
	until(t, "the writer blocks", func() bool { return s.peer.Stats().Received >= protocolWindow })
	s.end()
	for what, c := range map[string]chan error{"read": blocked, "write": full, "accept": accepting} {
		if err := <-c; !errors.Is(err, errSessionOver) {
			t.Errorf("blocked %s: %v", what, err)
		}
	}
	if _, err := io.ReadAll(theirs); !errors.Is(err, errSessionOver) {
		t.Errorf("a cut stream reads %v, want the session's error", err)
	}
	if _, err := theirs.Write([]byte("x")); !errors.Is(err, errSessionOver) {
		t.Errorf("write: %v", err)
	}
	if b, err := io.ReadAll(endedPeer); string(b) != "all" || err != nil {
		t.Errorf("a stream that had ended reads %q, %v", b, err)
	}
}

func TestSendErrorEndsTheLane(t *testing.T) {
	broken := errors.New("broken pipe")
	l := New(Config{Dialer: true, Send: func([]byte) error { return broken }})
	if _, err := l.Open(t.Context()); !errors.Is(err, broken) {
		t.Errorf("Open: %v", err)
	}
	<-l.Done()
	if err := l.Feed(nil); !errors.Is(err, broken) {
		t.Errorf("Feed: %v", err)
	}
	l.Close(nil)
	l.Close(nil)
}

// blockingHandler is a log handler that waits for each line to be read.
type blockingHandler struct {
	slog.Handler
	lines chan string
}

func (h blockingHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h blockingHandler) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool { h.lines <- a.Value.String(); return true })
	return nil
}

func TestLoggingIsBoundedAndBlocksNobody(t *testing.T) {
	lines := make(chan string)
	l, _ := rawLane(t, Config{Logger: slog.New(blockingHandler{slog.DiscardHandler, lines})})
	for range 2 * maxRemarks {
		logger{l}.Printf("said %d\n", 1)
	}
	for range maxRemarks {
		if line := <-lines; line != "said 1" {
			t.Errorf("logged %q", line)
		}
	}
	closed := make(chan struct{})
	go func() { l.Close(nil); close(closed) }()
	select {
	case line := <-lines:
		t.Errorf("logged %q past the bound", line)
	case <-closed:
	}
}
