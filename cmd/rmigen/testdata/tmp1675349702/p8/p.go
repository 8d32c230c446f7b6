package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is half.
type T struct{ N int }

// MarshalText is one half.
func (T) MarshalText() ([]byte, error) { return nil, nil }
