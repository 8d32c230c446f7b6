package main

import (
	"context"
	"errors"

	"gormi/callback"
	"gormi/rmi"
)

//go:generate go tool rmigen

// Account is the remote interface that server and client share: every method takes a context first
// and returns an error last.
type Account interface {
	// Deposit and Withdraw return the new balance. Withdraw fails with errInsufficient.
	Deposit(ctx context.Context, cents int64) (int64, error)
	Withdraw(ctx context.Context, cents int64) (int64, error)

	// Watch calls f with each new balance until the subscription is cancelled.
	Watch(ctx context.Context, f func(ctx context.Context, balance int64) error) (callback.Subscription, error)

	// Audit goes on until it is cancelled.
	Audit(ctx context.Context, o Observer) error

	// Bounce calls back with the next level.
	Bounce(ctx context.Context, level int, back func(ctx context.Context, level int) error) error
}

// Observer is a remote interface too: the client implements it and passes a value of it.
type Observer interface {
	Started(ctx context.Context) error
	Stopped(ctx context.Context, why string) error
}

// wrongAccount is Account as a client that is mistaken about it declares it.
type wrongAccount interface {
	Deposit(ctx context.Context, amount string) (string, error)
}

// depositor is a part of Account as a struct of functions, which serves as a proxy as well as an
// interface does.
type depositor struct {
	Deposit func(ctx context.Context, cents int64) (int64, error)
}

// errInsufficient keeps its identity between processes, because both register it under the same
// name.
var errInsufficient = errors.New("insufficient funds")

func init() { rmi.RegisterError("tour.insufficient", errInsufficient) }
