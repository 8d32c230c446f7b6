package codec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"testing"

	"gormi/rmi/fault"
)

var errBroke = errors.New("insufficient funds")

type overdrawn struct {
	Cents int64
	Cause error
}

func (e *overdrawn) Error() string { return fmt.Sprintf("overdrawn by %d", e.Cents) }
func (e *overdrawn) Unwrap() error { return e.Cause }

// sealed is an error whose cause only its value holds.
type sealed struct{ Cause error }

func (s sealed) Error() string { return "sealed: " + s.Cause.Error() }

type code int

func (c code) Error() string { return fmt.Sprintf("code %d", int(c)) }

func init() {
	fault.Register("test.broke", errBroke)
	fault.RegisterType[*overdrawn]("test.overdrawn")
	fault.RegisterType[code]("test.code")
	fault.RegisterType[sealed]("test.sealed")
}

func sent(t testing.TB, err error) *fault.Error {
	t.Helper()
	f, perr := ParseError(AppendError(nil, err), nil)
	if perr != nil {
		t.Fatalf("%v: %v", err, perr)
	}
	return f
}

func TestErrorsKeepTheirIdentity(t *testing.T) {
	_, missing := os.Open("/no/such/file")
	for _, test := range []struct {
		err  error
		is   []error
		text string
	}{
		{errBroke, []error{errBroke, fault.KindApplication}, "insufficient funds"},
		{fmt.Errorf("withdraw: %w", errBroke), []error{errBroke}, "withdraw: insufficient funds"},
		{errors.Join(errBroke, fmt.Errorf("x: %w", errBroke)), []error{errBroke}, "x: insufficient funds"},
		{errors.Join(io.EOF, fmt.Errorf("x: %w", errBroke)), []error{errBroke, io.EOF}, "EOF\nx: insufficient funds"},
		{missing, []error{fs.ErrNotExist}, "/no/such/file"},
		{context.DeadlineExceeded, []error{context.DeadlineExceeded, fault.KindApplication}, "deadline"},
		{fmt.Errorf("gave up: %w", context.Canceled), []error{context.Canceled}, "gave up"},
		{errors.New("plain"), nil, "plain"},
		{fault.New(fault.KindNoSuchObject, fault.OutcomeNotExecuted, "gone"), []error{fault.KindNoSuchObject}, "gone"},
		{&fault.Error{Kind: fault.KindApplication, Outcome: fault.OutcomeExecuted, Err: fault.New(fault.KindNotBound, fault.OutcomeNotExecuted, "no alice")},
			[]error{fault.KindApplication, fault.KindNotBound}, "no alice"},
		{fmt.Errorf("nested: %w", fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "lost")), []error{fault.KindPeerGone, fault.KindApplication}, "lost"},
	} {
		f := sent(t, test.err)
		for _, want := range test.is {
			if !errors.Is(f, want) {
				t.Errorf("%v: the copy %v is no %v", test.err, f, want)
			}
		}
		if !strings.Contains(f.Error(), test.text) || f.Origin != fault.OriginPeer {
			t.Errorf("%v arrived as %v", test.err, f)
		}
		if errors.Is(f, fs.ErrClosed) {
			t.Errorf("%v is everything", f)
		}
	}
	f := sent(t, fault.New(fault.KindNoSuchObject, fault.OutcomeNotExecuted, "gone"))
	if f.Kind != fault.KindNoSuchObject || f.Outcome != fault.OutcomeNotExecuted || f.Msg != "gone" {
		t.Errorf("got %#v", f)
	}
	if f := sent(t, fmt.Errorf("x: %w", fault.New(fault.KindNotBound, fault.OutcomeNotExecuted, "y"))); f.Outcome != fault.OutcomeExecuted {
		t.Errorf("the outcome of a nested call became that of the call: %v", f)
	}
}

