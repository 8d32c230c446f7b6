//go:build linux

package attack

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/rmitest/proctest"
)

// long says that the long forms are asked for.
var long = os.Getenv("RMI_LONG") != ""

// size is how much of something an attack does.
func size(short, inLong int) int {
	if long {
		return inLong
	}
	return short
}

// span is how long an attack takes, calm how long the bystander is watched before it.
func span() time.Duration { return time.Duration(size(800, 60_000)) * time.Millisecond }
func calm() time.Duration { return time.Duration(size(200, 5_000)) * time.Millisecond }

// recovery is how long the victim may take to be as before.
const recovery = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	// Attacks take turns, but many tests may wait at once until their victims are as before.
	_ = flag.Set("test.parallel", "64")
	os.Exit(m.Run())
}

// turn is held by the test whose attack is under way.
var turn sync.Mutex

// scene is a victim and a bystander.
type scene struct {
	t                 *testing.T
	victim, bystander *proctest.Process
	at                refs.Endpoint
}

// ask sends a process a word, and reads its answer.
func ask[T any](t *testing.T, p *proctest.Process, word string) (answer T) {
	t.Helper()
	if _, err := fmt.Fprintln(p.Stdin, word); err != nil {
		t.Fatalf("%s: %v", word, err)
	}
	if err := json.Unmarshal([]byte(p.Says(word+": ")), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func (s *scene) measure() measured { return ask[measured](s.t, s.victim, "measure") }
func (s *scene) report() reported  { return ask[reported](s.t, s.bystander, "report") }

// attacker is the hostile side. It has no rights.
type attacker struct {
	context.Context // ends when the attack is to end
	t               *testing.T
	at              refs.Endpoint

	mu    sync.Mutex // guards conns
	conns map[net.Conn]struct{}
}

// suffer lets a victim be attacked, and checks what the package's comment says. harm counts what
// was done. It returns what the victim was like at the end of the attack.
func suffer(t *testing.T, harm func(a *attacker) int) (after measured) {
	if !long && os.Getenv("RMI_ATTACK") == "" {
		t.Skip("attacks want a machine of their own: RMI_ATTACK=1 go test ./rmi/internal/attack")
	}
	if !long {
		t.Parallel()
	}
	s := &scene{t: t}
	calls := s.under(harm)
	base := calls.base
	after = s.recovered(base)
	final := s.report()
	t.Logf("after it the bystander's calls had p50 %v, p99 %v", final.P50, final.P99)
	for when, r := range map[string]reported{"before the attack": calls.before, "during the attack": calls.during, "after the attack": final} {
		if r.Failed > 0 || r.Calls == 0 {
			t.Errorf("%s %d of %d calls of the bystander failed: %s", when, r.Failed, r.Calls, r.First)
		}
	}
	return after
}

// watched is what was seen around an attack.
type watched struct {
	base           measured
	before, during reported
}

// under runs the attack. No other test attacks meanwhile.
func (s *scene) under(harm func(a *attacker) int) (w watched) {
	turn.Lock()
	defer turn.Unlock()
	s.victim = proctest.Start(s.t, proctest.Self("TestVictim", victimEnv+"=1"))
	at, err := refs.ParseEndpoint(s.victim.Says("victim at "))
	if err != nil {
		s.t.Fatal(err)
	}
	s.at = at
	s.bystander = proctest.Start(s.t, proctest.Self("TestBystander", bystanderEnv+"="+at.Address()))
	s.bystander.Says("bystander is there")
	s.report()
	time.Sleep(calm()) // it is what is measured: calls in this time
	w.before = s.report()
	w.base = s.measure()

	ctx, cancel := context.WithTimeout(s.t.Context(), span())
	defer cancel()
	a := &attacker{Context: ctx, t: s.t, at: s.at, conns: make(map[net.Conn]struct{})}
	begin := time.Now()
	n := harm(a)
	took := time.Since(begin)
	w.during = s.report()
	peak := s.measure()
	a.leave()
	ask[bool](s.t, s.bystander, "slower") // the next attack begins
	if n == 0 {
		s.t.Error("the attack did no harm at all: it has missed")
	}
	s.t.Logf("%d times in %v; the bystander's calls p50 %v, p99 %v before, p50 %v, p99 %v during it (%d calls); the victim had %v, and at the end %v",
		n, took.Round(time.Millisecond), w.before.P50, w.before.P99, w.during.P50, w.during.P99, w.during.Calls, w.base, peak)
	return w
}

// recovered waits until the victim is as before.
func (s *scene) recovered(base measured) measured {
	begin := time.Now()
	for {
		now := s.measure()
		more := now.beyond(base)
		if more == "" {
			s.t.Logf("as before after %v", time.Since(begin).Round(time.Millisecond))
			return now
		}
		if time.Since(begin) > recovery {
			s.t.Errorf("after %v the victim still has more %s: %v, before it had %v", recovery, more, now, base)
			return now
		}
		time.Sleep(500 * time.Millisecond) // between two polls
	}
}

// dial connects to the victim.
func (a *attacker) dial() (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(a, "tcp", a.at.Address())
	if err != nil {
		return nil, err
	}
	_ = c.(*net.TCPConn).SetLinger(0) // a cut, not an orderly end; and the attacker keeps ports
	a.mu.Lock()
	a.conns[c] = struct{}{}
	a.mu.Unlock()
	return c, nil
}

// drop cuts a connection.
func (a *attacker) drop(c net.Conn) {
	c.Close()
	a.mu.Lock()
	delete(a.conns, c)
	a.mu.Unlock()
}

// leave cuts all connections.
func (a *attacker) leave() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := range a.conns {
		c.Close()
	}
}

// storm repeats something by a number of goroutines until the attack ends, and counts how often
// it succeeded. one is told how often it was repeated before.
func (a *attacker) storm(goroutines int, one func(i int) error) int {
	var i, done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for a.Err() == nil {
				if err := one(int(i.Add(1)) - 1); err == nil {
					done.Add(1)
				} else if a.Err() == nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		a.t.Logf("of %d attempts %d went through; the last error was %v", i.Load(), done.Load(), *err)
	}
	return int(done.Load())
}

// crowd does something once by each of a number of goroutines, and counts how often it succeeded.
func (a *attacker) crowd(n int, one func(i int) error) int {
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := one(i); err == nil {
				done.Add(1)
			} else {
				failed.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		a.t.Logf("of %d attempts %d went through; the last error was %v", n, done.Load(), *err)
	}
	return int(done.Load())
}

// rest waits for the end of the attack.
func (a *attacker) rest() { <-a.Done() }
