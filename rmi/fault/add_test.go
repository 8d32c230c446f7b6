package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
)

func TestAddKeepsWhatTheErrorSays(t *testing.T) {
	r := refs.Ref{Endpoint: refs.Endpoint{Host: "h", Port: 1}}
	peers := fault.Add(fault.New(fault.KindNoSuchObject, fault.OutcomeUnknown, "it is %s", "gone"), fault.OriginPeer)
	before := *peers
	for name, test := range map[string]struct{ got, want *fault.Error }{
		"nothing":            {fault.Add(peers), &fault.Error{Kind: fault.KindNoSuchObject, Origin: fault.OriginPeer, Msg: "it is gone"}},
		"a kind of its own":  {fault.Add(peers, fault.KindInternal), &fault.Error{Kind: fault.KindNoSuchObject, Origin: fault.OriginPeer, Msg: "it is gone"}},
		"outcome and origin": {fault.Add(peers, fault.OutcomeNotExecuted, fault.OriginLocal), &fault.Error{Kind: fault.KindNoSuchObject, Outcome: fault.OutcomeNotExecuted, Msg: "it is gone"}},
		"a call": {fault.Add(peers, fault.Call(r, "I", "M")),
			&fault.Error{Op: "call", Ref: r, Interface: "I", Method: "M", Kind: fault.KindNoSuchObject, Origin: fault.OriginPeer, Msg: "it is gone"}},
		"a call in an operation": {fault.Add(peers, fault.Op("lookup"), fault.Call(r, "I", "M")),
			&fault.Error{Op: "lookup", Ref: r, Interface: "I", Method: "M", Kind: fault.KindNoSuchObject, Origin: fault.OriginPeer, Msg: "it is gone"}},
		"place, message, cause": {fault.Add(peers, fault.At(r), fault.Of("I"), fault.Msg("away"), fault.Cause(io.EOF)),
			&fault.Error{Ref: r, Interface: "I", Kind: fault.KindNoSuchObject, Origin: fault.OriginPeer, Msg: "away", Err: io.EOF}},
		"around a foreign error": {fault.Add(io.EOF, fault.OutcomeExecuted), &fault.Error{Kind: fault.KindInternal, Outcome: fault.OutcomeExecuted, Err: io.EOF}},
		"with its kind":          {fault.Add(io.EOF, fault.KindPeerGone), &fault.Error{Kind: fault.KindPeerGone, Err: io.EOF}},
		"around nothing":         {fault.Add(nil, fault.Op("dial"), fault.KindDenied), &fault.Error{Op: "dial", Kind: fault.KindDenied}},
		"of the outermost":       {fault.Add(fmt.Errorf("a: %w", peers), fault.OutcomeExecuted), &fault.Error{Kind: fault.KindNoSuchObject, Outcome: fault.OutcomeExecuted, Origin: fault.OriginPeer, Msg: "it is gone"}},
	} {
		if !reflect.DeepEqual(test.got, test.want) {
			t.Errorf("%s: %#v, want %#v", name, test.got, test.want)
		}
	}
	if !reflect.DeepEqual(*peers, before) {
		t.Error("the error itself changed")
	}
}

// The text shows a cause that was added. The cause of an error that holds it already is shown once.
func TestAddedCausesInTexts(t *testing.T) {
	inner := fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the node is closed")
	if got := fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "lost"), fault.Cause(inner)).Error(); got != "rmi: connection to the peer lost: lost: closed: the node is closed" {
		t.Errorf("got %q", got)
	}
	if got := fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "lost: %w", io.EOF), fault.Op("dial")).Error(); got != "rmi: dial: connection to the peer lost: lost: EOF" {
		t.Errorf("got %q", got)
	}
}

func TestKindsOfContexts(t *testing.T) {
	for err, want := range map[error]fault.Kind{
		context.DeadlineExceeded: fault.KindDeadline, context.Canceled: fault.KindCancelled, io.EOF: 0, nil: 0,
		errors.Join(io.EOF, context.Canceled): fault.KindCancelled,
	} {
		if got := fault.ContextKind(err); got != want {
			t.Errorf("%v: %v, want %v", err, got, want)
		}
	}
}
