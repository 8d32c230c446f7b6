package transport

import (
	"context"
	"errors"
	"testing"
	"time"
)

// polling is a transport whose clock advances by looks, and what its readers did.
type polling struct {
	busyPoll
	one    bool
	now    int64
	polled time.Duration
}

// A look takes this long.
const (
	lookTime  = 500 * time.Nanosecond
	lookTakes = int64(lookTime)
)

func newPolling(limit time.Duration) *polling {
	p := &polling{now: int64(time.Hour)}
	p.init(limit)
	return p
}

// bytes makes some bytes come on a connection, and the next after gap. It returns how long its
// reader polls in between.
func (p *polling) bytes(l *look, gap time.Duration) time.Duration {
	next, polled := p.now+int64(gap), int64(0)
	p.came(l, p.now)
	if p.emptied(l, 1, p.one, p.now) {
		for p.now += lookTakes; p.now < next && p.nothing(l, p.now); {
			p.now += lookTakes
		}
		polled = min(p.now, next) - (next - int64(gap))
	}
	p.now = next
	p.polled += time.Duration(polled)
	return time.Duration(polled)
}

// alone makes a connection the only one for long enough.
func (p *polling) alone(l *look) { p.bytes(l, pollAlone) }

func TestBusyPollingBeginsWhenAConnectionIsTheOnlyOne(t *testing.T) {
	p, a, b := newPolling(0), new(look), new(look)
	const gap = 10 * time.Microsecond
	for spent := time.Duration(0); spent < pollAlone; spent += gap {
		if p.bytes(a, gap) != 0 {
			t.Fatalf("polled after %v", spent)
		}
	}
	if p.bytes(a, gap) != gap {
		t.Error("not polled although it was the only one")
	}
	if p.bytes(b, gap) != 0 {
		t.Error("another one polled at once")
	}
	if p.bytes(a, gap) != 0 {
		t.Error("polled although bytes came on another one")
	}
}

func TestBusyPollingEndsAtTheLimit(t *testing.T) {
	p, l := newPolling(0), new(look)
	p.alone(l)
	if d := p.bytes(l, DefaultBusyPoll-lookTime); d != DefaultBusyPoll-lookTime {
		t.Errorf("polled for %v", d)
	}
	if d := p.bytes(l, time.Second); d < DefaultBusyPoll || d > DefaultBusyPoll+2*lookTime {
		t.Errorf("polled for %v", d)
	}
	if p.rewarded.Load() != 1 || p.vain.Load() != 1 {
		t.Errorf("%d polls rewarded and %d in vain, want one of each", p.rewarded.Load(), p.vain.Load())
	}
}

// Whenever a peer sends, and on however many connections, polling costs no more than the
// waiting that it saved and a share of the time.
func TestBusyPollingKeepsItsAccount(t *testing.T) {
	us := time.Microsecond
	for name, gaps := range map[string][]time.Duration{
		"just too late":          {DefaultBusyPoll + lookTime},
		"much too late":          {time.Millisecond},
		"just in time":           {DefaultBusyPoll - lookTime},
		"in time, then not":      {us, DefaultBusyPoll + lookTime},
		"pairs every 1ms":        {us, time.Millisecond},
		"often, then not":        {us, us, us, us, us, us, us, us, 150 * us},
		"on many, one at a time": nil,
	} {
		p := newPolling(0)
		var looks [16]look
		begin, l := p.now, &looks[0]
		for i := 0; p.now < begin+int64(10*time.Second); i++ {
			if gaps != nil {
				p.bytes(l, gaps[i%len(gaps)])
				continue
			}
			p.alone(&looks[i%len(looks)])
			for range 50 {
				p.bytes(&looks[i%len(looks)], us)
				p.bytes(&looks[i%len(looks)], DefaultBusyPoll+lookTime)
			}
		}
		saved := time.Duration(p.rewarded.Load()) * pollEarns
		share := time.Duration(p.now-begin) / pollShare
		if p.polled == 0 || p.polled > saved+share+pollSaving+2*DefaultBusyPoll {
			t.Errorf("bytes that come %s: polled for %v of 10s, which saved %v of waiting; %v was its share", name, p.polled, saved, share)
		}
	}
}

func TestBusyPollingGoesOnAfterHiccups(t *testing.T) {
	p, l := newPolling(0), new(look)
	p.alone(l)
	const gap = 10 * time.Microsecond
	for range 1000 {
		for range 5 {
			if p.bytes(l, gap) != gap && l.stint != 0 {
				t.Fatal("not polled")
			}
		}
		p.bytes(l, 2*DefaultBusyPoll)
	}
	if p.vain.Load() < 900 {
		t.Errorf("%d polls in vain of 1000 that were to be", p.vain.Load())
	}
}

