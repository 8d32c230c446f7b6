package transport

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Session is the talk between two nodes: one connection, used in both
// directions, whoever dialled.
//
// # Who does what
//
// Goroutines of a session, all ended by end and waited for by Done's closer:
//
//   - The reader (reader.go) takes records from the connection. It completes
//     calls, hands incoming ones to handlers, and appends what the transport
//     itself has to answer to the outbox. It never runs user code, never writes
//     and never waits for anything but the socket, so replies always get in and
//     a cycle of calls cannot stop at a reader.
//   - The flusher (outbox.go) writes what callers could not write themselves.
//   - The stream lane's, once a stream was opened (package streams), and those
//     that read streams which the peer opened (Config.OnStream). They end with
//     the lane.
//
// Callers run Call on their own goroutines; handlers are the transport's
// (workers.go), and the transport waits for them. The transport's clock ticks
// every session: keepalive, coarse deadlines, queued calls that are late.
//
// # Locks
//
// callTable.mu, callee.mu, outbox.mu, Turn.mu and the transport's own are
// leaves: none is held while another is taken, but for callee.mu over Turn.mu.
// No I/O, no user code and no logging under any of them.
//
// # The end
//
// end is the one place that decides that a session is over. The first error
// stays; callers in flight get it, contexts of handlers are cancelled, and the
// connection is closed, which brings the reader home. The reader's goroutine
// then waits for the others and takes the session out of the transport.
type Session struct {
	transport *Transport
	id        wire.SessionID
	peer      refs.NodeID
	peerTime  refs.Time
	host      string // by which this node reached the peer, or from which it was reached
	dialled   bool   // by this node
	conn      net.Conn
	raw       net.Conn // conn, or what is below its TLS layer
	attached  any
	limits    wire.Limits // of what the peer accepts

	calls    callTable
	callee   callee
	out      outbox
	lane     *streams.Lane
	lastRead atomic.Int64 // tick at which the last byte came in
	pinged   atomic.Int64 // tick of the last ping sent

	assembling int64        // bytes of payloads announced and not complete; the reader's
	held       atomic.Int64 // bytes of assembled payloads not used yet

	done     chan struct{} // closed by end
	gone     chan struct{} // closed when no goroutine is left
	endOnce  sync.Once
	err      error                       // set before done is closed
	closing  atomic.Pointer[fault.Error] // why this node closes the session; then that is err
	goingOff atomic.Bool
	peerOff  atomic.Bool // the peer said goaway
	flushers sync.WaitGroup

	noStreams bool           // the peer announced none
	accepting bool           // acceptStreams runs: since the first record of the lane; the reader's
	acceptors sync.WaitGroup // acceptStreams and Config.OnStream; they end with the lane
}

// Peer is the node at the other end.
func (s *Session) Peer() refs.NodeID { return s.peer }

// PeerHost is the host by which this node reached the peer or saw it come
// from; it completes references that the peer sends with a blank host.
func (s *Session) PeerHost() string { return s.host }

// PeerMessage is how many bytes of one message the peer accepts.
func (s *Session) PeerMessage() int { return s.limits.Message }

// Attached is what Config.Attach made for the session.
func (s *Session) Attached() any { return s.attached }

// ID names the session.
func (s *Session) ID() wire.SessionID { return s.id }

// Done is closed when the session is over.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err tells why the session is over; nil while it is not.
func (s *Session) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

