package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
)

// Moments of a dial at which a gate can hold it up.
type moment int

const (
	beforeDial    moment = iota
	beforeProof          // the acceptor has proved itself, this node not yet
	beforeWelcome        // the proof is on its way
	moments
)

// gated is a Network whose dials wait at each moment until gate returns.
type gated struct {
	Network
	dials atomic.Int64
	gate  func(dial int64, m moment)
	wrap  func(net.Conn) net.Conn
}

func (g *gated) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	n := g.dials.Add(1)
	if g.gate != nil {
		g.gate(n, beforeDial)
	}
	c, err := g.Network.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if g.wrap != nil {
		c = g.wrap(c)
	}
	return &gatedConn{Conn: c, g: g, n: n}, nil
}

type gatedConn struct {
	net.Conn
	g              *gated
	n              int64
	writes         atomic.Int64
	proved, waited atomic.Bool
}

func (c *gatedConn) Write(b []byte) (int, error) {
	if c.writes.Add(1) == 2 && c.g.gate != nil {
		c.g.gate(c.n, beforeProof)
	}
	n, err := c.Conn.Write(b)
	if c.writes.Load() >= 2 {
		c.proved.Store(true)
	}
	return n, err
}

func (c *gatedConn) Read(b []byte) (int, error) {
	if c.proved.Load() && !c.waited.Swap(true) && c.g.gate != nil {
		c.g.gate(c.n, beforeWelcome)
	}
	return c.Conn.Read(b)
}

// keys returns two keys, the one with the smaller node id first.
func keys() (small, large ed25519.PrivateKey) {
	_, small, _ = ed25519.GenerateKey(rand.Reader)
	_, large, _ = ed25519.GenerateKey(rand.Reader)
	id := func(k ed25519.PrivateKey) []byte {
		n := refs.NodeIDFromKey(k.Public().(ed25519.PublicKey))
		return n[:]
	}
	if bytes.Compare(id(small), id(large)) > 0 {
		small, large = large, small
	}
	return small, large
}

// couple returns two nodes with gates; the first decides.
func couple(t *testing.T) (n [2]*node, g [2]*gated) {
	net := memnet.New()
	var k [2]ed25519.PrivateKey
	k[0], k[1] = keys()
	for i, host := range []string{"a", "b"} {
		g[i] = &gated{Network: net.Host(host)}
		n[i] = newNode(t, g[i], host, func(c *Config) { c.Key = k[i] })
	}
	return n, g
}

// meet makes both nodes call each other several times concurrently, and returns when all calls
// have succeeded.
func meet(t *testing.T, n [2]*node) {
	t.Helper()
	var calls sync.WaitGroup
	for i := range n {
		for range 3 {
			calls.Go(func() {
				for range 3 {
					s, err := n[i].Session(t.Context(), n[1-i].at, n[1-i].Node())
					if err != nil {
						t.Errorf("node %d: %v", i, err)
						return
					}
					if _, err := do(t.Context(), s, request(t.Context(), echo, []byte("x"))); err != nil {
						t.Errorf("a call of node %d: %v", i, err)
					}
				}
			})
		}
	}
	calls.Wait()
}

// one checks that the nodes have one session, the same one, and that it works both ways.
func one(t *testing.T, n [2]*node) {
	t.Helper()
	synctest.Wait()
	a, b := n[0].Sessions(), n[1].Sessions()
	if len(a) != 1 || len(b) != 1 || a[0].ID() != b[0].ID() {
		t.Errorf("sessions %v and %v", a, b)
		return
	}
	if n[0].Live(n[1].Node()) != a[0] || n[1].Live(n[0].Node()) != b[0] {
		t.Errorf("a session is not the one with its peer")
	}
	if c := n[0].conns.Load() + n[1].conns.Load(); c != 2 {
		t.Errorf("%d connections are counted", c)
	}
	works(t, a[0])
	works(t, b[0])
}

// Each node's dial waits at some moment. The schedule says which of them goes on, and
// everything that can happen happens before the next step.
func TestCrossedDialsLeaveOneSession(t *testing.T) {
	schedules := []string{
		"aaabbb", "bbbaaa", // one after the other
		"ababab", "bababa",
		"aabbab", "bbaaba", // both have proved themselves, neither is welcomed
		"aabbba", "bbaaab",
		"abbbaa", "baaabb", // one sleeps from its dial to the other's end
		"aabbb a", "bbaaa b",
	}
	for _, schedule := range schedules {
		t.Run(schedule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, g := couple(t)
				var steps [2]chan struct{}
				for i := range g {
					steps[i] = make(chan struct{}, 100)
					g[i].gate = func(dial int64, m moment) {
						if dial == 1 {
							<-steps[i]
						}
					}
				}
				done := make(chan struct{})
				go func() { meet(t, n); close(done) }()
				synctest.Wait()
				for _, who := range schedule {
					if who != ' ' {
						steps[who-'a'] <- struct{}{}
						synctest.Wait()
					}
				}
				start := time.Now()
				close(steps[0])
				close(steps[1])
				<-done
				if d := time.Since(start); d != 0 {
					t.Errorf("the nodes needed %v to agree", d)
				}
				one(t, n)
			})
		})
	}
}

