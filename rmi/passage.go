package rmi

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"slices"
	"sync"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/intercept"
	"gormi/skeleton"
)

// passage is a call on its way through interceptors: at the caller (intercepted, and calls by
// name) or at the object (serveIntercepted).
type passage struct {
	call *intercept.Call
	last intercept.Handler // makes the call, or runs the method
	once bool              // last can be called once only

	mu      sync.Mutex    // guards the fields below
	running chan struct{} // closed when last, which runs, has returned; nil: it does not run
	over    bool          // the outermost interceptor has returned
	tried   bool          // last was called
	err     error         // what it returned last
	errs    []*Error      // that it returned
	outcome Outcome       // of all calls of last together
}

// through runs the interceptors, and returns the call's error, with kind and outcome.
func (p *passage) through(ctx context.Context, all []intercept.Interceptor) *Error {
	p.outcome = OutcomeNotExecuted
	err := p.guarded(ctx, all)
	p.mu.Lock()
	p.over = true
	running := p.running
	p.mu.Unlock()
	if running != nil { // on another goroutine, which uses what the call has
		<-running
	}
	p.mu.Lock()
	made, outcome := p.errs, p.outcome
	p.mu.Unlock()
	if err == nil {
		return nil
	}
	return errorOfPassage(err, made, outcome, ctx.Err() != nil)
}

// errorOfPassage is the call's error, of what the outermost interceptor returned. made are the
// errors that next returned. It runs the error's own methods, which may panic.
func errorOfPassage(err error, made []*Error, outcome Outcome, ended bool) (of *Error) {
	defer func() {
		if recover() != nil {
			of = fault.Add(nil, KindApplication, outcome, fault.Cause(err))
		}
	}()
	f, found := errors.AsType[*Error](err)
	switch own, direct := err.(*Error); {
	case direct && slices.Contains(made, own):
		if own.Outcome != outcome { // another next may have run
			own = fault.Add(own, outcome)
		}
		return own
	case found && slices.Contains(made, f):
		return fault.Add(nil, f.Kind, outcome, f.Origin, fault.Cause(err))
	case direct && refusal(own.Kind):
		return fault.Add(own, outcome)
	}
	if _, is := err.(*skeleton.PanicError); is {
		return fault.Add(nil, KindPanic, outcome, fault.Msg(inInterceptor), fault.Cause(err))
	}
	kind := KindApplication
	if k := fault.ContextKind(err); k != 0 && ended {
		kind = k
	}
	return fault.Add(nil, kind, outcome, fault.Cause(err))
}

// inInterceptor says in the error of a panic where it was.
const inInterceptor = "in an interceptor"

// refusal reports whether an interceptor's own error keeps its kind. The others would say of the
// call, or of the object, what is not so.
func refusal(k Kind) bool {
	switch k {
	case KindDenied, KindOverloaded, KindInvalid, KindBadArguments, KindTooLarge:
		return true
	}
	return false
}

// guarded makes an error of a panic.
func (p *passage) guarded(ctx context.Context, all []intercept.Interceptor) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &skeleton.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	return p.from(all)(ctx)
}

// from is the handler that begins with the first of all.
func (p *passage) from(all []intercept.Interceptor) intercept.Handler {
	if len(all) == 0 {
		return p.next
	}
	return func(ctx context.Context) error { return all[0](ctx, p.call, p.from(all[1:])) }
}

// next is the innermost handler.
func (p *passage) next(ctx context.Context) error {
	if err := p.enter(ctx); err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // runtime.Goexit
			p.leave(errEnded, OutcomeUnknown)
		}
	}()
	err := p.last(ctx)
	returned = true
	outcome := OutcomeExecuted
	if err != nil {
		outcome = OutcomeOf(err)
	}
	p.leave(err, outcome)
	return err
}

// errEnded is of a next that ended its goroutine.
var errEnded = errors.New("the goroutine ended instead of returning")

// enter reports why last cannot be called now.
func (p *passage) enter(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ctx == nil:
		return intercept.Refuse(KindInvalid, "an interceptor called next without a context")
	case p.over:
		return intercept.Refuse(KindInvalid, "an interceptor called next when the call was over")
	case p.running != nil:
		return intercept.Refuse(KindInvalid, "an interceptor called next while another next of the call runs")
	case p.once && p.tried:
		return intercept.Refuse(KindInvalid, "an interceptor called next twice: at the object the method runs once")
	}
	p.running, p.tried = make(chan struct{}), true
	return nil
}

// leave notes what last came to.
func (p *passage) leave(err error, outcome Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.running)
	p.running, p.err = nil, err
	if f, ok := err.(*Error); ok {
		p.errs = append(p.errs, f)
	}
	switch {
	case p.outcome == OutcomeExecuted || outcome == OutcomeExecuted:
		p.outcome = OutcomeExecuted
	case outcome == OutcomeUnknown:
		p.outcome = OutcomeUnknown
	}
}

// succeeded reports whether there are results.
func (p *passage) succeeded() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tried && p.running == nil && p.err == nil
}

// noResults is the error of a call whose interceptors say that it succeeded, but which has
// nothing to return.
func (p *passage) noResults() *Error {
	return fault.New(KindInvalid, p.outcome, "an interceptor returned nil although no next succeeded, so the call has no results")
}

// noneYet is the error of Call.Results.
func noneYet() error {
	return intercept.Refuse(KindInvalid, "the call has no results: no next has succeeded")
}

// logPanic logs what panicked, if that is what err says.
func (n *Node) logPanic(err *Error, iface, method string) {
	var p *skeleton.PanicError
	if err.Kind != KindPanic || !errors.As(err, &p) {
		return
	}
	what := "a method panicked"
	if err.Msg == inInterceptor {
		what = "an interceptor panicked"
	}
	n.opts.Logger.Error(what, "interface", iface, "method", method, "panic", fmt.Sprint(p.Value), "stack", string(p.Stack))
}

// typed are values as an interceptor gets them.
func typed(values []reflect.Value, err error) ([]any, error) {
	all := make([]any, len(values))
	for i, v := range values {
		all[i] = v.Interface()
	}
	return all, err
}

// importing is a node that makes values of references for interceptors.
type importing Node

var _ codec.Importer = (*importing)(nil)

// ImportRef implements codec.Importer.
func (n *importing) ImportRef(r refs.Ref, i *codec.Interface) (reflect.Value, error) {
	return (*Node)(n).resolve(r, i)
}

// look has a body decoded once more, for an interceptor.
func (n *Node) look(body []byte, table []refs.Ref, decode func(*codec.Decoder) ([]reflect.Value, error)) ([]any, error) {
	d, err := codec.NewDecoder(body, table, (*importing)(n), &n.limits)
	if err != nil {
		return nil, err
	}
	defer d.Release()
	return typed(decode(d))
}
