package transport

import (
	"slices"
	"sync"
)

// Turn makes calls take turns: one runs, the others wait in order. A call that
// comes back in the chain of the one that runs does not wait for it, because
// the one that runs waits for a call that it made: it is let in, on top. So
// running is a stack, of which only the top makes progress, and
//
//	a call is let in ⇔ nothing runs, or the top waits for a call of the same chain
//
// (A call that stopped waiting, because its context ended, may go on while the
// one that it let in still runs.) The zero value is ready.
type Turn struct {
	mu      sync.Mutex
	running []*Incoming
	queue   []*Incoming
}

// enter reports whether in may run now; if not, leave hands it out later.
func (t *Turn) enter(in *Incoming) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.lets(in) {
		t.running = append(t.running, in)
		return true
	}
	t.queue = append(t.queue, in)
	return false
}

// lets reports whether in may run now. mu is held.
func (t *Turn) lets(in *Incoming) bool {
	n := len(t.running)
	if n == 0 {
		return true
	}
	top := t.running[n-1]
	return in.Header.Depth > top.Header.Depth && in.Header.Chain == top.Header.Chain && top.ctx.nested.Load() > 0
}

// leave ends the turn of in and returns who is next, or nil.
func (t *Turn) leave(in *Incoming) *Incoming {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(t.running, in)
	t.running = slices.Delete(t.running, i, i+1)
	i = slices.IndexFunc(t.queue, t.lets)
	if i < 0 {
		return nil
	}
	next := t.queue[i]
	if i == 0 { // the usual case costs no copy
		t.queue[0] = nil
		t.queue = t.queue[1:]
	} else {
		t.queue = slices.Delete(t.queue, i, i+1)
	}
	if len(t.queue) == 0 {
		t.queue = nil
	}
	t.running = append(t.running, next)
	return next
}

// idle reports whether nobody runs or waits.
func (t *Turn) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.running) == 0
}
