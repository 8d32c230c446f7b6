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
	"gormi/rmi/internal/guard"
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// Session is what two nodes have in common, whichever of them dialled. Calls go both ways. A
// session has one connection at a time (Link) and outlives it. When a connection is lost, the
// session is detached. Then the side that dialled dials again, and the calls in flight go on
// (resume.go).
//
// # Who does what
//
// A link has these goroutines:
//
//   - The reader (reader.go) takes records from the connection. It completes calls, hands the
//     peer's calls to handlers, and appends the transport's own answers to the outbox. It never
//     runs user code, never writes, and waits for nothing but the socket. So replies always get
//     in, and a cycle of calls cannot stop at a reader. The reader ends last: it waits for the
//     others and detaches the session.
//   - The flusher (outbox.go) writes what callers could not write themselves.
//   - The stream lane has its own (package streams) once a stream was opened. So have the
//     streams that the peer opened (Config.OnStream). They end with the lane.
//
// A detached session has one goroutine, which dials, if this side has to dial.
//
// Callers run Call on their own goroutines. Handlers run on the transport's (workers.go), and
// the transport waits for them. The transport's clock ticks every session: for keepalive,
// coarse deadlines, queued calls that are late, and the lease of detached sessions.
//
// # Locks
//
// What a lock guards is a type of its own, lockedSession for instance, which only Lock returns
// (package guard). Code that needs the lock is a method of that type. It returns what is to be
// done after the lock. Whoever holds a lock takes another only where the table nestings
// (locks.go) says so. A build with the tag rmi_locks checks that whenever a lock is taken.
//
// No I/O and no logging is done under any lock, and no code of another layer runs: no Config
// function, no handler, no text of another package's error.
//
// # The end
//
// Only end decides that a session is over. The reasons are a breach of the protocol, a close
// record, the lease of a detached session, or this side's wish. The first error stays. Callers
// in flight get it, the contexts of handlers are cancelled, and the connection is cut. finish
// waits for the goroutines that are left and removes the session from the transport.
type Session struct {
	transport *Transport
	id        wire.SessionID
	peer      refs.NodeID
	peerTime  refs.Time
	principal string        // who the peer is: see peerPrincipal
	host      string        // with which this node reached the peer, or from which the peer dialled
	dialled   bool          // by this node
	endpoint  refs.Endpoint // that was dialled
	chosenBy  refs.Origin   // who chose the endpoint
	resumable bool          // both sides can resume it
	noStreams bool          // the peer announced none
	attached  any
	account   *account    // set before the session has a connection
	limits    wire.Limits // what the peer accepts

	link     atomic.Pointer[Link] // nil: detached
	remote   atomic.Pointer[net.Addr]
	local    atomic.Bool // the peer is on this machine: see carrier.local
	outbound outbound
	inbound  inbound
	held     atomic.Int64 // bytes of assembled payloads not used yet

	done     chan struct{}               // closed by end
	gone     chan struct{}               // closed when no goroutine is left
	err      error                       // set before done is closed
	closing  atomic.Pointer[fault.Error] // why this node closes the session; then that is err
	goingOff atomic.Bool
	peerOff  atomic.Bool // the peer sent goaway: replies are acknowledged at once
	changed  signal      // wakes drain

	mu guard.Mutex[lockedSession]

	wg sync.WaitGroup // the reader, or while there is none, the goroutine that dials
}

// lockedSession is the part of a session's state that concerns its connections. Its lock also
// allows storing Session.link.
type lockedSession struct {
	of        *Session
	over      bool          // end was called
	epoch     wire.Epoch    // of the newest connection
	dials     wire.Epoch    // number of the last attempt at one
	reached   string        // the address at which the dial for the newest ended; "" if it has no name
	attaching chan struct{} // closed when the connection under attachment is the session's; nil: there is none
	lost      error         // why there is no connection
	lostAt    time.Time     // when the session was detached
	since     int64         // the first tick after that: the time from it on has passed in full
	met       error         // error of the last attempt to dial since then; nil: none ended
	told      bool          // Config.OnAbsent was called since then
	connected chan struct{} // closed when there is a connection again; nil if nobody waits
	away      chan struct{} // closed when nobody waits for the peer any more; nil while there is a connection
}

// Peer is the node at the other end.
func (s *Session) Peer() refs.NodeID { return s.peer }

