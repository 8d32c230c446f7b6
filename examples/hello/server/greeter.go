package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"gormi/callback"
	"gormi/examples/hello"
)

// greeter is the remote object. Many clients call its methods concurrently.
type greeter struct {
	mu       sync.Mutex // guards watchers; not held while they are called
	watchers map[*watcher]bool
}

// watcher is a client's function. Calling it is a remote call to that client.
type watcher struct {
	tell func(ctx context.Context, name string) error
}

var _ hello.Greeter = (*greeter)(nil)

// Greet tells the watchers before it answers. A watcher that is slow or gone is forgotten.
func (g *greeter) Greet(ctx context.Context, name string) (string, error) {
	g.mu.Lock()
	watchers := slices.Collect(maps.Keys(g.watchers))
	g.mu.Unlock()
	for _, w := range watchers {
		soon, cancel := context.WithTimeout(ctx, time.Second)
		err := w.tell(soon, name)
		cancel()
		if err != nil && ctx.Err() == nil {
			g.forget(w)
		}
	}
	return "Hello, " + name + "!", nil
}

// Watch adds a watcher. The subscription that it returns stays here too: the client cancels it by a
// remote call.
func (g *greeter) Watch(_ context.Context, f func(ctx context.Context, name string) error) (callback.Subscription, error) {
	w := &watcher{f}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watchers == nil {
		g.watchers = make(map[*watcher]bool)
	}
	g.watchers[w] = true
	return callback.NewSubscription(func() { g.forget(w) }), nil
}

func (g *greeter) forget(w *watcher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.watchers, w)
}
