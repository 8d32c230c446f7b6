//go:build !gc || !(amd64 || arm64) || rmi_safe

package hello

import (
	"context"

	"gormi/callback"
	"gormi/rmi/stub"
)

// greeterStub is a stub by hand, for platforms where interfaces cannot be proxied at run time.
type greeterStub struct{ stub.Object }

var _ Greeter = greeterStub{}

func init() { stub.Register(func(o stub.Object) Greeter { return greeterStub{o} }) }

func (s greeterStub) Greet(ctx context.Context, name string) (text string, err error) {
	err = s.Invoke(ctx, "Greet", stub.Args(name), &text)
	return
}

func (s greeterStub) Watch(ctx context.Context, f func(context.Context, string) error) (sub callback.Subscription, err error) {
	err = s.Invoke(ctx, "Watch", stub.Args(f), &sub)
	return
}
