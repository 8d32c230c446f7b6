package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
)

// What a peer without a connection is: gone, away, or about to come back.
//
// # Gone: its address refuses
//
// A node's key lives in its process. So when the process has ended, nobody can come back under
// its id. The operating system tells that a process has ended: its sockets close, and dials to
// its port are refused. That is ECONNREFUSED over TCP and over a unix socket, for datagrams by
// way of ICMP, and ENOENT where a unix socket was. The side that dialled dials again when the
// connection is lost. If two of its dials are refused, refusalGap apart, with nothing else in
// between, it ends the session. One refusal is not enough: it may be a port that changes hands,
// or a forged packet.
//
// Only the address counts at which it reached this very peer in this very session. A name may
// have several addresses: if one that is not the peer's refuses, the peer's own is asked too
// (open). The side that was dialled concludes nothing from refusals, and does not ask for them.
// It may be unable to reach the address that its peer advertises, behind a NAT or a tunnel,
// while the peer lives and is about to dial again.
//
// These are not refusals: no answer, an unreachable network, a connection that is accepted and
// ends, or on which nothing is sent. A process that stands still (SIGSTOP, a debugger) does not
// refuse: its system accepts connections for it. A machine that is cut off answers nothing.
// Their sessions live for their lease.
//
// A node that shuts down closes its listeners before its connections. If a connection is lost
// in between, the peer's dials are refused although the process lives. The session is over all
// the same, because it cannot be resumed anywhere.
//
// Config.RefusalsPass is for nodes that dial through something that refuses for a while
// although the process behind it lives: a load balancer without a healthy backend, a firewall
// that rejects, a tunnel that restarts. (Rarely, a unix socket on macOS and a port on Windows
// also do so, if their queue of connections is full.) Then a refusal counts as no answer.
//
// # Away: only it can dial
//
// The side that was dialled waits. A living peer notices the loss when this side does, or
// within the seconds of a keepalive. It dials at once, and is back in a second or two. After
// Config.Grace it is away. Then calls that wait for it fail with PeerGone, and so do new calls,
// at once. Calls that were sent fail with Unknown, and are cancelled there when it is back. The
// session itself lives for its lease, with all that is held on it. When the peer comes back,
// everything goes on.
//
// The side that dials has no grace. Its calls wait until their deadlines, because an attempt
// says more than time does, and one that is answered ends the wait.
//
// Rejected: asking every address that a peer is known to advertise, for the reason above. Also
// rejected: a grace that begins with the last byte of a silent connection. A living peer
// notices as late, and would have no time to come back.

// refusalGap is the time between the two refusals that end a session.
const refusalGap = 200 * time.Millisecond

// DefaultGrace is how long calls wait for a peer that this node cannot dial.
const DefaultGrace = 5 * time.Second

// reachedTimeout bounds a dial to the peer's own address, when its name led to others.
const reachedTimeout = time.Second

// ErrRefused is in the chain of the errors of a session that is over because the peer's address
// refuses connections. Nobody will come back under the peer's id.
var ErrRefused = errors.New("the peer's process ended")

// refusals counts the refusals in a row of one redial.
type refusals struct{ since time.Time } // time of the first; zero: the last attempt was not refused

// settle notes the error of an attempt, and reports whether the peer is gone.
func (r *refusals) settle(err error, now time.Time) bool {
	switch {
	case !isRefusal(err):
		r.since = time.Time{}
	case r.since.IsZero():
		r.since = now
	default:
		return now.Sub(r.since) >= refusalGap
	}
	return false
}

// wait is the longest pause before the next attempt.
func (r *refusals) wait(now time.Time) time.Duration {
	if left := refusalGap - now.Sub(r.since); !r.since.IsZero() && left > 0 {
		return left
	}
	return lastRedial
}

// windowsRefused is WSAECONNREFUSED, which syscall.ECONNREFUSED does not match.
const windowsRefused = syscall.Errno(10061)

// isRefusal reports whether the error of a dial says that nobody listens there.
func isRefusal(err error) bool {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, windowsRefused) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && op.Net == "unix" && errors.Is(op.Err, syscall.ENOENT)
}

// refused is the error of a session whose peer's address refuses connections.
func (s *Session) refused(err error) *fault.Error {
	lost := s.mu.Lock().lost
	s.mu.Unlock()
	var f *fault.Error
	cause := err
	if s.chosenBy != refs.OriginProgram {
		cause = errors.New("as its system says")
	} else if errors.As(err, &f) && f.Err != nil {
		cause = f.Err
	}
	return fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "%w: the connection was lost (%s), and its address %s refuses others (%v); if it is one that refuses for a while, set Options.RefusalsPass",
		ErrRefused, reason(lost), s.endpoint, cause)
}

// DialFailed logs what a dial met whose error is not passed on.
func (t *Transport) DialFailed(ep refs.Endpoint, err error) {
	t.remark(slog.LevelDebug, "dial failed", slog.String("address", ep.String()), slog.String("reason", detail(err)))
}

