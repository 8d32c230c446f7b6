package fault_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"testing"

	"gormi/refs"
	"gormi/rmi/fault"
)

var update = flag.Bool("update", false, "write testdata/errors.golden anew")

// The numbers are on the wire: this table may grow and never change.
func TestKindsAreWireValues(t *testing.T) {
	for i, name := range strings.Fields(`Invalid NotBound AlreadyBound NoSuchObject StaleReference NoSuchMethod BadArguments
		TooLarge Denied Overloaded Deadline Cancelled ConnectFailed PeerGone Panic Application Mismatch Closed Protocol Internal`) {
		k := fault.Kind(i + 1)
		if k.String() != name || k.Error() != name {
			t.Errorf("kind %d is %v (error %q), want %s", i+1, k, k.Error(), name)
		}
	}
	for v, want := range map[fmt.Stringer]string{
		fault.Kind(0): "none", fault.Kind(21): "Kind(21)", fault.Kind(77): "Kind(77)", fault.Kind(255): "Kind(255)",
		fault.Outcome(0): "Unknown", fault.Outcome(1): "NotExecuted", fault.Outcome(2): "Executed", fault.Outcome(3): "Outcome(3)",
		fault.Origin(0): "Local", fault.Origin(1): "Peer", fault.Origin(2): "Origin(2)",
	} {
		if got := v.String(); got != want {
			t.Errorf("%T prints %q, want %q", v, got, want)
		}
	}
}

func TestErrorsMatchTheirKindAndWhatItStandsFor(t *testing.T) {
	standard := []error{context.Canceled, context.DeadlineExceeded, os.ErrDeadlineExceeded, net.ErrClosed, io.EOF, fs.ErrClosed}
	stands := map[fault.Kind][]error{
		fault.KindDeadline:  {context.DeadlineExceeded, os.ErrDeadlineExceeded},
		fault.KindCancelled: {context.Canceled},
		fault.KindClosed:    {net.ErrClosed},
	}
	for k := fault.Kind(0); k <= fault.KindInternal+1; k++ {
		for _, err := range []error{k, &fault.Error{Kind: k}, fmt.Errorf("wrapped: %w", &fault.Error{Kind: k})} {
			for other := fault.Kind(0); other <= fault.KindInternal+1; other++ {
				if got := errors.Is(err, other); got != (k == other) {
					t.Errorf("errors.Is(%T of kind %v, %v) = %v", err, k, other, got)
				}
			}
			for _, target := range standard {
				want := false
				for _, s := range stands[k] {
					want = want || s == target
				}
				if got := errors.Is(err, target); got != want {
					t.Errorf("errors.Is(%T of kind %v, %v) = %v, want %v", err, k, target, got, want)
				}
			}
		}
	}
}

// uncomparable would make a careless == panic.
type uncomparable []string

func (uncomparable) Error() string { return "uncomparable" }

func TestUncomparableErrorsMatchNothing(t *testing.T) {
	err := uncomparable{"a"}
	if errors.Is(&fault.Error{Kind: fault.KindDeadline}, err) || errors.Is(fault.KindClosed, err) {
		t.Error("an error matches an uncomparable target")
	}
	if name, ok := fault.NameOfSentinel(err); ok {
		t.Errorf("an uncomparable error is the sentinel %q", name)
	}
	if name, ok := fault.NameOfSentinel(struct{ error }{err}); ok {
		t.Errorf("an error that holds an uncomparable one is the sentinel %q", name)
	}
	if names := fault.SentinelsOf(err); names != nil {
		t.Errorf("sentinels of an uncomparable error: %q", names)
	}
}

// errRefused stands for the system's error, whose text differs between systems.
var errRefused = errors.New("connection refused")

type limit struct{ Max int }

func (l *limit) Error() string { return fmt.Sprint("over ", l.Max) }

