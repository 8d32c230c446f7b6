package rmi

import (
	"fmt"
	"reflect"

	"gormi/rmi/codec"
	"gormi/rmi/fault"
)

// Error is what every failed call returns. It says what was tried, what kind of failure it was,
// who noticed it, and what the call may have done. See the documentation of package fault.
//
// Every failed call returns an *Error. It says the Kind, whether the peer or this side made
// the error, and the Outcome. Before a call was sent the outcome is NotExecuted. Once the
// method ran it is Executed. It is Unknown where a reply was lost, or the caller stopped
// waiting. A method's own error is of kind Application. If that error is the one of the
// method's passed deadline, the kind is Deadline; a caller that did not wait for the
// method gets that kind too.
//
// A connection that is lost fails no call. The session goes on without it, and the side
// that dialled dials again. Calls in flight complete on the next connection, each executed
// once. New calls wait for that connection until their deadline. If only the peer can dial,
// calls wait for Options.Grace. Then those that wait fail with PeerGone, and new ones fail at
// once, until the peer is back.
//
// A session is over when
//   - there was no connection for longer than Options.SessionLease, or
//   - the peer's process ended: its address refuses connections (but see
//     Options.RefusalsPass), or another node answers there, or
//   - either node is closed, or
//   - the connection is lost, and the peer cannot go on with the session. Peers of another
//     implementation need not be able to.
//
// Then calls in flight fail with the outcome Unknown and the kind PeerGone, or Closed if it
// was the caller's own node that was closed. The next call begins another session, if the
// owner listens.
//
// A call is retried within its deadline, with growing pauses, when its outcome is NotExecuted and
//   - the peer said that it is Overloaded, or
//   - the session was over before the call was sent.
//
// If the method is idempotent, the call is also retried when its outcome is Unknown and the session
// was lost. All other failures are for the caller to handle: nobody listens at the owner's address
// (ConnectFailed), another node does (StaleReference), the object is gone (NoSuchObject), the owner
// is shutting down, the slots for nested calls are taken.
// Some proxies follow an object (ResolveWith, and package registry's). When the object or
// its owner is gone, they look for another in its place. They do so if the call was
// NotExecuted, or is idempotent.
//
//	type Error struct {
//		Op        string       // what was tried: "call", "lookup", "bind", "export", "dial", ...
//		Ref       refs.Ref     // the object concerned
//		Interface string       // name of its interface
//		Method    string
//		Kind      Kind
//		Outcome   Outcome
//		Origin    fault.Origin // which side made the error: fault.OriginLocal or fault.OriginPeer
//		Msg       string       // what happened and what the user can do about it
//		Err       error        // the cause
//	}
//
//	func (e *Error) Error() string         // all of it, as a text
//	func (e *Error) Detail() string        // Msg and the text of Err
//	func (e *Error) Unwrap() error         // the cause
//	func (e *Error) Is(target error) bool  // whether it is of a Kind, or what the kind stands for
type Error = fault.Error

// Kind says what went wrong. A Kind is an error itself, so that errors.Is(err, rmi.KindNotBound)
// works. KindOf returns the kind of an error. "go doc gormi/rmi KindInvalid" lists all kinds.
//
//	type Kind uint8
//
//	func (k Kind) String() string         // its name: "NotBound"
//	func (k Kind) Error() string          // the same
//	func (k Kind) Is(target error) bool   // whether it stands for an error of the standard library
type Kind = fault.Kind

// The kinds of errors.
const (
	KindInvalid        Kind = fault.KindInvalid        // the caller's mistake: a type that cannot travel, an illegal name
	KindNotBound       Kind = fault.KindNotBound       // no such name in the registry
	KindAlreadyBound   Kind = fault.KindAlreadyBound   // the name, or the well-known number, is taken
	KindNoSuchObject   Kind = fault.KindNoSuchObject   // the owner does not export the object (any more)
	KindStaleReference Kind = fault.KindStaleReference // the owner is gone; another process answers there
	KindNoSuchMethod   Kind = fault.KindNoSuchMethod
	KindBadArguments   Kind = fault.KindBadArguments
	KindTooLarge       Kind = fault.KindTooLarge
	KindDenied         Kind = fault.KindDenied
	KindOverloaded     Kind = fault.KindOverloaded
	KindDeadline       Kind = fault.KindDeadline  // matches context.DeadlineExceeded
	KindCancelled      Kind = fault.KindCancelled // matches context.Canceled
	KindConnectFailed  Kind = fault.KindConnectFailed
	KindPeerGone       Kind = fault.KindPeerGone
	KindPanic          Kind = fault.KindPanic
	KindApplication    Kind = fault.KindApplication // the method's own error
	KindMismatch       Kind = fault.KindMismatch    // the two sides' interfaces do not fit
	KindClosed         Kind = fault.KindClosed      // this node was closed; matches net.ErrClosed
	KindProtocol       Kind = fault.KindProtocol
	KindInternal       Kind = fault.KindInternal
)

// Outcome says what a failed call may have done. OutcomeOf returns the outcome of an error.
//
//	type Outcome uint8
//
//	func (o Outcome) String() string  // its name: "NotExecuted"
type Outcome = fault.Outcome

// The outcomes.
const (
	OutcomeUnknown     Outcome = fault.OutcomeUnknown     // it may have run
	OutcomeNotExecuted Outcome = fault.OutcomeNotExecuted // it did not run
	OutcomeExecuted    Outcome = fault.OutcomeExecuted    // it ran
)

// OutcomeOf returns what the call that failed with err may have done. If err is nil, the call did
// not fail, and OutcomeOf returns Unknown: the call ran, unless its method is one-way.
func OutcomeOf(err error) Outcome { return fault.OutcomeOf(err) }

// KindOf returns the kind of the outermost Error in err: what happened to this call. (errors.Is
// also finds the kinds of calls that the method itself made and whose errors it returned.) If err
// is no error of this module, KindOf returns 0, which prints as none.
func KindOf(err error) Kind { return fault.KindOf(err) }

// RegisterError gives a sentinel error (a package-level errors.New) a name, so
// that errors.Is recognises it across the wire. Register the same name on both
// sides, from an init function or a package-level variable. It panics if the
// name or the error is registered already.
func RegisterError(name string, sentinel error) { fault.Register(name, sentinel) }

// RegisterErrorType gives an error type a name, so that errors.As finds its values, with their
// fields, across the wire. Its exported fields travel like those of any struct. It panics if the
// name or the type is registered already. It also panics if values of the type cannot travel, for
// example because it has no exported fields, or a remote interface in it.
func RegisterErrorType[E error](name string) {
	if t := reflect.TypeFor[E](); t.Kind() != reflect.Interface {
		if err := codec.CheckErrorType(t); err != nil {
			panic(fmt.Sprintf("rmi: RegisterErrorType[%v](%q): its values cannot travel:\n%v", t, name, err))
		}
	}
	fault.RegisterType[E](name)
}

// RegisterType gives a concrete type a name. Then its values can travel in fields and parameters
// of interface types that are not remote, "any" among them. It panics if the name or the type is
// registered already, or if values of the type cannot travel.
func RegisterType[T any](name string) { codec.RegisterType(name, reflect.TypeFor[T]()) }
