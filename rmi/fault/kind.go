package fault

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Kind says what went wrong. The numbers are wire values: kinds are added at the end and never change. A Kind is an
// error, so that it can be the target of errors.Is.
type Kind uint8

const (
	// Invalid: the program asked for what can never work, such as exporting an interface that breaks a rule.
	Invalid Kind = 1 + iota
	// NotBound: the registry knows no such name.
	NotBound
	// AlreadyBound: the name is taken.
	AlreadyBound
	// NoSuchObject: the owner runs but has no such object, or has it no more.
	NoSuchObject
	// StaleReference: the owner restarted since it gave out the reference.
	StaleReference
	// NoSuchMethod: the object's interface has no such method.
	NoSuchMethod
	// BadArguments: number or types of the arguments or results are not what the method has.
	BadArguments
	// TooLarge: a message or a part of it is over a limit.
	TooLarge
	// Denied: the caller may not do this, or the two nodes do not trust each other (TLS).
	Denied
	// Overloaded: the peer has no room for the call now.
	Overloaded
	// Deadline: the time for the call is over. Matches context.DeadlineExceeded and os.ErrDeadlineExceeded.
	Deadline
	// Cancelled: the caller gave the call up. Matches context.Canceled.
	Cancelled
	// ConnectFailed: the peer could not be reached.
	ConnectFailed
	// PeerGone: the connection to the peer was lost.
	PeerGone
	// Panic: the method panicked.
	Panic
	// Application: the method ran and returned an error. That error is what Unwrap leads to.
	Application
	// Mismatch: caller's and owner's idea of the interface do not agree.
	Mismatch
	// Closed: the node, the object or the connection was closed on purpose. Matches net.ErrClosed.
	Closed
	// Protocol: the peer broke the protocol, or is no node.
	Protocol
	// Internal: a defect in this module.
	Internal
)

var kinds = [...]struct{ name, phrase string }{
	Invalid:        {"Invalid", "invalid"},
	NotBound:       {"NotBound", "name not bound"},
	AlreadyBound:   {"AlreadyBound", "name already bound"},
	NoSuchObject:   {"NoSuchObject", "no such object"},
	StaleReference: {"StaleReference", "stale reference"},
	NoSuchMethod:   {"NoSuchMethod", "no such method"},
	BadArguments:   {"BadArguments", "bad arguments"},
	TooLarge:       {"TooLarge", "too large"},
	Denied:         {"Denied", "denied"},
	Overloaded:     {"Overloaded", "overloaded"},
	Deadline:       {"Deadline", "deadline exceeded"},
	Cancelled:      {"Cancelled", "cancelled"},
	ConnectFailed:  {"ConnectFailed", "cannot connect"},
	PeerGone:       {"PeerGone", "connection to the peer lost"},
	Panic:          {"Panic", "the method panicked"},
	Application:    {"Application", "the method returned an error"},
	Mismatch:       {"Mismatch", "interfaces do not agree"},
	Closed:         {"Closed", "closed"},
	Protocol:       {"Protocol", "protocol violated"},
	Internal:       {"Internal", "internal error"},
}

// String returns the name of the constant, "none" for 0, or "Kind(77)" for a value of a later version.
func (k Kind) String() string {
	if k == 0 {
		return "none"
	}
	if int(k) >= len(kinds) {
		return fmt.Sprintf("Kind(%d)", uint8(k))
	}
	return kinds[k].name
}

// Error is String.
func (k Kind) Error() string { return k.String() }

// phrase is the kind in the words of a message.
func (k Kind) phrase() string {
	if k == 0 {
		return "failed"
	}
	if int(k) >= len(kinds) {
		return k.String()
	}
	return kinds[k].phrase
}

// Is reports whether k stands for an error of the standard library, as the constants say.
func (k Kind) Is(target error) bool {
	switch k {
	case Deadline:
		return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
	case Cancelled:
		return target == context.Canceled
	case Closed:
		return target == net.ErrClosed
	}
	return false
}

// Outcome says what a failed call may have done. The numbers are wire values.
type Outcome uint8

const (
	// Unknown: the method may have run, in whole or in part.
	Unknown Outcome = iota
	// NotExecuted: the method did not start and will not. The call can be tried again.
	NotExecuted
	// Executed: the method ran to its end.
	Executed
)

// String returns the name of the constant.
func (o Outcome) String() string {
	switch o {
	case Unknown:
		return "Unknown"
	case NotExecuted:
		return "NotExecuted"
	case Executed:
		return "Executed"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// phrase is the outcome in the words of a message.
func (o Outcome) phrase() string {
	switch o {
	case NotExecuted:
		return "not executed"
	case Executed:
		return "executed"
	}
	return "may have been executed"
}

// Origin says who noticed the failure.
type Origin uint8

const (
	// Local: this node made the error.
	Local Origin = iota
	// Peer: the error came over the wire.
	Peer
)

// String returns the name of the constant.
func (o Origin) String() string {
	switch o {
	case Local:
		return "Local"
	case Peer:
		return "Peer"
	}
	return fmt.Sprintf("Origin(%d)", uint8(o))
}
