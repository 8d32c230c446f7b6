//go:build !gc || !(amd64 || arm64) || rmi_safe

package main

import (
	"context"

	"gormi/callback"
	"gormi/rmi/stub"
)

// Stubs by hand, for platforms where interfaces cannot be proxied at run time.
type (
	accountStub      struct{ stub.Object }
	observerStub     struct{ stub.Object }
	wrongAccountStub struct{ stub.Object }
)

var (
	_ Account      = accountStub{}
	_ Observer     = observerStub{}
	_ wrongAccount = wrongAccountStub{}
)

func init() {
	stub.Register(func(o stub.Object) Account { return accountStub{o} })
	stub.Register(func(o stub.Object) Observer { return observerStub{o} })
	stub.Register(func(o stub.Object) wrongAccount { return wrongAccountStub{o} })
}

func (s accountStub) Deposit(ctx context.Context, cents int64) (balance int64, err error) {
	err = s.Invoke(ctx, "Deposit", stub.Args(cents), &balance)
	return
}

func (s accountStub) Withdraw(ctx context.Context, cents int64) (balance int64, err error) {
	err = s.Invoke(ctx, "Withdraw", stub.Args(cents), &balance)
	return
}

func (s accountStub) Watch(ctx context.Context, f func(context.Context, int64) error) (sub callback.Subscription, err error) {
	err = s.Invoke(ctx, "Watch", stub.Args(f), &sub)
	return
}

func (s accountStub) Audit(ctx context.Context, o Observer) error {
	return s.Invoke(ctx, "Audit", stub.Args(o))
}

func (s accountStub) Bounce(ctx context.Context, level int, back func(context.Context, int) error) error {
	return s.Invoke(ctx, "Bounce", stub.Args(level, back))
}

func (s observerStub) Started(ctx context.Context) error { return s.Invoke(ctx, "Started", nil) }

func (s observerStub) Stopped(ctx context.Context, why string) error {
	return s.Invoke(ctx, "Stopped", stub.Args(why))
}

func (s wrongAccountStub) Deposit(ctx context.Context, amount string) (balance string, err error) {
	err = s.Invoke(ctx, "Deposit", stub.Args(amount), &balance)
	return
}