// PeerHost is the host with which this node reached the peer, or from which the peer dialled.
// References that the peer sends with a blank host get this host.
func (s *Session) PeerHost() string { return s.host }

// PeerMessage is the largest message that the peer accepts, in bytes.
func (s *Session) PeerMessage() int { return s.limits.Message }

// TakesStreams reports whether the peer announced that it takes streams.
func (s *Session) TakesStreams() bool { return !s.noStreams }

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

// Link is the connection that the session has now, or nil.
func (s *Session) Link() *Link { return s.link.Load() }

// Detached reports whether the connection is lost and there is no new one yet. A session that
// is about to get its first connection is not detached.
func (s *Session) Detached() bool {
	if s.link.Load() != nil {
		return false
	}
	st := s.mu.Lock()
	defer s.mu.Unlock()
	return s.link.Load() == nil && st.epoch != 0
}

// Call sends a request and waits for its reply, at most until r.Deadline or the end of ctx. On
// success the caller must Release the reply. An error is a *fault.Error with kind and outcome.
func (s *Session) Call(ctx context.Context, r *Request) (Reply, error) {
	sl, err := s.roundTrip(ctx, r)
	if err != nil || sl == nil {
		return Reply{}, err
	}
	if sl.blocks != nil {
		sl.buf, sl.blocks = mempool.Join(sl.blocks), nil
	}
	t := sl.payload.Table
	return Reply{
		Failed: sl.failed, References: sl.payload.References, Metadata: sl.metadata,
		Table: sl.buf[:t:t], Body: sl.buf[t:], Owned: sl.owned, table: &s.outbound, slot: sl,
	}, nil
}

