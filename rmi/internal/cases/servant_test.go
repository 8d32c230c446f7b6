package cases_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gormi/rmi/internal/cases"
	"gormi/rmi/internal/cases/other"
)

// echo returns what it gets.
type echo struct{}

var _ cases.Cases = (*echo)(nil)

type (
	function = func(ctx context.Context, n int64) (int64, error)
	unnamed  = struct {
		A int `msgpack:"a"`
		B struct{ C []string }
	}
	generic = other.Pair[string, []other.Pair[int, cases.Color]]
)

func (*echo) Null(context.Context) error { return nil }
func (*echo) Many(_ context.Context, a int64, b string, c []byte) (int64, string, []byte, error) {
	return a, b, c, nil
}
func (*echo) Variadic(_ context.Context, first int, rest ...string) ([]string, error) {
	return rest, nil
}
func (*echo) Tell(context.Context, string) error { return nil }
func (*echo) Fail(_ context.Context, how int) (cases.Scalars, error) {
	switch how {
	case 1:
		return cases.Scalars{I: 1}, errors.New("one")
	case 2:
		panic("two")
	case 3:
		return cases.Scalars{}, io.EOF
	}
	return cases.Scalars{I: how}, nil
}
func (*echo) Scalars(_ context.Context, v cases.Scalars) (cases.Scalars, error)      { return v, nil }
func (*echo) Named(_ context.Context, v cases.NamedTypes) (cases.NamedTypes, error)  { return v, nil }
func (*echo) Tags(_ context.Context, v cases.Tagged) (cases.Tagged, error)           { return v, nil }
func (*echo) Embedded(_ context.Context, v cases.Embedding) (cases.Embedding, error) { return v, nil }
func (*echo) Pointing(_ context.Context, v cases.Pointing) (cases.Pointing, error)   { return v, nil }
func (*echo) Promoted(_ context.Context, v cases.Promoted) (cases.Promoted, error)   { return v, nil }
func (*echo) Active(_ context.Context, v *cases.Active) (*cases.Active, error)       { return v, nil }
func (*echo) Tuple(_ context.Context, v cases.Tuple) (cases.Tuple, error)            { return v, nil }
func (*echo) Containers(_ context.Context, v cases.Containers) (cases.Containers, error) {
	return v, nil
}
func (*echo) Keys(_ context.Context, v cases.Keys) (cases.Keys, error)               { return v, nil }
func (*echo) Pointers(_ context.Context, v *cases.Pointers) (*cases.Pointers, error) { return v, nil }
func (*echo) Tree(_ context.Context, v cases.Tree) (cases.Tree, error)               { return v, nil }
func (*echo) Omitted(_ context.Context, v cases.Omitted) (cases.Omitted, error)      { return v, nil }
func (*echo) Foreign(_ context.Context, v cases.Foreign) (cases.Foreign, error)      { return v, nil }
func (*echo) Codecs(_ context.Context, v cases.Codecs) (cases.Codecs, error)         { return v, nil }
func (*echo) Generic(_ context.Context, v generic) (generic, error)                  { return v, nil }
func (*echo) Unnamed(_ context.Context, v unnamed) (unnamed, error)                  { return v, nil }
func (*echo) Data(_ context.Context, v any) (any, error)                             { return v, nil }
func (*echo) Error(_ context.Context, v error) (error, error)                        { return v, nil }
func (*echo) Remotes(_ context.Context, v cases.Remotes) (cases.Remotes, error)      { return v, nil }
func (*echo) Meet(ctx context.Context, l cases.Listener, f function, h other.Handler) (cases.Listener, function, other.Handler, error) {
	if f != nil {
		if n, err := f(ctx, 5); n != 25 || err != nil {
			return nil, nil, nil, fmt.Errorf("f said %d, %w", n, err)
		}
	}
	if h != nil {
		if p, err := h(ctx, other.Point{X: 5}); p.X != 6 || err != nil {
			return nil, nil, nil, fmt.Errorf("h said %v, %w", p, err)
		}
	}
	return l, f, h, nil
}
func (*echo) Array(_ context.Context, v [3]cases.Scalars) ([3]cases.Scalars, error) { return v, nil }
func (*echo) Time(_ context.Context, v time.Time, d time.Duration) (time.Time, time.Duration, error) {
	return v, d, nil
}
func (*echo) Long(_ context.Context, v cases.Long) (cases.Long, error) { return v, nil }

func (*echo) Slices(_ context.Context, v cases.Slices) (cases.Slices, error) { return v, nil }
func (*echo) NamedSlices(_ context.Context, v cases.NamedSlices) (cases.NamedSlices, error) {
	return v, nil
}
func (*echo) Sum(ctx context.Context, n int64, fs ...function) (sum int64, err error) {
	for _, f := range fs {
		if f == nil {
			continue
		}
		m, err := f(ctx, n)
		if err != nil {
			return 0, err
		}
		sum += m
	}
	return sum, nil
}
func (*echo) Tellers(_ context.Context, ls ...cases.Listener) ([]cases.Listener, error) {
	return ls, nil
}
func (*echo) Interfaces(_ context.Context, v cases.Interfaces) (cases.Interfaces, error) {
	return v, nil
}
func (*echo) Literal(ctx context.Context, v interface {
	Heard(ctx context.Context, text string) (string, error)
}) (string, error) {
	if v == nil {
		return "nobody", nil
	}
	return v.Heard(ctx, "literally")
}

func (*echo) List(_ context.Context, v *other.List[cases.Name]) (*other.List[cases.Name], error) {
	return v, nil
}
func (*echo) Apply(ctx context.Context, f function, n int64) (int64, error) { return f(ctx, n) }

// ear is a Listener.
type ear struct{ name string }

func (e *ear) Heard(_ context.Context, text string) (string, error) {
	return e.name + " heard " + text, nil
}
