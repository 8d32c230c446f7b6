package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v map[float64]int) error
}
