package rmitest_test

import (
	"context"
	"fmt"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// A connection is cut, and the next call works again. In a test, t is its
// *testing.T, and what finish does happens by itself.
func Example() {
	t := new(fakeT)
	defer t.finish()

	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()

	type clock func(ctx context.Context) (int64, error)
	h, err := rmi.Export[clock](owner, func(context.Context) (int64, error) { return 42, nil }, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	now, err := rmi.Resolve[clock](caller, h.Ref(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(now(context.Background()))

	network.Cut(owner, caller)
	fmt.Println(now(context.Background())) // on a new connection
	// Output:
	// 42 <nil>
	// 42 <nil>
}
