package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
)

var errPoor = errors.New("poor")

func init() { rmi.RegisterError("rmi_test.poor", errPoor) }

// fails is a worker whose Do fails with errs[n].
func fails(errs ...error) *worker {
	return &worker{do: func(_ context.Context, n int64) (int64, error) { return n, errs[n] }}
}

func TestAMethodsErrorKeepsItsIdentity(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		is   []error
		text string
	}{
		{"a plain error", errors.New("plain"), nil, "plain"},
		{"a registered one", errPoor, []error{errPoor}, "poor"},
		{"a wrapped one", fmt.Errorf("no: %w", errPoor), []error{errPoor}, "no: poor"},
		{"two", errors.Join(errPoor, io.EOF), []error{errPoor, io.EOF}, "poor\nEOF"},
		{"end of file", io.EOF, []error{io.EOF}, "EOF"},
		{"a path", &fs.PathError{Op: "open", Path: "/x", Err: fs.ErrNotExist}, []error{fs.ErrNotExist}, "open /x"},
		{"a closed connection", net.ErrClosed, []error{net.ErrClosed}, "closed"},
		{"cancelled", context.Canceled, []error{context.Canceled}, "canceled"},
		{"late", fmt.Errorf("late: %w", context.DeadlineExceeded), []error{context.DeadlineExceeded}, "late"},
		{"a kind", &rmi.Error{Op: "lookup", Kind: rmi.KindNotBound, Msg: "no such name"}, []error{rmi.KindNotBound}, "no such name"},
		{"a registered type", fmt.Errorf("sorry: %w", &shortfall{Missing: 3}), nil, "sorry: not enough"},
	} {
		t.Run(c.name, func(t *testing.T) {
			overCarriers(t, func(t *testing.T, network carrier) {
				w := hire(t, network.Node(), network.Client(), fails(c.err))
				n, err := w.Do(within(t), 0)
				expect{rmi.KindApplication, rmi.OutcomeExecuted, nil}.check(t, err)
				if err == nil || n != 0 {
					t.Fatalf("%d, %v", n, err)
				}
				for _, want := range c.is {
					if !errors.Is(err, want) {
						t.Errorf("%v is not %v", err, want)
					}
				}
				if !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), "Worker.Do") {
					t.Errorf("the text is %q", err)
				}
				var f *rmi.Error
				if !errors.As(err, &f) || f.Origin.String() != "Peer" || f.Method != "Do" || f.Interface != "rmi_test.Worker" || f.Op != "call" {
					t.Errorf("the error is %+v", f)
				}
				var s *shortfall
				if errors.As(c.err, &s) && (!errors.As(err, &s) || s.Missing != 3) {
					t.Errorf("the shortfall is lost: %v", err)
				}
				if errors.Is(err, io.ErrClosedPipe) {
					t.Error("it is an error that it never was")
				}
			})
		})
	}
}

func TestAPanicIsAnErrorAndTheOwnerLivesOn(t *testing.T) {
	overCarriers(t, aPanicIsAnErrorAndTheOwnerLivesOn)
}

func aPanicIsAnErrorAndTheOwnerLivesOn(t *testing.T, network carrier) {
	w := hire(t, network.Node(), network.Client(), &worker{do: func(_ context.Context, n int64) (int64, error) {
		switch n {
		case 1:
			panic("boom")
		case 2:
			panic(fmt.Errorf("an error: %w", errPoor))
		case 3:
			return []int64{}[n], nil
		}
		return n, nil
	}})
	for n, text := range map[int64]string{1: "boom", 2: "an error: poor", 3: "index out of range"} {
		_, err := w.Do(within(t), n)
		expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}.check(t, err)
		if err != nil && !strings.Contains(err.Error(), text) {
			t.Errorf("the text does not say %q: %v", text, err)
		}
		if err != nil && strings.Contains(err.Error(), ".go:") {
			t.Errorf("the stack went to the caller: %v", err)
		}
	}
	if n, err := w.Do(within(t), 9); n != 9 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

