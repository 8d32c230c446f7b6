package transport

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"gormi/rmi/audit"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Link is one connection of a session. What is on its way on the connection belongs to the
// link, and is lost with it. What the two sides know of each other's calls belongs to the
// session, and stays.
//
// Its goroutines are the reader (reader.go), the flusher (outbox.go), and those of the stream
// lane, once a stream was opened. cut ends all of them.
type Link struct {
	carrier
	session  *Session
	account  *account // on which it was accepted; nil: this node dialled
	epoch    wire.Epoch
	attached any

	out      outbox
	lane     *streams.Lane
	lastRead atomic.Int64 // tick at which the last byte came in
	heard    atomic.Bool  // bytes came in while this side closes the session
	pinged   atomic.Int64 // tick of the last ping sent
	nudged   int64        // lastRead at the last nudge; the clock's

	arrived    time.Time    // when the bytes came that are being looked at; zero: not asked for; the reader's
	order      order        // of the calls that come, over datagrams; the reader's
	assembling atomic.Int64 // bytes of payloads announced and not complete; the reader changes it
	pieces     atomic.Int64 // bytes that came of such payloads
	slow       slowness     // of them; the clock's

	cutOnce sync.Once
	err     error         // set before done is closed
	parting bool          // likewise: a close record is to be sent, until partBy
	partBy  time.Time     // likewise
	done    chan struct{} // closed by cut
	gone    chan struct{} // closed when no goroutine is left
	flusher sync.WaitGroup

	accepting bool           // acceptStreams runs: since the first record of the lane; the reader's
	acceptors sync.WaitGroup // acceptStreams and Config.OnStream; they end with the lane
}

func (h *handshake) link(s *Session, epoch wire.Epoch) *Link {
	l := &Link{carrier: h.carrier, session: s, epoch: epoch, done: make(chan struct{}), gone: make(chan struct{})}
	if a := l.raw.RemoteAddr(); a != nil {
		s.remote.Store(&a)
	}
	s.local.Store(l.local())
	t := h.t
	l.out.init(l, l.try, t.Limits.Pending, int(min(h.peers.Assembly, 1<<30)))
	l.lane = streams.New(streams.Config{
		Dialer: h.dialler, MaxStreams: min(t.Limits.Streams, int(h.peers.Streams)), Logger: t.Logger, Send: l.sendChunk,
	})
	l.lastRead.Store(t.now.Load())
	return l
}

// Session is the session that the connection is of.
func (l *Link) Session() *Session { return l.session }

// Epoch numbers the session's connections: it is larger for a newer one, and the
// same at both ends.
func (l *Link) Epoch() wire.Epoch { return l.epoch }

// Attached is what Config.OnConnect made for the connection.
func (l *Link) Attached() any { return l.attached }

// Done is closed when the connection is lost.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err tells why the connection is lost; nil while it is not.
func (l *Link) Err() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// OpenStream opens a stream on the connection's stream lane.
func (l *Link) OpenStream(ctx context.Context) (streams.Stream, error) {
	if l.session.noStreams {
		return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the peer takes no streams")
	}
	return l.lane.Open(ctx)
}

// acceptStreams hands the streams that the peer opens to Config.OnStream.
func (l *Link) acceptStreams() {
	for {
		st, err := l.lane.Accept(l.session.transport.ctx)
		if err != nil {
			return
		}
		l.acceptors.Go(func() { l.session.transport.OnStream(l, st) })
	}
}

// sendChunk gives a chunk of the stream lane to the outbox.
func (l *Link) sendChunk(chunk []byte) error {
	q, err := l.out.lock(context.Background(), time.Time{})
	if err != nil { // the keepalive bounds the wait
		if l.Err() == nil {
			// This side closes, and the peer takes nothing in any more. A lane that failed would
			// end the connection, perhaps before the peer has the close record.
			return nil
		}
		return err
	}
	q.small = append(wire.AppendStream(q.small, len(chunk)), chunk...)
	due := q.appended(true)
	l.out.mu.Unlock()
	l.out.do(due)
	return nil
}

