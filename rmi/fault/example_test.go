package fault_test

import (
	"context"
	"errors"
	"fmt"

	"gormi/rmi/fault"
)

func ExampleError() {
	err := error(&fault.Error{
		Op: "call", Interface: "Account", Method: "Deposit",
		Kind: fault.KindDeadline, Outcome: fault.OutcomeUnknown, Msg: "no answer within 30s",
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, fault.KindDeadline), errors.Is(err, context.DeadlineExceeded))
	// Output:
	// rmi: call Account.Deposit: deadline exceeded: no answer within 30s (may have been executed)
	// true true
}

func ExampleOutcomeOf() {
	err := fmt.Errorf("paying the rent: %w", fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the queue is full"))
	if fault.OutcomeOf(err) == fault.OutcomeNotExecuted {
		fmt.Println("safe to try again")
	}
	// Output: safe to try again
}

var errNoFunds = errors.New("insufficient funds")

func init() { fault.Register("bank.ErrNoFunds", errNoFunds) }

// Both programs register the error in an init function. The caller of the method then finds it in
// what it got.
func ExampleRegister() {
	got := &fault.Error{Kind: fault.KindApplication, Err: &fault.Remote{Text: "alice: insufficient funds", Causes: []error{errNoFunds}}}
	fmt.Println(errors.Is(got, errNoFunds))
	// Output: true
}
