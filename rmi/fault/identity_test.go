package fault_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"gormi/rmi/fault"
)

var errOverdrawn = errors.New("overdrawn")

type notFound struct{ Name string }

func (n notFound) Error() string { return n.Name + " not found" }

type other struct{}

func (*other) Error() string { return "other" }

func init() {
	fault.Register("test.ErrOverdrawn", errOverdrawn)
	fault.RegisterType[notFound]("test.NotFound")
	fault.RegisterType[*notFound]("test.NotFoundPointer")
}

func TestStandardSentinelsAreRegistered(t *testing.T) {
	for name, want := range map[string]error{
		"context.Canceled": context.Canceled, "context.DeadlineExceeded": context.DeadlineExceeded,
		"io.EOF": io.EOF, "io.ErrUnexpectedEOF": io.ErrUnexpectedEOF, "io.ErrClosedPipe": io.ErrClosedPipe,
		"fs.ErrNotExist": os.ErrNotExist, "fs.ErrExist": fs.ErrExist, "fs.ErrPermission": fs.ErrPermission,
		"fs.ErrInvalid": fs.ErrInvalid, "fs.ErrClosed": fs.ErrClosed, "os.ErrDeadlineExceeded": os.ErrDeadlineExceeded,
		"net.ErrClosed": net.ErrClosed, "errors.ErrUnsupported": errors.ErrUnsupported, "test.ErrOverdrawn": errOverdrawn,
	} {
		if got, ok := fault.SentinelByName(name); !ok || got != want {
			t.Errorf("%s leads to %v, %v", name, got, ok)
		}
		if got, ok := fault.NameOfSentinel(want); !ok || got != name {
			t.Errorf("%v is named %q, %v, want %s", want, got, ok, name)
		}
	}
	if _, ok := fault.SentinelByName("test.NotFound"); ok {
		t.Error("the name of a type leads to a sentinel")
	}
	if _, ok := fault.NameOfSentinel(fmt.Errorf("%w", io.EOF)); ok {
		t.Error("an error that wraps a sentinel is taken for it")
	}
	if _, ok := fault.NameOfSentinel(nil); ok {
		t.Error("nil is a sentinel")
	}
}

func TestTypesAreFoundBothWays(t *testing.T) {
	for name, want := range map[string]reflect.Type{
		"test.NotFound": reflect.TypeFor[notFound](), "test.NotFoundPointer": reflect.TypeFor[*notFound](),
	} {
		if got, ok := fault.TypeByName(name); !ok || got != want {
			t.Errorf("%s leads to %v, %v", name, got, ok)
		}
		if got, ok := fault.NameOfType(want); !ok || got != name {
			t.Errorf("%v is named %q, %v", want, got, ok)
		}
	}
	if _, ok := fault.TypeByName("io.EOF"); ok {
		t.Error("the name of a sentinel leads to a type")
	}
	if _, ok := fault.NameOfType(reflect.TypeFor[*other]()); ok {
		t.Error("a type has a name that nobody gave it")
	}
}

func TestSentinelsOfAsksTheErrors(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "missing"))
	for _, test := range []struct {
		err  error
		want []string
	}{
		{nil, nil},
		{errors.New("plain"), nil},
		{io.EOF, []string{"io.EOF"}},
		{missing, []string{"fs.ErrNotExist"}}, // its tree holds a system error number only
		{fmt.Errorf("%w, %w", errOverdrawn, io.EOF), []string{"io.EOF", "test.ErrOverdrawn"}},
		{&fault.Error{Kind: fault.KindDeadline}, []string{"context.DeadlineExceeded", "os.ErrDeadlineExceeded"}},
	} {
		if got := fault.SentinelsOf(test.err); !slices.Equal(got, test.want) {
			t.Errorf("SentinelsOf(%v) = %q, want %q", test.err, got, test.want)
		}
	}
}

func TestRegistrationRefusesMistakes(t *testing.T) {
	for want, register := range map[string]func(){
		"rmi: RegisterError(\"test.Nil\"): the sentinel is nil": func() { fault.Register("test.Nil", nil) },
		"not comparable":              func() { fault.Register("test.Slice", uncomparable{}) },
		"is registered as":            func() { fault.Register("test.EOF", io.EOF) },
		"the name is taken":           func() { fault.Register("io.EOF", errors.New("mine")) },
		"name is taken":               func() { fault.Register("test.NotFound", errors.New("mine")) },
		"is taken":                    func() { fault.Register(fault.ErrorName, errors.New("mine")) },
		"1 to 255 bytes":              func() { fault.Register("", errors.New("mine")) },
		"1 to 255":                    func() { fault.Register(strings.Repeat("x", 256), errors.New("mine")) },
		"of UTF-8":                    func() { fault.Register("\xff", errors.New("mine")) },
		"not printable":               func() { fault.Register("a\nb", errors.New("mine")) },
		"is an interface":             func() { fault.RegisterType[error]("test.Error") },
		"registered as \"test.N":      func() { fault.RegisterType[notFound]("test.Again") },
		"RegisterErrorType(\"io.EOF":  func() { fault.RegisterType[*other]("io.EOF") },
		"rmi: RegisterErrorType(\"\"": func() { fault.RegisterType[*other]("") },
	} {
		func() {
			defer func() {
				if text := fmt.Sprint(recover()); !strings.Contains(text, want) {
					t.Errorf("panics with %q, want %q in it", text, want)
				}
			}()
			register()
		}()
	}
}

// Registration is meant for program start, but a plugin's may come while calls fail.
func TestLookupsDuringRegistration(t *testing.T) {
	done := make(chan struct{})
	go func() { // ends by itself
		defer close(done)
		for i := range 100 {
			err := fmt.Errorf("late %d", i)
			fault.Register(fmt.Sprintf("test.Late%p", err), err) // kept for ever, so that the address is a name of its own
		}
	}()
	for range 100 {
		if got := fault.SentinelsOf(io.EOF); !slices.Equal(got, []string{"io.EOF"}) {
			t.Errorf("SentinelsOf(io.EOF) = %q", got)
		}
	}
	<-done
}
