package p

import (
	"context"
	"io"
)

// I is remote.
type I interface {
	Do(ctx context.Context,
		v io.Reader) error
}
