package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is an object.
type T struct{ *B }

// B is too.
type B struct{ ID int }

// Close ends it.
func (*B) Close(context.Context) error { return nil }
