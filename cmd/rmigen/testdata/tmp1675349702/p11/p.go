package p

import "context"

// I is remote.
type I interface {
	Getkrcdjm(ctx context.Context) error
	Getxgmeiw(ctx context.Context) error
}
