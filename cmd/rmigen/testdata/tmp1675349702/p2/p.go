package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v complex64) error
}