func (s *Session) live() bool {
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// OpenStream opens a stream on the session's stream lane.
func (s *Session) OpenStream(ctx context.Context) (streams.Stream, error) {
	if s.noStreams {
		return nil, fault.New(fault.Invalid, fault.NotExecuted, "the peer takes no streams")
	}
	return s.lane.Open(ctx)
}

// acceptStreams hands the streams that the peer opens to Config.OnStream.
func (s *Session) acceptStreams() {
	for {
		st, err := s.lane.Accept(s.transport.ctx)
		if err != nil {
			return
		}
		s.acceptors.Go(func() { s.transport.OnStream(s, st) })
	}
}

// Call sends a request and waits for its reply, at most until r.Deadline or
// the end of ctx. On success the caller must Release the reply. An error is a
// *fault.Error with kind and outcome.
func (s *Session) Call(ctx context.Context, r *Request) (Reply, error) {
	sl, err := s.roundTrip(ctx, r)
	if err != nil {
		return Reply{}, err
	}
	t := sl.payload.Table
	return Reply{
		Failed: sl.failed, References: sl.payload.References,
		Table: sl.buf[:t:t], Body: sl.buf[t:], table: &s.calls, slot: sl,
	}, nil
}

// roundTrip returns the slot that holds the reply.
func (s *Session) roundTrip(ctx context.Context, r *Request) (*slot, error) {
	h := &r.Header
	size := len(r.Table) + len(r.Body)
	if size > s.limits.Message {
		return nil, fault.New(fault.TooLarge, fault.NotExecuted, "%d bytes of arguments: the peer accepts %d in one message", size, s.limits.Message)
	}
	if r.References > s.limits.References {
		return nil, fault.New(fault.TooLarge, fault.NotExecuted, "%d references among the arguments: the peer accepts %d in one message", r.References, s.limits.References)
	}
	if s.peerOff.Load() && h.Depth == 0 {
		return nil, fault.New(fault.PeerGone, fault.NotExecuted, "the peer is shutting down and takes no new calls")
	}
	if h.Depth > 0 {
		if c, ok := ctx.Value(callKey{}).(*callContext); ok {
			c.nested.Add(1)
			defer c.nested.Add(-1)
		}
	}
	left := time.Until(r.Deadline)
	if left <= 0 {
		return nil, notSent(context.DeadlineExceeded)
	}
	if err := ctx.Err(); err != nil {
		return nil, notSent(err)
	}
	until := time.Time{} // when waiting before the call is sent ends, besides with ctx
	if r.Coarse {
		if until = r.Deadline; size > wire.MaxInline {
			// The clock's cancel could overtake a fragment, and a timer is nothing beside such a body.
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, r.Deadline)
			defer cancel()
		}
	}
	sl, err := s.calls.acquire(ctx, h.Depth > 0, until)
	if err != nil {
		return nil, notSent(err)
	}
	h.Slot, h.Seq, h.Timeout = sl.num, sl.seq, uint64(left.Microseconds())+1
	h.Payload = wire.Payload{References: uint32(r.References), Table: uint32(len(r.Table)), Body: uint32(len(r.Body))}
	done := sl.done
	var body *outBody
	if size <= wire.MaxInline {
		if err := s.out.lock(ctx, until); err != nil {
			return nil, s.unsent(sl, done, err)
		}
		s.out.small = wire.AppendCall(s.out.small, h, 0, r.Extensions)
		s.out.small = append(append(s.out.small, r.Table...), r.Body...)
		crowd := sl.crowd
		if r.Coarse { // from here on the peer knows the call, so a cancel makes sense
			sl.expires.Store(s.transport.now.Load() + int64(left/tick) + 1)
		}
		s.out.unlock(crowd)
	} else {
		body = &outBody{
			header: wire.AppendCall(nil, h, wire.FlagFragmented, r.Extensions),
			parts:  [2][]byte{r.Table, r.Body}, slot: sl.num, seq: sl.seq,
		}
		if err := s.out.sendBody(body); err != nil {
			return nil, s.unsent(sl, done, err)
		}
	}

	var completed bool
	if ctx.Done() == nil {
		_, completed = <-done
	} else {
		select {
		case _, completed = <-done:
		case <-ctx.Done():
			if err, left := s.leave(ctx, sl, done, body); left {
				return nil, err
			}
			_, completed = <-done
		}
	}
	if !completed { // expire took the slot back
		return nil, fault.New(fault.Deadline, fault.Unknown, "no reply within the default deadline; give the context a longer one if the method needs it")
	}
	if body != nil {
		// The flusher may still look at the caller's bytes, for a moment: or for
		// longer, if the peer answered before it had them all.
		select {
		case <-body.done:
		case <-ctx.Done():
			s.out.abort(body)
			s.calls.release(sl)
			return nil, &fault.Error{Kind: notSent(ctx.Err()).Kind, Outcome: fault.Unknown, Err: ctx.Err()}
		}
	}
	if sl.err != nil {
		err := sl.err
		s.calls.release(sl)
		return nil, err
	}
	return sl, nil
}

// unsent gives back the slot of a call that could not be queued. If the
// session ended meanwhile, fail has completed the call already.
func (s *Session) unsent(sl *slot, done chan struct{}, err error) error {
	if s.calls.abandon(sl, done) {
		s.calls.unsent(sl)
	} else {
		<-done
		s.calls.release(sl)
	}
	return notSent(err)
}