func TestTypedErrorsTravelWithTheirFields(t *testing.T) {
	f := sent(t, fmt.Errorf("withdraw: %w", &overdrawn{Cents: 5, Cause: fmt.Errorf("again: %w", &overdrawn{7, io.EOF})}))
	var o *overdrawn
	if !errors.As(f, &o) || o.Cents != 5 {
		t.Fatalf("got %v", f)
	}
	var again *overdrawn
	if !errors.As(o.Cause, &again) || again.Cents != 7 || again.Cause != io.EOF {
		t.Errorf("got %#v", o.Cause)
	}
	// Within two of them a third is text only.
	f = sent(t, &overdrawn{1, &overdrawn{2, &overdrawn{3, nil}}})
	if !errors.As(f, &o) || o.Cents != 1 || !errors.As(o.Cause, &again) || again.Cents != 2 {
		t.Fatalf("got %v", f)
	}
	if errors.As(again.Cause, &o) || again.Cause.Error() != "overdrawn by 3" {
		t.Errorf("got %#v", again.Cause)
	}
	var c code
	if !errors.As(sent(t, code(404)), &c) || c != 404 {
		t.Errorf("got %v", c)
	}
}

func TestErrorsThatMisbehave(t *testing.T) {
	var none *overdrawn
	if f := sent(t, none); !strings.Contains(f.Error(), "Error method panicked") {
		t.Errorf("got %v", f)
	}
	self := &overdrawn{Cents: 1}
	self.Cause = self
	if f := sent(t, self); !strings.Contains(f.Error(), "overdrawn by 1") {
		t.Errorf("got %v", f)
	}
	long := sent(t, errors.New(strings.Repeat("ä", 1<<20)+"\xff"))
	if n := len(long.Error()); n > maxErrorText+100 || !strings.HasSuffix(long.Error(), "…") {
		t.Errorf("the text has %d bytes", n)
	}
	if f := sent(t, errors.New("a\xffb")); !strings.Contains(f.Error(), "a\uFFFDb") {
		t.Errorf("got %v", f)
	}
	var many error
	for i := range 100 {
		many = errors.Join(many, code(i))
	}
	if f := sent(t, many); len(f.Err.(*fault.Remote).Causes) != maxErrorIdentities {
		t.Errorf("got %d identities", len(f.Err.(*fault.Remote).Causes))
	}
	// Deep chains and wide trees of typed errors whose values hold the rest.
	var chain error = io.EOF
	for i := range 300 {
		chain = fmt.Errorf("%d: %w", i, &overdrawn{int64(i), errors.Join(chain, code(i))})
	}
	if f := sent(t, chain); f.Kind != fault.KindApplication {
		t.Errorf("got %v", f)
	}
	if f := sent(t, &overdrawn{Cause: errors.New(strings.Repeat("x", 60<<10))}); f.Kind != fault.KindApplication {
		t.Errorf("got %v", f)
	}
}

