package rmi

import (
	"fmt"
	"reflect"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Error is what every failed call returns: what was tried, what kind of
// failure it was, who noticed it, and what the call may have done. See the
// package documentation of fault.
type Error = fault.Error

// Kind says what went wrong. A Kind is an error itself, so that
// errors.Is(err, rmi.NotBound) works.
type Kind = fault.Kind

// The kinds of errors.
const (
	Invalid        = fault.Invalid        // the caller's own mistake: a type that cannot travel, an illegal name
	NotBound       = fault.NotBound       // no such name in the registry
	AlreadyBound   = fault.AlreadyBound   // the name, or the well-known number, is taken
	NoSuchObject   = fault.NoSuchObject   // the owner does not export the object (any more)
	StaleReference = fault.StaleReference // the owner is gone; another process answers in its place
	NoSuchMethod   = fault.NoSuchMethod
	BadArguments   = fault.BadArguments
	TooLarge       = fault.TooLarge
	Denied         = fault.Denied
	Overloaded     = fault.Overloaded
	Deadline       = fault.Deadline  // matches context.DeadlineExceeded
	Cancelled      = fault.Cancelled // matches context.Canceled
	ConnectFailed  = fault.ConnectFailed
	PeerGone       = fault.PeerGone
	Panic          = fault.Panic
	Application    = fault.Application // the method's own error
	Mismatch       = fault.Mismatch    // the two sides' interfaces do not fit
	Closed         = fault.Closed      // this node was closed; matches net.ErrClosed
	Protocol       = fault.Protocol
	Internal       = fault.Internal
)

// Outcome says what a failed call may have done.
type Outcome = fault.Outcome

// The outcomes.
const (
	Unknown     = fault.Unknown     // it may have run
	NotExecuted = fault.NotExecuted // it did not run
	Executed    = fault.Executed    // it ran
)

// OutcomeOf tells what the call that failed with err may have done. It is Unknown if
// err is nil, which is no failure: the call ran, unless its method is one-way.
func OutcomeOf(err error) Outcome { return fault.OutcomeOf(err) }

// KindOf tells the kind of err, of the outermost Error in it: what happened to
// this call. (errors.Is also finds the kinds of calls that the method itself made
// and whose errors it returned.) It is 0, which
// prints as none, if err is no error of this module.
func KindOf(err error) Kind { return fault.KindOf(err) }

// RegisterError gives a sentinel error (a package-level errors.New) a name, so
// that errors.Is recognises it across the wire. Register the same name on both
// sides, from an init function or a package-level variable. It panics if the
// name or the error is registered already.
func RegisterError(name string, sentinel error) { fault.Register(name, sentinel) }

// RegisterErrorType gives an error type a name, so that errors.As finds its
// values, fields and all, across the wire. Its exported fields travel as those
// of any struct. It panics if the name or the type is registered already, or if
// values of the type cannot travel: one without exported fields, say, or with a
// remote interface in it.
func RegisterErrorType[E error](name string) {
	if t := reflect.TypeFor[E](); t.Kind() != reflect.Interface {
		if err := wire.CheckErrorType(t); err != nil {
			panic(fmt.Sprintf("rmi: RegisterErrorType[%v](%q): its values cannot travel:\n%v", t, name, err))
		}
	}
	fault.RegisterType[E](name)
}

// RegisterType gives a concrete type a name, so that its values can travel in
// fields and parameters of interface types that are not remote ("any" too). It
// panics if the name or the type is registered already, or if values of the type
// cannot travel.
func RegisterType[T any](name string) { wire.RegisterType(name, reflect.TypeFor[T]()) }
