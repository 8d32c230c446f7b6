package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v []*T) error
}

// T is an object.
type T struct{ ID int }

// Close ends it.
func (*T) Close(context.Context) error { return nil }
