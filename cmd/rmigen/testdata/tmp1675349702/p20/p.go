package p

import (
	"context"
	"time"
)

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is half.
type T struct{ time.Time }

// MarshalText is one half.
func (T) MarshalText() ([]byte, error) { return nil, nil }
