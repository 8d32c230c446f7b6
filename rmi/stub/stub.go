// Package stub is the only package that stubs import. A stub is code for one interface, written by
// hand or generated. It registers itself when the program starts; nothing else is needed.
//
// # Stubs by hand
//
// A stub by hand is a proxy type. It needs no support from the platform:
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
// The command rmigen writes a proxy and a skeleton. They use no reflection for types that are known
// when they are generated. Each side of a call may have one or not: the bytes are the same. Such
// code looks like this:
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
//	func serveAccount(ctx context.Context, v Account, method int,
//		d *stub.Decoder, e *stub.Encoder) error {
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
// An Encoder or Decoder keeps its first error. What follows the error does nothing, and whoever
// opened the Encoder or Decoder finds the error. Decoders fill values that are zero before.
//
// A generated file expects its types to be as they were. If they changed, the file does not
// compile, or the program says at its start which file to generate again. rmigen -check finds such
// files before that.
package stub

import (
	"context"
	"fmt"
	"reflect"

	"gormi/proxy"
	"gormi/rmi/fault"
)

// Object is the remote object behind a stub. The stub embeds it. It is comparable: two stubs of the
// same object are equal. Through its Face, the stub prints as what it is and is not taken for data.
// If the interface has a method of the same name, that one counts.
type Object struct{ proxy.Face }

func objectOf(c *proxy.Core) Object { return Object{proxy.FaceOf(c)} }

// Register makes newStub the maker of the stubs of T, in every node of the process. Call it from an
// init function. It panics if T is not an interface.
func Register[T any](newStub func(Object) T) {
	t := reflect.TypeFor[T]()
	if t.Kind() != reflect.Interface {
		panic(fmt.Sprintf("stub.Register: %v is not an interface", t))
	}
	proxy.Register(t, proxy.Registration{New: func(c *proxy.Core) any { return newStub(objectOf(c)) }})
}

// Args lists a call's arguments.
func Args(args ...any) []any { return args }

// Invoke calls a method. results are pointers to where the results go, in order. When the call
// fails, what they point to does not change.
func (o Object) Invoke(ctx context.Context, method string, args []any, results ...any) error {
	c := o.RMICore()
	m := c.Interface.ByName(method)
	if m == nil || len(args) != len(m.In) || len(results) != len(m.Out) {
		return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the stub of %s does not fit the interface in method %s: generate or write it again", c.Interface.Name, method)
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
