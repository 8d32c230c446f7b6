package callback

import (
	"errors"
	"fmt"

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

func invalid(op, text string) error {
	return &rmi.Error{Op: op, Kind: rmi.Invalid, Outcome: rmi.NotExecuted, Msg: text}
}

func badPattern(op, pattern string) error {
	return invalid(op, fmt.Sprintf("%q is no pattern of path.Match", pattern))
}

// peerError is the *rmi.Error that a method of the peer's returned, if it did:
// its kind counts, not that of the call, which is Application.
func peerError(err error) error {
	var call *rmi.Error
	if errors.As(err, &call) && call.Kind == rmi.Application {
		var own *rmi.Error
		if errors.As(call.Err, &own) {
			return own
		}
	}
	return err
}
