package main

import (
	"context"
	"sync"

	"gormi/rmi"
)

// meeting is a barrier in a servant's code. No call passes it before as many calls have come as the
// servant runs concurrently. So the interleaving that causes the anomaly happens every time,
// without sleeping and without luck. Without the barrier it happens now and then, which is worse.
//
// A serial servant runs one call at a time. That call is all that can come to the barrier, and it
// passes.
type meeting struct {
	parties int

	mu   sync.Mutex // guards the fields below
	here int
	all  chan struct{} // closed when all parties of this round are here
}

// newMeeting returns the barrier for a servant with the threading. calls is how many are made
// concurrently.
func newMeeting(th rmi.Threading, calls int) *meeting {
	if th == rmi.ThreadingSerial {
		calls = 1
	}
	return &meeting{parties: calls, all: make(chan struct{})}
}

// wait waits for the other calls. Then the next round begins.
func (m *meeting) wait(ctx context.Context) error {
	m.mu.Lock()
	all := m.all
	m.here++
	if m.here == m.parties {
		m.here, m.all = 0, make(chan struct{})
		close(all)
	}
	m.mu.Unlock()
	select {
	case <-all:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
