package streams

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

const (
	// partSize is the largest part of a Write. With its header it fills a chunk.
	partSize = MaxChunk - headerSize
	// outSize is how many bytes all writers together may have queued for Send.
	outSize = 64 << 10
	// answersSize is how many more bytes may be queued by frames that nobody waits to send:
	// acknowledgements, window updates, resets, answers to pings.
	answersSize = 256 << 10
	// keepSize is the largest empty buffer that is retained.
	keepSize = 128 << 10
)

// buffers is the connection that yamux sees. Its Read waits for Feed. Its Write and Close do
// not wait.
type buffers struct{ lane *Lane }

var _ io.ReadWriteCloser = buffers{}

// Read passes filtered frames to yamux, and end of file when the lane is over.
func (b buffers) Read(p []byte) (int, error) {
	l := b.lane.lock()
	defer b.lane.mu.Unlock()
	for l.in.Len() == 0 && l.err == nil {
		if l.in.Cap() > keepSize {
			l.in = bytes.Buffer{}
		}
		l.inReady.Wait()
	}
	if l.err != nil {
		return 0, io.EOF
	}
	return l.in.Read(p)
}

// Write queues what yamux sends: a header, or the data that belongs to the last header.
func (b buffers) Write(p []byte) (int, error) {
	l := b.lane.lock()
	defer b.lane.mu.Unlock()
	if l.err == nil {
		l.enter(p)
	}
	if l.err != nil {
		return 0, l.err
	}
	return len(p), nil
}

// Close is called when yamux has shut down. That ends the lane.
func (b buffers) Close() error {
	b.lane.fail(io.ErrClosedPipe)
	return nil
}

// ledger is the state of the parser of what yamux writes. The filter needs the result: numbers,
// windows granted and ends sent.
type ledger struct {
	header header       // of data that yamux writes next
	left   int          // bytes of that data, 0 if a header is next
	stream *streamState // that the data belongs to; nil if it is dropped
}

// enter notes p and queues it. Frames of streams that have ended are dropped.
func (l *laneState) enter(p []byte) {
	g := &l.ledger
	if g.left > 0 {
		if len(p) != g.left {
			l.fail(fmt.Errorf("stream lane: yamux wrote %d bytes of data after announcing %d", len(p), g.left))
			return
		}
		if g.stream != nil && !g.stream.ended {
			l.out = append(l.out, g.header[:]...)
			l.out = append(l.out, p...)
			l.outReady.Signal()
		}
		g.left, g.stream = 0, nil
		return
	}
	if len(p) != headerSize {
		l.fail(fmt.Errorf("stream lane: yamux wrote a header of %d bytes", len(p)))
		return
	}
	h := header(p)
	if k := h.kind(); k != typeData && k != typeWindowUpdate {
		return // a go-away, which yamux sends only when the lane is over anyway
	}
	if h.flags()&flagSYN != 0 && l.next != nil {
		st := l.next
		l.next = nil
		st.id, st.recvWindow, st.sendWindow = h.stream(), protocolWindow, protocolWindow
		l.lastLocal = st.id
		l.streams[st.id] = st
	}
	st := l.streams[h.stream()]
	if h.kind() == typeData && h.length() > 0 {
		g.header, g.left, g.stream = h, int(h.length()), st
		if st != nil {
			st.sendWindow -= uint64(h.length())
		}
		return
	}
	if st == nil {
		return
	}
	if h.kind() == typeWindowUpdate {
		st.recvWindow += uint64(h.length())
	}
	l.queue(h)
	if h.flags()&flagFIN != 0 {
		st.finOut = true
		l.endIfDone(st)
	}
	if h.flags()&flagRST != 0 {
		st.failure = ErrReset
		l.end(st)
	}
}

// queue queues a frame without data. A peer that makes us answer, and does not read the
// answers, ends the lane.
func (l *laneState) queue(h header) {
	l.out = append(l.out, h[:]...)
	if len(l.out)+l.sending > outSize+answersSize {
		l.fail(violation("does not read what it makes us answer"))
		return
	}
	l.outReady.Signal()
}

// room reports whether n more bytes of data may be queued.
func (l *laneState) room(n int) bool {
	return len(l.out)+l.sending+l.reserved+n <= outSize
}

// admit gives room to the writers that wait for it, in order.
func (l *laneState) admit() {
	for len(l.waiting) > 0 && l.room(l.waiting[0].wants) {
		st := l.waiting[0]
		l.waiting = slices.Delete(l.waiting, 0, 1)
		l.reserved += st.wants
		st.admitted = true
		st.changed.broadcast()
	}
}

// flush passes what is queued to Config.Send until the lane is over.
func (l *Lane) flush() {
	var spare []byte
	for {
		s := l.lock()
		for len(s.out) == 0 && s.err == nil {
			s.outReady.Wait()
		}
		if s.err != nil {
			l.mu.Unlock()
			return
		}
		batch := s.out
		s.out, s.sending = spare, len(batch)
		l.mu.Unlock()

		for chunk := range slices.Chunk(batch, MaxChunk) {
			err := l.c.Send(chunk)
			over := l.lock().sent(len(chunk), err)
			l.mu.Unlock()
			if over {
				return
			}
		}
		spare = nil
		if cap(batch) <= keepSize {
			spare = batch[:0]
		}
	}
}

// sent notes that n bytes were sent, or that Send failed. It reports whether the lane is over.
func (l *laneState) sent(n int, err error) (over bool) {
	l.sending -= n
	if err != nil {
		l.fail(err)
	}
	l.admit()
	return l.err != nil
}
