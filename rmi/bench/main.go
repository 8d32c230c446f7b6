// Command bench compares GoRMI with other systems, side by side in one run.
//
//	cd rmi/bench && go run . -quick              # a look at everything, in less than 30 s
//	go run . -suite peers -pin -callers 1        # latency: both processes on one core
//	go run . -systems 'gormi*,grpc' -works null  # two of them, one work
//	go run . -json | -plot DIR | -readme FILE    # for programs, as pictures, as Markdown
//	go run . -breakdown                          # where the time of a null call goes
//
// Client and server are separate processes on this machine. The systems run in
// turn, work by work and round by round, so that a figure is a ratio of things
// measured at about the same time; a row shows medians of the rounds, and the
// median of the rounds' ratios. It is a module of its own, so that what it
// compares with stays out of the dependencies of package rmi.
//
// # Suites
//
//   - peers: calls of all kinds over one connection, by 1 to 1,024 callers, each
//     of which makes its next call when the last returned: null; echo100, of a
//     record of four fields; echo1k, echo64k and echo1m, of bytes; callback, a
//     call from within a call; reference, passing a new remote object, which
//     both sides drop; export and unexport; connections, 1,000 of them.
//   - jdk: the cases of OpenJDK's RMI benchmark, one caller.
//   - fanout: one event to many subscriptions, beside NATS ("fanout 100 over 1": 100
//     subscriptions over one connection), and beside one that is stuck ("stuck").
//
// # Rules
//
// Peers run with their defaults. TCP_NODELAY is set on every connection (it is
// the default of all of them). Each measurement follows a warm-up, the first of a
// work a longer one. Allocations are those of the client's process while it
// calls, in heap objects; CPU is getrusage's of that process; bytes are what
// the kernel counts on the client's TCP sockets, both ways, without headers. What
// a system cannot do has no row. Peculiarities stand with the system: drpc takes
// one call at a time on a connection, Java RMI opens and reuses as many as
// calls are in flight (so it is not asked for 1,000), NATS passes every call through
// its broker, rawtcp-polled is the ping-pong of rawtcp whose ends look at the socket
// for 100 µs before they wait, as GoRMI does, and a callback of gRPC and drpc is a stream of its
// own; gormi-unix is measured where rawunix and Java RMI are of interest. References of Java RMI
// include the work of its distributed garbage collector.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"strings"
)

// suite is a set of works, and how they are run.
type suite struct {
	name string
	run  func(options) ([]row, error)
}

// suites are what -suite chooses from, in the order in which they run.
var suites = []suite{{"peers", suitePeers}, {"jdk", suiteJDK}, {"fanout", suiteFanout}}

// roles are what a process that this program starts does instead.
var roles = map[string]func(args []string) error{
	"server": serverRole, "client": clientRole, "fanout-subscriber": fanoutSubscriber, "breakdown-server": breakdownServer,
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-role" {
		signal.Ignore(os.Interrupt) // the end of standard input says when to stop
		role, ok := roles[os.Args[2]]
		if !ok {
			fmt.Fprintln(os.Stderr, "bench: no role", os.Args[2])
			os.Exit(2)
		}
		if err := role(os.Args[3:]); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", os.Args[2], err)
			os.Exit(1)
		}
		return
	}
	o, err := parse(flag.CommandLine, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	defer javaClean()
	stop, err := profile(o.cpu)
	if err != nil {
		return err
	}
	defer stop()
	var (
		rows   []row
		failed error
	)
	if o.breakdown || o.readme != "" {
		rows, failed = breakdown(o)
	}
	for _, pass := range o.passes() {
		got, err := pass.measure()
		rows = append(rows, got...)
		if err != nil {
			failed = err // what was measured is told all the same
		}
	}
	if len(rows) == 0 && failed == nil {
		return fmt.Errorf("nothing was measured: none of the systems %s does a work that is called %s",
			strings.Join(o.systems, ","), strings.Join(o.works, ","))
	}
	if err := o.write(rows); err != nil {
		return err
	}
	return failed
}

// measure runs the suites that were chosen.
func (o options) measure() (rows []row, err error) {
	if o.pin {
		unpin, err := pinToOneCore()
		if err != nil {
			return nil, err
		}
		defer unpin()
	}
	for _, s := range suites {
		if !slices.Contains(o.suites, s.name) {
			continue
		}
		got, e := s.run(o)
		rows = append(rows, got...)
		if e != nil {
			err = fmt.Errorf("suite %s: %w", s.name, e)
		}
	}
	return rows, err
}

// profile begins a CPU profile if path is not empty.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() { pprof.StopCPUProfile(); f.Close() }, nil
}

func names[V any](m map[string]V) []string {
	var out []string
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}
