//go:build unix

package rmi_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"gormi/rmi"
)

// A server that is told to end by SIGTERM stays up for the calls that it has
// taken: their callers get the results, then the process ends in good order.
func TestProofProcessStaysUpForCallsInFlight(t *testing.T) {
	const calls = 32
	caller := quiet(t, new(rmi.Options))
	server, w := prove(t, caller)
	ctx := duration(t, time.Minute)
	running := make(chan int64, calls)
	var told tally
	var callers sync.WaitGroup
	for id := range int64(calls) {
		callers.Go(func() {
			n, err := w.Apply(ctx, func(_ context.Context, id int64) (int64, error) {
				running <- id
				return id, nil
			}, id)
			if err == nil && n != id {
				t.Errorf("call %d returned %d", id, n)
			}
			told.note(id, err)
		})
	}
	for range calls {
		receive(t, running)
	}
	if err := server.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	callers.Wait()
	if err := server.process.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	ran := server.ledger()
	told.check(t, ran)
	told.allOK(t)
	figure(t, "%d calls in flight at SIGTERM: %v", calls, told.counts())
}

// Calls with deadlines of 1 ms to 2 s to a process that stands still: every
// caller is back before the process goes on, and was told the truth.
func TestProofDeadlinesOfAStoppedProcess(t *testing.T) {
	calls := int64(size(200, 1000))
	caller := quiet(t, new(rmi.Options))
	server, w := prove(t, caller)
	ctx := duration(t, time.Minute)
	if _, err := w.Sum(ctx, 1); err != nil {
		t.Fatal(err)
	}
	process := server.process.Process
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus // the signal returns before all its threads stand still
	if _, err := syscall.Wait4(process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatal(status, err)
	}
	var told tally
	var callers sync.WaitGroup
	late := make([]time.Duration, calls)
	for id := range calls {
		callers.Go(func() {
			d := time.Duration(float64(time.Millisecond) * math.Pow(2000, float64(id)/float64(calls-1)))
			start := time.Now()
			c, cancel := context.WithTimeout(ctx, d)
			defer cancel()
			var err error
			if id%3 == 0 { // enough to fill the buffers on the way
				b := make([]byte, 1<<20)
				binary.BigEndian.PutUint64(b, uint64(id))
				_, err = w.Bytes(c, b)
			} else {
				_, err = w.Do(c, id)
			}
			late[id] = time.Since(start) - d
			told.note(id, err)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("call %d: %v", id, err)
			}
		})
	}
	callers.Wait()
	if err := process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	const after = 1 << 40 // an id
	told.note(after, func() error { _, err := w.Do(ctx, after); return err }())
	server.kill()
	ran := server.ledger()
	told.check(t, ran)
	slices.Sort(late)
	c := told.counts()
	figure(t, "%d calls: %v; %d ran when the process went on; back after the deadline: %v in the middle, %v at most",
		calls, c, len(ran.ran)-1, late[calls/2].Round(time.Microsecond), late[calls-1].Round(time.Microsecond))
	if c.OK != 1 || ran.times(after) != 1 {
		t.Errorf("the call after the process went on: %v", told.failed[after])
	}
	if c.Unknown == 0 || c.NotExecuted == 0 {
		t.Error("the outcomes are all alike: this proves nothing")
	}
}
