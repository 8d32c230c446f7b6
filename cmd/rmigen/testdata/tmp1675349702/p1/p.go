package p

import "context"

// I is remote.
type I interface {
	Do(ctx context.Context,
		v map[string][]*T) error
}

// T is data.
type T struct {
	OK int
	C struct{ D chan int }
}
