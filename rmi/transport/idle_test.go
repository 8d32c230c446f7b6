package transport

import (
	"runtime"
	"testing"
	"time"

	"gormi/rmi/transport/memnet"
)

// BenchmarkIdleSession reports what a session that was used and is idle costs
// one side: heap and stacks.
func BenchmarkIdleSession(b *testing.B) {
	for _, c := range []struct {
		name    string
		network func() (client, server Network)
	}{
		{"tcp", func() (Network, Network) { return &tcp{}, &tcp{} }},
		{"memnet", func() (Network, Network) { n := memnet.New(); return n, n }},
	} {
		b.Run(c.name, func(b *testing.B) {
			const sessions = 1000
			measure := func() uint64 {
				for range 3 { // pools and finalizers
					runtime.GC()
				}
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return m.HeapAlloc + m.StackInuse
			}
			for b.Loop() {
				cn, sn := c.network()
				server := newNode(b, sn, "127.0.0.1")
				clients := make([]*node, sessions)
				for i := range clients {
					clients[i] = newNode(b, cn, "")
				}
				before := measure()
				for _, n := range clients {
					s := n.session(b, server)
					for range 3 {
						if _, err := do(b.Context(), s, request(b.Context(), echo, []byte("x"))); err != nil {
							b.Fatal(err)
						}
					}
				}
				<-time.After(2 * time.Second) // the clock trims what is idle
				after := measure()
				b.ReportMetric(float64(after-before)/sessions/2, "B/side")
				for _, n := range clients {
					n.Close(time.Second)
				}
				server.Close(time.Second)
			}
		})
	}
}
