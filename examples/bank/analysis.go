package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"gormi/rmi"
)

// exposed is a branch that loses no update. But when calls run concurrently it shows its books
// while a transfer is half done.
type exposed struct {
	books
	counter
	taken   *meeting // where transfers are that took and did not give yet, and the audit before it counts
	counted *meeting // where they are until the audit has counted
}

var _ Branch = (*exposed)(nil)

// Transfer takes, then gives. Each of the two steps is atomic.
func (e *exposed) Transfer(ctx context.Context, cents int64) error {
	defer e.enter()()
	e.alice.Add(-cents)
	if err := e.taken.wait(ctx); err != nil {
		return err
	}
	if err := e.counted.wait(ctx); err != nil {
		return err
	}
	e.bob.Add(cents)
	return nil
}

// Audit adds up. Transfers move money, so the sum should be the same for ever.
func (e *exposed) Audit(ctx context.Context) (int64, error) {
	defer e.enter()()
	if err := e.taken.wait(ctx); err != nil {
		return 0, err
	}
	sum := e.alice.Load() + e.bob.Load()
	return sum, e.counted.wait(ctx)
}

// inconsistentAnalysis runs the second experiment. One more client audits as many times as each
// client transfers. It prints the table and returns how many audits of a serial servant were wrong.
func inconsistentAnalysis(ctx context.Context, w io.Writer, p plan) (wrong int, err error) {
	table := tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "servant\tcalls at once\taudits\twrong\tshort by\ttrue sum\tsum at the end\t")
	for _, th := range []rmi.Threading{rmi.ThreadingConcurrent, rmi.ThreadingSerial} {
		if wrong, err = analyse(ctx, table, p, th); err != nil {
			return 0, err
		}
	}
	return wrong, table.Flush()
}

// analyse makes one row of the table.
func analyse(ctx context.Context, table io.Writer, p plan, th rmi.Threading) (wrong int, err error) {
	parties := p.clients + 1
	branch := &exposed{taken: newMeeting(th, parties), counted: newMeeting(th, parties)}
	branch.alice.Store(p.opening())
	b, err := open(ctx, branch, th, parties)
	if err != nil {
		return 0, err
	}
	defer b.close()
	auditor := b.clients[p.clients]
	var missing int64 // at worst
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		_, err := b.transfer(both, p)
		return err
	})
	group.Go(func() error {
		for range p.transfers {
			sum, err := auditor.Audit(both)
			if err != nil {
				return err
			}
			if sum != p.opening() {
				wrong++
				missing = max(missing, p.opening()-sum)
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return 0, err
	}
	after, err := auditor.Balances(ctx)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\t%s\t\n", nameOf(th), branch.most.Load(), p.transfers, wrong,
		euros(missing), euros(p.opening()), euros(after.Alice+after.Bob))
	return wrong, nil
}
