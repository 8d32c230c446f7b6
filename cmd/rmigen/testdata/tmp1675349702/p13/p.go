package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v int) error
}

type uint64 uint32
