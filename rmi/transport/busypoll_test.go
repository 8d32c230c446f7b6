package transport

import (
	"context"
	"errors"
	"testing"
	"time"
)

// polling is a reader and the time, in steps of a look.
type polling struct {
	busyPoll
	now int64
}

// A look takes this long.
const (
	lookTime  = 500 * time.Nanosecond
	lookTakes = int64(lookTime)
)

func newPolling(limit time.Duration, processors int) *polling {
	p := &polling{now: int64(time.Hour)}
	p.init(limit, processors)
	return p
}

// came has bytes come on a connection, which had none since the last, and reports for
// how long its reader polls until more of them come after gap.
func (p *polling) came(l *look, gap time.Duration) (polled time.Duration) {
	next := p.now + int64(gap)
	if p.emptied(l, 1, p.now) {
		began := p.now
		for p.now += lookTakes; p.now < next && p.nothing(l, p.now); {
			p.now += lookTakes
		}
		polled = time.Duration(min(p.now, next) - began)
	}
	p.now = next
	return polled
}

// alone has a connection be the only one for long enough.
func (p *polling) alone(l *look) {
	p.emptied(l, 1, p.now)
	p.now += int64(pollAlone)
}

func TestBusyPollingBeginsWhenAConnectionIsTheOnlyOne(t *testing.T) {
	p, a, b := newPolling(0, 2), new(look), new(look)
	const gap = 10 * time.Microsecond
	for spent := time.Duration(0); spent < pollAlone; spent += gap {
		if p.came(a, gap) != 0 {
			t.Fatalf("polled after %v", spent)
		}
	}
	if p.came(a, gap) != gap {
		t.Error("not polled although it was the only one")
	}
	if p.came(b, gap) != 0 {
		t.Error("another one polled at once")
	}
	if p.came(a, gap) != 0 {
		t.Error("polled although bytes came on another one")
	}
}

func TestBusyPollingEndsAtTheLimit(t *testing.T) {
	p, l := newPolling(0, 2), new(look)
	p.alone(l)
	if d := p.came(l, DefaultBusyPoll-lookTime); d != DefaultBusyPoll-lookTime || p.rewarded.Load() != 0 {
		t.Errorf("polled for %v", d)
	}
	if d := p.came(l, time.Second); d < DefaultBusyPoll || d > DefaultBusyPoll+2*lookTime {
		t.Errorf("polled for %v", d)
	}
	if p.rewarded.Load() != 1 || p.vain.Load() != 1 {
		t.Errorf("%d polls rewarded and %d in vain, want one of each", p.rewarded.Load(), p.vain.Load())
	}
}

func TestBusyPollingInVainIsLittleOfTheTime(t *testing.T) {
	for _, gap := range []time.Duration{DefaultBusyPoll + lookTime, 150 * time.Microsecond, time.Millisecond, 40 * time.Millisecond} {
		p, l := newPolling(0, 2), new(look)
		p.alone(l)
		var polled time.Duration
		begin := p.now
		for p.now < begin+int64(10*time.Second) {
			polled += p.came(l, gap)
		}
		if polled == 0 || polled > 10*time.Second/64+pollBackoff*DefaultBusyPoll {
			t.Errorf("bytes every %v: polled for %v of 10s", gap, polled)
		}
		if p.rewarded.Load() != 0 {
			t.Errorf("bytes every %v: rewarded", gap)
		}
	}
}

// Whatever a peer does, what its bytes make a node poll in vain is bounded.
func TestBusyPollingHalfInVainIsAnEighthOfTheTime(t *testing.T) {
	for _, hits := range []int{1, 2, 8} {
		p, l := newPolling(0, 2), new(look)
		p.alone(l)
		var vain time.Duration
		begin := p.now
		for p.now < begin+int64(10*time.Second) {
			for range hits {
				p.came(l, lookTime)
			}
			vain += p.came(l, DefaultBusyPoll+lookTime)
		}
		if vain < time.Second/2 || vain > 10*time.Second/pollShare+2*pollDebt {
			t.Errorf("%d times rewarded and once in vain: polled in vain for %v of 10s", hits, vain)
		}
	}
}

// One hiccup is not what long failure is.
func TestBusyPollingGoesOnAfterAHiccup(t *testing.T) {
	p, l := newPolling(0, 2), new(look)
	p.alone(l)
	const gap = 10 * time.Microsecond
	for range 3 {
		p.came(l, gap)
		p.came(l, 2*DefaultBusyPoll)
		if p.came(l, gap) != gap {
			t.Error("not polled after one poll in vain")
		}
	}
}

func TestBusyPollingLeavesTheProcessorToOthers(t *testing.T) {
	p, l := newPolling(0, 1), new(look)
	p.alone(l)
	p.emptied(l, 1, p.now)
	const turn = int64(4 * time.Millisecond)
	p.now += turn // of another process: giveWay came back so late, and by then there are bytes
	if p.emptied(l, 1, p.now) {
		t.Error("polls again at once")
	}
	if p.now += 60 * turn; p.came(l, time.Microsecond) != 0 {
		t.Error("polls again after 60 turns of another process")
	}
	if p.now += 4 * turn; p.came(l, time.Microsecond) == 0 {
		t.Error("never polls again")
	}
}

func TestBusyPollingGoesOnAfterTheProcessWasStopped(t *testing.T) {
	p, l := newPolling(0, 2), new(look)
	p.alone(l)
	p.emptied(l, 1, p.now)
	if p.now += int64(time.Hour); p.nothing(l, p.now) {
		t.Error("polls on")
	}
	if p.now += int64(time.Second); p.came(l, time.Microsecond) == 0 {
		t.Error("does not poll a second later")
	}
}

func TestBusyPollingForgetsAReaderThatEnded(t *testing.T) {
	p, a, b := newPolling(0, 2), new(look), new(look)
	p.emptied(a, 1, p.now)
	if p.left(b); p.last.Load() != a {
		t.Error("forgot another")
	}
	if p.left(a); p.last.Load() != nil {
		t.Error("did not")
	}
}

func TestBusyPollingIsInterrupted(t *testing.T) {
	for processors, stint := range map[int]time.Duration{1: pollStintOne, 2: pollStint, 64: pollStint} {
		p, l := newPolling(0, processors), new(look)
		p.alone(l)
		const gap = 10 * time.Microsecond
		longest := time.Duration(0)
		for range 10 {
			in := time.Duration(0)
			for p.came(l, gap) != 0 {
				if in += gap; in > 2*stint {
					t.Fatalf("%d processors: polled for %v and never waited", processors, in)
				}
			}
			longest = max(longest, in)
		}
		if longest < stint || longest > stint+2*gap {
			t.Errorf("%d processors: waited after %v of polling, want %v", processors, longest, stint)
		}
		if p, l := newPolling(time.Hour, processors), new(look); true {
			p.alone(l)
			if d := p.came(l, time.Hour); d > stint+2*lookTime {
				t.Errorf("%d processors: polled for %v without a look at anything else", processors, d)
			}
		}
	}
}

func TestNobodyPollsInACrowd(t *testing.T) {
	p, l := newPolling(0, 2), new(look)
	p.alone(l)
	if p.emptied(l, crowd+1, p.now) {
		t.Error("polls although many records came at once")
	}
	if !p.emptied(l, crowd, p.now) {
		t.Error("does not poll")
	}
}

// callUntil makes calls until there is what is looked for. Where other processes want
// the processors, readers rest for much of the time.
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
