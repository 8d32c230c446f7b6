// Command ticker publishes made-up quotes as events and shows them, on a terminal in place and
// otherwise line by line.
//
//	go run ./examples/ticker                        # a registry, a server and a client together
//	go run ./examples/ticker -role server           # a server, at the default registry
//	go run ./examples/ticker -role client -match 'A*'
//
// A client may join at any time. It gets the newest quote of each of its symbols, then every quote
// after it. What it misses, because it is too slow or because the server was restarted, it shows as
// a gap. A restarted server is found again by its name, and the client does nothing for it. The
// server filters the quotes for each client. An event is encoded once, whatever the number of
// clients. Ctrl-C ends each of the programs gracefully.
//
// Where to look: quote.go is what server and clients share, server.go and client.go are what they
// do about events. The rest is the market (market.go) and the two views, lines.go and board.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"gormi/registry"
	"gormi/rmi"
)

// options are the flags.
type options struct {
	role     string
	registry string
	seed     uint64
	rate     float64 // quotes a second
	match    string
	plain    bool
	hint     string // how to start more clients, shown by the view; not a flag
}

const maxRate = 100_000

func (o *options) check() error {
	switch o.role {
	case "all", "server", "client":
	default:
		return fmt.Errorf("-role is %q: want all, server or client", o.role)
	}
	if !(o.rate > 0 && o.rate <= maxRate) { // NaN is neither
		return fmt.Errorf("-rate is %v: want more than 0 quotes a second and at most %d", o.rate, maxRate)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("ticker: ")
	var o options
	flag.StringVar(&o.role, "role", "all", "what to be: all, server or client")
	flag.StringVar(&o.registry, "registry", "", "the registry, `rmi://HOST:PORT` (default: in the role all one of its own, else $RMI_REGISTRY, else rmi://localhost:1099)")
	flag.Uint64Var(&o.seed, "seed", 1, "server: the same seed makes the same quotes")
	flag.Float64Var(&o.rate, "rate", 10, "server: how many quotes a second")
	flag.StringVar(&o.match, "match", "", "client: only symbols of this `pattern`, such as 'A*', '[AB]*' or ACME")
	flag.BoolVar(&o.plain, "plain", false, "client: lines, even on a terminal")
	flag.Parse()
	if flag.NArg() > 0 {
		log.Fatalf("%q is no argument of the ticker", flag.Arg(0))
	}
	if err := o.check(); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	if err := run(ctx, &o); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, o *options) error {
	switch o.role {
	case "server":
		s, err := o.newServer(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%s is bound, Ctrl-C ends\n", name(o.registry))
		return s.run(ctx)
	case "client":
		return o.watch(ctx, os.Stdout)
	default:
		return o.all(ctx)
	}
}

// all runs a server and a client, and a registry unless there is one to use. They end one after the
// other, each while what it needs still runs.
func (o *options) all(ctx context.Context) error {
	if o.registry == "" {
		node, err := rmi.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer node.Close()
		reg, err := registry.Serve(ctx, node, nil)
		if err != nil {
			return err
		}
		o.registry = strings.TrimSuffix(reg.URL(quotes), "/"+quotes)
	}
	o.hint = "more: go run ./examples/ticker -role client -registry " + o.registry
	s, err := o.newServer(ctx)
	if err != nil {
		return err
	}
	watching, stopWatching := context.WithCancel(ctx)
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { // ends by stopServing
		served <- s.run(serving)
		stopWatching()
	}()
	err = o.watch(watching, os.Stdout)
	stopServing()
	return errors.Join(err, <-served)
}
