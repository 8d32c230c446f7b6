package main

import (
	"errors"
	"fmt"
	"strings"
)

var errorKinds = strings.Fields("Crossed Invalid NotBound AlreadyBound NoSuchObject StaleReference NoSuchMethod " +
	"BadArguments TooLarge Denied Overloaded Deadline Cancelled ConnectFailed PeerGone Panic Application Mismatch " +
	"Closed Protocol Internal")

var outcomes = strings.Fields("Unknown NotExecuted Executed")

// Kinds of errors, and outcomes, that this program sends or expects.
const (
	noSuchObject = 4
	noSuchMethod = 6
	badArguments = 7
	denied       = 9
	overloaded   = 10
	cancelled    = 12
	peerGone     = 14
	application  = 16
	closed       = 18
	protocol     = 19

	notExecuted = 1
	executed    = 2
)

func nameOf(names []string, i int) string {
	if i < 0 || i >= len(names) {
		return fmt.Sprint(i)
	}
	return names[i]
}

// notice says why a connection is refused or ended.
type notice struct {
	kind byte
	text string
}

func (n notice) String() string { return nameOf(errorKinds, int(n.kind)) + ": " + n.text }

func parseNotice(b []byte) (notice, error) {
	if len(b) < 1 || len(b) > 1+1024 {
		return notice{}, fmt.Errorf("a notice of %d bytes", len(b))
	}
	return notice{b[0], string(b[1:])}, nil
}

// callError is the error form of a return.
type callError struct {
	kind, outcome int
	text, op      string
	identities    []any
}

func (e *callError) Error() string {
	s := nameOf(errorKinds, e.kind) + "/" + nameOf(outcomes, e.outcome)
	if inner := e.inner(); inner != nil {
		s += " with " + nameOf(errorKinds, inner.kind)
	}
	return s + ": " + e.text
}

// inner returns the error of the protocol inside an application's, or nil.
func (e *callError) inner() *callError {
	for _, x := range e.identities {
		if entry, _ := x.([]any); len(entry) == 2 && entry[0] == "rmi.Error" {
			value, _ := entry[1].([]byte)
			list, err := decode(value, nil)
			if err != nil || len(list) < 4 {
				return nil
			}
			kind, _ := list[0].(int64)
			outcome, _ := list[1].(int64)
			return &callError{kind: int(kind), outcome: int(outcome)}
		}
	}
	return nil
}

func (e *callError) form() []any {
	return []any{e.kind, e.outcome, e.text, e.op, []any{}}
}

func parseError(form []any) (*callError, error) {
	if len(form) < 5 {
		return nil, errors.New("a short error form")
	}
	kind, ok1 := form[0].(int64)
	outcome, ok2 := form[1].(int64)
	text, ok3 := form[2].(string)
	op, ok4 := form[3].(string)
	identities, ok5 := form[4].([]any)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return nil, errors.New("a malformed error form")
	}
	return &callError{int(kind), int(outcome), text, op, identities}, nil
}
