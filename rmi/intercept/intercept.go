// Package intercept is for code that runs around calls: to authenticate, to log, to limit, to
// trace, to try again. It has some ready ones: AccessLog, RateLimit, SendToken and CheckToken.
//
// An Interceptor gets the call and a Handler, next, that goes on with it:
//
//	func timed(ctx context.Context, call *intercept.Call, next intercept.Handler) error {
//		begin := time.Now()
//		err := next(ctx)
//		slog.Info("called", "method", call.Method, "took", time.Since(begin), "error", err)
//		return err
//	}
//
// There are two places for them:
//
//   - rmi.Options.Interceptors run at the caller, around all calls that the program makes through
//     the node: by proxies of every form, generated stubs among them, of functions that were
//     passed, by name (Node.Invoke), and what other packages call for the program, as
//     registry.Lookup does. They do not run around what nodes say to each other for themselves:
//     descriptions, leases, events.
//   - rmi.ExportOptions.Interceptors run at the object, around all calls of its methods that come
//     from other nodes. Objects that are exported because they are passed have none: export them
//     with their options first. A node that only relays a call runs neither kind.
//
// # What is promised
//
//  1. The first of a list is the outermost: it runs first, and its next runs the second. The
//     innermost next makes the call, or calls the method. At the caller that is with all retries
//     of rmi.Semantics, so interceptors see one call, however often it is sent. At the object
//     they run when the call has its handler and its turn (rmi.Threading), before the arguments
//     are decoded. A call that comes again after a cut runs them once.
//  2. What next gets as its context is that of what is inside: an interceptor may give it a
//     deadline, values, or metadata (package metadata). At the object it should come from the
//     context that the interceptor got, by which calls know their caller.
//  3. An interceptor may leave next out, and return an error. Then the call fails with outcome
//     NotExecuted. If it returns nil although no next succeeded, the call succeeds without
//     results if the method has none, and else fails with kind Invalid.
//  4. At the caller, next may be called again, one after the other. The results are those of the
//     last one. What the methods did is done: look at rmi.OutcomeOf and the method's Semantics.
//     At the object, a second next fails with kind Invalid.
//  5. next is not for later: after the interceptor has returned, and while another next of the
//     call runs, it fails with kind Invalid. A call does not end before its next has.
//  6. The error that the outermost interceptor returns is the call's. The error that next
//     returned stays what it is, when it is returned as it is, or wrapped. An interceptor's own
//     *rmi.Error keeps its kind if that is Denied, Overloaded, Invalid, BadArguments or TooLarge;
//     Refuse makes one. Callers try again by themselves what an object refused as Overloaded.
//     The error of the call's context, once that has ended, is of kind Deadline or Cancelled.
//     Every other error is of kind Application, as a method's own. The outcome is that of what
//     next did, of all together if there were several: NotExecuted if it was not called.
//  7. A panic in an interceptor is an error of the call, of kind Panic, as a method's is. The
//     stack goes to the node's log.
//  8. Interceptors of one node run at the same time, for different calls.
//
// Where there are no interceptors, a call costs what it did without this package. At a caller
// with interceptors, arguments are encoded once and copied for each attempt.
package intercept

import (
	"context"
	"sync"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/metadata"
)

// Handler goes on with a call.
type Handler func(ctx context.Context) error

// Interceptor runs around a call. See the package's comment for what it may do.
type Interceptor func(ctx context.Context, call *Call, next Handler) error

// Call is what an interceptor learns of a call. Its fields are not to be changed.
type Call struct {
	// Incoming says that this is the object's side. If false, it is the caller's.
	Incoming bool
	// Object is the reference to the object. Printed, it shows nothing by which others could
	// call it.
	Object refs.Ref
	// Interface and Method are names. At the caller, Interface is that of its own Go type.
	Interface, Method string

	source  Source
	args    func() ([]any, error)
	results func() ([]any, error)
}

// Peer is who is at the other end, as rmi.PeerInfo describes it.
type Peer struct {
	Principal string
	Address   string
	Node      refs.NodeID
}

// Source is where a Call gets what it tells only when it is asked.
type Source interface {
	Peer() Peer
	Args() ([]any, error)
	Results() ([]any, error)
}

// New returns a Call that gets the rest from s. It is for package rmi, and for tests of
// interceptors.
func New(c Call, s Source) *Call {
	c.source, c.args, c.results = s, sync.OnceValues(s.Args), s.Results
	return &c
}

// Peer tells who the other side is. At the object that is the caller, or the relay that has let
// it in. At the caller it is the object's node. As long as there is no connection with it, its
// Principal and Address are empty.
func (c *Call) Peer() Peer { return c.source.Peer() }

// Metadata returns what came with the call, at the object; at the caller, what it would carry if
// it were made with ctx. The map is the interceptor's own.
func (c *Call) Metadata(ctx context.Context) map[string]string {
	if c.Incoming {
		return metadata.From(ctx)
	}
	m, _ := metadata.Outgoing(ctx) // the call itself tells what is wrong
	return m
}

// Args decodes the arguments, without the context, when it is called first. They are of the
// types that the method has; of a call by name at the caller, what was passed. They are copies:
// a change of them does not change the call. Args and Results are for as long as the interceptor
// runs.
func (c *Call) Args() ([]any, error) { return c.args() }

// Results decodes the results, without the error, once a next has succeeded. They are copies,
// too. It fails if there are none.
func (c *Call) Results() ([]any, error) { return c.results() }

// Refuse returns the error by which an interceptor refuses a call: of one of the kinds that
// rule 6 names, and NotExecuted. format and a are as for fmt.Errorf.
func Refuse(kind fault.Kind, format string, a ...any) error {
	return fault.New(kind, fault.OutcomeNotExecuted, format, a...)
}