// As a method that fails a test does.
func TestAMethodThatEndsItsGoroutineIsAnErrorAndTheOwnerLivesOn(t *testing.T) {
	for _, threading := range []rmi.Threading{rmi.ThreadingConcurrent, rmi.ThreadingPerConnection, rmi.ThreadingSerial} {
		t.Run(threading.String(), func(t *testing.T) {
			network := rmitest.New(t)
			owner := network.Node()
			r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
				if n == 0 {
					runtime.Goexit()
				}
				return n, nil
			}}, &rmi.ExportOptions{Threading: threading})
			w := resolve[Worker](t, network.Client(), r)
			ctx := within(t)
			var wg sync.WaitGroup
			for i := range int64(20) {
				wg.Go(func() {
					n, err := w.Do(ctx, i%2)
					if i%2 == 0 {
						expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}.check(t, err)
					} else if n != 1 || err != nil {
						t.Errorf("got %d, %v", n, err)
					}
				})
			}
			wg.Wait()
			if err := owner.Shutdown(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestWhoMadeTheErrorAndWhatTheCallMayHaveDone(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	good := export[Worker](t, owner, &worker{}, nil)
	if _, err := resolve[Worker](t, caller, good).Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	gone := network.Node()
	lost := export[Worker](t, gone, &worker{}, nil)
	gone.Close()
	unknown := good
	unknown.Object++
	nowhere := export[Worker](t, network.Client(), &worker{}, nil)
	wrong := good // says that it is as Wrong is
	d, err := rmi.Describe[Wrong]()
	if err != nil {
		t.Fatal(err)
	}
	wrong.Interface.Fingerprint = d.Fingerprint()

	do := func(r refs.Ref) error {
		_, err := resolve[Worker](t, caller, r).Do(within(t), 1)
		return err
	}
	invoke := func(method string, args ...any) error {
		_, err := caller.Invoke(within(t), good, method, args...)
		return err
	}
	for _, c := range []struct {
		name   string
		err    error
		want   expect
		origin string
		text   string
	}{
		{"an unknown object", do(unknown), expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}, "Peer", "not exported"},
		{"nobody listens", do(lost), expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}, "Local", "nobody listens there"},
		{"an owner that listens nowhere", do(nowhere), expect{rmi.KindPeerGone, rmi.OutcomeNotExecuted, nil}, "Local", "listens nowhere"},
		{"an unknown method", invoke("Fly"), expect{rmi.KindNoSuchMethod, rmi.OutcomeNotExecuted, nil}, "Local", "Do(int64) (int64)"},
		{"too few arguments", invoke("Do"), expect{rmi.KindBadArguments, rmi.OutcomeNotExecuted, nil}, "Local", "takes 1 argument"},
		{"too many arguments", invoke("Do", 1, 2), expect{rmi.KindBadArguments, rmi.OutcomeNotExecuted, nil}, "Local", "got 2"},
		{"an argument of another type", invoke("Do", "one"), expect{rmi.KindBadArguments, rmi.OutcomeNotExecuted, nil}, "Peer", "int64"},
		{"an argument that cannot travel", invoke("Do", make(chan int)), expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}, "Local", "chan"},
		{"an unknown object by name", func() error { _, err := caller.Invoke(within(t), unknown, "Do", 1); return err }(),
			expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}, "Peer", "not exported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.want.check(t, c.err)
			var f *rmi.Error
			if !errors.As(c.err, &f) {
				t.Fatalf("%T", c.err)
			}
			if f.Origin.String() != c.origin {
				t.Errorf("origin %v, want %s: %v", f.Origin, c.origin, c.err)
			}
			if !strings.Contains(c.err.Error(), c.text) {
				t.Errorf("the text does not say %q: %v", c.text, c.err)
			}
			if strings.Contains(c.err.Error(), good.Object.Hex()) {
				t.Errorf("the text gives the object's number away: %v", c.err)
			}
		})
	}
	// A reference whose fingerprint lies: the owner notices at the call.
	_, err = resolve[Wrong](t, caller, wrong).Do(within(t), "one")
	expect{rmi.KindBadArguments, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if n, err := resolve[Worker](t, caller, good).Do(within(t), 4); n != 4 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

func TestInterfacesThatDoNotFitAreRefusedAtTheFirstCall(t *testing.T) {
	overCarriers(t, interfacesThatDoNotFitAreRefusedAtTheFirstCall)
}

func interfacesThatDoNotFitAreRefusedAtTheFirstCall(t *testing.T, network carrier) {
	owner, caller := network.Node(), network.Client()
	called := false
	r := export[Worker](t, owner, &worker{do: func(_ context.Context, n int64) (int64, error) {
		called = true
		return n, nil
	}}, nil)
	for range 2 {
		_, err := resolve[Wrong](t, caller, r).Do(within(t), "one")
		expect{rmi.KindMismatch, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && (!strings.Contains(err.Error(), "Do(string) (int64)") || !strings.Contains(err.Error(), "Do(int64) (int64)")) {
			t.Errorf("the text does not name both signatures: %v", err)
		}
	}
	if called {
		t.Error("the method ran")
	}
	// A part of the interface fits.
	if n, err := resolve[Doer](t, caller, r).Do(within(t), 4); n != 4 || err != nil {
		t.Errorf("a part of the interface: %d, %v", n, err)
	}
	// With the description at hand, Resolve refuses at once.
	d, err := caller.Describe(within(t), r)
	if err != nil {
		t.Fatal(err)
	}
	_, err = rmi.Resolve[Wrong](caller, r, d)
	expect{rmi.KindMismatch, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if !strings.Contains(d.String(), "Do(int64) (int64)") {
		t.Errorf("the object describes itself as %v", d)
	}
}

func TestAResultThatCannotTravelIsTheOwnersMistake(t *testing.T) {
	overCarriers(t, aResultThatCannotTravelIsTheOwnersMistake)
}

func aResultThatCannotTravelIsTheOwnersMistake(t *testing.T, network carrier) {
	v := &worker{}
	v.visit = func(_ context.Context, in Visit) (Visit, error) {
		in.Past = &in // a cycle
		return in, nil
	}
	w := hire(t, network.Node(), network.Client(), v)
	_, err := w.Visit(within(t), Visit{Name: "x"})
	if err == nil || rmi.OutcomeOf(err) != rmi.OutcomeExecuted {
		t.Errorf("got %v", err)
	}
	cyclic := Visit{}
	cyclic.Past = &cyclic
	_, err = w.Visit(within(t), cyclic)
	if err == nil || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || !strings.Contains(err.Error(), "Past") {
		t.Errorf("got %v", err)
	}
	if n, err := w.Do(within(t), 1); n != 1 || err != nil {
		t.Errorf("afterwards: %d, %v", n, err)
	}
}

type (
	sealed   struct{ text string }
	echoing  struct{ Back func(context.Context) error }
	pointing struct {
		Inner []*struct{ Ref refs.Ref }
	}
	wrapping struct {
		error
		Query string
	}
	fine struct {
		Code int
		Err  error
		Next *fine
	}
)

func (e sealed) Error() string  { return e.text }
func (echoing) Error() string   { return "" }
func (*pointing) Error() string { return "" }
func (*fine) Error() string     { return "" }

// An error type whose values would lose all but their text is refused when it is
// registered, as RegisterType refuses others.
func TestErrorTypesThatCannotTravelAreNotRegistered(t *testing.T) {
	for _, test := range []struct {
		register func()
		want     string // empty: no panic
	}{
		{func() { rmi.RegisterErrorType[sealed]("rmi_test.sealed") }, "rmi: RegisterErrorType[rmi_test.sealed](\"rmi_test.sealed\"): its values cannot travel:\nrule 4: rmi_test.sealed has no exported fields"},
		{func() { rmi.RegisterErrorType[*sealed]("rmi_test.sealed") }, "rmi_test.sealed has no exported fields"},
		{func() { rmi.RegisterErrorType[wrapping]("rmi_test.wrapping") }, "field error: the embedded error is unexported"},
		{func() { rmi.RegisterErrorType[echoing]("rmi_test.echoing") }, "Back (func()): references do not travel in errors"},
		{func() { rmi.RegisterErrorType[*pointing]("rmi_test.pointing") }, "Inner[].Ref (refs.Ref): references do not travel"},
		{func() { rmi.RegisterErrorType[error]("rmi_test.error") }, "is an interface"},
		{func() { rmi.RegisterErrorType[*fine]("rmi_test.fine") }, ""},
	} {
		got := func() (text string) {
			defer func() {
				if r := recover(); r != nil {
					text = fmt.Sprint(r)
				}
			}()
			test.register()
			return ""
		}()
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}
