package fault

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"gormi/refs"
)

// Error is a failure of a remote call, or of what prepares one. Fields that do not apply are zero.
// Do not change an Error that was returned. To add what you know (the reference, the method), use a
// copy: see [Add].
type Error struct {
	Op        string   // what was tried: "call", "lookup", "bind", "export", "dial", ...
	Ref       refs.Ref // the object concerned
	Interface string   // name of its interface
	Method    string
	Kind      Kind
	Outcome   Outcome
	Origin    Origin
	Msg       string // what happened and what the user can do about it
	Err       error  // the cause

	// said: Msg includes what Err says, mostly at its end. So the text does not repeat it.
	said bool

	private bool // see Private
}

// New returns an Error whose Msg is the formatted text. What the format wraps by %w is the cause.
// If it wraps several errors, the cause is one error that wraps them.
func New(k Kind, o Outcome, format string, a ...any) *Error {
	e := &Error{Kind: k, Outcome: o}
	f := fmt.Errorf(format, a...)
	e.Msg = f.Error()
	switch w := f.(type) {
	case interface{ Unwrap() error }:
		e.Err = w.Unwrap()
	case interface{ Unwrap() []error }:
		e.Err = f
	}
	e.said = e.Err != nil
	return e
}

// Error returns a text such as
//
//	rmi: call Account.Deposit: insufficient funds
//	rmi: call Account.Deposit at rmi+ref://host:7000/6ba7b810/…/bank.Account: no such object
//	(not executed, said by the peer)
//
// The second is one line. The first is of kind Application: it has the method's own words. The
// outcome is told of calls only, the origin only if it is the peer. Object numbers are left out.
func (e *Error) Error() string {
	return prefix + e.text()
}

const prefix = "rmi: "

// text is Error without the prefix. The prefix stands once, however deep errors are nested.
func (e *Error) text() string {
	var b strings.Builder
	word := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(s)
	}
	word(e.Op)
	switch {
	case e.Interface != "" && e.Method != "":
		word(Brief(e.Interface) + "." + e.Method)
	default:
		word(Brief(e.Interface) + e.Method)
	}
	if e.Kind != KindApplication && !e.Ref.IsZero() {
		word("at " + e.Ref.String())
	}
	part := func(s string) {
		if s == "" {
			return
		}
		if b.Len() > 0 {
			b.WriteString(": ")
		}
		b.WriteString(s)
	}
	detail := e.Detail()
	if e.Kind == KindApplication && detail != "" {
		part(detail)
		var inner *Error
		if errors.As(e.Err, &inner) && inner.Kind != KindApplication { // whose note is about a call that the method made
			b.WriteString("; this call itself ran")
		}
		return b.String()
	}
	part(e.Kind.phrase())
	part(detail)
	if e.Kind == KindApplication {
		return b.String()
	}
	var notes []string
	if e.Op == "call" || e.Method != "" {
		notes = append(notes, e.Outcome.phrase())
	}
	if e.Origin == OriginPeer {
		notes = append(notes, "said by the peer")
	}
	if notes != nil {
		b.WriteString(" (" + strings.Join(notes, ", ") + ")")
	}
	return b.String()
}

// Brief cuts the name of an interface to at most 64 bytes. The name of an interface type that has
// none is all that it consists of, and may be long.
func Brief(name string) string {
	const most = 64
	if len(name) <= most {
		return name
	}
	end := most
	for end > 0 && !utf8.RuneStart(name[end]) {
		end--
	}
	return name[:end] + "…"
}

// Detail returns Msg and, unless Msg includes it, the text of Err. That is all of the error's text
// that its other fields do not hold. Detail is what travels.
func (e *Error) Detail() string {
	if e.Err == nil || e.said {
		return e.Msg
	}
	cause := ""
	if inner, ok := e.Err.(*Error); ok && inner != nil {
		cause = inner.text()
	} else {
		cause = e.Err.Error()
	}
	if e.Msg == "" || cause == "" {
		return e.Msg + cause
	}
	return e.Msg + ": " + cause
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's kind, or an error of the standard library that the kind stands
// for. Deadline stands for context.DeadlineExceeded and os.ErrDeadlineExceeded, Cancelled for
// context.Canceled, Closed for net.ErrClosed.
func (e *Error) Is(target error) bool {
	if k, ok := target.(Kind); ok {
		return e.Kind == k
	}
	return e.Kind.Is(target)
}

// Remote is the error that a peer's method returned, as this side made it again.
type Remote struct {
	Text   string  // what it said
	Causes []error // the registered errors in it, values of this process
}

// Error returns the text.
func (r *Remote) Error() string { return r.Text }

// Unwrap returns the causes, for errors.Is and errors.As.
func (r *Remote) Unwrap() []error { return r.Causes }

// OutcomeOf returns what the call that failed with err may have done. The outermost *Error in err
// says it. If errors were joined, the parts that hold an *Error must agree, or the answer is
// Unknown. It is also Unknown if err holds no *Error, and for nil. A nil of a call means that it
// was executed, unless the call was one-way: then nobody knows.
func OutcomeOf(err error) Outcome {
	o, _ := outcome(err)
	return o
}

// outcome reports whether the tree below err holds an *Error, and what the outermost ones together
// say.
func outcome(err error) (Outcome, bool) {
	switch e := err.(type) {
	case nil:
		return OutcomeUnknown, false
	case *Error:
		if e == nil {
			return OutcomeUnknown, false
		}
		return e.Outcome, true
	case interface{ Unwrap() error }:
		return outcome(e.Unwrap())
	case interface{ Unwrap() []error }:
		all, found := OutcomeUnknown, false
		for _, part := range e.Unwrap() {
			o, ok := outcome(part)
			switch {
			case !ok:
			case !found:
				all, found = o, true
			case o != all:
				all = OutcomeUnknown
			}
		}
		return all, found
	}
	return OutcomeUnknown, false
}

// KindOf returns the kind of the outermost *Error in err. If errors were joined, that is the first
// one. Without an *Error, KindOf returns the first Kind that stands in err itself, or 0.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		if e == nil {
			return 0
		}
		return e.Kind
	}
	k, _ := errors.AsType[Kind](err)
	return k
}
