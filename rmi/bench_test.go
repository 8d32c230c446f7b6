package rmi_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

// The benchmarks compare with net/rpc: same methods, loopback TCP, client and
// server in two processes, one connection, the two systems in turn, round by
// round. They report calls per second of each (the median of the rounds) and
// their ratio.

// Record is what Echo carries: about 100 bytes.
type Record struct {
	ID    int64
	Name  string
	Tags  []string
	Value float64
}

// Bench is the benchmarks' remote interface.
type Bench interface {
	Null(ctx context.Context) error
	Echo(ctx context.Context, r Record) (Record, error)
	EchoBytes(ctx context.Context, b []byte) ([]byte, error)
}

type bench struct{}

func (bench) Null(context.Context) error                            { return nil }
func (bench) Echo(_ context.Context, r Record) (Record, error)      { return r, nil }
func (bench) EchoBytes(_ context.Context, b []byte) ([]byte, error) { return b, nil }

// RPCBench is the same for net/rpc.
type RPCBench struct{}

// None is no argument, for net/rpc.
type None struct{}

func (RPCBench) Null(_ None, _ *None) error            { return nil }
func (RPCBench) Echo(r Record, out *Record) error      { *out = r; return nil }
func (RPCBench) EchoBytes(b []byte, out *[]byte) error { *out = b; return nil }

const benchServerEnv = "GORMI_BENCH_SERVER"

// serveBench is the server process: it prints the two addresses, and serves
// until its standard input ends.
func serveBench() error {
	n := rmi.NewNode(nil)
	defer n.Close()
	if _, err := n.Listen(context.Background(), "127.0.0.1:0"); err != nil {
		return err
	}
	h, err := rmi.Export[Bench](n, &bench{}, nil)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	s := rpc.NewServer()
	if err := s.Register(RPCBench{}); err != nil {
		return err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.ServeConn(c)
		}
	}()
	ref, err := h.Ref().MarshalText()
	if err != nil {
		return err
	}
	fmt.Printf("%s %s\n", ref, l.Addr())
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return nil
}

// system is one side of a comparison.
type system struct {
	name string
	call func() error
}

// peers starts the server process and returns the clients of both systems.
func peers(b *testing.B) (Bench, *rpc.Client) {
	b.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), benchServerEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	p := proctest.Start(b, cmd)
	b.Cleanup(func() { in.Close(); _ = p.Wait() })
	refText, addr, _ := strings.Cut(p.Says(""), " ")
	ref, err := refs.Parse(refText)
	if err != nil {
		b.Fatal(err)
	}
	n := rmi.NewNode(nil)
	b.Cleanup(func() { n.Close() })
	if err := proxySupported(); err != nil {
		b.Skip(err)
	}
	proxy, err := rmi.Resolve[Bench](n, ref, nil)
	if err != nil {
		b.Fatal(err)
	}
	client, err := rpc.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { client.Close() })
	return proxy, client
}

// compare runs the systems in turn: one iteration is one round of perCaller
// calls by each of callers, of each system.
func compare(b *testing.B, callers, perCaller int, systems []system) {
	b.Helper()
	for _, s := range systems { // connect, warm up
		for range 200 {
			if err := s.call(); err != nil {
				b.Fatal(s.name, err)
			}
		}
	}
	rates := make([][]float64, len(systems))
	b.ResetTimer()
	for range b.N {
		for i, s := range systems {
			start := time.Now()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for range perCaller {
						if err := s.call(); err != nil {
							b.Error(s.name, err)
							return
						}
					}
				})
			}
			wg.Wait()
			rates[i] = append(rates[i], float64(callers*perCaller)/time.Since(start).Seconds())
		}
	}
	ratios := make([]float64, b.N)
	for i := range ratios {
		ratios[i] = rates[0][i] / rates[1][i]
	}
	for i, s := range systems {
		b.ReportMetric(median(rates[i]), s.name+"-calls/s")
	}
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(0, "ns/op")
}

