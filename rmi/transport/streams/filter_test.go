package streams

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// frame returns the bytes of a frame, written by hand: a raw peer.
func frame(t frameType, flags uint16, id, length uint32, data ...byte) []byte {
	h := makeHeader(t, flags, id, length)
	return append(h[:], data...)
}

// rawLane is an accepting lane whose peer is the test.
func rawLane(t *testing.T, c Config) (*Lane, func() []byte) {
	var mu sync.Mutex
	var sent []byte
	c.Send = func(b []byte) error {
		mu.Lock()
		defer mu.Unlock()
		sent = append(sent, b...)
		return nil
	}
	l := New(c)
	t.Cleanup(func() { l.Close(nil) })
	return l, func() []byte { mu.Lock(); defer mu.Unlock(); return slices.Clone(sent) }
}

func TestHostileFrames(t *testing.T) {
	open := frame(typeWindowUpdate, flagSYN, 1, 0)
	full := frame(typeData, 0, 1, protocolWindow, make([]byte, protocolWindow)...)
	many := func(n int, f func(i int) []byte) (b []byte) {
		for i := range n {
			b = append(b, f(i)...)
		}
		return b
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		want  string // in the error; empty if the bytes are legal
	}{
		{"version", []byte{1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, "version 1"},
		{"type", frame(9, 0, 0, 0), "type 9"},
		{"unknown flag", frame(typeData, 16, 1, 0), "flags 0x10"},
		{"stream 0", frame(typeData, flagSYN, 0, 0), "stream 0"},
		{"our parity", frame(typeData, flagSYN, 2, 0), "ours to give"},
		{"never opened", frame(typeData, 0, 1, 0), "stream 1, which was never opened"},
		{"never opened by us", frame(typeData, 0, 2, 0), "stream 2, which was never opened"},
		{"opened twice", slices.Concat(open, open), "opened stream 1 after stream 1"},
		{"not monotonic", slices.Concat(frame(typeData, flagSYN, 7, 0), frame(typeData, flagSYN, 5, 0)), "stream 5 after stream 7"},
		{"opened and acknowledged", frame(typeData, flagSYN|flagACK, 1, 0), "flags 0x3"},
		{"opened and reset", frame(typeData, flagSYN|flagRST, 1, 0), "flags 0x9"},
		{"acknowledges its own", slices.Concat(open, frame(typeData, flagACK, 1, 0)), "acknowledged without need"},
		{"huge frame", slices.Concat(open, frame(typeData, 0, 1, 1<<31)), "larger than any window"},
		{"huge frame for nobody", frame(typeData, flagSYN, 1, 1<<31), "larger than any window"},
		{"full window", slices.Concat(open, full), ""},
		{"window overflow", slices.Concat(open, full, frame(typeData, 0, 1, 1)), "1 bytes of data in a window of 0"},
		{"window update overflow", slices.Concat(open, many(2, func(int) []byte { return frame(typeWindowUpdate, 0, 1, 1<<30) })), "overflows"},
		{"ended twice", slices.Concat(open, many(2, func(int) []byte { return frame(typeData, flagFIN, 1, 0) })), "ended twice"},
		{"data after the end", slices.Concat(open, frame(typeData, flagFIN, 1, 0), frame(typeData, 0, 1, 1)), "data after its end"},
		{"window update after the end", slices.Concat(open, frame(typeData, flagFIN, 1, 0), frame(typeWindowUpdate, 0, 1, 5)), ""},
		{"data after a reset crossed it", slices.Concat(open, frame(typeData, flagRST, 1, 0), frame(typeData, 0, 1, 2, 'a', 'b'), frame(typePing, flagSYN, 0, 1)), ""},
		{"reset with data", slices.Concat(open, frame(typeData, flagRST, 1, 2, 'a', 'b'), frame(typePing, flagSYN, 0, 1)), ""},
		{"as many streams as fit", many(8, func(i int) []byte { return frame(typeData, flagSYN, uint32(2*i+1), 0) }), ""},
		{"too many streams", many(9, func(i int) []byte { return frame(typeData, flagSYN, uint32(2*i+1), 0) }), "more than 8 streams"},
		{"pings", many(pingBurst, func(i int) []byte { return frame(typePing, flagSYN, 0, uint32(i)) }), ""},
		{"ping flood", many(1000, func(i int) []byte { return frame(typePing, flagSYN, 0, uint32(i)) }), "flood of pings"},
		{"ping of a stream", frame(typePing, flagSYN, 1, 0), "ping for stream 1"},
		{"ping without flags", frame(typePing, 0, 0, 0), "flags 0x0"},
		{"unasked answer", frame(typePing, flagACK, 0, 0), "not sent"},
		{"go-away", frame(typeGoAway, 0, 0, 0), ""},
		{"go-away of a stream", frame(typeGoAway, 0, 3, 0), "stream 3"},
		{"go-away with flags", frame(typeGoAway, flagFIN, 0, 0), "flags 0x4"},
		{"go-away with a reason", frame(typeGoAway, 0, 0, 1), "reason 1"},
	} {
		for _, step := range []int{len(test.bytes), 1 + len(test.bytes)/1000, 5} {
			l, _ := rawLane(t, Config{MaxStreams: 8})
			var err error
			for part := range slices.Chunk(test.bytes, step) {
				if err = l.Feed(part); err != nil {
					break
				}
			}
			switch {
			case test.want == "" && err != nil:
				t.Errorf("%s, by %d: %v", test.name, step, err)
			case test.want != "" && (!errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("%s, by %d: error is %v, want %q in it", test.name, step, err, test.want)
			}
			if err != nil && !errors.Is(l.Feed(open), err) {
				t.Errorf("%s, by %d: the lane lives on", test.name, step)
			}
			l.Close(nil)
		}
	}
}

func TestHostileAnswers(t *testing.T) {
	for _, test := range []struct {
		name  string
		bytes []byte
		want  error
		text  string
	}{
		{"reset", frame(typeWindowUpdate, flagRST, 1, 0), ErrRefused, ""},
		{"acknowledged and reset", frame(typeWindowUpdate, flagACK|flagRST, 1, 0), ErrReset, ""},
		{"used before acknowledged", frame(typeWindowUpdate, 0, 1, 7), ErrProtocol, "before it was acknowledged"},
		{"acknowledged twice", slices.Concat(frame(typeWindowUpdate, flagACK, 1, 0), frame(typeWindowUpdate, flagACK, 1, 0)), ErrProtocol, "without need"},
		{"opened by the wrong end", frame(typeWindowUpdate, flagSYN, 3, 0), ErrProtocol, "ours to give"},
	} {
		l, _ := rawLane(t, Config{Dialer: true})
		opened := make(chan error)
		go func() { _, err := l.Open(t.Context()); opened <- err }()
		until(t, "the stream is open", func() bool { return l.Stats().Streams == 1 })
		fed := l.Feed(test.bytes)
		err := <-opened
		if test.want == ErrProtocol && err == nil { // acknowledged first
			err = fed
		}
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		l.Close(nil)
	}
}

func TestGoAwayEndsOpening(t *testing.T) {
	l, _ := rawLane(t, Config{})
	if err := l.Feed(frame(typeGoAway, 0, 0, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Open(t.Context()); !errors.Is(err, ErrGoingAway) {
		t.Errorf("Open: %v", err)
	}
}

func TestPingsAreAnswered(t *testing.T) {
	l, sent := rawLane(t, Config{})
	if err := l.Feed(frame(typePing, flagSYN, 0, 77)); err != nil {
		t.Fatal(err)
	}
	until(t, "the answer", func() bool { return bytes.Equal(sent(), frame(typePing, flagACK, 0, 77)) })
}

// Pings that are no flood are answered for ever. A pause saves up no more than a burst.
func TestPingsMayComeAgainAfterAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, _ := rawLane(t, Config{})
		ping := frame(typePing, flagSYN, 0, 77)
		for _, pause := range []time.Duration{0, 1, 3, 1000} { // in pingEvery
			time.Sleep(pause * pingEvery)
			may := min(int(pause), pingBurst)
			if pause == 0 {
				may = pingBurst
			}
			for i := range may {
				if err := l.Feed(ping); err != nil {
					t.Fatalf("ping %d after %d pauses: %v", i+1, pause, err)
				}
			}
		}
		if err := l.Feed(ping); !errors.Is(err, ErrProtocol) {
			t.Errorf("one more: %v", err)
		}
	})
}

func TestForeignFrames(t *testing.T) {
	// Another implementation may open with data, and end with it.
	l, _ := rawLane(t, Config{})
	if err := l.Feed(frame(typeData, flagSYN|flagFIN, 1, 5, []byte("hello")...)); err != nil {
		t.Fatal(err)
	}
	st, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(st); string(b) != "hello" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	l, _ := rawLane(t, Config{})
	l.Feed(frame(typeData, flagSYN, 1, protocolWindow, 'x'))
	st, err := l.Accept(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := st.Read(make([]byte, 10)); n != 1 || err != nil {
		t.Errorf("Read = %d, %v; a byte of an unfinished frame is readable", n, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state.in.Cap() > 4096 {
		t.Errorf("in buffer has %d bytes", l.state.in.Cap())
	}
}

func TestBoundBeforeYamux(t *testing.T) {
	l, _ := rawLane(t, Config{Buffer: 100_000})
	chunk := frame(typeData, flagSYN, 1, 120_000, make([]byte, 120_000)...)
	err := l.Feed(chunk) // in one piece, so that yamux takes nothing meanwhile
	if !errors.Is(err, ErrProtocol) || !strings.Contains(err.Error(), "100000 bytes wait") {
		t.Errorf("Feed: %v", err)
	}
}

func TestResetGivesTheSlotBack(t *testing.T) {
	l, _ := rawLane(t, Config{})
	err := l.Feed(slices.Concat(frame(typeWindowUpdate, flagSYN, 1, 0), frame(typeWindowUpdate, flagRST, 1, 0)))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "yamux let go of the stream", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.state.slots == 0 && len(l.state.arriving) == 0
	})
}

// TestRapidReset opens and resets streams in one breath, while nobody reads
// what the lane answers.
func TestRapidReset(t *testing.T) {
	over := make(chan struct{})
	l := New(Config{Send: func([]byte) error { <-over; return errSessionOver }})
	var id uint32 = 1
	var err error
	for ; err == nil && id < 1_000_000; id += 2 {
		err = l.Feed(slices.Concat(frame(typeWindowUpdate, flagSYN, id, 0), frame(typeWindowUpdate, flagRST, id, 0)))
		l.mu.Lock()
		slots, queued := l.state.slots, len(l.state.out)+l.state.sending
		l.mu.Unlock()
		if slots > l.c.MaxStreams || queued > outSize+answersSize+headerSize {
			t.Fatalf("%d slots, %d bytes queued", slots, queued)
		}
	}
	if !errors.Is(err, ErrProtocol) {
		t.Errorf("%d streams later: %v", id/2, err)
	}
	close(over)
	l.Close(nil)
}

func FuzzFeed(f *testing.F) {
	f.Add([]byte{0}, false)
	f.Add(frame(typeData, flagSYN, 1, 3, 'a', 'b', 'c'), false)
	f.Add(slices.Concat(frame(typeWindowUpdate, flagSYN, 1, 0), frame(typeData, flagFIN, 1, 1, 'x'), frame(typePing, flagSYN, 0, 9)), false)
	f.Add(slices.Concat(frame(typeData, flagSYN|flagFIN, 1, 0), frame(typeData, flagRST, 1, 4, 1, 2, 3, 4)), false)
	f.Add(slices.Concat(frame(typeWindowUpdate, flagACK, 1, 100), frame(typeWindowUpdate, flagFIN, 1, 0)), true)
	f.Add(slices.Concat(frame(typeWindowUpdate, flagRST, 1, 100), frame(typeGoAway, 0, 0, 0)), true)
	f.Add(frame(typeData, flagSYN, 1, 1<<31), false)
	f.Fuzz(func(t *testing.T, b []byte, opens bool) {
		l, _ := rawLane(t, Config{Dialer: opens, MaxStreams: 4, Buffer: 1 << 16})
		opened := make(chan struct{})
		go func() {
			defer close(opened)
			if opens {
				if st, err := l.Open(t.Context()); err == nil {
					st.Write([]byte("hello"))
					st.Close()
				}
			}
		}()
		if opens {
			until(t, "the stream is open", func() bool { return l.Stats().Streams == 1 })
		}
		// Wherever they are cut, the bytes mean the same.
		step := 1
		if len(b) > 0 {
			step += int(b[len(b)-1]) % 16
		}
		for part := range slices.Chunk(b, step) {
			if err := l.Feed(part); err != nil {
				if !errors.Is(err, ErrProtocol) {
					t.Errorf("Feed: %v", err)
				}
				break
			}
		}
		if s := l.Stats(); s.Streams > 4 {
			t.Errorf("%+v", s)
		}
		l.mu.Lock()
		if l.state.in.Len() > 1<<16+MaxChunk {
			t.Errorf("%d bytes wait for yamux", l.state.in.Len())
		}
		l.mu.Unlock()
		l.Close(nil)
		<-opened
	})
}
