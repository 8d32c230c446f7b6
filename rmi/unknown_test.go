package rmi

import (
	"context"
	"strings"
	"testing"

	"gormi/rmi/fault"
)

// Of a call that may have run, both reasons are told, whoever found them.
func TestTheLastAttemptsReasonIsTold(t *testing.T) {
	v := &invocation{maybe: fault.New(KindPeerGone, OutcomeUnknown, "the lease is over")}
	for _, last := range []error{
		&Error{Op: "call", Method: "Do", Kind: KindDeadline, Outcome: OutcomeNotExecuted, Err: context.DeadlineExceeded},
		fault.New(KindDeadline, OutcomeNotExecuted, "not sent in time: %w", context.DeadlineExceeded),
	} {
		err := v.unknown(last)
		if text := err.Error(); !strings.Contains(text, "may have run (connection to the peer lost: the lease is over), and the last failed: ") ||
			!strings.Contains(text, "context deadline exceeded") || OutcomeOf(err) != OutcomeUnknown || KindOf(err) != KindDeadline {
			t.Error(text)
		}
	}
}
