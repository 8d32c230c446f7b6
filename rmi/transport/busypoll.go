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
	pollStintOne = 250 * time.Microsecond // the same, of a process with one processor
	pollBackoff  = 6                      // times that the rest after polling in vain is doubled
	pollShare    = 8                      // what is polled in vain may be one part in so many of the time,
	pollDebt     = 5 * time.Millisecond   // but for so much at once
	pollTaken    = time.Millisecond       // by which others took the processor while a reader polled
	pollTurn     = 10 * time.Millisecond  // what they take at most; else the process was stopped
)

// busyPoll decides whether the reader of a connection whose socket is empty looks
// again, giving others their turn in between, before it waits in Go's poller. Where
// the next bytes are some microseconds away that saves putting a thread to sleep and
// waking it, and often a processor with it, which takes longer than all the rest of a
// call. Where they are not it costs a processor's time.
//
// So a reader polls for at most limit at a time, and
//   - while its connection is the only one of the transport on which bytes come, and
//     few at a time: of many the poller tells sooner, and treats them alike;
//   - while that pays. A poll in vain after one that was rewarded costs nothing, for such
//     things happen, unless they make up an eighth of the time; after one more the reader
//     rests for as long as it had polled, and twice as long each further time, until what
//     is polled in vain is less than a 64th of the time;
//   - for a stint without waiting once: a processor looks into the poller when nothing
//     can run, which a reader that polls always can. Without another processor that is
//     idle the other sockets of the process would go unnoticed for 10 ms.
//
// What ran while the reader gave way, in this process or another, counts as polling.
// If that was pollTaken, others want the processor, and get it in turns that are longer
// than many calls: the reader rests for the longest time at once.
type busyPoll struct {
	limit int64                // nanoseconds; below 0: nobody polls
	stint int64                // nanoseconds
	last  atomic.Pointer[look] // of the connection on which bytes came last
	since atomic.Int64         // when that began to be the one

	rewarded, vain atomic.Int64 // see Counters
}

// look is a reader's part. Times are those of Transport.nanotime.
type look struct {
	polling bool
	began   int64 // when the socket was emptied
	stint   int64 // when polling began without waiting in between; 0: it did not
	vain    int   // times in a row that nothing came in time
	rest    int64 // until when the reader does not poll
	paid    int64 // when what was polled in vain will have been its share of the time
}

// init sets p up for a process with so many processors.
func (p *busyPoll) init(limit time.Duration, processors int) {
	if limit == 0 {
		limit = DefaultBusyPoll
	}
	p.stint = int64(pollStint)
	if processors == 1 {
		p.stint = int64(pollStintOne)
	}
	p.limit = min(int64(limit), p.stint) // a reader that polls does not hear of a cut
}

// emptied is told of a read that left nothing in the socket, and how many records it
// brought, and says whether to look again instead of waiting.
func (p *busyPoll) emptied(l *look, records int, now int64) bool {
	if p.limit < 0 {
		return false
	}
	if p.last.Load() != l {
		p.last.Store(l)
		p.since.Store(now)
	}
	if l.polling {
		if now-l.began <= p.limit {
			l.vain = 0
			p.rewarded.Add(1)
		} else {
			p.failed(l, now)
		}
	}
	switch {
	case records > crowd, now < l.rest, now-p.since.Load() < int64(pollAlone):
		return l.stop()
	case l.stint == 0:
		l.stint = now
	case now-l.stint > p.stint:
		return l.stop()
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
	p.failed(l, now)
	return l.stop()
}

func (l *look) stop() bool {
	l.polling, l.stint = false, 0
	return false
}

// failed has the reader rest, the longer the more often.
func (p *busyPoll) failed(l *look, now int64) {
	p.vain.Add(1)
	polled := min(now-l.began, int64(pollTurn))
	l.paid = max(l.paid, now) + polled*pollShare
	if polled >= int64(pollTaken) || l.paid-now > int64(pollDebt)*pollShare {
		l.vain = pollBackoff
	}
	l.rest = now + polled*(1<<l.vain-1)
	l.vain = min(l.vain+1, pollBackoff)
}

// left is told that a reader ended.
func (p *busyPoll) left(l *look) { p.last.CompareAndSwap(l, nil) }
