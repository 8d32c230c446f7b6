package rmitest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/rmitest"
)

// fakeT is a test that is not the running one: it notes failures, and its
// cleanups run when finish is called.
type fakeT struct {
	testing.TB
	failed   strings.Builder
	cleanups []func()
}

func (f *fakeT) Helper()                        {}
func (f *fakeT) Output() io.Writer              { return io.Discard }
func (f *fakeT) Cleanup(c func())               { f.cleanups = append(f.cleanups, c) }
func (f *fakeT) Errorf(format string, a ...any) { fmt.Fprintf(&f.failed, format+"\n", a...) }

func (f *fakeT) finish() {
	for len(f.cleanups) > 0 {
		last := len(f.cleanups) - 1
		c := f.cleanups[last]
		f.cleanups = f.cleanups[:last]
		c()
	}
}

// call is the remote function of these tests.
type call func(ctx context.Context) error

// connect exports f on owner and returns caller's proxy.
func connect(t *testing.T, owner, caller *rmi.Node, f call) call {
	t.Helper()
	h, err := rmi.Export(owner, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := rmi.Resolve[call](caller, h.Ref(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nothing(context.Context) error { return nil }

func TestNodesHaveHostsOfTheirOwn(t *testing.T) {
	network := rmitest.New(t)
	a, b, c := network.Node(), network.NodeWith(&rmi.Options{Timeout: time.Minute}), network.Client()
	for i, n := range []*rmi.Node{a, b, c} {
		if got, want := network.Host(n), fmt.Sprintf("node-%d", i+1); got != want {
			t.Errorf("host %q, want %q", got, want)
		}
	}
	if ep := a.Endpoint(); ep.Host != "node-1" || ep.Port == 0 {
		t.Errorf("node 1 is at %v", ep)
	}
	if ep := c.Endpoint(); !ep.IsZero() {
		t.Errorf("the client listens at %v", ep)
	}
	if err := connect(t, a, b, nothing)(t.Context()); err != nil {
		t.Error(err)
	}
	if err := connect(t, b, c, nothing)(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestRestartTakesTheOldAddress(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	old := connect(t, owner, caller, nothing)
	if err := old(t.Context()); err != nil {
		t.Fatal(err)
	}
	at := owner.Endpoint()
	owner = network.Restart(owner, nil)
	if owner.Endpoint() != at {
		t.Errorf("restarted at %v, was at %v", owner.Endpoint(), at)
	}
	if err := connect(t, owner, caller, nothing)(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDelayAndPartitionRunOnVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		f := connect(t, owner, caller, nothing)
		if err := f(t.Context()); err != nil {
			t.Fatal(err)
		}

		network.Delay(owner, caller, time.Second)
		start := time.Now()
		if err := f(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("a call took %v with a delay of a second each way", d)
		}

		network.Partition(owner, caller)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call over a partition: %v", err)
		}
		network.Heal(owner, caller)
		if err := f(t.Context()); err != nil {
			t.Errorf("a call after the partition healed: %v", err)
		}
	})
}

func TestAMethodThatDoesNotEndFailsTheTest(t *testing.T) {
	fake := new(fakeT)
	network := rmitest.New(fake)
	owner := network.NodeWith(&rmi.Options{CloseWait: time.Millisecond})
	running, release := make(chan struct{}), make(chan struct{})
	f := connect(t, owner, network.Client(), func(context.Context) error {
		close(running)
		<-release
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	<-running
	cancel()
	<-done
	fake.finish()
	close(release)
	if !strings.Contains(fake.failed.String(), "TestAMethodThatDoesNotEndFailsTheTest") {
		t.Errorf("the method that ignores its context was not reported: %q", fake.failed.String())
	}
}

func TestNothingIsReportedOfATestThatLeavesNothing(t *testing.T) {
	fake := new(fakeT)
	first, second := rmitest.New(fake), rmitest.New(fake)
	for _, network := range []*rmitest.Network{first, second} {
		if err := connect(t, network.Node(), network.Client(), nothing)(t.Context()); err != nil {
			t.Error(err)
		}
	}
	fake.finish()
	if fake.failed.Len() > 0 {
		t.Error(fake.failed.String())
	}
}
