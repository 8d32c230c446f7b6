package streams

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// MaxChunk is the size of the largest chunk given to Config.Send, in bytes.
const MaxChunk = 32 << 10

// protocolWindow is the window that yamux' protocol gives every new stream.
const protocolWindow = 256 << 10

var (
	// ErrProtocol is wrapped by what Feed returns when the peer broke the protocol or a bound.
	// The text says how.
	ErrProtocol = errors.New("stream lane: peer broke the protocol")
	// ErrReset is what a stream fails with when the peer reset it.
	ErrReset = errors.New("stream was reset by the peer")
	// ErrRefused is what Open returns when the peer has no room for the stream.
	ErrRefused = errors.New("stream was refused by the peer: it has too many open")
	// ErrTooManyStreams is what Open returns when this side has no room.
	ErrTooManyStreams = errors.New("too many open streams: close some, or reuse them")
	// ErrGoingAway is what Open returns after the peer asked for no more streams.
	ErrGoingAway = errors.New("peer accepts no more streams")
	// ErrOpenTimeout is what Open returns when the peer did not answer within
	// Config.OpenTimeout. It is also an os.ErrDeadlineExceeded.
	ErrOpenTimeout = fmt.Errorf("peer did not acknowledge the stream: %w", os.ErrDeadlineExceeded)
)

// Config says how a lane works. Only Send is required.
type Config struct {
	// Dialer is true at the end that dialled the connection. The ends must differ.
	Dialer bool
	// MaxStreams bounds the open streams of both sides together. If zero, 256. The ends should
	// agree.
	MaxStreams int
	// Window is how many bytes of a stream may wait for their reader. It is at least 256 KiB,
	// which the protocol grants every stream. All streams together hold up to MaxStreams times
	// Window.
	Window uint32
	// Buffer bounds the bytes that were fed and that yamux has not taken yet. yamux takes them
	// as fast as it is scheduled, whether or not streams are read. If zero, 16 MiB, but never
	// more than MaxStreams times Window.
	Buffer int
	// OpenTimeout is how long Open waits for the peer's answer. If zero, 10 s.
	OpenTimeout time.Duration
	// CloseTimeout is how long a closed stream waits for the peer to end its
	// direction. After that it is reset, and the peer loses what it has not read.
	// If zero, five minutes.
	CloseTimeout time.Duration
	// Logger receives yamux' remarks. If nil they are dropped.
	Logger *slog.Logger
	// Send passes one chunk of at most MaxChunk bytes to the session's writer. It may block as
	// long as the connection is congested. It must not keep the chunk. It must return an error
	// once the session is over; that ends the lane. One goroutine calls it. It must not call
	// Close.
	Send func(chunk []byte) error
}

