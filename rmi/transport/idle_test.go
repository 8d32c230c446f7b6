package transport

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/rmitest/proctest"
)

// idleSessions is how many sessions are measured together.
const idleSessions = 10_000

// BenchmarkIdleSession reports what a session that was used and is idle costs each side, in
// heap and stacks.
func BenchmarkIdleSession(b *testing.B) {
	b.Run("tcp", func(b *testing.B) { // in two processes: one may not have so many files
		for b.Loop() {
			server := newNode(b, &tcp{}, "127.0.0.1", oneAccount)
			before := inUse()
			clients := proctest.Self("TestIdleClients", "RMI_IDLE_AT="+server.at.Address())
			until, err := clients.StdinPipe()
			if err != nil {
				b.Fatal(err)
			}
			process := proctest.Start(b, clients)
			theirs, err := strconv.ParseUint(process.Says("idle "), 10, 64)
			if err != nil {
				b.Fatal(err)
			}
			peers := make(map[refs.NodeID]bool) // an attempt that came to nothing may have left a session
			for _, s := range server.Sessions() {
				peers[s.Peer()] = true
			}
			if len(peers) != idleSessions {
				b.Errorf("sessions with %d peers", len(peers))
			}
			b.ReportMetric(float64(inUse()-before)/idleSessions, "B/server")
			b.ReportMetric(float64(theirs)/idleSessions, "B/client")
			until.Close()
			if err := process.Wait(); err != nil {
				b.Error(err)
			}
			server.Close(time.Second)
		}
	})
	b.Run("memnet", func(b *testing.B) {
		for b.Loop() {
			mem := memnet.New()
			server := newNode(b, mem, "127.0.0.1", oneAccount)
			used, end := useIdle(b, mem, server.at)
			b.ReportMetric(float64(used)/idleSessions/2, "B/side")
			end()
			server.Close(time.Second)
		}
	})
}

// oneAccount lets the peers of one address have all that a node has.
func oneAccount(c *Config) { c.Limits.Share = 100 }

// TestIdleClients is the clients' process of BenchmarkIdleSession.
func TestIdleClients(t *testing.T) {
	at := os.Getenv("RMI_IDLE_AT")
	if at == "" {
		t.Skip("only beside BenchmarkIdleSession")
	}
	server, err := refs.ParseEndpoint(at)
	if err != nil {
		t.Fatal(err)
	}
	used, end := useIdle(t, &tcp{}, server)
	fmt.Printf("idle %d\n", used)
	_, _ = io.Copy(io.Discard, os.Stdin) // until both have measured
	end()
}

// useIdle makes sessions with a server, uses them and leaves them alone. It returns how many
// more bytes the process uses.
func useIdle(t testing.TB, network Network, server refs.Endpoint) (used uint64, end func()) {
	t.Helper()
	clients := make([]*node, idleSessions)
	for i := range clients {
		clients[i] = newNode(t, network, "")
	}
	before := inUse()
	for _, n := range clients {
		s, err := n.Session(t.Context(), server, refs.NodeID{})
		for try := 0; err != nil && try < 5; try++ { // on a machine that has much else to do
			s, err = n.Session(t.Context(), server, refs.NodeID{})
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, err := do(t.Context(), s, request(t.Context(), echo, []byte("x"))); err != nil {
				t.Fatal(err)
			}
		}
	}
	<-time.After(2 * time.Second) // the clock trims what is idle
	return inUse() - before, func() {
		var closing sync.WaitGroup
		for _, n := range clients {
			closing.Go(func() { n.Close(time.Second) })
		}
		closing.Wait()
	}
}

// inUse is the process's heap and stacks.
func inUse() uint64 {
	for range 3 { // pools and finalizers
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
