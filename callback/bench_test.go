package callback_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/callback"
	"gormi/rmi"
	"gormi/rmi/multicast"
)

// Tick is the event of the benchmarks: about 100 bytes encoded.
type Tick struct {
	Symbol string
	Data   []byte
}

var tick = Tick{"ACME", make([]byte, 78)}

// ahead is how many events the publisher may be ahead of the slowest subscriber.
const ahead = 2048

// pace keeps a publisher from running away from its subscribers.
type pace struct {
	mu    sync.Mutex
	moved sync.Cond
	got   []atomic.Int64 // by subscriber that is watched
}

func newPace(n int) *pace {
	p := &pace{got: make([]atomic.Int64, n)}
	p.moved.L = &p.mu
	return p
}

func (p *pace) arrived(i int) {
	if n := p.got[i].Add(1); n%(ahead/4) == 0 {
		p.mu.Lock()
		p.moved.Broadcast()
		p.mu.Unlock()
	}
}

func (p *pace) wait(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.got {
		for p.got[i].Load() < n {
			p.moved.Wait()
		}
	}
}

func BenchmarkFanout(b *testing.B) {
	for _, c := range []struct{ subs, conns int }{{1, 1}, {100, 1}, {100, 100}, {10_000, 1}, {10_000, 100}} {
		b.Run(fmt.Sprintf("subs=%d/conns=%d", c.subs, c.conns), func(b *testing.B) {
			owner, err := rmi.Listen(b.Context(), "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer owner.Close()
			topic, err := callback.NewTopic[Tick](owner, nil)
			if err != nil {
				b.Fatal(err)
			}
			p := newPace(c.subs)
			var gaps atomic.Int64
			for i := range c.conns {
				user := rmi.NewNode(nil)
				defer user.Close()
				src := remote(b, owner, user, topic)
				for j := range c.subs / c.conns {
					at := i*(c.subs/c.conns) + j
					_, err := callback.Subscribe(b.Context(), src, func(_ context.Context, e callback.Event[Tick]) error {
						if e.Kind == callback.KindGap {
							gaps.Add(1)
						}
						p.arrived(at)
						return nil
					}, &callback.SubscribeOptions{Queue: 2 * ahead})
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			n := int64(0)
			for b.Loop() {
				if n++; n%(ahead/4) == 0 && n > ahead {
					p.wait(n - ahead)
				}
				if _, err := topic.Publish(tick); err != nil {
					b.Fatal(err)
				}
			}
			for n%(ahead/4) != 0 { // so that arrived tells
				topic.Publish(tick)
				n++
			}
			p.wait(n)
			b.ReportMetric(float64(n)*float64(c.subs)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(n)/float64(c.subs), "ns/delivery")
			if gaps.Load() > 0 {
				b.Errorf("%d gaps", gaps.Load())
			}
		})
	}
}

// BenchmarkIdleMemory reports what the owner keeps for an idle subscription: of 10,000 of one
// client with the same selection, and of as many that have a receiver and a queue each, because
// each wants another key.
func BenchmarkIdleMemory(b *testing.B) {
	const n = 10_000
	for _, own := range []bool{false, true} {
		b.Run(fmt.Sprintf("own=%v", own), func(b *testing.B) {
			var perSub float64
			for b.Loop() {
				owner, err := rmi.Listen(b.Context(), "127.0.0.1:0")
				if err != nil {
					b.Fatal(err)
				}
				user := rmi.NewNode(nil)
				topic, err := callback.NewTopic[Tick](owner, nil)
				if err != nil {
					b.Fatal(err)
				}
				src := remote(b, owner, user, topic)
				if _, err := src.Read(b.Context(), 0, "", 1); err != nil { // connected
					b.Fatal(err)
				}
				before := heap()
				// By hand, so that the client's end, in this process too, keeps nothing.
				for i := range n {
					r := callback.Request{Receiver: 1, Subs: []callback.SubID{callback.SubID(i)}, Queue: 1024, Token: 1}
					if own {
						r.Receiver, r.Match = multicast.ReceiverID(i+1), fmt.Sprint(i)
					}
					if _, err := src.Subscribe(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
				perSub = float64(heap()-before) / n
				if topic.Len() != n {
					b.Fatal(topic.Len())
				}
				user.Close()
				owner.Close()
			}
			b.ReportMetric(perSub, "B/subscription")
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkBesideAStuckSubscriber reports the time from Publish to the callback
// of 999 subscriptions over 10 connections, alone and with one more whose
// callback does not return.
func BenchmarkBesideAStuckSubscriber(b *testing.B) {
	for _, stuck := range []bool{false, true} {
		b.Run(fmt.Sprintf("stuck=%v", stuck), func(b *testing.B) {
			owner, err := rmi.Listen(b.Context(), "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			defer owner.Close()
			topic, err := callback.NewTopic[int64](owner, nil)
			if err != nil {
				b.Fatal(err)
			}
			const subs, conns = 999, 10
			var mu sync.Mutex
			var times []time.Duration
			var wg sync.WaitGroup
			begin := time.Now()
			var first callback.Source[int64]
			for i := range conns {
				user := rmi.NewNode(nil)
				defer user.Close()
				src := remote(b, owner, user, topic)
				if i == 0 {
					first = src
				}
				for range (subs + conns - 1 - i) / conns {
					if _, err := callback.Subscribe(b.Context(), src, func(_ context.Context, e callback.Event[int64]) error {
						d := time.Since(begin) - time.Duration(e.Value)
						mu.Lock()
						times = append(times, d)
						mu.Unlock()
						wg.Done()
						return nil
					}, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			if stuck {
				sub, err := callback.Subscribe(b.Context(), first, func(ctx context.Context, _ callback.Event[int64]) error {
					<-ctx.Done()
					return nil
				}, nil)
				if err != nil {
					b.Fatal(err)
				}
				defer sub.Cancel(b.Context())
			}
			for b.Loop() {
				wg.Add(subs)
				if _, err := topic.Publish(int64(time.Since(begin))); err != nil {
					b.Fatal(err)
				}
				wg.Wait()
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-µs")
		})
	}
}
