package main

import (
	"context"
	"sync/atomic"
)

//go:generate go tool rmigen

// Branch is the remote interface of both experiments: a branch of the bank with the accounts of
// alice and bob.
type Branch interface {
	// Transfer moves money from alice to bob. When it returns nil, the bank has confirmed it.
	Transfer(ctx context.Context, cents int64) error

	// Audit returns the sum of all balances.
	Audit(ctx context.Context) (int64, error)

	// Balances returns what each has.
	Balances(ctx context.Context) (Balances, error)
}

// Balances are in cents.
type Balances struct{ Alice, Bob int64 }

// books are the accounts of a branch. Each read and write is atomic, so there is no data race: the
// errors come from what happens between them.
type books struct {
	alice, bob atomic.Int64
}

func (b *books) Balances(context.Context) (Balances, error) {
	return Balances{b.alice.Load(), b.bob.Load()}, nil
}

// counter counts the calls that run concurrently.
type counter struct{ now, most atomic.Int64 }

// enter counts a call in. The function that it returns counts it out.
func (c *counter) enter() (leave func()) {
	now := c.now.Add(1)
	for {
		most := c.most.Load()
		if now <= most || c.most.CompareAndSwap(most, now) {
			return func() { c.now.Add(-1) }
		}
	}
}