func TestRemoteErrorsLeadToTheirCauses(t *testing.T) {
	mine := &limit{Max: 5}
	err := error(&fault.Error{
		Op: "call", Method: "Withdraw", Kind: fault.KindApplication, Outcome: fault.OutcomeExecuted, Origin: fault.OriginPeer,
		Err: &fault.Remote{Text: "no: over 5", Causes: []error{mine, io.EOF, &fault.Error{Kind: fault.KindNotBound, Outcome: fault.OutcomeNotExecuted}}},
	})
	for _, target := range []error{fault.KindApplication, io.EOF, fault.KindNotBound, mine} {
		if !errors.Is(err, target) {
			t.Errorf("errors.Is does not find %v", target)
		}
	}
	if l, ok := errors.AsType[*limit](err); !ok || l.Max != 5 {
		t.Errorf("errors.As finds %v, %v", l, ok)
	}
	if r, ok := errors.AsType[*fault.Remote](err); !ok || r.Error() != "no: over 5" {
		t.Errorf("errors.As finds %v, %v", r, ok)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error("errors.Is finds what the peer did not say")
	}
	// The method ran, whatever happened to the calls that it made.
	if o, k := fault.OutcomeOf(err), fault.KindOf(err); o != fault.OutcomeExecuted || k != fault.KindApplication {
		t.Errorf("outcome %v, kind %v", o, k)
	}
}

func TestOutcomeAndKindAreThoseOfTheOutermostError(t *testing.T) {
	no := fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "full")
	yes := fault.New(fault.KindPanic, fault.OutcomeExecuted, "oops")
	perhaps := fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "cut")
	var null *fault.Error
	for name, test := range map[string]struct {
		err     error
		outcome fault.Outcome
		kind    fault.Kind
	}{
		"nil":                   {nil, fault.OutcomeUnknown, 0},
		"foreign":               {io.EOF, fault.OutcomeUnknown, 0},
		"itself":                {no, fault.OutcomeNotExecuted, fault.KindOverloaded},
		"a kind":                {fault.KindNotBound, fault.OutcomeUnknown, fault.KindNotBound},
		"typed nil":             {null, fault.OutcomeUnknown, 0},
		"wrapped":               {fmt.Errorf("a: %w", fmt.Errorf("b: %w", yes)), fault.OutcomeExecuted, fault.KindPanic},
		"wrapping another":      {fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "retry: %w", no), fault.OutcomeUnknown, fault.KindPeerGone},
		"beside a foreign one":  {fmt.Errorf("%w: %w", io.EOF, no), fault.OutcomeNotExecuted, fault.KindOverloaded},
		"joined, agreeing":      {errors.Join(no, fmt.Errorf("again: %w", no)), fault.OutcomeNotExecuted, fault.KindOverloaded},
		"joined, disagreeing":   {errors.Join(no, yes), fault.OutcomeUnknown, fault.KindOverloaded},
		"joined, disagreeing 2": {errors.Join(no, yes, no), fault.OutcomeUnknown, fault.KindOverloaded},
		"joined, disagreeing 3": {errors.Join(perhaps, yes, yes), fault.OutcomeUnknown, fault.KindPeerGone},
		"joined within a join":  {errors.Join(io.EOF, errors.Join(nil, yes)), fault.OutcomeExecuted, fault.KindPanic},
		"joined foreign ones":   {errors.Join(io.EOF, io.ErrClosedPipe), fault.OutcomeUnknown, 0},
	} {
		if o, k := fault.OutcomeOf(test.err), fault.KindOf(test.err); o != test.outcome || k != test.kind {
			t.Errorf("%s: outcome %v, kind %v; want %v, %v", name, o, k, test.outcome, test.kind)
		}
	}
}

func TestNewWrapsWithoutRepeating(t *testing.T) {
	plain := fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%d apples", 3)
	if plain.Msg != "3 apples" || plain.Err != nil || plain.Kind != fault.KindInvalid || plain.Outcome != fault.OutcomeNotExecuted {
		t.Errorf("New gives %#v", plain)
	}
	one := fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "bank: %w; is it up?", io.EOF)
	if one.Err != io.EOF || one.Detail() != "bank: EOF; is it up?" {
		t.Errorf("New gives cause %v, detail %q", one.Err, one.Detail())
	}
	two := fault.New(fault.KindConnectFailed, fault.OutcomeNotExecuted, "%w, %w", io.EOF, fs.ErrExist)
	if !errors.Is(two, io.EOF) || !errors.Is(two, fs.ErrExist) || two.Detail() != "EOF, file already exists" {
		t.Errorf("New gives cause %v, detail %q", two.Err, two.Detail())
	}
}

