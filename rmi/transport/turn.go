package transport

import (
	"slices"

	"gormi/rmi/internal/guard"
)

// Turn makes calls take turns: one runs, the others wait in order. But a call that comes back
// in the chain of the running one must not wait for it: the running one waits for a call that
// it made itself. Such a call is let in, on top. So running is a stack, of which only the top
// makes progress, and
//
//	a call is let in ⇔ nothing runs, or the top waits for a call of the same chain
//
// (A call that stopped waiting, because its context ended, may go on while the one that it let
// in still runs.) The zero value is ready.
type Turn struct {
	mu guard.Mutex[lockedTurn]
}

// lockedTurn is the state of a Turn.
type lockedTurn struct {
	running []*Incoming
	queue   []*Incoming
}

// enter reports whether in may run now. If not, leave returns it later.
func (t *Turn) enter(in *Incoming) bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	if st.lets(in) {
		st.running = append(st.running, in)
		return true
	}
	in.waited = true
	st.queue = append(st.queue, in)
	return false
}

// lets reports whether in may run now.
func (t *lockedTurn) lets(in *Incoming) bool {
	n := len(t.running)
	if n == 0 {
		return true
	}
	top := t.running[n-1]
	return in.Header.Depth > top.Header.Depth && in.Header.Chain == top.Header.Chain && top.ctx.nested.Load() > 0
}

// leave ends the turn of in and returns the next, or nil.
func (t *Turn) leave(in *Incoming) *Incoming {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.Index(st.running, in)
	st.running = slices.Delete(st.running, i, i+1)
	i = slices.IndexFunc(st.queue, st.lets)
	if i < 0 {
		return nil
	}
	next := st.queue[i]
	if i == 0 { // the usual case costs no copy
		st.queue[0] = nil
		st.queue = st.queue[1:]
	} else {
		st.queue = slices.Delete(st.queue, i, i+1)
	}
	if len(st.queue) == 0 {
		st.queue = nil
	}
	st.running = append(st.running, next)
	return next
}

// idle reports whether nobody runs or waits.
func (t *Turn) idle() bool {
	st := t.mu.Lock()
	defer t.mu.Unlock()
	return len(st.running) == 0
}
