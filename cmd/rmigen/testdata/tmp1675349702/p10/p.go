package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is remote.
type T interface {
	A(context.Context, chan int) error
}
