package transport

import (
	"sync/atomic"
	"time"
)

// DefaultBusyPoll is what Config.BusyPoll means if it is zero.
const DefaultBusyPoll = 100 * time.Microsecond

const (
	pollAlone    = time.Millisecond       // for so long nothing may have come on other connections
	pollStint    = 5 * time.Millisecond   // after so long of polling the poller is waited in, once
	pollStintOne = 250 * time.Microsecond // the same, where there is one processor

	pollEarns  = 50 * time.Microsecond // for a poll that was rewarded: what two threads and a processor take to wake up
	pollShare  = 32                    // one part in so many of the time is earned as well
	pollSaving = 20 * DefaultBusyPoll  // the account holds no more
	pollTurn   = 10 * time.Millisecond // a poll costs no more: the process was stopped meanwhile
)

// busyPoll decides whether the reader of a connection whose socket is empty looks
// again, giving others their turn in between, before it waits in Go's poller. Where
// the next bytes are some microseconds away that saves putting a thread to sleep and
// waking it, and often a processor with it, which takes longer than all the rest of a
// call. Where they are not it costs a processor's time.
//
// So a reader polls for at most limit at a time, and
//   - while its connection is the only one of the transport on which bytes come, and
//     few at a time: of many the poller tells sooner, and treats them alike. (A peer can
//     end the polling of others by sending on a connection of its own; that is all.)
//   - while the transport's account is not overdrawn. A poll costs the time that it
//     took, whatever ran meanwhile in this process or another, and earns pollEarns if
//     something came; time itself earns its pollShare. So polling costs no more than the
//     waiting that it saves and a 32nd of a processor's time, whatever peers do. Where
//     another process wants the processor, and keeps it for longer than many calls take,
//     one poll is enough to stop it for some thirty times as long as it lasted.
//   - for a stint without waiting once: a processor looks into the poller when nothing
//     can run, which a reader that polls always can. Without another processor that is
//     idle the other sockets of the process would go unnoticed for 10 ms.
type busyPoll struct {
	limit int64                // nanoseconds; below 0: nobody polls
	last  atomic.Pointer[look] // of the connection on which bytes came last
	since atomic.Int64         // when that began to be the one
	even  atomic.Int64         // the account: when time will have earned, or earned, what it lacks or has

	rewarded, vain atomic.Int64 // see Counters
}

// look is a reader's part. Times are those of Transport.nanotime.
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

// came is told that bytes came on a connection.
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

// emptied is told that what came was all, and of how many records, and says whether to
// look again instead of waiting. one says that there is one processor.
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

// nothing is told of a read that found nothing, and says whether to look again.
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

// spend takes from the account, or adds to it.
func (p *busyPoll) spend(now, cost int64) {
	p.even.Store(max(p.even.Load(), now-int64(pollSaving)*pollShare) + min(cost, int64(pollTurn))*pollShare)
}

// left is told that a reader ended.
func (p *busyPoll) left(l *look) { p.last.CompareAndSwap(l, nil) }

// nanotime is the time since the transport was made.
func (t *Transport) nanotime() int64 { return int64(time.Since(t.began)) }