func (c Config) withDefaults() Config {
	if c.MaxStreams <= 0 {
		c.MaxStreams = 256
	}
	c.Window = max(c.Window, protocolWindow)
	if c.Buffer <= 0 {
		c.Buffer = 16 << 20
	}
	if most := uint64(c.MaxStreams) * uint64(c.Window); uint64(c.Buffer) > most {
		c.Buffer = int(most)
	}
	if c.OpenTimeout <= 0 {
		c.OpenTimeout = 10 * time.Second
	}
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Lane is one end of a session's stream lane. It is safe for concurrent use, except that chunks
// must be fed in order, so by one goroutine at a time.
type Lane struct {
	laneConfig
	starting sync.Once  // see start
	opening  sync.Mutex // held while a stream is put on the wire; taken before mu

	mu    sync.Mutex
	state laneState // guarded by mu, like the states of the streams; reached only through lock
}

// laneConfig is what does not change while a lane lives.
type laneConfig struct {
	c    Config
	done chan struct{} // closed when the lane is over, after err was set
	wg   sync.WaitGroup
}

// laneState is what the lock of a lane guards. Its methods need that lock.
type laneState struct {
	*laneConfig
	lane    *Lane // for new streams
	err     error // why the lane is over; nil while it is not
	session *yamux.Session

	// Streams that either end may still send frames for, by number.
	//   slots = local streams being opened or in streams
	//         + remote streams in streams or in arriving
	streams    map[uint32]*streamState
	slots      int
	remoteOpen int                     // streams opened by the peer, in streams
	arriving   map[uint32]*streamState // opened by the peer, not yet out of yamux
	next       *streamState            // the stream that yamux.Session.OpenStream is putting on the wire
	lastLocal  uint32                  // highest number that this end opened
	lastRemote uint32                  // highest number that the peer opened
	goingAway  bool                    // the peer wants no more streams

	backlog  []*streamState // out of yamux, waiting for Accept; all in slots
	arrivals notice         // backlog grew

	filter  filter
	in      bytes.Buffer // filtered frames on their way to yamux, whole
	inReady sync.Cond    // in grew, or the lane is over

	ledger   ledger
	out      []byte         // frames on their way to Send
	sending  int            // bytes that the sender took out of out and has not sent
	outReady sync.Cond      // out grew, or the lane is over
	reserved int            // bytes that writers are handing to yamux
	waiting  []*streamState // writers waiting for a reservation, first come first served

	remarks remarks
}

// New returns a lane. It is cheap: the first Open or Feed makes buffers, goroutines and yamux.
func New(c Config) *Lane {
	l := &Lane{laneConfig: laneConfig{c: c.withDefaults(), done: make(chan struct{})}}
	s := &l.state
	s.laneConfig, s.lane = &l.laneConfig, l
	s.inReady.L, s.outReady.L = &l.mu, &l.mu
	return l
}

// lock returns the state. The caller may use it until it unlocks mu.
func (l *Lane) lock() *laneState {
	l.mu.Lock()
	return &l.state
}

// Stats is what a lane holds at one moment.
type Stats struct {
	Streams  int // open streams, both directions
	Received int // bytes received and not yet read from open streams
	Queued   int // bytes written and not yet taken by Config.Send
}

// Stats returns what the lane holds.
func (l *Lane) Stats() Stats {
	s := l.lock()
	defer l.mu.Unlock()
	stats := Stats{Streams: len(s.streams), Queued: len(s.out) + s.sending}
	for _, st := range s.streams {
		stats.Received += int(st.received - st.consumed)
	}
	return stats
}

// Done is closed when the lane is over: it was closed, Send failed, or the peer broke the
// protocol. Then Close must be called.
func (l *Lane) Done() <-chan struct{} { return l.done }

// Feed takes the next chunk that arrived, copies what it keeps, and never waits.
// An error means that the lane is over. If it wraps [ErrProtocol], the peer is at
// fault and its session must end. Otherwise it is the reason that was passed to Close.
func (l *Lane) Feed(chunk []byte) error {
	l.start()
	s := l.lock()
	defer l.mu.Unlock()
	if s.err == nil {
		if err := s.take(chunk); err != nil {
			s.fail(err)
		}
	}
	return s.err
}

// Open opens a stream and returns when the peer's lane has acknowledged it. The peer's
// program need not have accepted it. The context bounds the opening only.
func (l *Lane) Open(ctx context.Context) (Stream, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	st, err := l.send()
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(l.c.OpenTimeout)
	defer timer.Stop()
	for {
		opened, changed, why := st.lock().opened(err)
		l.mu.Unlock()
		if opened || why != nil {
			return st.ifOpened(why)
		}
		select {
		case <-changed:
		case <-l.done:
		case <-ctx.Done():
			err = ctx.Err()
		case <-timer.C:
			err = ErrOpenTimeout
		}
	}
}

func (s *stream) ifOpened(err error) (Stream, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

// opened reports whether the peer acknowledged the stream. If not, changed is closed when that
// may have changed. why says that the peer will not acknowledge it, because of the lane, the
// peer, or err. If it is err, the stream is reset.
func (s *streamState) opened(err error) (opened bool, changed <-chan struct{}, why error) {
	switch {
	case s.lane.err != nil:
		return false, nil, s.lane.err
	case s.failure != nil:
		return false, nil, s.failure
	case s.acked:
		return true, nil, nil
	case err != nil:
		s.lane.reset(s, err)
		return false, nil, err
	}
	return false, s.changed.wait(), nil
}

// send makes yamux open a stream. The lane learns its number when yamux writes it.
func (l *Lane) send() (*stream, error) {
	l.opening.Lock()
	defer l.opening.Unlock()

	l.start()
	s := l.lock()
	st, err := s.beginOpen()
	session := s.session
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}

	y, err := session.OpenStream()

	s = l.lock()
	defer l.mu.Unlock()
	if s.next != nil { // it has no number yet
		s.next = nil
		s.slots--
	}
	if err != nil {
		if s.err != nil {
			err = s.err
		}
		return nil, err
	}
	st.user.y = y
	return st.user, nil
}

// beginOpen makes the stream that yamux opens next.
func (l *laneState) beginOpen() (*streamState, error) {
	switch {
	case l.err != nil:
		return nil, l.err
	case l.goingAway:
		return nil, ErrGoingAway
	case l.slots >= l.c.MaxStreams:
		return nil, ErrTooManyStreams
	}
	l.slots++
	l.next = l.newStream()
	return l.next, nil
}

// newStream returns a stream of the lane.
func (l *laneState) newStream() *streamState {
	st := &stream{owner: l.lane}
	st.state.user, st.state.lane = st, l
	return &st.state
}

// Accept waits for the next stream that the peer opened, and returns it. Streams
// wait in order. Meanwhile the peer may send as much on each as its window permits.
func (l *Lane) Accept(ctx context.Context) (Stream, error) {
	for {
		s := l.lock()
		st, err := s.accepted()
		arrivals := s.arrivals.wait()
		l.mu.Unlock()
		if st != nil || err != nil {
			return st.ifOpened(err)
		}
		select {
		case <-arrivals:
		case <-l.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// accepted removes the next stream from the backlog; nil if there is none.
func (l *laneState) accepted() (*stream, error) {
	if l.err != nil {
		return nil, l.err
	}
	if len(l.backlog) == 0 {
		return nil, nil
	}
	st := l.backlog[0]
	l.backlog[0] = nil
	l.backlog = l.backlog[1:]
	return st.user, nil
}

// Close ends the lane for the reason err; nil means net.ErrClosed. It waits for the lane's
// goroutines, so Send must return. Streams deliver what they have. Then they fail with err,
// unless the peer had ended them. Nothing is sent: the peer learns of it from its session.
// Close may be called again, also by the goroutine that feeds.
func (l *Lane) Close(err error) {
	if err == nil {
		err = net.ErrClosed
	}
	l.fail(err)
	session := l.lock().session
	l.mu.Unlock()
	if session != nil {
		session.Close()
	}
	l.wg.Wait()
}

func (l *Lane) fail(err error) {
	defer l.mu.Unlock()
	l.lock().fail(err)
}

// fail ends the lane. The first reason counts.
func (l *laneState) fail(err error) {
	if l.err != nil {
		return
	}
	l.err = err
	close(l.done)
	for _, st := range l.streams {
		st.stopLinger()
	}
	l.in, l.out, l.waiting, l.backlog = bytes.Buffer{}, nil, nil, nil
	l.inReady.Broadcast()
	l.outReady.Broadcast()
}

// why waits until the lane is over and returns the reason.
func (l *Lane) why() error {
	<-l.done
	defer l.mu.Unlock()
	return l.lock().err
}

// start sets up yamux and the lane's goroutines once.
func (l *Lane) start() {
	l.starting.Do(func() {
		over := l.lock().err != nil
		l.mu.Unlock()
		if over {
			return
		}
		c := &yamux.Config{
			AcceptBacklog:          l.c.MaxStreams,
			KeepAliveInterval:      time.Hour, // not enabled, but must not be zero
			ConnectionWriteTimeout: time.Hour, // its writes do not wait
			MaxStreamWindowSize:    l.c.Window,
			Logger:                 logger{l},
		}
		open := yamux.Server
		if l.c.Dialer {
			open = yamux.Client
		}
		session, err := open(buffers{l}, c)
		if err != nil {
			l.fail(err)
			return
		}
		if !l.lock().start(session) {
			defer session.Close() // after the unlock
		}
		l.mu.Unlock()
	})
}

// start notes the yamux session, unless the lane is over already.
func (l *laneState) start(session *yamux.Session) bool {
	if l.err != nil {
		return false
	}
	l.session = session
	l.streams = make(map[uint32]*streamState)
	l.arriving = make(map[uint32]*streamState)
	l.filter.pings = pingBurst
	l.wg.Go(func() { l.lane.accept(session) })
	l.wg.Go(l.lane.flush)
	return true
}

// accept takes streams out of yamux until yamux is closed. Then the lane ends.
func (l *Lane) accept(session *yamux.Session) {
	for {
		y, err := session.AcceptStream()
		if err != nil {
			l.fail(fmt.Errorf("stream lane: %w", err))
			return
		}
		l.lock().arrived(y)
		l.mu.Unlock()
	}
}

// arrived handles a stream that came out of yamux.
func (l *laneState) arrived(y *yamux.Stream) {
	st := l.arriving[y.StreamID()]
	delete(l.arriving, y.StreamID())
	st.user.y = y
	if st.ended {
		l.slots--
	} else if l.err == nil {
		l.backlog = append(l.backlog, st)
		l.arrivals.broadcast()
	}
}
