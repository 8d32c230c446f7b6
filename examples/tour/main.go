// Command tour shows what GoRMI does, step by step. It starts a registry, a server and a client as
// processes of their own, on free ports. They carry out the steps. Each process prints what happens
// in it, with its role and its process id in front.
//
//	go run ./examples/tour
//	go run ./examples/tour -step    # waits for Enter before each step
//
// It ends with status 0, or with status 1 and the reason.
//
// Where to look: account.go is the remote interface, server.go and client.go are what a program
// that uses GoRMI contains, registry.go is a registry inside a program, cable.go is a wire that can
// be cut. The rest is the stage: tour.go has the steps and carries them out, process.go starts and
// ends the processes, child.go is their end of it.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit bounds the whole tour, and stepLimit each step. No step takes a second.
const (
	limit     = 60 * time.Second
	stepLimit = 20 * time.Second
)

// The roles of the tour's processes. The program starts itself again with one of them as its
// argument.
var roles = map[string]func(*child) error{
	"registry": runRegistry,
	"server":   runServer,
	"client":   runClient,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("tour: ")
	stepwise := flag.Bool("step", false, "wait for Enter before each step (then only the steps have a time limit)")
	flag.Parse()
	var err error
	if role, ok := roles[flag.Arg(0)]; ok {
		err = beChild(flag.Arg(0), role)
	} else if flag.NArg() > 0 {
		err = fmt.Errorf("%q is no argument of the tour", flag.Arg(0))
	} else {
		err = lead(*stepwise)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// lead is the process that leads the tour.
func lead(stepwise bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	pause := func(context.Context) error { return nil }
	if stepwise {
		pause = enter()
	} else {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, fmt.Errorf("the tour took more than %v", limit))
		defer cancel()
	}
	return run(ctx, os.Stdout, pause)
}

// enter returns a function that waits for Enter. At the end of standard input it waits no more.
func enter() func(context.Context) error {
	lines := make(chan struct{})
	go func() { // ends with standard input, or the process
		defer close(lines)
		for s := bufio.NewScanner(os.Stdin); s.Scan(); {
			lines <- struct{}{}
		}
	}()
	return func(ctx context.Context) error {
		select {
		case <-lines:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