func TestErrorValues(t *testing.T) {
	same(t, error(nil))
	same(t, error(io.EOF))
	same(t, error(code(3)))
	same(t, []error{nil, errBroke, &overdrawn{1, nil}})
	got, err := travel(t, fmt.Errorf("x: %w", io.EOF))
	if err != nil || !errors.Is(got, io.EOF) || got.Error() != "x: EOF" {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = travel(t, error(fault.New(fault.KindDenied, fault.OutcomeNotExecuted, "no")))
	if err != nil || fault.KindOf(got) != fault.KindDenied || fault.OutcomeOf(got) != fault.OutcomeNotExecuted {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHostileErrorsAreRefusedOrSkipped(t *testing.T) {
	for body, want := range map[string]string{
		"":                                 "ends inside",
		"\x90":                             "an error of 0 parts",
		"\x95\xa1x\x00\xa0\xa0\x90":        "got a string",
		"\x95\xcd\x01\x00\x00\xa0\xa0\x90": "number 256",
		"\x95\x01\x00\xa0\xa0\xdd\xff\xff\xff\xff": "malformed",
		"\x95\x01\x00\xa0\xa0\x91\x91\xa1x":        "an identity of 1 parts",
		strings.Repeat("\x91", 1<<20) + "\xc0":     "nests deeper",
	} {
		_, err := ParseError([]byte(body), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", body, err, want)
		}
	}
	for _, body := range []string{
		"\x95\x4d\x09\xa1t\xa0\x90",                                                  // later kind and outcome
		"\x96\x01\x00\xa1t\xa0\x91\x93\xa1?\xc0\x07\x08",                             // more parts, unknown name
		"\x95\x10\x02\xa1t\xa0\x91\x92\xaetest.overdrawn\xc4\x01\xc1",                // payload is no msgpack
		"\x95\x10\x02\xa1t\xa0\x91\x92\xaetest.overdrawn\xc4\x01\xc0",                // nil pointer
		"\x95\x10\x02\xa1t\xa0\x91\x92\xaetest.overdrawn\xc4\x02\x91\x01",            // another type
		"\x95\x10\x02\xa1t\xa0\x91\x92\xa9rmi.Error\xc4\x01\x90",                     // too short
		"\x95\x10\x02\xa1t\xa0\x91\x92\xa9rmi.Error\xc4\x06\xdd\xff\xff\xff\xff\x00", // bomb within
	} {
		f, err := ParseError([]byte(body), nil)
		if err != nil || !strings.Contains(f.Error(), "t") {
			t.Errorf("%q: %v, %v", body, f, err)
			continue
		}
		if r, ok := f.Err.(*fault.Remote); ok && len(r.Causes) != 0 {
			t.Errorf("%q: causes %v", body, r.Causes)
		}
	}
	// typed errors within typed errors, each a body of its own
	body := []byte{0xc0}
	for range 5000 {
		in := append([]byte{0x82, 0xa5}, "Cents\x01\xa5Cause"...)
		in = append(in, "\x95\x00\x00\xa0\xa0\x91\x92\xaetest.overdrawn"...)
		body = append(appendBinaryHead(in, len(body)), body...)
	}
	form := append([]byte("\x95\x10\x02\xa1t\xa0\x91\x92\xaetest.overdrawn"), appendBinaryHead(nil, len(body))...)
	f, err := ParseError(append(form, body...), nil)
	if err != nil {
		t.Fatal(err)
	}
	depth := 0
	for e := error(f.Err.(*fault.Remote).Causes[0]); e != nil; depth++ {
		e = errors.Unwrap(e)
		if r, ok := e.(*fault.Remote); ok && len(r.Causes) > 0 {
			e = r.Causes[0]
		}
	}
	if depth > 2*maxErrorNesting {
		t.Errorf("nested %d deep", depth)
	}
}

// Two typed errors may stand inside each other. What is deeper is text only, whether this program
// would write it or a peer did.
func TestTypedErrorsNestNoDeeperThanTwo(t *testing.T) {
	var chain error = io.EOF
	for range 4 {
		chain = sealed{chain}
	}
	if n := strings.Count(string(AppendError(nil, chain)), "test.sealed"); n != 2 {
		t.Errorf("%d of them are written, want 2", n)
	}
	// A peer's own: each holds the next.
	form := []byte("\x95\x00\x00\xa4text\xa0\x90")
	for i := range byte(4) {
		value := append([]byte{0x82, 0xa5, 'C', 'e', 'n', 't', 's', i, 0xa5, 'C', 'a', 'u', 's', 'e'}, form...)
		form = append([]byte("\x95\x10\x02\xa4text\xa0\x91\x92\xaetest.overdrawn"), append(appendBinaryHead(nil, len(value)), value...)...)
	}
	f, err := ParseError(form, nil)
	if err != nil {
		t.Fatal(err)
	}
	depth := 0
	for next := error(f); ; depth++ {
		var o *overdrawn
		if !errors.As(next, &o) {
			break
		}
		if want := int64(3 - depth); o.Cents != want {
			t.Errorf("%d deep: %d cents, want %d", depth, o.Cents, want)
		}
		if next = o.Cause; next == nil {
			break
		}
	}
	if depth != 2 {
		t.Errorf("%d of them are read, want 2", depth)
	}
}
