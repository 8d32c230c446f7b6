package transport

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Link is one connection of a session. What the two sides know of each other's
// calls is the session's, and outlives it; what is on its way is the link's, and
// is lost with it.
//
// Its goroutines, all ended by cut, are the reader (reader.go), the flusher
// (outbox.go), and those of the stream lane, once a stream was opened.
type Link struct {
	session  *Session
	epoch    wire.Epoch
	conn     net.Conn
	raw      net.Conn        // conn, or what is below its TLS layer
	polled   syscall.RawConn // of a socket that is read by readPolled; else nil
	lossy    bool            // conn may lose, double and reorder calls and returns
	attached any

	out      outbox
	lane     *streams.Lane
	lastRead atomic.Int64 // tick at which the last byte came in
	heard    atomic.Bool  // bytes came in while this side closes the session
	pinged   atomic.Int64 // tick of the last ping sent
	nudged   int64        // lastRead at the last nudge; the clock's

	order      order // of the calls that come, over datagrams; the reader's
	assembling int64 // bytes of payloads announced and not complete; the reader's

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

// Lossy is implemented by connections that may lose, double and reorder records
// of calls and returns, which the slots' sequence numbers make good again.
type Lossy interface{ Lossy() bool }

func (h *handshake) link(s *Session, epoch wire.Epoch) *Link {
	l := &Link{session: s, epoch: epoch, conn: h.conn, raw: h.conn, done: make(chan struct{}), gone: make(chan struct{})}
	if tc, ok := h.conn.(*tls.Conn); ok {
		l.raw = tc.NetConn()
	}
	if x, ok := h.conn.(Lossy); ok {
		l.lossy = x.Lossy()
	}
	t := h.t
	l.polled = polledOf(h.conn)
	try := newTry(h.conn)
	if x, ok := h.conn.(interface{ TryWrite([]byte) (int, error) }); ok {
		try = x.TryWrite
	}
	l.out.init(l, try, t.Limits.Pending, int(min(h.peers.Assembly, 1<<30)))
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

// Attached is what Config.OnLink made for the connection.
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
	if err := l.out.lock(context.Background(), time.Time{}); err != nil { // the keepalive bounds the wait
		if l.Err() == nil {
			// This side closes, and the peer takes nothing in any more. A lane that failed would
			// end the connection, perhaps before the peer has the close record.
			return nil
		}
		return err
	}
	l.out.small = append(wire.AppendStream(l.out.small, len(chunk)), chunk...)
	l.out.unlock(true)
	return nil
}

// send appends a call's frame, or queues its payload. again says that time has
// passed since the call was made. out.mu is held.
func (l *Link) send(sl *slot, r *Request, again bool) {
	sl.sent.Store(uint32(l.epoch))
	sl.sends++
	h := &r.Header
	if again {
		c := r.Header
		c.Timeout = uint64(max(time.Until(r.Deadline).Microseconds(), 0)) + 1
		h = &c
	}
	if h.Payload.Len() <= wire.MaxInline {
		l.out.small = wire.AppendCall(l.out.small, h, 0, l.out.extensions(r.Extensions))
		l.out.small = append(append(l.out.small, r.Table...), r.Body...)
		return
	}
	sl.body = &outBody{
		header: wire.AppendCall(nil, h, wire.FlagFragmented, r.Extensions),
		parts:  [2][]byte{r.Table, r.Body}, slot: sl.num, seq: sl.seq, done: make(chan struct{}),
	}
	l.out.queueBody(sl.body)
}

// cut ends the connection; the first reason stays. It does not wait.
func (l *Link) cut(err error) { l.cutAfter(err, nil) }

// cutAfter is cut, but that last, a close record, is sent before the end, if that can be
// done within closeTimeout. The flusher sends it (outbox.fail), and the reader closes the
// connection.
func (l *Link) cutAfter(err error, last []byte) {
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
		case l.polled != nil: // whoever cuts may be the reader, for which Close would wait
			_ = l.raw.SetDeadline(time.Unix(1, 0))
		case l.lossy: // may wait for what is under way to be acknowledged
			l.session.wg.Go(func() { l.raw.Close() }) // the reader, which has not ended, counts
		default:
			l.raw.Close() // not the TLS layer's Close, which waits to say goodbye
		}
	})
}

// run starts the connection's goroutines. They end with it; then the session
// goes on without, or ends.
func (l *Link) run() {
	l.flusher.Go(func() { l.out.flush(l.conn) })
	go func() {
		defer l.session.wg.Done() // attach added it
		over, err := l.read()
		if over {
			l.session.end(err)
		}
		l.cut(err)
		if l.polled != nil && !l.parting {
			l.raw.Close()
		}
		l.flusher.Wait()
		if l.parting {
			lingerClose(l.raw, l.partBy, lingerEnded)
			l.raw.Close()
		}
		l.lane.Close(l.err)
		l.acceptors.Wait()
		l.session.detach(l)
	}()
}

// onTick is the connection's part in the transport's clock.
func (l *Link) onTick(now int64) {
	s := l.session
	silent := time.Duration(now-l.lastRead.Load()) * tick
	ping := pingAfter
	if l.lossy && s.dialled {
		// Where there are no connections none ends with a process: its system tells only
		// who sends something, and then refuses.
		ping = pingLossyAfter
	}
	switch {
	case silent >= deadAfter:
		l.cut(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "no byte came from the peer for %v", deadAfter))
		return
	case time.Duration(l.out.stalled(now))*tick >= deadAfter:
		l.cut(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the peer took no byte for %v", deadAfter))
		return
	case silent >= ping && time.Duration(now-l.pinged.Load())*tick >= ping:
		l.pinged.Store(now)
		if err := l.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePing, uint64(now)) }); err != nil {
			s.end(err)
			return
		}
	}
	if last := l.lastRead.Load(); l.polled != nil && last < now && last != l.nudged && l.Err() == nil { // else lingerClose reads
		l.nudged = last
		_ = l.raw.SetReadDeadline(time.Unix(1, 0)) // see readPolled
	}
	if silent >= time.Second {
		l.out.trim()
	}
}
