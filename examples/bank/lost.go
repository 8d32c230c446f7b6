package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"gormi/rmi"
)

// forgetful is a branch that loses updates when its calls run concurrently.
type forgetful struct {
	books
	counter
	read *meeting // where transfers are that have read and not written
}

var _ Branch = (*forgetful)(nil)

// Transfer reads, computes and writes. Without concurrent calls it is right.
func (f *forgetful) Transfer(ctx context.Context, cents int64) error {
	defer f.enter()()
	alice, bob := f.alice.Load(), f.bob.Load()
	if err := f.read.wait(ctx); err != nil {
		return err
	}
	f.alice.Store(alice - cents)
	f.bob.Store(bob + cents)
	return nil
}

func (f *forgetful) Audit(context.Context) (int64, error) {
	return f.alice.Load() + f.bob.Load(), nil
}

// lostUpdates runs the first experiment, prints its table and returns how many updates a serial
// servant lost.
func lostUpdates(ctx context.Context, w io.Writer, p plan) (lost int64, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "servant\tcalls at once\tconfirmed\tbooked\tlost\talice\tbob\t")
	for _, th := range []rmi.Threading{rmi.ThreadingConcurrent, rmi.ThreadingSerial} {
		if lost, err = loseUpdates(ctx, table, p, th); err != nil {
			return 0, err
		}
	}
	return lost, table.Flush()
}

// loseUpdates makes one row of the table.
func loseUpdates(ctx context.Context, table io.Writer, p plan, th rmi.Threading) (lost int64, err error) {
	branch := &forgetful{read: newMeeting(th, p.clients)}
	branch.alice.Store(p.opening())
	b, err := open(ctx, branch, th, p.clients)
	if err != nil {
		return 0, err
	}
	defer b.close()
	confirmed, err := b.transfer(ctx, p)
	if err != nil {
		return 0, err
	}
	after, err := b.clients[0].Balances(ctx)
	if err != nil {
		return 0, err
	}
	booked := after.Bob / amount
	fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%s\t%s\t\n", nameOf(th), branch.most.Load(),
		confirmed, booked, confirmed-booked, euros(after.Alice), euros(after.Bob))
	return confirmed - booked, nil
}
