package transport

import (
	"sync"

	"gormi/rmi/wire"
)

// Turn makes calls take turns: one runs, the others wait in order. A call that
// belongs to the chain of the one that runs does not wait: the one that runs
// waits for it. The zero value is ready.
type Turn struct {
	mu      sync.Mutex
	running bool
	chain   wire.ChainID // of the call that runs
	queue   []*Incoming
}

// enter reports whether in may run now; if not, leave hands it out later.
func (t *Turn) enter(in *Incoming) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.running:
		t.running, t.chain = true, in.Header.Chain
		return true
	case in.Header.Depth > 0 && in.Header.Chain == t.chain:
		in.reentrant = true
		return true
	default:
		t.queue = append(t.queue, in)
		return false
	}
}

// leave ends the turn of in and returns who is next, or nil.
func (t *Turn) leave(in *Incoming) *Incoming {
	if in.reentrant {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.queue) == 0 {
		t.running, t.queue = false, nil
		return nil
	}
	next := t.queue[0]
	t.queue[0] = nil
	t.queue = t.queue[1:]
	t.chain = next.Header.Chain
	return next
}

// idle reports whether nobody runs or waits.
func (t *Turn) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.running
}
