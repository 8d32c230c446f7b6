package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is data.
type T struct {
	B
	A int
}

// B is closed.
type B struct{ n int }

var _ = B{}.n