func median(x []float64) float64 {
	x = slices.Sorted(slices.Values(x))
	return x[len(x)/2]
}

func settings(b *testing.B, f func(b *testing.B, callers, perCaller int)) {
	b.Run("1caller-pinned", func(b *testing.B) {
		unpin, err := pinToOneCore()
		if err != nil {
			b.Skip("cannot pin both processes to one core here: ", err)
		}
		defer unpin()
		f(b, 1, 4000)
	})
	b.Run("64callers", func(b *testing.B) { f(b, 64, 500) })
}

func BenchmarkNull(b *testing.B) {
	settings(b, func(b *testing.B, callers, perCaller int) {
		proxy, client := peers(b)
		ctx := context.Background()
		compare(b, callers, perCaller, []system{
			{"gormi", func() error { return proxy.Null(ctx) }},
			{"netrpc", func() error { return client.Call("RPCBench.Null", None{}, &None{}) }},
		})
	})
}

func BenchmarkEcho(b *testing.B) {
	rec := Record{ID: 42, Name: strings.Repeat("n", 32), Tags: []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}, Value: 3.14}
	settings(b, func(b *testing.B, callers, perCaller int) {
		proxy, client := peers(b)
		ctx := context.Background()
		compare(b, callers, perCaller, []system{
			{"gormi", func() error { _, err := proxy.Echo(ctx, rec); return err }},
			{"netrpc", func() error { return client.Call("RPCBench.Echo", rec, new(Record)) }},
		})
	})
}

func BenchmarkEchoBytes(b *testing.B) {
	for _, size := range []int{64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKiB-4callers", size>>10), func(b *testing.B) {
			proxy, client := peers(b)
			ctx, buf := context.Background(), make([]byte, size)
			compare(b, 4, 8<<20/size/4+1, []system{
				{"gormi", func() error { _, err := proxy.EchoBytes(ctx, buf); return err }},
				{"netrpc", func() error { return client.Call("RPCBench.EchoBytes", buf, new([]byte)) }},
			})
		})
	}
}

// BenchmarkKeptReplies measures what it costs that sessions outlive their connections. It makes
// null calls, and calls with a reference there and back, in one process over loopback TCP. It
// compares sessions that keep replies and count references with sessions that do not.
func BenchmarkKeptReplies(b *testing.B) {
	pair := func(b *testing.B, resume bool) (Bench, Worker, refs.Ref) {
		owner, caller := rmi.NewNode(nil), rmi.NewNode(nil)
		b.Cleanup(func() { caller.Close(); owner.Close() })
		if !resume {
			caller.NoResume()
		}
		if _, err := owner.Listen(b.Context(), "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
		r := export[Bench](b, owner, &bench{}, nil)
		null, refer := resolve[Bench](b, caller, r), hire(b, owner, caller, &worker{})
		if err := null.Null(b.Context()); err != nil {
			b.Fatal(err)
		}
		if kept := owner.Stats().RetainedReplies > 0; kept != resume {
			b.Fatalf("a reply is kept: %v, want %v", kept, resume)
		}
		return null, refer, r
	}
	if err := proxySupported(); err != nil {
		b.Skip(err)
	}
	ctx := context.Background()
	for _, callers := range []int{1, 64} {
		on, onRefer, onRef := pair(b, true)
		off, offRefer, offRef := pair(b, false)
		b.Run(fmt.Sprintf("null-%dcallers", callers), func(b *testing.B) {
			compare(b, callers, 4096/callers, []system{
				{"kept", func() error { return on.Null(ctx) }},
				{"plain", func() error { return off.Null(ctx) }},
			})
		})
		b.Run(fmt.Sprintf("reference-%dcallers", callers), func(b *testing.B) {
			compare(b, callers, 4096/callers, []system{
				{"kept", func() error { _, err := onRefer.Refer(ctx, onRef); return err }},
				{"plain", func() error { _, err := offRefer.Refer(ctx, offRef); return err }},
			})
		})
	}
}
