package skeleton_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/skeleton"
)

// Open is what the servant is exported as, Wide what it has besides.
type Open interface {
	Fail(ctx context.Context, how string) (int64, error)
	Name(ctx context.Context) (string, error)
}

type Wide interface {
	Erase(ctx context.Context) error
	Fail(ctx context.Context, how string) (int64, error)
	Name(ctx context.Context) (string, error)
	Wipe(ctx context.Context) error
}

// Generated is Open, served by generated code.
type Generated interface {
	Fail(ctx context.Context, how string) (int64, error)
	Name(ctx context.Context) (string, error)
}

type servant struct{ wiped int }

var errPlain = errors.New("no")

func (s *servant) Name(context.Context) (string, error) { return "servant", nil }
func (s *servant) Erase(context.Context) error          { s.wiped++; return nil }
func (s *servant) Wipe(context.Context) error           { s.wiped++; return nil }

func (s *servant) Fail(ctx context.Context, how string) (int64, error) {
	switch how {
	case "panic":
		panic("oops")
	case "late":
		<-ctx.Done()
		return 0, fmt.Errorf("late: %w", ctx.Err())
	case "plain":
		<-ctx.Done()
		return 0, errPlain
	case "its own":
		return 0, context.DeadlineExceeded
	case "nil inside":
		<-ctx.Done()
		return 0, (*broken)(nil)
	}
	return 1, nil
}

// broken is an error whose methods panic.
type broken struct{ err error }

func (b *broken) Error() string        { return b.err.Error() }
func (b *broken) Is(target error) bool { return b.err == target }

func init() {
	skeleton.Register(reflect.TypeFor[Generated](), func(v reflect.Value) skeleton.Served {
		s := v.Interface().(Generated)
		return func(ctx context.Context, method int, d *codec.Decoder, e *codec.Encoder) error {
			if method != 0 {
				panic("another method")
			}
			var how string
			d.Value(0)
			d.String(&how)
			if !d.Ok() {
				return nil
			}
			n, err := s.Fail(ctx, how)
			if err == nil {
				e.Value(0)
				e.Int(n)
			}
			return err
		}
	})
}

func described[T any](t testing.TB) *codec.Interface {
	t.Helper()
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// serve runs a call of m with args.
func serve(t testing.TB, ctx context.Context, s *skeleton.Skeleton, m *codec.Method, args ...any) (out []reflect.Value, err *fault.Error) {
	t.Helper()
	in := codec.NewEncoder(nil, nil)
	defer in.Release()
	var values []reflect.Value
	for _, a := range args {
		values = append(values, reflect.ValueOf(a))
	}
	if err := m.EncodeArgs(in, values); err != nil {
		t.Fatal(err)
	}
	d, bad := codec.NewDecoder(in.Body(), nil, nil, nil)
	if bad != nil {
		t.Fatal(bad)
	}
	defer d.Release()
	e := codec.NewEncoder(nil, nil)
	defer e.Release()
	if err := s.Serve(ctx, m, d, e); err != nil {
		return nil, err
	}
	r, bad := codec.NewDecoder(e.Body(), nil, nil, nil)
	if bad != nil {
		t.Fatal(bad)
	}
	defer r.Release()
	if out, bad = m.DecodeResults(r); bad != nil {
		t.Fatal(bad)
	}
	return out, nil
}

// Only the methods of the interface that an object is exported as can be called,
// whatever its type has, and whatever number or name a caller comes with.
func TestMethodsBeyondTheInterfaceAreOutOfReach(t *testing.T) {
	open, wide := described[Open](t), described[Wide](t)
	v := &servant{}
	s := skeleton.New(open, reflect.ValueOf(v))
	if typ := s.Value().Type(); typ != open.Type || typ.NumMethod() != 2 {
		t.Errorf("what is served is a %v", typ)
	}
	if out, err := serve(t, t.Context(), s, open.ByName("Name")); err != nil || out[0].String() != "servant" {
		t.Errorf("Name returned %v, %v", out, err)
	}
	for _, m := range wide.Methods {
		if open.ByName(m.Name) == nil && (open.ByID(m.ID) != nil) {
			t.Errorf("%s is found by its id", m.Name)
		}
		args := []any{}
		if m.Name == "Fail" {
			args = append(args, "")
		}
		_, err := serve(t, t.Context(), s, m, args...) // by its place in another interface
		if err == nil || err.Kind != fault.KindNoSuchMethod || err.Outcome != fault.OutcomeNotExecuted {
			t.Errorf("%s of another interface: %v", m.Name, err)
		}
	}
	if v.wiped != 0 {
		t.Error("a method that is not exported ran")
	}
	// The same object, exported as more: that is another skeleton.
	w := skeleton.New(wide, reflect.ValueOf(v))
	if _, err := serve(t, t.Context(), w, wide.ByName("Wipe")); err != nil || v.wiped != 1 {
		t.Errorf("Wipe: %v", err)
	}
	if _, err := serve(t, t.Context(), w, open.ByName("Name")); err == nil {
		t.Error("a method of the narrower interface is taken for one of the wider")
	}
}

func TestWhatACallCanEndIn(t *testing.T) {
	t.Run("by reflection", func(t *testing.T) { whatACallCanEndIn(t, described[Open](t)) })
	t.Run("by generated code", func(t *testing.T) { whatACallCanEndIn(t, described[Generated](t)) })
}

func whatACallCanEndIn(t *testing.T, open *codec.Interface) {
	s := skeleton.New(open, reflect.ValueOf(&servant{}))
	if out, err := serve(t, t.Context(), s, open.ByName("Fail"), ""); err != nil || out[0].Int() != 1 {
		t.Errorf("one that succeeds: %v, %v", out, err)
	}
	for _, c := range []struct {
		how  string
		kind fault.Kind
		is   error
	}{
		{"panic", fault.KindPanic, nil},
		{"late", fault.KindDeadline, context.DeadlineExceeded},
		{"plain", fault.KindApplication, errPlain},
		{"its own", fault.KindApplication, context.DeadlineExceeded},
		{"nil inside", fault.KindApplication, nil},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if c.how == "its own" || c.how == "panic" {
			ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
		}
		_, err := serve(t, ctx, s, open.ByName("Fail"), c.how)
		if err == nil || err.Kind != c.kind || err.Outcome != fault.OutcomeExecuted || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", c.how, err)
		}
		var p *skeleton.PanicError
		if errors.As(err.Err, &p) != (c.how == "panic") {
			t.Errorf("%s: %v", c.how, err)
		}
		cancel()
	}
}
