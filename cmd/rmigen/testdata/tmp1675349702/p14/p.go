package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v int) error
}

func len(any) int { return 0 }
