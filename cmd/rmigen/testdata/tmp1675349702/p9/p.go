package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is half.
type T interface {
	A(context.Context) error
	B()
}