func TestCrossedDialsInRandomOrder(t *testing.T) {
	for round := range 150 {
		synctest.Test(t, func(t *testing.T) {
			n, g := couple(t)
			random := mathrand.New(mathrand.NewPCG(1, uint64(round)))
			for i := range g {
				var yields [moments]int
				for m := range yields {
					yields[m] = random.IntN(40)
				}
				g[i].gate = func(_ int64, m moment) {
					for range yields[m] {
						runtime.Gosched()
					}
				}
			}
			meet(t, n)
			one(t, n)
			if t.Failed() {
				t.Logf("in round %d", round)
			}
		})
		if t.Failed() {
			return
		}
	}
}

func TestOneDialForManyFirstCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, g := couple(t)
		open := make(chan struct{})
		g[0].gate = func(int64, moment) { <-open }
		var got sync.Map
		var calls sync.WaitGroup
		for range 64 {
			calls.Go(func() { s := n[0].session(t, n[1]); got.Store(s, true); works(t, s) })
		}
		synctest.Wait()
		close(open)
		calls.Wait()
		sessions := 0
		got.Range(func(any, any) bool { sessions++; return true })
		if d := g[0].dials.Load(); d != 1 || sessions != 1 {
			t.Errorf("%d dials, %d sessions", d, sessions)
		}
		one(t, n)
	})
}

// One dial knows the node, the other only its address. They are not joined, and neither may end
// the other's session.
func TestTwoDialsToOneNodeLeaveOneSession(t *testing.T) {
	for decides := range 2 {
		for last := range 2 {
			t.Run(fmt.Sprint(decides, last), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, g := couple(t)
					from, to := n[1-decides], n[decides]
					var steps [2]chan struct{}
					for i := range steps {
						steps[i] = make(chan struct{})
					}
					g[1-decides].gate = func(dial int64, m moment) {
						if dial <= 2 && m != beforeDial {
							<-steps[dial-1]
						}
					}
					var calls sync.WaitGroup
					for _, node := range []refs.NodeID{to.Node(), {}} {
						calls.Go(func() {
							s, err := from.Session(t.Context(), to.at, node)
							if err != nil {
								t.Error(err)
								return
							}
							for range 10 {
								works(t, s)
								runtime.Gosched()
							}
						})
						synctest.Wait()
					}
					close(steps[1-last])
					synctest.Wait()
					close(steps[last])
					calls.Wait()
					one(t, n)
				})
			})
		}
	}
}

func TestTheSameAddressIsDialledOnce(t *testing.T) {
	n, g := couple(t)
	for range 5 {
		s, err := n[0].Session(t.Context(), n[1].at, refs.NodeID{})
		if err != nil {
			t.Fatal(err)
		}
		works(t, s)
	}
	if d := g[0].dials.Load(); d != 1 {
		t.Errorf("%d dials", d)
	}
	s, err := n[0].Session(t.Context(), n[0].at, n[0].Node()) // with itself
	if err != nil {
		t.Fatal(err)
	}
	works(t, s)
}

// zombie is a connection whose other end does not notice when it is closed.
type zombie struct{ net.Conn }

func (z zombie) Close() error { return z.SetDeadline(time.Unix(1, 0)) }

func TestAPeerThatLostItsConnectionIsTakenBackAtOnce(t *testing.T) {
	for decides := range 2 {
		for _, removed := range []bool{false, true} {
			t.Run(fmt.Sprintf("acceptor decides: %v, removed: %v", decides == 0, removed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, g := couple(t)
					acceptor, dialler := n[decides], n[1-decides]
					g[1-decides].wrap = func(c net.Conn) net.Conn {
						t.Cleanup(func() { c.Close() })
						return zombie{c}
					}
					old := dialler.session(t, acceptor)
					works(t, old)
					stale := acceptor.Live(dialler.Node())
					late := make(chan error, 1)
					go func() {
						_, err := do(t.Context(), stale, request(t.Context(), linger, nil))
						late <- err
					}()
					synctest.Wait()

					start := time.Now()
					old.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the cable is out"))
					if removed {
						synctest.Wait()
					}
					if stale.Err() != nil {
						t.Fatal("the other end noticed")
					}
					works(t, dialler.session(t, acceptor))
					if d := time.Since(start); d != 0 {
						t.Errorf("it took %v", d)
					}
					wantKind(t, <-late, fault.KindPeerGone, fault.OutcomeUnknown, "began a new session")
					one(t, n)
				})
			})
		}
	}
}

func TestDialsThatFailLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := memnet.New()
		a := newNode(t, net.Host("a"), "")
		for i := range 100 {
			_, err := a.Session(t.Context(), refs.Endpoint{Host: "b", Port: 9}, refs.NodeID{1, byte(i)})
			wantKind(t, err, fault.KindConnectFailed, fault.OutcomeNotExecuted, "")
		}
		<-time.After(3 * workerIdle)
		synctest.Wait()
		nodes := len(a.peers.mu.Lock().byNode)
		a.peers.mu.Unlock()
		dials := len(a.dials.mu.Lock().underWay)
		a.dials.mu.Unlock()
		if nodes != 0 {
			t.Errorf("%d nodes are remembered", nodes)
		}
		if dials != 0 {
			t.Errorf("%d dials are remembered", dials)
		}
	})
}