// leave ends the wait for a call whose context is over. left is false if the
// call was completed at the same time: then its result counts.
func (s *Session) leave(ctx context.Context, sl *slot, done chan struct{}, body *outBody) (err error, left bool) {
	num, seq := sl.num, sl.seq
	if !s.calls.abandon(sl, done) {
		return nil, false
	}
	if body != nil {
		if !s.takeBack(sl, body) {
			return notSent(ctx.Err()), true
		}
	} else {
		s.sendCancel(num, seq)
	}
	e := notSent(ctx.Err())
	e.Outcome = fault.Unknown
	return e, true
}

// takeBack stops sending the payload of a call whose slot was abandoned. sent
// is false if nothing of the call was sent; then the slot is free again.
func (s *Session) takeBack(sl *slot, body *outBody) (sent bool) {
	sent, told := s.out.abort(body)
	switch {
	case !sent:
		s.calls.unsent(sl)
	case !told:
		s.sendCancel(body.slot, body.seq)
	}
	return sent
}

func (s *Session) sendCancel(num wire.Slot, seq wire.Seq) {
	s.out.control(func(b []byte) []byte { return wire.AppendCancel(b, num, seq) })
}

// notSent makes a call's error of err, for a call that was not sent.
func notSent(err error) *fault.Error {
	var f *fault.Error
	switch {
	case errors.As(err, &f):
		c := *f
		c.Outcome = fault.NotExecuted
		return &c
	case errors.Is(err, context.DeadlineExceeded):
		return &fault.Error{Kind: fault.Deadline, Outcome: fault.NotExecuted, Err: err}
	default:
		return &fault.Error{Kind: fault.Cancelled, Outcome: fault.NotExecuted, Err: err}
	}
}

// GoAway tells the peer that this node takes no new calls from outside; those
// in flight, and calls nested in them, go on.
func (s *Session) GoAway() {
	if s.goingOff.Swap(true) {
		return
	}
	_ = s.out.fromReader(func(b []byte) []byte {
		return wire.AppendNotice(b, wire.FrameGoAway, uint8(fault.PeerGone), "the node is shutting down")
	})
}

// Close tells the peer that the session is over, and ends it. Calls in flight
// fail with err.
func (s *Session) Close(err *fault.Error) {
	s.closing.CompareAndSwap(nil, err) // whatever the connection says from now on
	if s.live() {
		// The flusher gets a moment to write the notice; end closes the connection.
		_ = s.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		if s.out.fromReader(func(b []byte) []byte {
			return wire.AppendNotice(b, wire.FrameClose, uint8(fault.PeerGone), "the peer closed its node")
		}) == nil {
			s.out.drained(s.done)
		}
	}
	s.end(err)
}

// end ends the session: see the type's comment. It does not wait.
func (s *Session) end(err error) {
	s.endOnce.Do(func() {
		var f *fault.Error
		if c := s.closing.Load(); c != nil {
			f = c
		} else if !errors.As(err, &f) {
			f = connectionLost(err)
		}
		// A call that was on its way may have run.
		inFlight := *f
		inFlight.Outcome = fault.Unknown
		s.err = &inFlight
		close(s.done)
		s.calls.fail(s.err)
		s.out.fail(s.err)
		s.callee.cancelAll()
		s.raw.Close() // not the TLS layer's Close, which waits to say goodbye
	})
}

// run starts the session's goroutines. They end with the session; gone is
// closed after the last.
func (s *Session) run() {
	s.flushers.Go(func() { s.out.flush(s.conn) })
	go func() {
		err := s.read()
		s.end(err)
		s.calls.drop()
		s.callee.drop()
		s.flushers.Wait()
		s.lane.Close(s.err)
		s.acceptors.Wait()
		s.transport.ended(s)
		close(s.gone)
	}()
}

// onTick is the session's part in the transport's clock.
func (s *Session) onTick(now int64) {
	silent := time.Duration(now-s.lastRead.Load()) * tick
	switch {
	case silent >= deadAfter:
		s.end(fault.New(fault.PeerGone, fault.Unknown, "no byte came from the peer for %v", deadAfter))
		return
	case time.Duration(s.out.stalled(now))*tick >= deadAfter:
		s.end(fault.New(fault.PeerGone, fault.Unknown, "the peer took no byte for %v", deadAfter))
		return
	case silent >= pingAfter && time.Duration(now-s.pinged.Load())*tick >= pingAfter:
		s.pinged.Store(now)
		if err := s.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePing, uint64(now)) }); err != nil {
			s.end(err)
			return
		}
	}
	if cancels := s.calls.expire(now); cancels != nil {
		s.out.control(func(b []byte) []byte { return append(b, cancels...) })
	}
	s.callee.expire(s)
	if silent >= time.Second {
		s.out.trim()
		s.calls.trim()
	}
}