// roundTrip returns the slot that holds the reply. It returns nil if the call is one-way and
// was sent.
func (s *Session) roundTrip(ctx context.Context, r *Request) (*slot, error) {
	h := &r.Header
	size := len(r.Table) + len(r.Body)
	if size > s.limits.Message {
		return nil, fault.New(fault.KindTooLarge, fault.OutcomeNotExecuted, "%d bytes of arguments: the peer accepts %d in one message (its Options.Limits.Message)", size, s.limits.Message)
	}
	if r.References > s.limits.References {
		return nil, fault.New(fault.KindTooLarge, fault.OutcomeNotExecuted, "%d references among the arguments: the peer accepts %d in one message (its Options.Limits.References)", r.References, s.limits.References)
	}
	if s.peerOff.Load() && h.Depth == 0 {
		return nil, fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the peer is shutting down and takes no new calls")
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
	until := time.Time{} // when the wait before the call is sent ends, if ctx does not end it
	if r.Coarse {
		if until = r.Deadline; size > wire.MaxInline || r.OneWay {
			// A cancel by the clock could overtake a fragment. Beside such a body a timer costs
			// nothing.
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadline(ctx, r.Deadline)
			defer cancel()
		}
	}
	h.Timeout = uint64(left.Microseconds()) + 1
	h.Payload = wire.Payload{References: uint32(r.References), Table: uint32(len(r.Table)), Body: uint32(len(r.Body))}
	sl, err := s.outbound.acquire(ctx, r, until)
	if err != nil {
		return nil, notSent(err)
	}
	done := sl.done
	if r.OneWay {
		return nil, s.sendOneWay(ctx, sl, r)
	}
	if err := s.send(ctx, sl, r, left, until); err != nil {
		if err, left := s.leave(sl, done, err); left {
			return nil, err
		}
	}

	var givenUp error
	if ctx.Done() == nil {
		givenUp = <-done
	} else {
		select {
		case givenUp = <-done:
		case <-ctx.Done():
			if err, left := s.leave(sl, done, ctx.Err()); left {
				return nil, err
			}
			givenUp = <-done
		}
	}
	if givenUp != nil { // the slot belongs to another call now
		return nil, givenUp
	}
	if body := sl.body; body != nil {
		// The flusher may still read the caller's bytes for a moment. It may be longer, if the
		// peer answered before it had all of them.
		select {
		case <-body.done:
		case <-ctx.Done():
			body.out.abort(body)
			s.outbound.release(sl)
			return nil, fault.Add(notSent(ctx.Err()), fault.OutcomeUnknown)
		}
	}
	if sl.err != nil {
		err := sl.err
		s.outbound.release(sl)
		return nil, err
	}
	return sl, nil
}

// send sends a call on the present connection. If there is none, or it is lost at this moment,
// resume sends the call.
func (s *Session) send(ctx context.Context, sl *slot, r *Request, left time.Duration, until time.Time) error {
	l := s.link.Load()
	expires := int64(0)
	if r.Coarse && r.Header.Payload.Len() <= wire.MaxInline {
		expires = s.transport.now.Load() + int64(left/tick) + 1
	}
	if l == nil {
		return s.await(sl, expires)
	}
	var q *lockedOutbox
	if r.Header.Payload.Len() <= wire.MaxInline {
		var err error
		if q, err = l.out.lock(ctx, until); err != nil {
			if l.Err() == nil {
				return err
			}
			return s.await(sl, expires)
		}
	} else {
		q = l.out.mu.Lock()
	}
	if sl.sent.Load() != 0 || q.err != nil {
		// Resume sent the call, or will send it. If it was sent on a connection before this
		// one, the reply may be here already. Then it must not be sent again.
		l.out.mu.Unlock()
		return s.await(sl, expires)
	}
	q.send(sl, r, false)
	if expires != 0 { // from here on the peer knows the call, so a cancel makes sense
		sl.expires.Store(expires)
	}
	if sl.body != nil {
		q.handOver()
		l.out.mu.Unlock()
		return nil
	}
	due := q.appended(sl.crowd)
	l.out.mu.Unlock()
	l.out.do(due)
	return nil
}

// await leaves a call to the next connection, unless the peer is away.
func (s *Session) await(sl *slot, expires int64) error {
	if expires == 0 {
		expires = waitsLong
	}
	sl.expires.Store(expires)
	if s.outbound.isAway() { // either peerAway saw that the call waits, or this sees that peerAway was called
		return s.awayError()
	}
	return nil
}

// sendOneWay sends a one-way call on the first connection that takes it before ctx ends.
func (s *Session) sendOneWay(ctx context.Context, sl *slot, r *Request) error {
	for {
		l, err := s.waitLink(ctx, false)
		var q *lockedOutbox
		if err == nil {
			q, err = l.out.lock(ctx, time.Time{})
		}
		if err != nil {
			if l != nil && l.Err() != nil && s.live() {
				select {
				case <-l.gone:
					continue
				case <-ctx.Done():
					err = ctx.Err()
				}
			}
			e, left := s.leave(sl, sl.done, err)
			if !left { // the session is over
				<-sl.done
				e = sl.err
				s.outbound.release(sl)
			}
			return e
		}
		q.send(sl, r, true)
		body := sl.body
		if body == nil {
			due := q.appended(sl.crowd)
			l.out.mu.Unlock()
			l.out.do(due)
		} else {
			q.handOver()
			l.out.mu.Unlock()
			select {
			case <-body.done:
			case <-ctx.Done():
				begun, _ := body.out.abort(body)
				if left, sent, _ := s.outbound.abandon(sl, sl.done, body, begun); left {
					if sent {
						return nil
					}
					return notSent(ctx.Err())
				}
			}
		}
		s.outbound.sentOneWay(sl)
		return nil
	}
}

// leave ends the wait for a call because of why. left is false if the call was completed at the
// same time: then its result counts.
func (s *Session) leave(sl *slot, done chan error, why error) (err error, left bool) {
	num, seq := sl.num, sl.seq
	e := notSent(why)
	for {
		body, begun, told := s.outbound.bodyOf(sl), false, false
		if body != nil {
			begun, told = body.out.abort(body)
		}
		left, sent, again := s.outbound.abandon(sl, done, body, begun)
		switch {
		case again:
			continue
		case !left:
			return nil, false
		case sent:
			e.Outcome = fault.OutcomeUnknown
			if e.Kind == fault.KindDeadline {
				e.Msg = s.absent()
			}
			if !told || !begun { // of a payload that was not begun here, the peer may know from an earlier connection
				s.sendCancel(num, seq)
			}
		case e.Kind == fault.KindDeadline:
			e = s.unreached()
		}
		return e, true
	}
}

// sendCancel tells the peer that a call is given up, unless its reply has arrived. On a later
// connection than the reply's, a cancel would ask for the reply again. Without a connection,
// resume tells the peer.
func (s *Session) sendCancel(num wire.Slot, seq wire.Seq) {
	if l := s.link.Load(); l != nil {
		l.out.control(func(b []byte) []byte {
			if s.outbound.abandoned(num, seq) {
				b = wire.AppendCancel(b, num, seq)
			}
			return b
		})
	}
}

// sendAcks acknowledges the replies of more than above bytes whose slots are free.
func (s *Session) sendAcks(above int) {
	if l := s.link.Load(); l != nil {
		l.out.control(func(b []byte) []byte {
			st := s.outbound.mu.Lock()
			defer s.outbound.mu.Unlock()
			return st.acks(b, above)
		})
	}
}

// notSent makes the error of a call that was not sent, because of err.
func notSent(err error) *fault.Error {
	return fault.Add(err, fault.ContextKind(err), fault.KindCancelled, fault.OutcomeNotExecuted)
}

// GoAway tells the peer that this node takes no new calls from outside. Calls in flight, and
// calls nested in them, go on.
func (s *Session) GoAway() {
	if s.goingOff.Swap(true) {
		return
	}
	if l := s.link.Load(); l != nil {
		l.out.control(appendGoAway)
	}
}

func appendGoAway(b []byte) []byte {
	return wire.AppendNotice(b, wire.FrameGoAway, uint8(fault.KindPeerGone), "the node is shutting down")
}

// Close tells the peer that the session is over, and ends it. Calls in flight fail with err.
func (s *Session) Close(err *fault.Error) {
	if err.Kind == fault.KindProtocol { // a breach on a stream: end says so
		s.end(err)
		return
	}
	s.closing.CompareAndSwap(nil, err) // this counts, whatever the connection's error is from now on
	if l := s.link.Load(); l != nil && s.live() {
		// The flusher gets a second (closeTimeout) to write the notice, and the peer to read it
		// and close the connection. Closing the connection with bytes unread could take the
		// notice back. A peer without the notice would wait for this node to come back. While
		// the peer reads what is before the notice, and answers, it gets more time.
		end := time.Now().Add(closeLimit)
		_ = l.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
		l.out.fail(err, wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindPeerGone), "the peer closed its node"), end)
		l.out.parted(l.done)
		for alive := true; alive && l.Err() == nil && time.Now().Before(end); {
			l.heard.Store(false)
			timer := time.NewTimer(closeTimeout)
			select {
			case <-l.done:
			case <-timer.C:
			}
			timer.Stop()
			alive = l.heard.Load()
		}
	}
	s.end(err)
}