func TestTextsOfErrors(t *testing.T) {
	node, _ := refs.ParseNodeID("6ba7b810-9dad-81d1-80b4-00c04fd430c8")
	ref := refs.Ref{
		Endpoint:  refs.Endpoint{Host: "bank.example", Port: 7000},
		ID:        refs.ID{Node: node, Time: 1, Object: 0x9f3c5d7e11aa22bb},
		Interface: refs.Interface{Name: "bank.Account"},
	}
	call := fault.Error{Op: "call", Interface: "Account", Method: "Deposit", Ref: ref}
	with := func(k fault.Kind, o fault.Outcome, from fault.Origin, msg string, cause error) *fault.Error {
		e := call
		e.Kind, e.Outcome, e.Origin, e.Msg, e.Err = k, o, from, msg, cause
		return &e
	}
	all := []error{
		with(fault.KindApplication, fault.OutcomeExecuted, fault.OriginPeer, "", &fault.Remote{Text: "insufficient funds"}),
		with(fault.KindApplication, fault.OutcomeExecuted, fault.OriginPeer, "insufficient funds", nil),
		with(fault.KindApplication, fault.OutcomeExecuted, fault.OriginPeer, "", nil),
		with(fault.KindNoSuchObject, fault.OutcomeNotExecuted, fault.OriginPeer, "", nil),
		with(fault.KindStaleReference, fault.OutcomeNotExecuted, fault.OriginPeer, "the owner restarted; look the name up again", nil),
		with(fault.KindPeerGone, fault.OutcomeUnknown, fault.OriginLocal, "", io.ErrUnexpectedEOF),
		with(fault.KindPanic, fault.OutcomeExecuted, fault.OriginPeer, "index out of range [3] with length 3", nil),
		with(fault.KindDeadline, fault.OutcomeUnknown, fault.OriginLocal, "no answer within 30s", context.DeadlineExceeded),
		&fault.Error{Op: "lookup", Kind: fault.KindNotBound, Origin: fault.OriginPeer, Msg: `"bank/alice"`},
		&fault.Error{Op: "lookup", Msg: `"bank/alice"`, Kind: fault.KindConnectFailed, Err: with(fault.KindConnectFailed, fault.OutcomeNotExecuted, fault.OriginLocal, "", errRefused)},
		&fault.Error{Op: "export", Interface: "bank.Account", Kind: fault.KindInvalid, Msg: "the interface cannot be remote:\nrule 2: Watch: ...\nrule 3: Close: ..."},
		&fault.Error{Op: "dial", Ref: ref, Kind: fault.KindConnectFailed, Err: errRefused},
		&fault.Error{Method: "Deposit", Kind: fault.KindNoSuchMethod, Outcome: fault.OutcomeNotExecuted, Origin: fault.OriginPeer},
		fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the node is closed"),
		fault.New(fault.KindProtocol, fault.OutcomeUnknown, "reading the handshake: %w", io.EOF),
		fault.New(fault.Kind(77), fault.Outcome(9), ""),
		&fault.Error{},
	}
	var b strings.Builder
	for _, err := range all {
		fmt.Fprintf(&b, "%s\n", err)
	}
	const golden = "testdata/errors.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the texts changed (run with -update if they should):\n%s\nwant:\n%s", b.String(), want)
	}
	for _, err := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			got := fmt.Sprintf(verb, err)
			for _, leak := range []string{"9f3c5d7e11aa22bb", "9F3C5D7E11AA22BB", "11474046270423081659"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of an error reveals the object number: %s", verb, got)
				}
			}
		}
	}
}
