package skeleton

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"

	"gormi/rmi/codec"
	"gormi/rmi/fault"
)

// Skeleton is the receiver of calls for one value seen as one interface.
type Skeleton struct {
	Interface *codec.Interface
	value     reflect.Value   // of the interface's or func's type
	served    Served          // by generated code; nil: by reflection
	methods   []reflect.Value // by codec.Method.Index, for reflection
}

// Served runs a method of one value. method is its number in the order of the names. Served reads
// the arguments from d and writes the results to e. Both were opened for that. If d has an error,
// Served does not call the method. If the method fails, Served writes no results. It returns the
// method's error.
type Served func(ctx context.Context, method int, d *codec.Decoder, e *codec.Encoder) error

var registrations sync.Map // reflect.Type → func(reflect.Value) Served

// Register makes bind provide the Served for values of type t, an interface or a func. It is for
// package rmi/stub, which generated code uses.
func Register(t reflect.Type, bind func(reflect.Value) Served) { registrations.Store(t, bind) }

// New returns the skeleton of v. v must be assignable to the interface's type and not nil.
func New(i *codec.Interface, v reflect.Value) *Skeleton {
	typed := reflect.New(i.Type).Elem()
	typed.Set(v)
	s := &Skeleton{Interface: i, value: typed}
	if bind, ok := registrations.Load(i.Type); ok {
		s.served = bind.(func(reflect.Value) Served)(typed)
		return s
	}
	s.methods = make([]reflect.Value, len(i.Methods))
	for _, m := range i.Methods {
		if i.Type.Kind() == reflect.Func {
			s.methods[m.Index] = typed
		} else {
			s.methods[m.Index] = typed.MethodByName(m.Name)
		}
	}
	return s
}

// Value returns the object itself, a value of the interface's type.
func (s *Skeleton) Value() reflect.Value { return s.value }

// PanicError is the error that a method's panic becomes in the owner's process.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v", e.Value) }

// Serve runs one call of a method of s.Interface, and of no other. It reads the arguments from d
// and writes the results to e. A nil error means that e holds the results. A panic of the method
// becomes a *fault.Error that wraps a *PanicError. If the deadline has passed and the method's
// error says so, the kind is Deadline.
func (s *Skeleton) Serve(ctx context.Context, m *codec.Method, d *codec.Decoder, e *codec.Encoder) *fault.Error {
	if m.Index >= len(s.Interface.Methods) || s.Interface.Methods[m.Index] != m {
		return fault.New(fault.KindNoSuchMethod, fault.OutcomeNotExecuted, "%s is no method of the interface %s, as which the object is exported", m.Name, s.Interface.Name)
	}
	if s.served != nil {
		return s.serveGenerated(ctx, m, d, e)
	}
	args, err := m.DecodeArgs(d)
	if err != nil {
		return fault.Add(err, fault.KindBadArguments, fault.OutcomeNotExecuted)
	}
	out, err := s.invoke(ctx, m, args)
	if err != nil {
		return returned(ctx, err)
	}
	if err := m.EncodeResults(e, out); err != nil {
		return fault.Add(err, fault.KindInvalid, fault.OutcomeExecuted)
	}
	return nil
}

// serveGenerated does what Serve does, by generated code.
func (s *Skeleton) serveGenerated(ctx context.Context, m *codec.Method, d *codec.Decoder, e *codec.Encoder) *fault.Error {
	d.OpenArgs(m)
	e.OpenResults(m)
	err := s.invokeLinked(ctx, m, d, e)
	if bad := d.CloseArgs(m); bad != nil {
		return fault.Add(bad, fault.KindBadArguments, fault.OutcomeNotExecuted)
	}
	bad := e.CloseResults(m)
	if err != nil {
		return returned(ctx, err)
	}
	if bad != nil {
		return fault.Add(bad, fault.KindInvalid, fault.OutcomeExecuted)
	}
	return nil
}

func (s *Skeleton) invokeLinked(ctx context.Context, m *codec.Method, d *codec.Decoder, e *codec.Encoder) (err error) {
	defer recovered(&err)
	return s.served(ctx, m.Index, d, e)
}

// recovered turns a panic into an error.
func recovered(err *error) {
	if v := recover(); v != nil {
		*err = &PanicError{Value: v, Stack: debug.Stack()}
	}
}

// returned makes the error of a call whose method returned err, or panicked.
func returned(ctx context.Context, err error) *fault.Error {
	kind := fault.KindApplication
	if _, ok := err.(*PanicError); ok {
		kind = fault.KindPanic
	} else if ctx.Err() == context.DeadlineExceeded && late(err) {
		kind = fault.KindDeadline
	}
	return fault.Add(nil, kind, fault.OutcomeExecuted, fault.Cause(err))
}

// late reports whether err is that of a context whose deadline passed. It runs the error's own
// methods.
func late(err error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, context.DeadlineExceeded)
}

// invoke calls the method and splits its error from its results.
func (s *Skeleton) invoke(ctx context.Context, m *codec.Method, args []reflect.Value) (out []reflect.Value, err error) {
	defer recovered(&err)
	in := make([]reflect.Value, 1, 1+len(args))
	in[0] = reflect.ValueOf(&ctx).Elem()
	in = append(in, args...)
	if m.Variadic {
		out = s.methods[m.Index].CallSlice(in)
	} else {
		out = s.methods[m.Index].Call(in)
	}
	last := len(out) - 1
	if e, ok := out[last].Interface().(error); ok && e != nil {
		err = e
	}
	return out[:last], err
}
