package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is closed.
type T struct{ n int }

var _ = T{}.n
