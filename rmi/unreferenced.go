package rmi

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"

	"gormi/skeleton"
)

// Unreferencer is implemented by exported objects that want to know when no other node holds a
// reference to them any more. Handles and bindings do not count. So an object that was told may
// still be called by those who look it up later.
//
// Unreferenced is called once each time the number of holders comes to zero, but not while the
// node closes. One goroutine of the node calls it for one object after the other, so it should
// be short. An object that still waits for its call is not called a second time.
type Unreferencer interface {
	Unreferenced()
}

// notifier calls Unreferenced. Its goroutine lives while there is something to call.
type notifier struct {
	logger *slog.Logger

	mu      sync.Mutex // guards the fields below
	queue   []*skeleton.Export
	queued  map[*skeleton.Export]bool
	running bool
	closed  bool
	idle    chan struct{} // closed when it does not run; nil if nobody waits
}

// unheld queues the calls for exports whose last holder is gone.
func (u *notifier) unheld(es []*skeleton.Export) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, e := range es {
		if _, ok := e.Value().Interface().(Unreferencer); !ok || u.closed || u.queued[e] {
			continue
		}
		if u.queued == nil {
			u.queued = make(map[*skeleton.Export]bool)
		}
		u.queued[e] = true
		u.queue = append(u.queue, e)
	}
	if len(u.queue) > 0 && !u.running {
		u.running = true
		go u.run() // ends with the queue; close waits for it
	}
}

func (u *notifier) run() {
	for {
		u.mu.Lock()
		if len(u.queue) == 0 || u.closed {
			u.queue, u.queued, u.running = nil, nil, false
			if u.idle != nil {
				close(u.idle)
				u.idle = nil
			}
			u.mu.Unlock()
			return
		}
		e := u.queue[0]
		u.queue = u.queue[1:]
		delete(u.queued, e)
		u.mu.Unlock()
		u.call(e)
	}
}

func (u *notifier) call(e *skeleton.Export) {
	defer func() {
		if v := recover(); v != nil {
			u.logger.Error("Unreferenced panicked", "interface", e.Interface.Name, "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
		}
	}()
	e.Value().Interface().(Unreferencer).Unreferenced()
}

// close ends the calls; the channel is closed when the last has returned.
func (u *notifier) close() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	idle := make(chan struct{})
	if u.running {
		u.idle = idle
	} else {
		close(idle)
	}
	return idle
}
