package streams

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// Stream is a flow-controlled sequence of bytes in each direction. It is safe
// for concurrent use; concurrent writes do not mix.
//
// Read returns io.EOF only when the peer ended its direction and everything
// before that was read. A reset discards what is under way in both directions.
// Write returns when the bytes are queued; a peer that does not read stops it
// once the window is full. Deadlines give os.ErrDeadlineExceeded.
type Stream interface {
	net.Conn
	// CloseWrite ends our direction; the peer reads the rest, then io.EOF.
	CloseWrite() error
	// Reset ends both directions at once; the peer fails with ErrReset. It is
	// for abandoning a stream: after Close the peer's writes wait for a reader
	// that is gone, until Config.CloseTimeout.
	Reset() error
	// ID is the stream's number: the same at both ends, used once in a session.
	ID() uint32
}

// shrinkAfter is how many bytes pass before an empty receive buffer is given
// back: yamux would keep its largest for as long as the stream lives.
const shrinkAfter = 1 << 20

// stream is one stream: its state on the wire and what its users see.
type stream struct {
	lane   *Lane
	remote bool          // the peer opened it
	y      *yamux.Stream // set before users get the stream

	reading sync.Mutex // held by one Read at a time; taken before lane.mu

	// Guarded by lane.mu.
	id         uint32
	acked      bool // the opener knows that the other end has the stream
	finIn      bool // the peer ended its direction
	finOut     bool // this side's end is queued
	ended      bool // off the wire: reset, or both directions ended
	failure    error
	recvWindow uint64 // bytes that the peer may still send
	sendWindow uint64 // bytes that may still be sent
	received   uint64 // bytes that went to yamux
	consumed   uint64 // bytes of them that Read returned
	unshrunk   uint64 // bytes read since the last shrink

	changed       notice // anything that Open or Write waits for
	writing       bool   // a Write or an end is under way
	wants         int    // bytes for which the writer waits in lane.waiting
	admitted      bool   // they are reserved
	writeClosed   bool
	closed        bool
	readDeadline  time.Time
	writeDeadline time.Time
	linger        *time.Timer // resets the stream if the peer does not end it
}

var _ Stream = (*stream)(nil)

func (s *stream) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	l := s.lane
	for {
		l.mu.Lock()
		err := s.readableLocked()
		l.mu.Unlock()
		if err != nil || len(b) == 0 {
			return 0, err
		}
		n, err := s.y.Read(b)
		if errors.Is(err, yamux.ErrConnectionWriteTimeout) {
			l.fail(fmt.Errorf("stream lane: %w", err))
		}
		switch {
		case n > 0:
			s.consume(n)
			return n, nil
		case err == yamux.ErrTimeout:
			// The deadline passed, unless it was moved in the meantime.
		case err != nil:
			return 0, s.readFailure(err)
		}
	}
}

