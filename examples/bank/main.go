// Command bank shows what concurrent calls do to an object that was written for one caller at a
// time, and how a serial servant prevents it. It is the bank of the chapter on transactions in
// Coulouris, Dollimore, Kindberg and Blair, "Distributed Systems: Concepts and Design", with its
// two anomalies:
//
//   - Lost update: two transfers read the same balance. Each writes what it computed from it, and
//     the first one's update is gone (lost.go).
//   - Inconsistent analysis, or inconsistent retrieval: an audit adds up the balances when a
//     transfer has taken the money from one account and not yet given it to the other
//     (analysis.go).
//
// Each experiment runs twice, with many clients that are nodes of their own. The first servant runs
// its calls concurrently. The second is the same servant, exported with rmi.ThreadingSerial: one
// call at a time, in the order they came, without a lock in the servant's code. rmi.ThreadingSerial
// makes a call atomic, not a sequence of calls. That is why a transfer is one method of the branch,
// and not a withdrawal and a deposit that a client makes one after the other.
//
// The anomalies do not depend on luck: see meeting.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
)

// plan says how much an experiment does.
type plan struct {
	clients   int // how many transfer at a time
	transfers int // by each client, one after the other
}

const amount = 100 // cents, of every transfer

// opening is what alice has at first: enough for all transfers. Bob has nothing.
func (p plan) opening() int64 { return int64(p.clients) * int64(p.transfers) * amount }

func (p plan) check() error {
	if p.clients < 2 || p.clients > 500 {
		return fmt.Errorf("-clients is %d: want 2 (one alone has nobody to get in the way of) to 500", p.clients)
	}
	if p.transfers < 1 || p.transfers > 100_000 {
		return fmt.Errorf("-transfers is %d: want 1 to 100000", p.transfers)
	}
	return nil
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("bank: ")
	var p plan
	flag.IntVar(&p.clients, "clients", 8, "how many clients transfer money at a time")
	flag.IntVar(&p.transfers, "transfers", 25, "how many transfers each client makes")
	flag.Parse()
	if err := p.check(); err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, p); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		log.Fatal(err)
	}
}

// run runs both experiments. It fails if a serial servant shows an anomaly.
func run(ctx context.Context, w io.Writer, p plan) error {
	fmt.Fprintf(w, "Alice has %s, bob has nothing. %d clients make %d transfers each, of %s from alice to bob.\n\n",
		euros(p.opening()), p.clients, p.transfers, euros(amount))

	fmt.Fprintln(w, "1. Lost updates. A transfer reads both balances, then writes both; others read in between.")
	lost, err := lostUpdates(ctx, w, p)
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "\n2. Inconsistent analysis. A transfer takes from alice, then gives to bob; an auditor adds up in between.")
	wrong, err := inconsistentAnalysis(ctx, w, p)
	if err != nil {
		return err
	}
	if lost != 0 || wrong != 0 {
		return errors.New("the serial servant did not keep the books right")
	}
	fmt.Fprintln(w, "\nThe same code kept the books right once one call ran at a time.")
	return nil
}

func euros(cents int64) string { return fmt.Sprintf("%d.%02d", cents/100, cents%100) }
