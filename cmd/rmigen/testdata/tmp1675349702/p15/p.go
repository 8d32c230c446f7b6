package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v T) error
}

// T is data.
type T struct {
	A int
	B int `msgpack:"A"`
}
