package transport

import (
	"sync/atomic"
	"time"
)

// DefaultBusyPoll is what Config.BusyPoll means if it is zero.
const DefaultBusyPoll = 100 * time.Microsecond

const (
	pollAlone    = time.Millisecond       // no bytes came on other connections for this long
	pollStint    = 5 * time.Millisecond   // after polling for this long a reader waits once
	pollStintOne = 250 * time.Microsecond // the same, with one processor

	pollEarns  = 50 * time.Microsecond // earned by a poll that found bytes: the time that two threads and a processor take to wake up
	pollShare  = 32                    // of the time that passes, 1/pollShare is earned
	pollSaving = 20 * DefaultBusyPoll  // the most that the account holds
	pollTurn   = 10 * time.Millisecond // the most that one poll costs: if it lasted longer, the process was stopped
)

// busyPoll decides whether a reader whose socket is empty polls: reads again and again, and
// lets others run in between, before it waits in Go's poller. If the next bytes come within
// microseconds, polling saves putting a thread to sleep and waking it, and often a
// processor too. That takes longer than all the rest of a call. If they do not come, polling
// wastes a processor's time.
//
// So a reader polls for at most limit, and only if
//   - its connection is the only one of the transport on which bytes come, and few come at
//     once. For many connections Go's poller is faster, and treats them alike. (A peer can
//     stop the polling of others by sending on its own connection. It can do no more.)
//   - the transport's account is not overdrawn. A poll costs the time that it took, whatever
//     else ran in that time. It earns pollEarns if bytes came. Time earns its pollShare. So
//     polling costs no more than the waiting that it saves, and a 32nd of a processor's time,
//     whatever peers do. If another process wants the processor and keeps it for longer than
//     many calls take, one poll is enough to stop polling for some thirty times as long.
//   - it has not polled for a whole stint without waiting once. A processor looks into the
//     poller when no goroutine can run, but one that polls can always run. If no other
//     processor is idle, the other sockets of the process would be unnoticed for 10 ms.
type busyPoll struct {
	limit int64                // nanoseconds; negative: no reader polls
	last  atomic.Pointer[look] // of the connection on which bytes came last
	since atomic.Int64         // since when bytes came only there
	even  atomic.Int64         // the account: the time at which it is, or was, even

	rewarded, vain atomic.Int64 // see type Counters
}

// look is a reader's part of the state. Times are those of Transport.nanotime.
type look struct {
	polling bool
	began   int64 // when the socket was emptied
	stint   int64 // when polling began without waiting in between; 0: it did not
}

func (p *busyPoll) init(limit time.Duration) {
	if limit == 0 {
		limit = DefaultBusyPoll
	}
	p.limit = int64(min(limit, pollStint)) // a reader that polls does not hear of a cut
	p.even.Store(-int64(pollSaving) * pollShare)
}

// came notes that bytes arrived on a connection.
func (p *busyPoll) came(l *look, now int64) {
	if p.limit < 0 {
		return
	}
	if p.last.Load() != l {
		p.last.Store(l)
		p.since.Store(now)
	}
	if l.polling {
		l.polling = false
		p.rewarded.Add(1)
		p.spend(now, now-l.began-int64(pollEarns))
	}
}

// emptied notes that a read emptied the socket, and how many records it completed. It reports
// whether to poll instead of waiting. one says that there is only one processor.
func (p *busyPoll) emptied(l *look, records int, one bool, now int64) bool {
	stint := int64(pollStint)
	if one {
		stint = int64(pollStintOne)
	}
	switch {
	case p.limit < 0 || records > crowd || p.even.Load() > now || now-p.since.Load() < int64(pollAlone):
		l.stint = 0
		return false
	case l.stint == 0:
		l.stint = now
	case now-l.stint > stint:
		l.stint = 0
		return false
	}
	l.polling, l.began = true, now
	return true
}

// nothing notes that a read found nothing, and reports whether to poll on.
func (p *busyPoll) nothing(l *look, now int64) bool {
	switch {
	case !l.polling:
		return false
	case now-l.began <= p.limit:
		return true
	}
	l.polling, l.stint = false, 0
	p.vain.Add(1)
	p.spend(now, now-l.began)
	return false
}

// spend takes cost from the account; a negative cost is earned.
func (p *busyPoll) spend(now, cost int64) {
	p.even.Store(max(p.even.Load(), now-int64(pollSaving)*pollShare) + min(cost, int64(pollTurn))*pollShare)
}

// left notes that a reader ended.
func (p *busyPoll) left(l *look) { p.last.CompareAndSwap(l, nil) }

// nanotime is the time since the transport was made.
func (t *Transport) nanotime() int64 { return int64(time.Since(t.began)) }
