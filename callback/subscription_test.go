package callback_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"go.uber.org/goleak"

	"gormi/callback"
	"gormi/rmi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCancelIsIdempotent(t *testing.T) {
	calls := 0
	s := callback.NewSubscription(func() { calls++ })
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.Cancel(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if calls != 1 {
		t.Errorf("cancel was called %d times", calls)
	}
}

func TestCancelWithNothingToDo(t *testing.T) {
	if err := callback.NewSubscription(nil).Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCancelWaitsForTheOneUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		finish := make(chan struct{})
		s := callback.NewSubscription(func() { <-finish })
		go s.Cancel(t.Context()) // ends when finish is closed
		synctest.Wait()

		impatient, giveUp := context.WithCancel(t.Context())
		giveUp()
		if err := s.Cancel(impatient); !errors.Is(err, context.Canceled) {
			t.Errorf("one that gave up got %v", err)
		}
		returned := make(chan error, 1)
		go func() { returned <- s.Cancel(t.Context()) }() // likewise
		synctest.Wait()
		select {
		case <-returned:
			t.Error("it returned before cancel did")
		default:
		}
		close(finish)
		if err := <-returned; err != nil {
			t.Error(err)
		}
		if err := s.Cancel(impatient); err != nil {
			t.Errorf("cancelling what is cancelled: %v", err)
		}
	})
}

func TestASubscriptionWhoseCancelPanicsIsCancelled(t *testing.T) {
	s := callback.NewSubscription(func() { panic("no") })
	func() {
		defer func() { recover() }()
		s.Cancel(t.Context())
	}()
	if err := s.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

// ticker publishes. As a struct of funcs its proxy needs nothing of the platform.
type ticker struct {
	Watch func(ctx context.Context, f func(ctx context.Context, n int) error) (callback.Subscription, error)
}

type publisher interface {
	Watch(ctx context.Context, f func(ctx context.Context, n int) error) (callback.Subscription, error)
}

type listeners struct {
	mu   sync.Mutex
	next int
	fs   map[int]func(ctx context.Context, n int) error
}

func (l *listeners) Watch(ctx context.Context, f func(ctx context.Context, n int) error) (callback.Subscription, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := l.next
	l.next++
	l.fs[id] = f
	return callback.NewSubscription(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.fs, id)
	}), nil
}

func (l *listeners) publish(ctx context.Context, n int) (sent int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.fs {
		err = errors.Join(err, f(ctx, n))
		sent++
	}
	return sent, err
}

// silent keeps the nodes' logs out of the output.
func silent() *rmi.Options { return &rmi.Options{Logger: slog.New(slog.DiscardHandler)} }

func TestASubscriptionAcrossNodes(t *testing.T) {
	ctx := t.Context()
	server, client := rmi.NewNode(silent()), rmi.NewNode(silent())
	defer server.Close()
	defer client.Close()
	if _, err := server.Listen(ctx, "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	l := &listeners{fs: map[int]func(context.Context, int) error{}}
	h, err := rmi.Export[publisher](server, l, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := rmi.Resolve[ticker](client, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan int, 1)
	sub, err := p.Watch(ctx, func(ctx context.Context, n int) error { heard <- n; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := l.publish(ctx, 7); sent != 1 || err != nil || <-heard != 7 {
		t.Fatalf("sent to %d, %v", sent, err)
	}
	for range 2 {
		if err := sub.Cancel(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if sent, err := l.publish(ctx, 8); sent != 0 || err != nil {
		t.Errorf("after Cancel: sent to %d, %v", sent, err)
	}
}

func ExampleNewSubscription() {
	var listeners sync.Map
	subscribe := func(name string) callback.Subscription {
		listeners.Store(name, true)
		return callback.NewSubscription(func() { listeners.Delete(name); fmt.Println(name, "left") })
	}
	sub := subscribe("alice")
	sub.Cancel(context.Background())
	sub.Cancel(context.Background())
	// Output: alice left
}