// readableLocked returns why nothing may be read, even if there is something.
func (s *stream) readableLocked() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case passed(s.readDeadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (s *stream) consume(n int) {
	s.lane.mu.Lock()
	s.consumed += uint64(n)
	s.unshrunk += uint64(n)
	shrink := s.consumed == s.received && s.unshrunk >= shrinkAfter
	if shrink {
		s.unshrunk = 0
	}
	s.lane.mu.Unlock()
	if shrink {
		s.y.Shrink()
	}
}

// readFailure says what an error of yamux' Read means: its end of file may be
// the end of the lane.
func (s *stream) readFailure(err error) error {
	l := s.lane
	l.mu.Lock()
	closed := s.closed
	complete := s.finIn && s.consumed == s.received
	l.mu.Unlock()
	switch {
	case closed:
		return net.ErrClosed
	case err == io.EOF && complete:
		return io.EOF
	}
	return s.whyFailed()
}

// whyFailed returns why yamux failed the stream: it was reset, or the lane is
// over, of which yamux may know first.
func (s *stream) whyFailed() error {
	l := s.lane
	l.mu.Lock()
	failure := s.failure
	l.mu.Unlock()
	if failure != nil {
		return failure
	}
	<-l.done
	return l.err
}

func (s *stream) Write(b []byte) (n int, err error) {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := s.beginLocked(s.writableLocked); err != nil {
		return 0, err
	}
	defer s.finishLocked()
	for len(b) > 0 {
		part, err := s.reserveLocked(len(b))
		if err != nil {
			return n, err
		}
		l.mu.Unlock()
		sent, err := s.y.Write(b[:part]) // does not wait: part is within the window
		if err != nil {
			if errors.Is(err, yamux.ErrConnectionWriteTimeout) {
				l.fail(fmt.Errorf("stream lane: %w", err))
			}
			err = s.whyFailed()
		}
		l.mu.Lock()
		l.reserved -= part
		l.admitLocked()
		n += sent
		b = b[sent:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// writableLocked returns why nothing may be written.
func (s *stream) writableLocked() error {
	switch {
	case s.writeClosed:
		return net.ErrClosed
	case s.failure != nil:
		return s.failure
	case s.lane.err != nil:
		return s.lane.err
	case passed(s.writeDeadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// beginLocked waits until nobody else writes, or until stop returns an error.
func (s *stream) beginLocked(stop func() error) error {
	for {
		if err := stop(); err != nil {
			return err
		}
		if !s.writing {
			s.writing = true
			return nil
		}
		s.waitLocked()
	}
}

func (s *stream) finishLocked() {
	s.writing = false
	s.changed.broadcast()
}

// reserveLocked waits until some of n bytes fit the window and the out buffer,
// and returns how many it reserved.
func (s *stream) reserveLocked(n int) (int, error) {
	l := s.lane
	for {
		err := s.writableLocked()
		switch {
		case err != nil && s.admitted:
			l.reserved -= s.wants
			s.wants, s.admitted = 0, false
			l.admitLocked()
			return 0, err
		case err != nil:
			if i := slices.Index(l.waiting, s); i >= 0 {
				l.waiting = slices.Delete(l.waiting, i, i+1)
				s.wants = 0
				l.admitLocked() // who is next may want less
			}
			return 0, err
		case s.admitted:
			n = s.wants
			s.wants, s.admitted = 0, false
			return n, nil
		case s.wants == 0 && s.sendWindow > 0:
			s.wants = int(min(uint64(min(n, partSize)), s.sendWindow))
			l.waiting = append(l.waiting, s)
			l.admitLocked()
		default:
			s.waitLocked()
		}
	}
}

// waitLocked waits until the stream changed, the write deadline passed or the
// lane is over. lane.mu is let go meanwhile.
func (s *stream) waitLocked() {
	changed := s.changed.wait()
	deadline := s.writeDeadline
	s.lane.mu.Unlock()
	defer s.lane.mu.Lock()
	var timeout <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-changed:
	case <-timeout:
	case <-s.lane.done:
	}
}

func (s *stream) CloseWrite() error {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	s.endWritingLocked()
	return nil
}

// Close ends both directions. What was written still reaches the peer; what the
// peer wrote is lost. The second Close is no error.
func (s *stream) Close() error {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	if !s.closed {
		s.closeReadingLocked()
		if !s.ended && l.err == nil {
			l.wg.Add(1)
			s.linger = time.AfterFunc(l.c.CloseTimeout, s.abandon)
		}
		s.endWritingLocked()
	}
	return nil
}

func (s *stream) Reset() error {
	l := s.lane
	l.mu.Lock()
	defer l.mu.Unlock()
	s.closeReadingLocked()
	s.writeClosed = true
	l.resetLocked(s, net.ErrClosed)
	s.changed.broadcast()
	return nil
}

// closeReadingLocked fails reads, also one that waits in yamux.
func (s *stream) closeReadingLocked() {
	s.closed = true
	s.y.SetReadDeadline(time.Unix(1, 0))
}

// endWritingLocked has yamux end our direction once the Write under way is out
// of the way, which it is at once: it sees writeClosed.
func (s *stream) endWritingLocked() {
	if s.writeClosed {
		return
	}
	s.writeClosed = true
	s.changed.broadcast()
	for s.writing {
		changed := s.changed.wait()
		s.lane.mu.Unlock()
		<-changed
		s.lane.mu.Lock()
	}
	s.writing = true
	s.lane.mu.Unlock()
	s.y.Close()
	s.lane.mu.Lock()
	s.finishLocked()
}

// abandon resets a stream that was closed and that the peer did not end.
func (s *stream) abandon() {
	l := s.lane
	defer l.wg.Done()
	l.mu.Lock()
	defer l.mu.Unlock()
	s.linger = nil
	l.resetLocked(s, net.ErrClosed)
}

// stopLingerLocked stops the timer of Close, if it has not started to run.
func (s *stream) stopLingerLocked() {
	if s.linger != nil && s.linger.Stop() {
		s.lane.wg.Done()
	}
	s.linger = nil
}

func (s *stream) SetDeadline(t time.Time) error {
	return s.setDeadlines(t, &s.readDeadline, &s.writeDeadline)
}
func (s *stream) SetReadDeadline(t time.Time) error {
	return s.setDeadlines(t, &s.readDeadline)
}
func (s *stream) SetWriteDeadline(t time.Time) error {
	return s.setDeadlines(t, &s.writeDeadline)
}

func (s *stream) setDeadlines(t time.Time, deadlines ...*time.Time) error {
	s.lane.mu.Lock()
	defer s.lane.mu.Unlock()
	if s.closed {
		return net.ErrClosed
	}
	for _, d := range deadlines {
		*d = t
	}
	s.y.SetReadDeadline(s.readDeadline)
	s.changed.broadcast()
	return nil
}

func (s *stream) ID() uint32           { return s.id }
func (s *stream) LocalAddr() net.Addr  { return streamAddr(s.id) }
func (s *stream) RemoteAddr() net.Addr { return streamAddr(s.id) }

// streamAddr is the address of a stream: the connection's is the session's.
type streamAddr uint32

func (streamAddr) Network() string  { return "stream" }
func (a streamAddr) String() string { return fmt.Sprintf("stream %d", uint32(a)) }

func passed(deadline time.Time) bool {
	return !deadline.IsZero() && !time.Now().Before(deadline)
}

// notice is a condition variable that can be waited for together with timers
// and contexts. Lane.mu guards it.
type notice struct{ ch chan struct{} }

// wait returns a channel that the next broadcast closes.
func (n *notice) wait() <-chan struct{} {
	if n.ch == nil {
		n.ch = make(chan struct{})
	}
	return n.ch
}

func (n *notice) broadcast() {
	if n.ch != nil {
		close(n.ch)
		n.ch = nil
	}
}
