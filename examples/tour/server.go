package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"gormi/callback"
	"gormi/registry"
	"gormi/rmi"
)

// runServer is the server's process.
func runServer(c *child) error {
	node, err := rmi.Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer node.Close()
	c.obey(commands{
		"listen": func(context.Context, string) (string, error) {
			c.say("I listen on %s, a free port", node.Endpoint())
			return "", nil
		},
		"bind": func(ctx context.Context, name string) (string, error) {
			b, err := registry.Bind[Account](ctx, node, name, &account{child: c, node: node}, nil)
			if err != nil {
				return "", err
			}
			c.say("I bound an Account as %s", name)
			c.say("The registry now has its reference: %v", b.Ref())
			return "", nil
		},
	})
	c.say("asked to end; I take the name back and let calls in flight finish")
	return node.Run(c.ctx)
}

// account is the remote object.
type account struct {
	*child
	node *rmi.Node

	mu       sync.Mutex // guards the fields below; not held during calls
	balance  int64
	watchers map[*watcher]bool
}

type watcher struct {
	tell func(ctx context.Context, balance int64) error
}

var _ Account = (*account)(nil)

func (a *account) Deposit(ctx context.Context, cents int64) (int64, error) {
	a.say("Deposit(%d) runs here", cents)
	return a.add(ctx, cents)
}

func (a *account) Withdraw(ctx context.Context, cents int64) (int64, error) {
	a.say("Withdraw(%d) runs here", cents)
	return a.add(ctx, -cents)
}

// add changes the balance and tells the watchers.
func (a *account) add(ctx context.Context, cents int64) (int64, error) {
	a.mu.Lock()
	if a.balance+cents < 0 {
		defer a.mu.Unlock()
		return a.balance, fmt.Errorf("%d of %d: %w", -cents, a.balance, errInsufficient)
	}
	a.balance += cents
	balance, watchers := a.balance, slices.Collect(maps.Keys(a.watchers))
	a.mu.Unlock()
	for _, w := range watchers {
		a.say("I call the watcher")
		if err := w.tell(ctx, balance); err != nil {
			a.say("I forget the watcher: %v", err)
			a.forget(w)
		}
	}
	return balance, nil
}

func (a *account) Watch(_ context.Context, f func(context.Context, int64) error) (callback.Subscription, error) {
	if r, ok := rmi.RefOf(f); ok && !r.Listens() {
		a.say("I got a function, %v: no host, no port, nothing that I could dial", r)
	}
	w := &watcher{f}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.watchers == nil {
		a.watchers = make(map[*watcher]bool)
	}
	a.watchers[w] = true
	return callback.NewSubscription(func() {
		a.forget(w)
		a.say("the subscription is cancelled")
	}), nil
}

func (a *account) forget(w *watcher) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.watchers, w)
}

func (a *account) Audit(ctx context.Context, o Observer) error {
	a.say("Audit runs here, until its context ends")
	if err := o.Started(ctx); err != nil && ctx.Err() == nil {
		return err
	}
	<-ctx.Done()
	a.say("Audit sees that its context ended: %v", ctx.Err())
	// A call with the context that ended would fail.
	return o.Stopped(context.WithoutCancel(ctx), ctx.Err().Error())
}

func (a *account) Bounce(ctx context.Context, level int, back func(context.Context, int) error) error {
	a.say("%slevel %d: I was called, and call back", strings.Repeat("  ", level), level)
	return back(ctx, level+1)
}
