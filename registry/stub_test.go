//go:build rmi_safe || !(amd64 || arm64)

package registry_test

import (
	"context"

	"gormi/rmi/stub"
)

// accountStub is written by hand, as a program does for platforms without
// run-time proxies.
type accountStub struct{ stub.Object }

func (s accountStub) Deposit(ctx context.Context, cents int64) (balance int64, err error) {
	err = s.Invoke(ctx, "Deposit", stub.Args(cents), &balance)
	return
}

func init() { stub.Register(func(o stub.Object) Account { return accountStub{o} }) }
