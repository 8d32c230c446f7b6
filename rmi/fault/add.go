package fault

import (
	"context"
	"errors"

	"gormi/refs"
)

// Part is what [Add] adds to an error. It is an [Op], a [Kind], an [Outcome], an [Origin], a [Msg],
// or what [At], [Of], [Call] and [Cause] return.
type Part interface{ addTo(e *Error) }

// Op says what was tried: "call", "lookup", "bind".
type Op string

// Msg says what happened. It replaces the message that the error has.
type Msg string

// part is a Part that is no value of its own.
type part func(e *Error)

// Add returns a copy of the outermost *Error in err, with the parts added in their order. If err
// holds no *Error, or is nil, Add returns a new one with err as its cause. The kind of a new one is
// that among the parts, or else Internal. An *Error keeps the kind that it has. Until it is
// returned, the caller may change the copy.
func Add(err error, parts ...Part) *Error {
	e := new(Error)
	old, found := errors.AsType[*Error](err)
	if found {
		*e = *old
	} else {
		e.Err = err
	}
	for _, p := range parts {
		p.addTo(e)
	}
	if !found && e.Kind == 0 {
		e.Kind = KindInternal
	}
	return e
}

// At is the object concerned.
func At(r refs.Ref) Part { return part(func(e *Error) { e.Ref = r }) }

// Call is the call that failed. r leads to the object; iface and method are the names of the
// interface and the method. The operation is "call" unless the error names one.
func Call(r refs.Ref, iface, method string) Part {
	return part(func(e *Error) {
		if e.Op == "" {
			e.Op = "call"
		}
		e.Ref, e.Interface, e.Method = r, iface, method
	})
}

// Of is the interface concerned, by its name.
func Of(iface string) Part { return part(func(e *Error) { e.Interface = iface }) }

// Cause is the cause. It replaces the one that the error has. The error's text ends with it, unless
// [New] made the message of another cause.
func Cause(err error) Part { return part(func(e *Error) { e.Err = err }) }

// ContextKind is the kind of an error which says that a context ended: Deadline or Cancelled. It is
// 0 for others.
func ContextKind(err error) Kind {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return KindDeadline
	case errors.Is(err, context.Canceled):
		return KindCancelled
	}
	return 0
}

func (p part) addTo(e *Error)    { p(e) }
func (o Op) addTo(e *Error)      { e.Op = string(o) }
func (m Msg) addTo(e *Error)     { e.Msg = string(m) }
func (o Outcome) addTo(e *Error) { e.Outcome = o }
func (o Origin) addTo(e *Error)  { e.Origin = o }

func (k Kind) addTo(e *Error) {
	if e.Kind == 0 {
		e.Kind = k
	}
}