// unsaid takes the place of what a dial met, in errors of a session whose address a peer chose.
// Callers pass these errors on, perhaps to that peer: see fault.Private. The log tells it.
func (s *Session) unsaid(err error) error {
	s.transport.remark(slog.LevelDebug, "dial failed", slog.String("peer", s.peer.String()), slog.String("reason", text(err)))
	return fault.Public(fault.Add(err, fault.Private))
}

// detail is the text of an error without that of the error around it.
func detail(err error) string {
	var f *fault.Error
	switch {
	case err == nil:
		return "for no reason"
	case errors.As(err, &f):
		return f.Detail()
	}
	return err.Error()
}

// reason is detail without the words with which absent begins.
func reason(lost error) string {
	return strings.TrimPrefix(detail(lost), "the connection was lost: ")
}

// checkAbsence handles a session without a connection. It ends one whose lease is over, and
// ends the waits for a peer that is away.
func (s *Session) checkAbsence(now int64) {
	t := s.transport
	st := s.mu.Lock()
	absent, tell, away, lost := st.absence(now)
	s.mu.Unlock()
	if tell && t.OnAbsent != nil {
		guard.NoneHeld()
		t.OnAbsent(s)
	}
	switch {
	case absent >= t.SessionLease:
		s.end(fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the connection was lost and not made again within %v", t.SessionLease), fault.Cause(lost)))
	case away && !s.outbound.isAway():
		err := s.awayError()
		s.outbound.peerAway(fault.Add(err, fault.OutcomeUnknown), err)
	}
}

// absence is how long a session that is not over has had no connection, and why. tell is true
// once. away says that nobody waits for the peer any more.
func (st *lockedSession) absence(now int64) (absent time.Duration, tell, away bool, lost error) {
	s, t := st.of, st.of.transport
	if s.link.Load() != nil || st.epoch == 0 || st.over {
		return 0, false, false, nil
	}
	absent = time.Duration(now-st.since) * tick
	tell = !st.told && absent >= t.SessionLease/4
	st.told = st.told || tell
	away = !s.dialled && t.Grace > 0 && absent >= t.Grace
	if away {
		select {
		case <-st.away:
		default:
			close(st.away)
		}
	}
	return absent, tell, away, st.lost
}

// awayError is the error of a call that does not wait, because the peer is away.
func (s *Session) awayError() *fault.Error {
	msg := s.absent()
	if msg == "" { // it has just come back
		msg = "the connection was lost, and the peer was away"
	}
	return fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "%s", msg)
}

// unreached is the error of a call whose time ended before it was sent, most likely because
// there was no connection.
func (s *Session) unreached() *fault.Error {
	return fault.Add(notSent(context.DeadlineExceeded), fault.Msg(s.absent()))
}

// expired is the error of a call that was sent, and not answered within its default deadline.
func (s *Session) expired() *fault.Error {
	if absent := s.absent(); absent != "" {
		return fault.Add(notSent(context.DeadlineExceeded), fault.OutcomeUnknown, fault.Msg(absent))
	}
	return fault.New(fault.KindDeadline, fault.OutcomeUnknown, "no reply within the default deadline; give the context a longer one if the method needs it")
}

// absent says since when a session has had no connection, why, and what the dials met. It is
// blank if there is a connection.
func (s *Session) absent() string {
	st := s.mu.Lock()
	why, at, met := st.lost, st.lostAt, st.met
	s.mu.Unlock()
	if why == nil {
		return ""
	}
	since := fmt.Sprintf("since %s, for %v (%s)", at.Format(time.TimeOnly), time.Since(at).Round(100*time.Millisecond), reason(why))
	const lost = "the connection was lost and could not be made again in time"
	switch {
	case !s.dialled:
		return "the connection was lost, and the peer, which alone can make another, has not come back: " + since
	case met == nil:
		return fmt.Sprintf("%s: %s; the attempt to dial %s has met nothing yet", lost, since, s.endpoint)
	}
	return fmt.Sprintf("%s: %s; the last attempt to dial %s met: %s", lost, since, s.endpoint, detail(met))
}

// Await waits until the session has a connection.
func (s *Session) Await(ctx context.Context) error {
	_, err := s.waitLink(ctx, true)
	return err
}

// waitLink waits until the session has a connection. If it is not patient, it does not wait for
// a peer that is away.
func (s *Session) waitLink(ctx context.Context, patient bool) (*Link, error) {
	for {
		if l := s.link.Load(); l != nil {
			return l, nil
		}
		st := s.mu.Lock()
		if s.link.Load() != nil {
			s.mu.Unlock()
			continue
		}
		if st.connected == nil {
			st.connected = make(chan struct{})
		}
		connected, away := st.connected, st.away
		s.mu.Unlock()
		if patient {
			away = nil
		}
		select {
		case <-connected:
		case <-s.done:
			return nil, s.err
		case <-away:
			return nil, s.awayError()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
