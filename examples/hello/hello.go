// Package hello is what the hello server and the hello client share: the remote interface and the
// name.
package hello

import (
	"context"
	"strings"

	"gormi/callback"
)

//go:generate go tool rmigen

// Greeter is the remote interface: every method takes a context first and returns an error last.
type Greeter interface {
	Greet(ctx context.Context, name string) (string, error)

	// Watch calls f with the name of everyone who is greeted, until the subscription is cancelled.
	// f stays in the caller's process: the greeter calls it there.
	Watch(ctx context.Context, f func(ctx context.Context, name string) error) (callback.Subscription, error)
}

// Name returns the greeter's name in the registry at a URL such as rmi://localhost:1099. If the URL
// is empty, the registry is the default one: $RMI_REGISTRY, else rmi://localhost:1099.
func Name(registry string) string {
	if registry == "" {
		return "hello"
	}
	return strings.TrimSuffix(registry, "/") + "/hello"
}
