package transport

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gormi/refs"
	"gormi/rmi/backoff"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
)

// A session whose connection is lost goes on as follows.
//
// Nothing that was on its way is stored. Each side knows from its slots what the other may not
// have heard of, and sends that again on the next connection (outbound.resend): calls in
// flight, with the time that they have left, and cancels for calls that were given up. From its
// slots a callee tells a new call from one that comes again (inbound.occupy). One that comes
// again joins the running call, or gets the retained reply. Everything else on the call lane is
// said again (goaway), is cumulative, or is not needed any more (ping). Streams are lost with
// their connection, and their users begin new ones.
//
// The side that dialled dials again, at once and then with growing pauses, until the lease of
// the detached session is over. The other side waits as long. The proof names the session and
// numbers the connection. So a newer connection replaces an older one, even if the accepting
// side thinks that the older one lives, and never the other way round. The session is over if
// the peer no longer knows it, or another node answers at its address, or nobody does
// (absence.go).

const (
	firstRedial = 50 * time.Millisecond // pause after the first dial that failed
	lastRedial  = 5 * time.Second       // longest pause
)

// redialPauses are the pauses between dials. They are partly random, so that many clients do
// not dial at the same time.
var redialPauses = backoff.Policy{Min: firstRedial, Max: lastRedial, Jitter: 0.5}

// errFenced is why a connection is cut when its session has a newer one.
var errFenced = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the session has a newer connection")

// detach notes that l is lost. The caller is the last goroutine of l. The session goes on
// without a connection, or is over.
func (s *Session) detach(l *Link) {
	t := s.transport
	s.outbound.cut()
	s.inbound.cut()
	t.disconnected(l.account)
	st := s.mu.Lock()
	s.link.Store(nil)
	st.lost, st.lostAt, st.since, st.met, st.told = l.err, time.Now(), t.now.Load()+1, nil, false
	st.away = make(chan struct{})
	over := st.over
	resumes := s.resumable && s.closing.Load() == nil
	redial := !over && resumes && s.dialled
	if redial {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if t.OnDisconnect != nil {
		guard.NoneHeld()
		t.OnDisconnect(l)
	}
	switch {
	case over:
	case !resumes:
		s.end(l.err)
	default:
		t.cuts.Add(1)
		t.Logger.Debug("connection lost", "peer", s.peer.String(), "reason", l.err)
	}
	close(l.gone)
	s.changed.send()
	if redial {
		go func() {
			defer s.wg.Done()
			s.redial()
		}()
	}
}

// attach makes l the session's connection, in place of an older one, and sends again what was
// in flight.
//
// Config.OnConnect is called before the session has l, and without a lock:
//
//	attaching != nil ⇒ the session has no connection, and no other becomes it
//
// If the session ends meanwhile, l is cut, as it would have been a moment later.
func (s *Session) attach(l *Link) error {
	t := s.transport
	old, other, err := s.beginAttach(l)
	for ; old != nil || other != nil; old, other, err = s.beginAttach(l) {
		if old != nil {
			old.cut(errFenced)
			<-old.gone // its connection is closed: that does not take long
		} else {
			<-other
		}
	}
	if err != nil {
		return err
	}
	if t.OnConnect != nil {
		guard.NoneHeld()
		l.attached = t.OnConnect(l)
	}
	st := s.mu.Lock()
	resumed, over := st.epoch != 0, st.over
	st.endAttach(l)
	s.mu.Unlock()
	if over {
		<-s.done
		l.cut(s.err)
	} else {
		q := l.out.mu.Lock()
		s.outbound.resend(q)
		if s.goingOff.Load() {
			q.small = appendGoAway(q.small)
		}
		q.handOver()
		l.out.mu.Unlock()
	}
	if resumed {
		t.resumes.Add(1)
		t.Logger.Debug("session resumed", "peer", s.peer.String(), "connection", l.epoch)
	}
	l.run()
	return nil
}

// beginAttach reserves the session for l. If it cannot, it returns what is in the way: an older
// connection, or another that is being attached.
func (s *Session) beginAttach(l *Link) (old *Link, other <-chan struct{}, err error) {
	st := s.mu.Lock()
	switch old, other = s.link.Load(), st.attaching; {
	case st.over:
		s.mu.Unlock()
		return nil, nil, errOver(s.Err())
	case l.epoch <= st.epoch:
		old, other, err = nil, nil, errFenced
	case old == nil && other == nil:
		st.attaching = make(chan struct{})
		s.wg.Add(1) // the reader
	}
	s.mu.Unlock()
	return old, other, err
}

// endAttach makes l the session's connection.
func (st *lockedSession) endAttach(l *Link) {
	st.of.link.Store(l)
	st.epoch, st.reached, st.lost, st.away = l.epoch, reachedAt(l.raw), nil, nil
	close(st.attaching)
	st.attaching = nil
	if st.connected != nil {
		close(st.connected)
		st.connected = nil
	}
}

// ErrOver is in the chain of the errors of calls that could not be made because their session
// is over. A new session may be begun.
var ErrOver = errors.New("the session is over")

// errOver is the error of a call that was not sent because the session ended with err.
func errOver(err error) *fault.Error {
	if err == nil {
		return fault.Add(nil, fault.KindPeerGone, fault.OutcomeNotExecuted, fault.Cause(ErrOver))
	}
	return fault.Add(notSent(err), fault.Cause(fmt.Errorf("%w: %w", ErrOver, err)))
}

// redial makes a new connection. It ends when there is one, or with the session.
func (s *Session) redial() {
	t := s.transport
	ctx, cancel := context.WithCancel(t.ctx)
	defer cancel()
	s.wg.Go(func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	})
	var refusals refusals
	for failures := 0; ctx.Err() == nil; failures++ {
		if failures > 0 && !backoff.Sleep(ctx, min(redialPauses.Delay(failures), refusals.wait(time.Now()))) {
			return
		}
		err := t.dialAgain(ctx, s)
		if err == nil || ctx.Err() != nil {
			return
		}
		if !t.RefusalsPass && refusals.settle(err, time.Now()) {
			s.end(s.refused(err))
			return
		}
		var f *fault.Error
		switch {
		case !errors.As(err, &f):
		case f.Kind == fault.KindStaleReference:
			s.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the peer's process ended: %s", f.Msg))
			return
		case f.Origin == fault.OriginPeer && (f.Kind == fault.KindPeerGone || f.Kind == fault.KindProtocol || f.Kind == fault.KindDenied):
			s.end(fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the peer did not take the session up again: %s", f.Msg), fault.OriginPeer))
			return
		}
		if s.chosenBy != refs.OriginProgram {
			err = s.unsaid(err)
		}
		s.mu.Lock().met = err
		s.mu.Unlock()
	}
}

// dialAgain makes one attempt at a new connection of a session.
func (t *Transport) dialAgain(ctx context.Context, s *Session) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	st := s.mu.Lock()
	st.dials = max(st.dials, st.epoch) + 1
	epoch, reached := st.dials, st.reached
	s.mu.Unlock()
	return t.connect(ctx, target{s.endpoint, s.chosenBy}, reached, func(h *handshake, _ string) (*Link, error) { return h.resume(s, epoch) })
}

