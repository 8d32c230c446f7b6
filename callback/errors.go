package callback

import (
	"errors"
	"fmt"
	"runtime/debug"

	"gormi/rmi"
)

// failed says what was tried when err came.
func failed(op string, err error) error {
	var f *rmi.Error
	if errors.As(err, &f) && f.Op == "" {
		c := *f
		c.Op = op
		return &c
	}
	return fmt.Errorf("%s: %w", op, err)
}

// broke is the error of a call of the program's that panicked with v, or ended its
// goroutine if v is nil. As of methods, the log gets the stack. It is called while
// that is there.
func broke(n *rmi.Node, op, who string, v any) error {
	what := fmt.Sprintf("the %s panicked: %v", who, v)
	if v == nil {
		what = fmt.Sprintf("the %s ended its goroutine instead of returning", who)
	}
	n.Logger().Error(what, "stack", string(debug.Stack()))
	return &rmi.Error{Op: op, Kind: rmi.KindPanic, Outcome: rmi.OutcomeExecuted, Msg: what}
}

func invalid(op, text string) error {
	return &rmi.Error{Op: op, Kind: rmi.KindInvalid, Outcome: rmi.OutcomeNotExecuted, Msg: text}
}

func badPattern(op, pattern string) error {
	return invalid(op, fmt.Sprintf("%q is no pattern of path.Match", pattern))
}

// peerError is the *rmi.Error that a method of the peer's returned, if it did:
// its kind counts, not that of the call, which is Application.
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