// cut ends the connection; the first reason stays. It does not wait.
func (l *Link) cut(err error) { l.cutAfter(err, nil) }

// cutAfter is cut. If last, a close record, is not nil, the flusher sends it first
// (outbox.fail), for closeTimeout at most, and then the reader closes the connection.
func (l *Link) cutAfter(err error, last []byte) {
	guard.NoneHeld()
	l.cutOnce.Do(func() {
		l.err = err
		if last != nil {
			l.parting, l.partBy = true, time.Now().Add(closeTimeout)
			_ = l.raw.SetWriteDeadline(l.partBy)
		}
		close(l.done)
		if last != nil { // not before: readPolled takes what it is woken by for a nudge while done is open
			_ = l.raw.SetReadDeadline(time.Unix(1, 0)) // who read this may not be the reader
		}
		l.out.fail(err, last, time.Time{})
		switch {
		case last != nil:
		case l.closes == closeByReader:
			_ = l.raw.SetDeadline(time.Unix(1, 0))
		case l.closes == closeBeside:
			l.session.wg.Go(func() { l.raw.Close() }) // the reader, which has not ended, counts
		default:
			l.raw.Close() // not the TLS layer's Close, which waits to say goodbye
		}
	})
}

// run starts the connection's goroutines. When they have ended with it, the session goes on
// without a connection, or ends.
func (l *Link) run() {
	l.flusher.Go(func() { l.out.flush(l.conn) })
	go func() {
		defer l.session.wg.Done() // attach added it
		over, err := l.read()
		if over {
			l.session.end(err)
		}
		l.cut(err)
		if l.closes == closeByReader && !l.parting {
			l.raw.Close()
		}
		l.flusher.Wait()
		if l.parting {
			l.linger(l.partBy, lingerEnded)
			l.raw.Close()
		}
		l.lane.Close(l.err)
		l.acceptors.Wait()
		l.session.detach(l)
	}()
}

// slowness finds a peer that begins messages and does not send them, whose room others would
// have to do without.
type slowness struct {
	since, had int64 // tick and pieces of the last look at which there was progress
}

// slowBytes is what must come of payloads under assembly within deadAfter.
const slowBytes = 8 << 10

// looks notes what has come of the payloads under assembly, and reports whether that is too
// little for the time.
func (s *slowness) looks(now, assembling, pieces int64) bool {
	if assembling == 0 || s.since == 0 || pieces-s.had >= slowBytes {
		s.since, s.had = now, pieces
	}
	return time.Duration(now-s.since)*tick >= deadAfter
}

// onTick is the connection's part in the transport's clock. It sees to pings, and cuts a connection
// whose peer is silent, takes nothing, or sends a message too slowly.
func (l *Link) onTick(now int64) {
	s := l.session
	silent := time.Duration(now-l.lastRead.Load()) * tick
	ping := l.pingAfter(s.dialled)
	switch {
	case silent >= deadAfter:
		l.cut(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "no byte came from the peer for %v", deadAfter))
		return
	case time.Duration(l.out.stalled(now))*tick >= deadAfter:
		l.cut(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the peer took no byte for %v", deadAfter))
		return
	case l.slow.looks(now, l.assembling.Load(), l.pieces.Load()):
		err := fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "less than %d bytes of a message came in %v", slowBytes, deadAfter)
		s.noteOf(audit.QuotaExceeded, err)
		l.cut(err)
		return
	case silent >= ping && time.Duration(now-l.pinged.Load())*tick >= ping:
		l.pinged.Store(now)
		if err := l.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePing, uint64(now)) }); err != nil {
			s.end(err)
			return
		}
	}
	if last := l.lastRead.Load(); l.polled != nil && last < now && last != l.nudged && l.Err() == nil { // else linger reads
		l.nudged = last
		_ = l.raw.SetReadDeadline(time.Unix(1, 0)) // see readPolled
	}
	if silent >= time.Second {
		l.out.trim()
	}
}
