//go:build unix

package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest/proctest"
)

const ownerProcessEnv = "GORMI_OWNER_PROCESS"

// TestOwnerProcess is no test: it is the owner of the tests below, in a process
// of its own. It prints a reference and serves until its standard input ends.
func TestOwnerProcess(t *testing.T) {
	if os.Getenv(ownerProcessEnv) == "" {
		t.Skip("started by other tests")
	}
	n := rmi.NewNode(nil)
	defer n.Close()
	if _, err := n.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	text, err := export[Worker](t, n, &worker{}, nil).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("\nserving %s\n", text)
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// ownerProcess starts a process that owns a worker.
func ownerProcess(t *testing.T) (*os.Process, refs.Ref) {
	t.Helper()
	p := proctest.Start(t, proctest.Self("TestOwnerProcess", ownerProcessEnv+"=1"))
	r, err := refs.Parse(p.Says("serving "))
	if err != nil {
		t.Fatal(err)
	}
	return p.Process, r
}

func TestAStoppedPeerHoldsNoCallerBeyondItsDeadline(t *testing.T) {
	process, r := ownerProcess(t)
	caller := client(t, &rmi.Options{Timeout: time.Second})
	w := resolve[Worker](t, caller, r)
	if n, err := w.Do(within(t), 1); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // the signal returns before all its threads stand still
	if _, err := syscall.Wait4(process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatal(status, err)
	}
	// Enough to fill the sockets' buffers, so that most are stuck while they are sent.
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			c := ctx
			if i%2 == 0 {
				c = t.Context() // the node's own deadline
			}
			var err error
			if i%3 == 0 {
				_, err = w.Do(c, 1)
			} else {
				_, err = w.Bytes(c, make([]byte, 1<<20))
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	}
	wg.Wait()
	if d := time.Since(start); d > 10*time.Second { // a second, but for a machine under load
		t.Errorf("it took %v", d)
	}
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if n, err := redo(within(t), w, 2); n != 2 || err != nil {
		t.Errorf("when the peer goes on: %d, %v", n, err)
	}
}

func TestAKilledPeerFailsWhatIsInFlight(t *testing.T) {
	process, r := ownerProcess(t)
	caller := client(t, &rmi.Options{SessionLease: time.Second})
	w := resolve[Worker](t, caller, r)
	called := make(chan struct{})
	result := make(chan error, 1)
	go func() {
		_, err := w.Apply(within(t), func(ctx context.Context, n int64) (int64, error) {
			close(called)
			<-ctx.Done()
			return n, nil
		}, 1)
		result <- err
	}()
	<-called
	if err := process.Kill(); err != nil {
		t.Fatal(err)
	}
	expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, receive(t, result))
	for {
		_, err := w.Do(within(t), 1)
		if rmi.KindOf(err) != rmi.KindPeerGone {
			expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
			return
		}
	}
}
