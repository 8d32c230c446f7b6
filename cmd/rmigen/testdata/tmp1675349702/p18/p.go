package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is data.
type T struct {
	b
	A int
}

type b struct{ N int }

func (b) MarshalText() ([]byte, error) { return nil, nil }

func (*b) UnmarshalText([]byte) error { return nil }
