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

// Stream is a flow-controlled sequence of bytes in each direction. It is safe for concurrent
// use. Concurrent writes do not mix.
//
// Read returns io.EOF only when the peer ended its direction and everything before that was
// read. A reset discards what is under way in both directions. Write returns when the bytes are
// queued. If the peer does not read, Write waits once the window is full. Deadlines give
// os.ErrDeadlineExceeded.
type Stream interface {
	net.Conn
	// CloseWrite ends our direction. The peer reads the rest, then io.EOF.
	CloseWrite() error
	// Reset ends both directions at once. The peer fails with ErrReset. Use it to abandon a
	// stream: after Close, the peer's writes would wait until Config.CloseTimeout for a reader
	// that is gone.
	Reset() error
	// ID is the stream's number. It is the same at both ends, and used once in a session.
	ID() uint32
}

// shrinkAfter is how many bytes pass before an empty receive buffer is given back. Otherwise
// yamux would retain its largest buffer as long as the stream lives.
const shrinkAfter = 1 << 20

// stream is what its users see of a stream.
type stream struct {
	owner *Lane
	y     *yamux.Stream // set before users get the stream

	reading sync.Mutex // held by one Read at a time; taken before Lane.mu

	state streamState // guarded by Lane.mu; reached only through lock, and from the lane's state
}

