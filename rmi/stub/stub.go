// Package stub is what linked stubs are made of, the only package that they
// import. A stub is a proxy type written (or generated) for one interface; it
// needs nothing from the platform, and registering it is all it takes:
//
//	type accountStub struct{ stub.Object }
//
//	func (s accountStub) Deposit(ctx context.Context, cents int64) (balance int64, err error) {
//		err = s.Invoke(ctx, "Deposit", stub.Args(cents), &balance)
//		return
//	}
//
//	func init() { stub.Register(func(o stub.Object) Account { return accountStub{o} }) }
package stub

import (
	"context"
	"fmt"
	"reflect"

	"gormi/proxy"
	"gormi/rmi/fault"
)

// Object is the remote object behind a stub, which embeds it. It is comparable:
// two stubs of the same object are equal.
type Object struct{ core *proxy.Core }

// RMICore tells package proxy what stands behind the stub.
func (o Object) RMICore() *proxy.Core { return o.core }

// Register makes stubs of T by make, in every node of the process. It is
// called from an init function. It panics if T is not an interface.
func Register[T any](make func(Object) T) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Interface {
		panic(fmt.Sprintf("stub.Register: %v is not an interface", t))
	}
	proxy.RegisterStub(t, func(c *proxy.Core) any { return make(Object{c}) })
}

// Args lists a call's arguments.
func Args(args ...any) []any { return args }

// Invoke calls a method. results are pointers to where the results go, in
// order; they are left alone when the call fails.
func (o Object) Invoke(ctx context.Context, method string, args []any, results ...any) error {
	c := o.core
	m := c.Interface.ByName(method)
	if m == nil || len(args) != len(m.In) || len(results) != len(m.Out) {
		return fault.New(fault.Invalid, fault.NotExecuted, "the stub of %s does not fit the interface in method %s: generate or write it anew", c.Interface.Name, method)
	}
	in := make([]reflect.Value, len(args))
	for i, a := range args {
		in[i] = reflect.New(m.In[i]).Elem()
		if a != nil {
			in[i].Set(reflect.ValueOf(a))
		}
	}
	out, err := c.Call(ctx, m, in)
	if err != nil {
		return err
	}
	for i, r := range results {
		reflect.ValueOf(r).Elem().Set(out[i])
	}
	return nil
}
