package rmi_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"gormi/rmi"
)

// The tests whose names begin with TestProof prove what package rmi says of
// failures: each makes the failure happen, often and at random from a seed,
// compares what every caller was told with what ran, and fails if the case that
// it is for never came up. `go test -v -run TestProof ./...` prints their
// figures, RMI_LONG=1 runs the long forms.

// long says that the long forms are asked for.
var long = os.Getenv("RMI_LONG") != ""

// size is how much of something a proof does.
func size(short, inLong int) int {
	if long {
		return inLong
	}
	return short
}

// figure prints what a proof counted.
func figure(t *testing.T, format string, args ...any) {
	t.Helper()
	t.Logf("proof: %s: %s", t.Name(), fmt.Sprintf(format, args...))
}

// duration bounds a proof in all; no good run takes as long.
func duration(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// work takes d of a method's time, less if the context ends.
func work(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ledger counts how often each call ran.
type ledger struct {
	mu  sync.Mutex
	ran map[int64]int
}

func (l *ledger) enter(id int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ran == nil {
		l.ran = make(map[int64]int)
	}
	l.ran[id]++
}

func (l *ledger) times(id int64) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ran[id]
}

// tally is what callers were told of their calls.
type tally struct {
	mu     sync.Mutex
	ok     map[int64]bool // and otherwise failed
	failed map[int64]error
}

func (y *tally) note(id int64, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.ok == nil {
		y.ok, y.failed = make(map[int64]bool), make(map[int64]error)
	}
	if err == nil {
		y.ok[id] = true
	} else {
		y.failed[id] = err
	}
}

// counts are how many calls came to each end.
type counts struct{ OK, NotExecuted, Executed, Unknown int }

func (c counts) String() string {
	return fmt.Sprintf("%d OK, %d not executed, %d executed, %d unknown", c.OK, c.NotExecuted, c.Executed, c.Unknown)
}

func (y *tally) counts() (c counts) {
	y.mu.Lock()
	defer y.mu.Unlock()
	c.OK = len(y.ok)
	for _, err := range y.failed {
		switch rmi.OutcomeOf(err) {
		case rmi.OutcomeNotExecuted:
			c.NotExecuted++
		case rmi.OutcomeExecuted:
			c.Executed++
		default:
			c.Unknown++
		}
	}
	return c
}

// check compares with what ran: at most once whatever the caller was told, once
// if OK or Executed, never if NotExecuted.
func (y *tally) check(t *testing.T, ran *ledger) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	ran.mu.Lock()
	defer ran.mu.Unlock()
	var complaints complaints
	for id := range y.ok {
		if n := ran.ran[id]; n != 1 {
			complaints.add("call %d: OK, and it ran %d times", id, n)
		}
	}
	for id, err := range y.failed {
		n, o := ran.ran[id], rmi.OutcomeOf(err)
		if n > 1 || o == rmi.OutcomeNotExecuted && n != 0 || o == rmi.OutcomeExecuted && n != 1 {
			complaints.add("call %d: the outcome is %v, and it ran %d times: %v", id, o, n, err)
		}
	}
	for id := range ran.ran {
		if !y.ok[id] && y.failed[id] == nil {
			complaints.add("call %d ran, and nobody made it or learnt its end", id)
		}
	}
	complaints.report(t)
}

// allOK fails the test for each call that failed.
func (y *tally) allOK(t *testing.T) {
	t.Helper()
	y.allOKBut(t, new(ledger))
}

// allOKBut is allOK, but for some calls, which may have failed.
func (y *tally) allOKBut(t *testing.T, some *ledger) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	var complaints complaints
	for id, err := range y.failed {
		if some.times(id) == 0 {
			complaints.add("call %d: %v", id, err)
		}
	}
	complaints.report(t)
}

// complaints are told up to a number that can be read.
type complaints struct {
	first []string
	more  int
}

func (c *complaints) add(format string, args ...any) {
	if len(c.first) < 5 {
		c.first = append(c.first, fmt.Sprintf(format, args...))
	} else {
		c.more++
	}
}

func (c *complaints) report(t *testing.T) {
	t.Helper()
	for _, s := range c.first {
		t.Error(s)
	}
	if c.more > 0 {
		t.Errorf("... and %d more of these", c.more)
	}
}

// draw returns a source of randomness of its own for each caller of a proof.
func draw(seed, caller uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, caller)) }

// The books that the proofs are kept with notice what they are for.
func TestTally(t *testing.T) {
	unknown := &rmi.Error{Kind: rmi.KindPeerGone, Outcome: rmi.OutcomeUnknown}
	never := &rmi.Error{Kind: rmi.KindConnectFailed, Outcome: rmi.OutcomeNotExecuted}
	ended := &rmi.Error{Kind: rmi.KindApplication, Outcome: rmi.OutcomeExecuted}
	for _, c := range []struct {
		name  string
		err   error
		times int
		fails bool
	}{
		{"OK, once", nil, 1, false},
		{"OK, never", nil, 0, true},
		{"OK, twice", nil, 2, true},
		{"unknown, never", unknown, 0, false},
		{"unknown, once", unknown, 1, false},
		{"unknown, twice", unknown, 2, true},
		{"not executed, never", never, 0, false},
		{"not executed, once", never, 1, true},
		{"executed, never", ended, 0, true},
		{"executed, once", ended, 1, false},
	} {
		var y tally
		var l ledger
		y.note(1, c.err)
		for range c.times {
			l.enter(1)
		}
		var fake testing.T
		y.check(&fake, &l)
		if fake.Failed() != c.fails {
			t.Errorf("%s: fails %v, want %v", c.name, fake.Failed(), c.fails)
		}
	}
}
