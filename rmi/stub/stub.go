// Package stub is what linked stubs are made of, the only package that they
// import. A stub is code written or generated for one interface; registering it
// when the program starts is all it takes.
//
// # Stubs by hand
//
// A stub by hand is a proxy type. It needs nothing from the platform:
//
//	type accountStub struct{ stub.Object }
//
//	func (s accountStub) Deposit(ctx context.Context, cents int64) (balance int64, err error) {
//		err = s.Invoke(ctx, "Deposit", stub.Args(cents), &balance)
//		return
//	}
//
//	func init() { stub.Register(func(o stub.Object) Account { return accountStub{o} }) }
//
// # Generated stubs
//
// The command rmigen writes a proxy and a skeleton that use no reflection where
// Go's types are known when they are generated. Either side of a call may have
// one; the bytes between them are the same. Such code looks like this:
//
//	const _ = stub.FilesOfVersion1
//
//	func (p rmiAccount) Deposit(ctx context.Context, a0 int64) (r0 int64, err error) {
//		c := p.Begin(ctx, 0) // the number of the method in the order of their names
//		for c.Attempt() {
//			e := c.Args()
//			e.Value(0)
//			e.Int(a0)
//			c.Send()
//		}
//		if d := c.Results(); d != nil {
//			d.Value(0)
//			d.Int64(&r0)
//		}
//		if err = c.End(); err != nil {
//			return 0, err
//		}
//		return r0, nil
//	}
//
//	func serveAccount(ctx context.Context, v Account, method int, d *stub.Decoder, e *stub.Encoder) error {
//		switch method {
//		case 0: // Deposit
//			var a0 int64
//			d.Value(0)
//			d.Int64(&a0)
//			if !d.Ok() {
//				return nil
//			}
//			r0, err := v.Deposit(ctx, a0)
//			if err != nil {
//				return err
//			}
//			e.Value(0)
//			e.Int(r0)
//		}
//		return nil
//	}
//
//	var _ = stub.Generated[Account]{
//		Proxy:   func(o stub.Object) Account { return rmiAccount{o} },
//		Serve:   serveAccount,
//		Methods: []stub.Method{{Name: "Deposit"}},
//	}.Register()
//
// An error of an Encoder or Decoder sticks: what follows it does nothing, and
// whoever opened it finds the error. Decoders fill values that are zero before.
//
// A generated file knows its types as they were. One that has fallen behind them
// does not compile, or the program says at its start which file is to be
// generated anew; rmigen -check finds it before that.
package stub

import (
	"context"
	"fmt"
	"reflect"

	"gormi/proxy"
	"gormi/rmi/fault"
)

// Object is the remote object behind a stub, which embeds it. It is comparable:
// two stubs of the same object are equal. Its Face has the stub print as what it
// is, and not pass for data, but for methods of such names that the interface has.
type Object struct{ proxy.Face }

func objectOf(c *proxy.Core) Object { return Object{proxy.FaceOf(c)} }

// Register makes stubs of T by newStub, in every node of the process. It is
// called from an init function. It panics if T is not an interface.
func Register[T any](newStub func(Object) T) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Interface {
		panic(fmt.Sprintf("stub.Register: %v is not an interface", t))
	}
	proxy.Register(t, proxy.Registration{New: func(c *proxy.Core) any { return newStub(objectOf(c)) }})
}

// Args lists a call's arguments.
func Args(args ...any) []any { return args }

// Invoke calls a method. results are pointers to where the results go, in
// order; they are left alone when the call fails.
func (o Object) Invoke(ctx context.Context, method string, args []any, results ...any) error {
	c := o.RMICore()
	m := c.Interface.ByName(method)
	if m == nil || len(args) != len(m.In) || len(results) != len(m.Out) {
		return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the stub of %s does not fit the interface in method %s: generate or write it anew", c.Interface.Name, method)
	}
	misfit := func(what string, at int, want reflect.Type, is any) error {
		return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s.%s: %s %d of the stub is a %T, want a %v", c.Interface.Name, method, what, at+1, is, want)
	}
	in := make([]reflect.Value, len(args))
	for i, a := range args {
		in[i] = reflect.New(m.In[i]).Elem()
		if a == nil {
			continue
		}
		v := reflect.ValueOf(a)
		if !v.Type().AssignableTo(m.In[i]) {
			return misfit("argument", i, m.In[i], a)
		}
		in[i].Set(v)
	}
	for i, r := range results {
		if v := reflect.ValueOf(r); v.Kind() != reflect.Pointer || v.IsNil() || !m.Out[i].AssignableTo(v.Type().Elem()) {
			return misfit("result", i, reflect.PointerTo(m.Out[i]), r)
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
