package main

import (
	"context"
	"sync"

	"gormi/rmi"
)

// meeting is a place in the code of a servant where calls wait for each other: nobody goes on before as many calls as
// the servant lets in at a time are there. So the interleaving that brings the anomaly out happens every time, by no
// sleep and no luck. Without it the same interleaving happens now and then, which is worse.
//
// A serial servant lets one call in at a time: whoever comes to the meeting is all that can come, and goes on.
type meeting struct {
	parties int

	mu   sync.Mutex // guards the fields below
	here int
	all  chan struct{} // closed when all parties of this round are here
}

// newMeeting returns the meeting of the calls that a servant with the threading lets in, of those made at a time.
func newMeeting(th rmi.Threading, calls int) *meeting {
	if th == rmi.ThreadingSerial {
		calls = 1
	}
	return &meeting{parties: calls, all: make(chan struct{})}
}

// wait waits for the other parties; then the next round begins.
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
