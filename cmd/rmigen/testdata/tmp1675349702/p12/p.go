package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v int) error
}

const nil = 0
