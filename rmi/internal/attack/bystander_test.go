//go:build linux

package attack

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gormi/callback"
	"gormi/refs"
	"gormi/registry"
	"gormi/rmi"
)

// bystanderEnv makes TestBystander a client of the victim at this address.
const bystanderEnv = "GORMI_BYSTANDER"

// patience is how long each of the bystander's calls may take.
const patience = 10 * time.Second

// elsewhere is a network whose connections come from another address than the attacker's.
type elsewhere struct {
	net.Dialer
	net.ListenConfig
}

func newElsewhere() *elsewhere {
	return &elsewhere{Dialer: net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}}
}

// reported is what became of the bystander's calls since its last report.
type reported struct {
	Calls, Failed int
	First         string        // the first error
	P50, P99      time.Duration // of small calls
}

// tally counts the bystander's calls.
type tally struct {
	mu    sync.Mutex // guards the fields below
	now   reported
	small []time.Duration
}

func (y *tally) count(what string, took time.Duration, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.now.Calls++
	if what == "small" {
		y.small = append(y.small, took)
	}
	if err != nil {
		if y.now.Failed++; y.now.Failed == 1 {
			y.now.First = fmt.Sprintf("%s, after %v: %v", what, took, err)
		}
	}
}

func (y *tally) report() reported {
	y.mu.Lock()
	defer y.mu.Unlock()
	r := y.now
	if n := len(y.small); n > 0 {
		slices.Sort(y.small)
		r.P50, r.P99 = y.small[n/2], y.small[n*99/100]
	}
	y.now, y.small = reported{}, nil
	return r
}

// TestBystander is no test: it is the process of the client that behaves well.
func TestBystander(t *testing.T) {
	addr := os.Getenv(bystanderEnv)
	if addr == "" {
		t.Skip("started by the attacks")
	}
	at, err := refs.ParseEndpoint(addr)
	if err != nil {
		t.Fatal(err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler))
	url := "rmi://" + addr + "/victim/events"
	n := rmi.NewNode(&rmi.Options{Network: newElsewhere()})
	defer n.Close()
	obj := refs.WellKnown(at, targetObject)
	echo := func(ctx context.Context, b []byte) error {
		got, err := n.Invoke(ctx, obj, "Echo", b)
		if err == nil && !bytes.Equal(got[0].([]byte), b) {
			err = errors.New("the echo is not what was sent")
		}
		return err
	}
	kinds := []struct {
		what  string
		pause time.Duration // after each call
		call  func(ctx context.Context) error
	}{
		{"small", 2 * time.Millisecond, func(ctx context.Context) error { return echo(ctx, []byte("hello")) }},
		{"large", 20 * time.Millisecond, func(ctx context.Context) error { return echo(ctx, make([]byte, 100<<10)) }},
		{"lookup", 10 * time.Millisecond, func(ctx context.Context) error {
			_, err := registry.LookupRef(ctx, n, url)
			return err
		}},
		{"callback", 10 * time.Millisecond, func(ctx context.Context) error {
			called := false
			f := func(context.Context, string) error { called = true; return nil }
			_, err := n.Invoke(ctx, obj, "Call", f, "x")
			if err == nil && !called {
				err = errors.New("it was not called back")
			}
			return err
		}},
		{"new connection", 50 * time.Millisecond, func(ctx context.Context) error {
			n := rmi.NewNode(&rmi.Options{Network: newElsewhere()})
			_, err := registry.LookupRef(ctx, n, url)
			return errors.Join(err, n.Close())
		}},
	}

	ctx, cancel := context.WithCancel(t.Context())
	var y tally
	var pace atomic.Int64 // factor of all pauses
	pace.Store(1)
	var wg sync.WaitGroup
	for _, k := range kinds {
		if err := k.call(ctx); err != nil {
			t.Fatalf("%s: %v", k.what, err)
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				ctx, cancel := context.WithTimeout(ctx, patience)
				err := k.call(ctx)
				cancel()
				if took := time.Since(begin); err == nil || ctx.Err() != context.Canceled {
					y.count(k.what, took, err)
				}
				time.Sleep(k.pause * time.Duration(pace.Load()))
			}
		})
	}
	first := make(chan struct{})
	wg.Go(func() {
		last := time.Now()
		begun := false
		for _, err := range callback.EventsByName[string](ctx, n, url, nil) {
			if ctx.Err() != nil {
				return
			}
			took := time.Since(last)
			last = time.Now()
			if err == nil && took > patience {
				err = fmt.Errorf("no event came for %v", took)
			}
			y.count("event", took, err)
			if !begun {
				begun = true
				close(first)
			}
		}
		if ctx.Err() == nil {
			y.count("event", 0, errors.New("the events ended"))
		}
	})
	<-first
	fmt.Println("\nbystander is there")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "slower" {
			pace.Store(10)
			say(t, in.Text(), true)
			continue
		}
		say(t, in.Text(), y.report())
	}
	cancel()
	n.Close()
	wg.Wait()
}