// end ends the session, as the comment of Session says. It does not wait.
func (s *Session) end(err error) {
	st := s.mu.Lock()
	first, l := !st.over, s.link.Load()
	st.over = true
	s.mu.Unlock()
	if !first {
		return
	}
	var f *fault.Error
	if c := s.closing.Load(); c != nil {
		f = c
	} else if !errors.As(err, &f) {
		f = connectionLost(err)
	}
	s.err = fault.Add(f, fault.OutcomeUnknown) // a call that was on its way may have run
	close(s.done)
	if l != nil { // before the methods hear of it: nobody gets what they answer now
		l.cutAfter(s.err, s.farewell(f))
	}
	s.outbound.fail(s.err)
	s.inbound.cancelAll()
	go s.finish()
}

// farewell is the close record for a peer that broke the protocol, or nil. It tells the authors
// of the peer what was wrong. There is one for each session, and none in answer to another.
func (s *Session) farewell(f *fault.Error) []byte {
	if f.Kind != fault.KindProtocol || f.Origin == fault.OriginPeer {
		return nil
	}
	return wire.AppendNotice(nil, wire.FrameClose, uint8(fault.KindProtocol), text(f))
}

// finish removes the session from the transport once its goroutines have ended. The transport
// waits for it.
func (s *Session) finish() {
	s.wg.Wait()
	s.inbound.drop()
	s.transport.ended(s)
	close(s.gone)
}

// onTick does what the transport's clock has to do for the session.
func (s *Session) onTick(now int64) {
	s.changed.send() // for changes that nobody else reports to drain
	if l := s.link.Load(); l != nil {
		l.onTick(now)
		switch {
		case s.peerOff.Load():
			s.sendAcks(0)
		case s.outbound.owesLarge():
			s.sendAcks(ackAbove)
		}
		if time.Duration(now-l.lastRead.Load())*tick >= time.Second {
			s.outbound.trim()
		}
	} else {
		s.checkAbsence(now)
	}
	for _, x := range s.outbound.expire(now) {
		s.sendCancel(x.slot, x.seq)
	}
	s.inbound.expire(s)
}