// streamState is the part of a stream that the lane's lock guards. Its methods need that lock.
type streamState struct {
	lane *laneState
	user *stream

	remote     bool // the peer opened it
	id         uint32
	acked      bool // the opener knows that the other end has the stream
	finIn      bool // the peer ended its direction
	finOut     bool // this side's end is queued
	ended      bool // no longer on the wire: reset, or both directions ended
	failure    error
	recvWindow uint64 // bytes that the peer may still send
	sendWindow uint64 // bytes that may still be sent
	received   uint64 // bytes that were passed to yamux
	consumed   uint64 // bytes of them that Read returned
	unshrunk   uint64 // bytes read since the last shrink

	changed       notice // wakes Open and Write
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

// lock returns the state. The caller may use it until it unlocks the lane's mu.
func (s *stream) lock() *streamState {
	s.owner.mu.Lock()
	return &s.state
}

func (s *stream) unlock() { s.owner.mu.Unlock() }

func (s *stream) Read(b []byte) (int, error) {
	s.reading.Lock()
	defer s.reading.Unlock()
	for {
		err := s.lock().readable()
		s.unlock()
		if err != nil || len(b) == 0 {
			return 0, err
		}
		n, err := s.y.Read(b)
		if errors.Is(err, yamux.ErrConnectionWriteTimeout) {
			s.owner.fail(fmt.Errorf("stream lane: %w", err))
		}
		switch {
		case n > 0:
			shrink := s.lock().consume(n)
			s.unlock()
			if shrink {
				s.y.Shrink()
			}
			return n, nil
		case err == yamux.ErrTimeout:
			// The deadline passed, unless it was moved in the meantime.
		case err != nil:
			return 0, s.readFailure(err)
		}
	}
}

// readable returns why nothing may be read, even if bytes are there.
func (s *streamState) readable() error {
	switch {
	case s.closed:
		return net.ErrClosed
	case passed(s.readDeadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

// consume notes that n bytes were read. It reports whether to give yamux' buffer back.
func (s *streamState) consume(n int) (shrink bool) {
	s.consumed += uint64(n)
	s.unshrunk += uint64(n)
	if shrink = s.consumed == s.received && s.unshrunk >= shrinkAfter; shrink {
		s.unshrunk = 0
	}
	return shrink
}

// readFailure returns what an error of yamux' Read means. An end of file may be the end of the
// lane.
func (s *stream) readFailure(err error) error {
	st := s.lock()
	closed := st.closed
	complete := st.finIn && st.consumed == st.received
	s.unlock()
	switch {
	case closed:
		return net.ErrClosed
	case err == io.EOF && complete:
		return io.EOF
	}
	return s.whyFailed()
}

// whyFailed returns why yamux failed the stream. It was reset, or the lane is over: yamux may
// learn that first.
func (s *stream) whyFailed() error {
	failure := s.lock().failure
	s.unlock()
	if failure != nil {
		return failure
	}
	return s.owner.why()
}

func (s *stream) Write(b []byte) (n int, err error) {
	if err := s.begin(); err != nil {
		return 0, err
	}
	defer s.finish()
	for len(b) > 0 {
		part, err := s.reserve(len(b))
		if err != nil {
			return n, err
		}
		sent, err := s.y.Write(b[:part]) // does not wait: part is within the window
		if err != nil {
			if errors.Is(err, yamux.ErrConnectionWriteTimeout) {
				s.owner.fail(fmt.Errorf("stream lane: %w", err))
			}
			err = s.whyFailed()
		}
		s.lock().lane.handedOver(part)
		s.unlock()
		n += sent
		b = b[sent:]
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// writable returns why nothing may be written.
func (s *streamState) writable() error {
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

// begin waits until nobody else writes, or until nothing may be written.
func (s *stream) begin() error {
	for {
		st := s.lock()
		begun, err := st.begin()
		if begun || err != nil {
			s.unlock()
			return err
		}
		news := st.news()
		s.unlock()
		s.wait(news)
	}
}

func (s *streamState) begin() (begun bool, err error) {
	if err := s.writable(); err != nil || s.writing {
		return false, err
	}
	s.writing = true
	return true, nil
}

func (s *stream) finish() {
	defer s.unlock()
	s.lock().finish()
}

func (s *streamState) finish() {
	s.writing = false
	s.changed.broadcast()
}

// reserve waits until some of n bytes fit the window and the out buffer. It returns how many it
// reserved.
func (s *stream) reserve(n int) (int, error) {
	for {
		st := s.lock()
		got, err := st.reserve(n)
		if got > 0 || err != nil {
			s.unlock()
			return got, err
		}
		news := st.news()
		s.unlock()
		s.wait(news)
	}
}

// reserve returns 0 if the stream has to wait.
func (s *streamState) reserve(n int) (int, error) {
	l := s.lane
	if err := s.writable(); err != nil {
		s.unreserve()
		return 0, err
	}
	if s.wants == 0 && s.sendWindow > 0 {
		s.wants = int(min(uint64(min(n, partSize)), s.sendWindow))
		l.waiting = append(l.waiting, s)
		l.admit()
	}
	if !s.admitted {
		return 0, nil
	}
	n = s.wants
	s.wants, s.admitted = 0, false
	return n, nil
}

// unreserve gives back what the stream reserved, or ends its wait for it.
func (s *streamState) unreserve() {
	l := s.lane
	if s.admitted {
		l.reserved -= s.wants
		s.wants, s.admitted = 0, false
		l.admit()
	} else if i := slices.Index(l.waiting, s); i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
		s.wants = 0
		l.admit() // the next may want less
	}
}

// handedOver notes that yamux has taken n reserved bytes.
func (l *laneState) handedOver(n int) {
	l.reserved -= n
	l.admit()
}

// news is what a writer waits for.
type news struct {
	changed  <-chan struct{}
	deadline time.Time // of the writer; zero: none
}

func (s *streamState) news() news { return news{s.changed.wait(), s.writeDeadline} }

// wait waits until there is news, the write deadline has passed or the lane is over.
func (s *stream) wait(n news) {
	var timeout <-chan time.Time
	if !n.deadline.IsZero() {
		timer := time.NewTimer(time.Until(n.deadline))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-n.changed:
	case <-timeout:
	case <-s.owner.done:
	}
}

func (s *stream) CloseWrite() error {
	st := s.lock()
	closed := st.closed
	ends := !closed && st.closeWriting()
	s.unlock()
	if closed {
		return net.ErrClosed
	}
	if ends {
		s.endWriting()
	}
	return nil
}

// Close ends both directions. What was written still reaches the peer. What the peer wrote is
// lost. A second Close is no error.
func (s *stream) Close() error {
	ends := s.lock().close()
	s.unlock()
	if ends {
		s.endWriting()
	}
	return nil
}

// close reports whether the caller must call endWriting.
func (s *streamState) close() (ends bool) {
	if s.closed {
		return false
	}
	s.closeReading()
	if l := s.lane; !s.ended && l.err == nil {
		l.wg.Add(1)
		s.linger = time.AfterFunc(l.c.CloseTimeout, s.user.abandon)
	}
	return s.closeWriting()
}

func (s *stream) Reset() error {
	defer s.unlock()
	s.lock().reset()
	return nil
}

func (s *streamState) reset() {
	s.closeReading()
	s.writeClosed = true
	s.lane.reset(s, net.ErrClosed)
	s.changed.broadcast()
}

// closeReading fails reads, including one that waits in yamux.
func (s *streamState) closeReading() {
	s.closed = true
	s.user.y.SetReadDeadline(time.Unix(1, 0))
}

// closeWriting fails writes. It reports whether the caller must call endWriting.
func (s *streamState) closeWriting() (ends bool) {
	ends = !s.writeClosed
	s.writeClosed = true
	s.changed.broadcast()
	return ends
}

// endWriting makes yamux end our direction, once the Write under way has returned. That Write
// returns at once, because it sees writeClosed.
func (s *stream) endWriting() {
	st := s.lock()
	for st.writing {
		changed := st.changed.wait()
		s.unlock()
		<-changed
		st = s.lock()
	}
	st.writing = true
	s.unlock()
	s.y.Close()
	s.finish()
}

// abandon resets a stream that was closed and that the peer did not end.
func (s *stream) abandon() {
	defer s.owner.wg.Done()
	defer s.unlock()
	s.lock().abandon()
}

func (s *streamState) abandon() {
	s.linger = nil
	s.lane.reset(s, net.ErrClosed)
}

// stopLinger stops the timer of Close, if it has not started to run.
func (s *streamState) stopLinger() {
	if s.linger != nil && s.linger.Stop() {
		s.lane.wg.Done()
	}
	s.linger = nil
}

func (s *stream) SetDeadline(t time.Time) error {
	defer s.unlock()
	st := s.lock()
	return st.setDeadlines(t, t)
}

func (s *stream) SetReadDeadline(t time.Time) error {
	defer s.unlock()
	st := s.lock()
	return st.setDeadlines(t, st.writeDeadline)
}

func (s *stream) SetWriteDeadline(t time.Time) error {
	defer s.unlock()
	st := s.lock()
	return st.setDeadlines(st.readDeadline, t)
}

func (s *streamState) setDeadlines(read, write time.Time) error {
	if s.closed {
		return net.ErrClosed
	}
	s.readDeadline, s.writeDeadline = read, write
	s.user.y.SetReadDeadline(read)
	s.changed.broadcast()
	return nil
}

func (s *stream) ID() uint32 {
	defer s.unlock()
	return s.lock().id
}

func (s *stream) LocalAddr() net.Addr  { return streamAddr(s.ID()) }
func (s *stream) RemoteAddr() net.Addr { return streamAddr(s.ID()) }

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
