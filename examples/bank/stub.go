//go:build !gc || !(amd64 || arm64) || rmi_safe

package main

import (
	"context"

	"gormi/rmi/stub"
)

// branchStub is a stub by hand, for platforms where interfaces cannot be proxied at run time.
type branchStub struct{ stub.Object }

var _ Branch = branchStub{}

func init() { stub.Register(func(o stub.Object) Branch { return branchStub{o} }) }

func (s branchStub) Transfer(ctx context.Context, cents int64) error {
	return s.Invoke(ctx, "Transfer", stub.Args(cents))
}

func (s branchStub) Audit(ctx context.Context) (sum int64, err error) {
	err = s.Invoke(ctx, "Audit", nil, &sum)
	return
}

func (s branchStub) Balances(ctx context.Context) (b Balances, err error) {
	err = s.Invoke(ctx, "Balances", nil, &b)
	return
}