// Counters say what happened to a transport's sessions and connections.
type Counters struct {
	Cuts, Resumes      int64 // connections lost, and made again
	DuplicatesRunning  int64 // calls that came again while they ran
	DuplicatesRetained int64 // calls that came again after they were answered, and got the retained reply
	RetainedReplies    int64 // now: replies that the callers have not acknowledged
	RetainedBytes      int64 // now: their bytes, which count against Limits.Retained
	Polled             int64 // times that bytes came while a reader polled; see busyPoll
	PolledInVain       int64 // times that a reader polled to the end and none came
	Detached           int   // now: sessions without a connection
	Sessions           int   // now
}

// Counters returns the counts since the transport was made.
func (t *Transport) Counters() Counters {
	c := Counters{Cuts: t.cuts.Load(), Resumes: t.resumes.Load(), DuplicatesRunning: t.duplicatesRunning.Load(), DuplicatesRetained: t.duplicatesRetained.Load(),
		Polled: t.busy.rewarded.Load(), PolledInVain: t.busy.vain.Load()}
	for _, s := range t.Sessions() {
		c.Sessions++
		if s.Detached() {
			c.Detached++
		}
		n, bytes := s.inbound.retained()
		c.RetainedReplies += n
		c.RetainedBytes += bytes
	}
	return c
}

// Streams counts the open streams of all connections.
func (t *Transport) Streams() int {
	n := 0
	for _, s := range t.Sessions() {
		if l := s.link.Load(); l != nil {
			n += l.lane.Stats().Streams
		}
	}
	return n
}
