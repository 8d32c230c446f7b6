package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is data.
type T struct {
	error
	A int
}
