package main

import (
	"context"
	"sync"
)

// ear is a client's Listener in one room. The server calls it.
type ear struct {
	view *view
	own  string        // the name of whose ear it is
	told chan struct{} // closed by open or close: the history was shown

	mu   sync.Mutex // guards the fields below, and is held while a line is shown, so that they come in order
	deaf bool
	last Seq
}

var _ Listener = (*ear)(nil)

func newEar(v *view, own string) *ear { return &ear{view: v, own: own, told: make(chan struct{})} }

// open lets lines pass. Before, they wait. Call it, or close, once; close may follow open.
func (e *ear) open() { close(e.told) }

// close drops lines from now on.
func (e *ear) close() {
	e.mu.Lock()
	e.deaf = true
	e.mu.Unlock()
	select {
	case <-e.told:
	default:
		close(e.told)
	}
}

// Heard shows a line. While the terminal is stopped it does not return. Then the server gives the
// call up and goes on with the next. Lines are missing then, or come late.
func (e *ear) Heard(ctx context.Context, l Line) error {
	select {
	case <-e.told:
	case <-ctx.Done():
		return ctx.Err()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.deaf || l.Seq <= e.last {
		return nil
	}
	if missing := l.Seq - e.last - 1; e.last > 0 && missing > 0 {
		e.view.print("* %d lines are missing here: they came faster than this terminal took them", missing)
	}
	e.last = l.Seq
	own := l.From == e.own
	switch l.Kind {
	case Said:
		if !own || !e.view.terminal { // the terminal has shown it
			e.view.print("%s: %s", l.From, l.Text)
		}
	case Joined:
		if !own {
			e.view.print("* %s came in", l.From)
		}
	case Left:
		e.view.print("* %s left", l.From)
	case Gone:
		e.view.print("* %s is gone: the connection was lost", l.From)
	}
	return nil
}