func TestBusyPollingLeavesTheProcessorToOthers(t *testing.T) {
	p, l := newPolling(0), new(look)
	p.one = true
	p.alone(l)
	p.came(l, p.now)
	p.emptied(l, 1, true, p.now)
	const turn = int64(4 * time.Millisecond) // of another process; by then there are bytes
	p.now += turn
	if p.bytes(l, time.Microsecond) != 0 {
		t.Error("polls again at once")
	}
	if p.now += 10 * turn; p.bytes(l, time.Microsecond) != 0 {
		t.Error("polls again after 10 turns of another process")
	}
	if p.now += 20 * turn; p.bytes(l, time.Microsecond) == 0 {
		t.Error("never polls again")
	}
}

func TestBusyPollingGoesOnAfterTheProcessWasStopped(t *testing.T) {
	p, l := newPolling(0), new(look)
	p.alone(l)
	p.came(l, p.now)
	p.emptied(l, 1, false, p.now)
	if p.now += int64(time.Hour); p.nothing(l, p.now) {
		t.Error("polls on")
	}
	if p.now += int64(time.Second); p.bytes(l, time.Microsecond) == 0 {
		t.Error("does not poll a second later")
	}
}

func TestBusyPollingForgetsAReaderThatEnded(t *testing.T) {
	p, a, b := newPolling(0), new(look), new(look)
	p.came(a, p.now)
	if p.left(b); p.last.Load() != a {
		t.Error("forgot another")
	}
	if p.left(a); p.last.Load() != nil {
		t.Error("did not")
	}
}

func TestBusyPollingIsInterrupted(t *testing.T) {
	for one, stint := range map[bool]time.Duration{true: pollStintOne, false: pollStint} {
		p, l := newPolling(0), new(look)
		p.one = one
		p.alone(l)
		const gap = 10 * time.Microsecond
		for range 10 {
			in := time.Duration(0)
			for p.bytes(l, gap) != 0 {
				if in += gap; in > 2*stint {
					t.Fatalf("one processor: %v: polled for %v and never waited", one, in)
				}
			}
			if in < stint || in > stint+2*gap {
				t.Errorf("one processor: %v: waited after %v of polling, want %v", one, in, stint)
			}
		}
	}
	p, l := newPolling(time.Hour), new(look)
	p.alone(l)
	if d := p.bytes(l, time.Hour); d > pollStint+2*lookTime {
		t.Errorf("polled for %v without a look at anything else", d)
	}
}

func TestNobodyPollsInACrowd(t *testing.T) {
	p, l := newPolling(0), new(look)
	p.alone(l)
	if p.emptied(l, crowd+1, false, p.now) {
		t.Error("polls although many records came at once")
	}
	if !p.emptied(l, crowd, false, p.now) {
		t.Error("does not poll")
	}
}

// Bytes on a connection that is not polled count, too: another is not the only one then.
func TestBytesOnOtherNetworksAreNoted(t *testing.T) {
	_, b, s := pair(t)
	works(t, s)
	if b.busy.last.Load() == nil {
		t.Error("they are not")
	}
}

// A peer that keeps a socket full does not keep its reader from hearing of a cut.
func TestAReaderThatNeverWaitsHearsOfACut(t *testing.T) {
	_, _, s := pair(t)
	l := s.link.Load()
	x := &intake{link: l, turn: readAtOnce}
	for range 2 { // its turn is over, and begins anew
		x.turn = 0
		if err := x.yield(); err != nil || x.turn != readAtOnce {
			t.Fatalf("%v, and %d bytes until the next turn", err, x.turn)
		}
	}
	cut := errors.New("cut by the test")
	l.cut(cut)
	if x.turn = 0; !errors.Is(x.yield(), cut) {
		t.Error("reads on")
	}
}

// callUntil makes calls until there returns true. Where other processes want the processors,
// readers rest for much of the time.
func callUntil(t *testing.T, s *Session, there func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience)
	defer cancel()
	for !there() {
		if _, err := do(ctx, s, request(ctx, echo, []byte("hello"))); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConnectionsArePolled(t *testing.T) {
	long := func(c *Config) { c.BusyPoll = time.Hour }
	a, b := newNode(t, &tcp{}, "", long), newNode(t, &tcp{}, "127.0.0.1", long)
	s := a.session(t, b)
	if s.link.Load().polled == nil {
		t.Skip("on this system connections are not polled")
	}
	callUntil(t, s, func() bool { return a.Counters().Polled > 0 && b.Counters().Polled > 0 })
	s.link.Load().cut(errors.New("cut by the test")) // of which a reader that polls comes to know
	callUntil(t, s, func() bool { return b.Counters().Resumes == 1 })
}

func TestConnectionsAreNotPolledUnlessWanted(t *testing.T) {
	never, long := func(c *Config) { c.BusyPoll = -1 }, func(c *Config) { c.BusyPoll = time.Hour }
	a, b := newNode(t, &tcp{}, "", never), newNode(t, &tcp{}, "127.0.0.1", long)
	s := a.session(t, b)
	if s.link.Load().polled == nil {
		t.Skip("on this system connections are not polled")
	}
	callUntil(t, s, func() bool { return b.Counters().Polled > 0 })
	if c := a.Counters(); c.Polled+c.PolledInVain != 0 {
		t.Errorf("polled %d times, and %d in vain", c.Polled, c.PolledInVain)
	}
}
