package fault

import (
	"context"
	"fmt"
	"net"
	"os"
)

// Kind says what went wrong. The numbers are wire values: new kinds are added at the end, and no
// number changes. A Kind is an error, so that it can be the target of errors.Is.
type Kind uint8

const (
	// KindInvalid: the program asked for what can never work, such as exporting an interface that
	// breaks a rule.
	KindInvalid Kind = 1 + iota
	// KindNotBound: the registry knows no such name.
	KindNotBound
	// KindAlreadyBound: the name is taken.
	KindAlreadyBound
	// KindNoSuchObject: the owner runs but has no such object, or has it no more.
	KindNoSuchObject
	// KindStaleReference: the owner restarted since it gave out the reference.
	KindStaleReference
	// KindNoSuchMethod: the object's interface has no such method.
	KindNoSuchMethod
	// KindBadArguments: the number or the types of the arguments or results are not those of the
	// method.
	KindBadArguments
	// KindTooLarge: a message or a part of it is over a limit.
	KindTooLarge
	// KindDenied: the caller may not do this, or the two nodes do not trust each other (TLS).
	KindDenied
	// KindOverloaded: the peer has no room for the call now.
	KindOverloaded
	// KindDeadline: the time for the call is over. It matches context.DeadlineExceeded and
	// os.ErrDeadlineExceeded.
	KindDeadline
	// KindCancelled: the caller gave the call up. It matches context.Canceled.
	KindCancelled
	// KindConnectFailed: the peer could not be reached.
	KindConnectFailed
	// KindPeerGone: the connection to the peer was lost.
	KindPeerGone
	// KindPanic: the method panicked.
	KindPanic
	// KindApplication: the method ran and returned an error. That error is what Unwrap leads to.
	KindApplication
	// KindMismatch: caller and owner do not agree about the interface.
	KindMismatch
	// KindClosed: the node, the object or the connection was closed on purpose. It matches
	// net.ErrClosed.
	KindClosed
	// KindProtocol: the peer broke the protocol, or is no node.
	KindProtocol
	// KindInternal: a defect in this module.
	KindInternal
)

var kinds = [...]struct{ name, phrase string }{
	KindInvalid:        {"Invalid", "invalid"},
	KindNotBound:       {"NotBound", "name not bound"},
	KindAlreadyBound:   {"AlreadyBound", "name already bound"},
	KindNoSuchObject:   {"NoSuchObject", "no such object"},
	KindStaleReference: {"StaleReference", "stale reference"},
	KindNoSuchMethod:   {"NoSuchMethod", "no such method"},
	KindBadArguments:   {"BadArguments", "bad arguments"},
	KindTooLarge:       {"TooLarge", "too large"},
	KindDenied:         {"Denied", "denied"},
	KindOverloaded:     {"Overloaded", "overloaded"},
	KindDeadline:       {"Deadline", "deadline exceeded"},
	KindCancelled:      {"Cancelled", "cancelled"},
	KindConnectFailed:  {"ConnectFailed", "cannot connect"},
	KindPeerGone:       {"PeerGone", "connection to the peer lost"},
	KindPanic:          {"Panic", "the method panicked"},
	KindApplication:    {"Application", "the method returned an error"},
	KindMismatch:       {"Mismatch", "interfaces do not agree"},
	KindClosed:         {"Closed", "closed"},
	KindProtocol:       {"Protocol", "protocol violated"},
	KindInternal:       {"Internal", "internal error"},
}

// String returns the name of the constant, "none" for 0, or "Kind(77)" for a value of a later
// version.
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

// phrase names the kind in the words of a message.
func (k Kind) phrase() string {
	if k == 0 {
		return "failed"
	}
	if int(k) >= len(kinds) {
		return k.String()
	}
	return kinds[k].phrase
}

// Is reports whether k stands for an error of the standard library: see the constants.
func (k Kind) Is(target error) bool {
	switch k {
	case KindDeadline:
		return target == context.DeadlineExceeded || target == os.ErrDeadlineExceeded
	case KindCancelled:
		return target == context.Canceled
	case KindClosed:
		return target == net.ErrClosed
	}
	return false
}

// Outcome says what a failed call may have done. The numbers are wire values.
type Outcome uint8

const (
	// OutcomeUnknown: the method may have run, in whole or in part.
	OutcomeUnknown Outcome = iota
	// OutcomeNotExecuted: the method did not start and will not. The call can be tried again.
	OutcomeNotExecuted
	// OutcomeExecuted: the method ran to its end.
	OutcomeExecuted
)

// String returns the name of the constant.
func (o Outcome) String() string {
	switch o {
	case OutcomeUnknown:
		return "Unknown"
	case OutcomeNotExecuted:
		return "NotExecuted"
	case OutcomeExecuted:
		return "Executed"
	}
	return fmt.Sprintf("Outcome(%d)", uint8(o))
}

// phrase names the outcome in the words of a message.
func (o Outcome) phrase() string {
	switch o {
	case OutcomeNotExecuted:
		return "not executed"
	case OutcomeExecuted:
		return "executed"
	}
	return "may have been executed"
}

// Origin says who noticed the failure.
type Origin uint8

const (
	// OriginLocal: this node made the error.
	OriginLocal Origin = iota
	// OriginPeer: the error came over the wire.
	OriginPeer
)

// String returns the name of the constant.
func (o Origin) String() string {
	switch o {
	case OriginLocal:
		return "Local"
	case OriginPeer:
		return "Peer"
	}
	return fmt.Sprintf("Origin(%d)", uint8(o))
}
