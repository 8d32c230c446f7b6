package callback

import (
	"errors"
	"fmt"
	"runtime/debug"

	"gormi/rmi"
	"gormi/rmi/fault"
)

// during adds to err the operation that failed.
func during(op string, err error) error {
	var f *rmi.Error
	if errors.As(err, &f) && f.Op == "" {
		return fault.Add(f, fault.Op(op))
	}
	return fmt.Errorf("%s: %w", op, err)
}

// broke is the error of a call of the program's code that panicked with v, or ended its goroutine
// if v is nil. The stack goes to the log, as with methods. broke is called while the stack is
// there.
func broke(n *rmi.Node, op, who string, v any) error {
	what := fmt.Sprintf("the %s panicked: %v", who, v)
	if v == nil {
		what = fmt.Sprintf("the %s ended its goroutine instead of returning", who)
	}
	n.Logger().Error(what, "stack", string(debug.Stack()))
	return fault.Add(fault.New(fault.KindPanic, fault.OutcomeExecuted, "%s", what), fault.Op(op))
}

func invalid(op, text string) error {
	return fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s", text), fault.Op(op))
}

func badPattern(op, pattern string) error {
	return invalid(op, fmt.Sprintf("%q is no pattern of path.Match", pattern))
}

// peerError returns the *rmi.Error that a method of the peer returned, if it did. Its kind counts,
// not that of the call, which is Application.
func peerError(err error) error {
	var call *rmi.Error
	if errors.As(err, &call) && call.Kind == rmi.KindApplication {
		var own *rmi.Error
		if errors.As(call.Err, &own) {
			return own
		}
	}
	return err
}
