package transport

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gormi/rmi/fault"
)

// A session whose connection is lost goes on as follows.
//
// Nothing is saved of what was on its way: each side knows from its slots what
// the other may not have heard of, and sends that again on the next connection
// (callTable.resend): calls in flight, with the time that is left to them, and
// for calls whose callers went away a cancel. The callee's slots tell a call
// that comes again from a new one (callee.occupy): it attaches to the call that
// runs, or gets the reply that was kept. Everything else on the call lane is
// either said again (goaway), cumulative, or of no use any more (ping). Streams
// are lost with their connection, and their users begin new ones.
//
// The side that dialled dials again, at once and then with growing pauses, for
// as long as the lease of the detached session runs; the other side waits for as
// long. The proof names the session and numbers the connection, so that a newer
// connection takes the place of an older one, of which the accepting side may
// think that it lives, and never the other way round. If the peer does not know
// the session any more, or another node answers at its address, or nobody does, it is
// over (absence.go).

const (
	firstRedial = 50 * time.Millisecond // pause after the first dial that failed
	lastRedial  = 5 * time.Second       // longest pause
)

// errFenced is why a connection is cut whose session has a newer one.
var errFenced = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the session has a newer connection")

// detach notes that l is lost and all its goroutines are gone, but the calling
// one, which is the last. The session goes on without, or is over.
func (s *Session) detach(l *Link) {
	t := s.transport
	s.calls.cut()
	s.callee.cut()
	t.conns.Add(-1)
	s.mu.Lock()
	s.link.Store(nil)
	s.lost, s.lostAt, s.since, s.met, s.told = l.err, time.Now(), t.now.Load(), nil, false
	s.away = make(chan struct{})
	over := s.over
	resumes := s.resumable && s.closing.Load() == nil
	redial := !over && resumes && s.dialled
	if redial {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if t.OnUnlink != nil {
		t.OnUnlink(l)
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

// attach makes l the session's connection, in the place of an older one, and
// sends again what was in flight.
func (s *Session) attach(l *Link) error {
	t := s.transport
	for {
		s.mu.Lock()
		if s.over {
			s.mu.Unlock()
			return errOver(s.Err())
		}
		if l.epoch <= s.epoch {
			s.mu.Unlock()
			return errFenced
		}
		old := s.link.Load()
		if old == nil {
			break
		}
		s.mu.Unlock()
		old.cut(errFenced)
		<-old.gone // its connection is closed: that does not take long
	}
	resumed := s.epoch != 0
	s.epoch, s.reached, s.lost, s.away = l.epoch, reachedAt(l.raw), nil, nil
	if t.OnLink != nil {
		l.attached = t.OnLink(l)
	}
	s.link.Store(l)
	s.wg.Add(1) // the reader
	if s.linked != nil {
		close(s.linked)
		s.linked = nil
	}
	s.mu.Unlock()
	l.out.mu.Lock()
	s.calls.resend(l)
	if s.goingOff.Load() {
		l.out.small = appendGoAway(l.out.small)
	}
	l.out.kickLocked()
	l.out.mu.Unlock()
	if resumed {
		t.resumes.Add(1)
		t.Logger.Debug("session resumed", "peer", s.peer.String(), "connection", l.epoch)
	}
	l.run()
	return nil
}

// ErrOver is in the chain of the errors of calls that could not be made because
// the session they were to be made on is over: another may be begun.
var ErrOver = errors.New("the session is over")

// errOver is the error of what was not sent because the session ended with err.
func errOver(err error) *fault.Error {
	if err == nil {
		return &fault.Error{Kind: fault.KindPeerGone, Outcome: fault.OutcomeNotExecuted, Err: ErrOver}
	}
	f := notSent(err)
	f.Err = fmt.Errorf("%w: %w", ErrOver, err)
	return f
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
	for pause := time.Duration(0); ctx.Err() == nil; pause = min(max(2*pause, firstRedial), lastRedial) {
		if pause > 0 {
			wait := pause/2 + rand.N(pause/2+1) // so that many clients do not come at once
			timer := time.NewTimer(min(wait, refusals.wait(time.Now())))
			select {
			case <-timer.C:
			case <-ctx.Done():
				timer.Stop()
				return
			}
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
			s.end(&fault.Error{Kind: fault.KindPeerGone, Msg: "the peer's process ended: " + f.Msg})
			return
		case f.Origin == fault.OriginPeer && (f.Kind == fault.KindPeerGone || f.Kind == fault.KindProtocol || f.Kind == fault.KindDenied):
			s.end(&fault.Error{Kind: fault.KindPeerGone, Origin: fault.OriginPeer, Msg: "the peer did not take the session up again: " + f.Msg})
			return
		}
		s.mu.Lock()
		s.met = err
		s.mu.Unlock()
	}
}

// dialAgain makes one attempt at a new connection of a session.
func (t *Transport) dialAgain(ctx context.Context, s *Session) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	s.mu.Lock()
	s.dials = max(s.dials, s.epoch) + 1
	epoch, reached := s.dials, s.reached
	s.mu.Unlock()
	return t.connect(ctx, s.endpoint, reached, func(h *handshake, _ string) (*Link, error) { return h.resume(s, epoch) })
}

// Counters tell what happened to a transport's sessions and connections.
type Counters struct {
	Cuts, Resumes     int64 // connections lost, and made again
	DuplicatesRunning int64 // calls that came again while they ran
	DuplicatesKept    int64 // calls that came again after they were answered, and got the kept reply
	KeptReplies       int64 // now: replies of which the caller has not said that it has them
	KeptBytes         int64 // now: what of those counts against Limits.Kept
	Polled            int64 // times that bytes came while a reader looked for them; see busyPoll
	PolledInVain      int64 // times that none came for so long as it does
	Detached          int   // now: sessions without a connection
	Sessions          int   // now
}

// Counters returns the counts since the transport was made.
func (t *Transport) Counters() Counters {
	c := Counters{Cuts: t.cuts.Load(), Resumes: t.resumes.Load(), DuplicatesRunning: t.duplicatesRunning.Load(), DuplicatesKept: t.duplicatesKept.Load(),
		Polled: t.busy.rewarded.Load(), PolledInVain: t.busy.vain.Load()}
	for _, s := range t.Sessions() {
		c.Sessions++
		if s.Detached() {
			c.Detached++
		}
		n, bytes := s.callee.keeps()
		c.KeptReplies += n
		c.KeptBytes += bytes
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
