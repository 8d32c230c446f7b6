//go:build !gc || !(amd64 || arm64) || rmi_safe

package multicast_test

import (
	"context"

	"gormi/rmi/stub"
)

// Stubs by hand, for platforms where interfaces cannot be proxied at run time.
func init() {
	stub.Register(func(o stub.Object) thing { return thingStub{o} })
	stub.Register(func(o stub.Object) giver { return giverStub{o} })
}

type thingStub struct{ stub.Object }

func (s thingStub) Do(ctx context.Context) error { return s.Invoke(ctx, "Do", stub.Args()) }

type giverStub struct{ stub.Object }

func (s giverStub) Give(ctx context.Context) (t thing, err error) {
	err = s.Invoke(ctx, "Give", stub.Args(), &t)
	return
}
