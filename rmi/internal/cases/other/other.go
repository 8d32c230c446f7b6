// Package other declares types that an interface elsewhere mentions.
package other

import (
	"context"
	"fmt"
)

// Point is a plain struct.
type Point struct {
	X, Y  int32
	Label string `msgpack:"label,omitempty"`
}

type hidden struct{ Depth int }

// Nested has a field whose type cannot be named elsewhere, and embeds one.
type Nested struct {
	hidden
	Inner hidden
	List  []hidden
	By    map[string]hidden
	Sum   int
}

// NewNested returns a Nested with n everywhere.
func NewNested(n int) Nested {
	h := hidden{n}
	return Nested{h, h, []hidden{h, h}, map[string]hidden{"one": h}, n}
}

// Unit is a number with a codec of its own.
type Unit int

// MarshalText implements encoding.TextMarshaler.
func (u Unit) MarshalText() ([]byte, error) { return []byte{'u', byte('0' + u%10)}, nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (u *Unit) UnmarshalText(b []byte) error {
	*u = Unit(b[len(b)-1] - '0')
	return nil
}

// Handler is a remote function of another package.
type Handler func(ctx context.Context, p Point) (Point, error)

// Pair is generic.
type Pair[A, B any] struct {
	First  A
	Second B
}

// List is generic and contains itself.
type List[T any] struct {
	Value T
	Next  *List[T]
}

// Text is generic and has a text form.
type Text[T any] struct{ Value T }

// MarshalText implements encoding.TextMarshaler.
func (t Text[T]) MarshalText() ([]byte, error) { return fmt.Append(nil, t.Value), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (t *Text[T]) UnmarshalText(b []byte) error {
	_, err := fmt.Sscan(string(b), &t.Value)
	return err
}
