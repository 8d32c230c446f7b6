package transport

import (
	"sync"
	"sync/atomic"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// workers are the goroutines on which calls are served. One that has no call
// waits, last in first out, and is ended when it was not needed for a while.
type workers struct {
	handler Handler
	limit   int // calls served at once, of all sessions; nested ones pass it

	total atomic.Int64 // calls handed out and not served

	mu       sync.Mutex
	idle     []chan *Incoming // capacity 1 each
	least    int              // fewest idle since the last trim: those were not needed
	waiting  []*Session       // whose queue the limit holds up; each once (callee.listed)
	draining bool
	wg       sync.WaitGroup
}

// run serves in on an idle worker or a new one.
func (w *workers) run(in *Incoming) {
	w.mu.Lock()
	if n := len(w.idle); n > 0 {
		ch := w.idle[n-1]
		w.idle = w.idle[:n-1]
		w.least = min(w.least, n-1)
		w.mu.Unlock()
		ch <- in
		return
	}
	w.mu.Unlock()
	w.wg.Add(1)
	go w.loop(in)
}

func (w *workers) loop(in *Incoming) {
	defer w.wg.Done()
	ch := make(chan *Incoming, 1)
	for in != nil {
		for in != nil {
			in = w.serve(in)
		}
		w.mu.Lock()
		if w.draining {
			w.mu.Unlock()
			return
		}
		w.idle = append(w.idle, ch)
		w.mu.Unlock()
		in = <-ch
	}
}

// serve serves one call and returns the next for this goroutine, or nil.
func (w *workers) serve(in *Incoming) *Incoming {
	if err := in.ctx.Err(); err != nil {
		in.dropTable()
		in.Fail(notSent(err))
	} else {
		in.join()
		w.handle(in)
	}
	return w.finish(in)
}

// handle has the call answered. A method may end its goroutine (runtime.Goexit,
// which a test's FailNow calls): then the call, and this worker, end here.
func (w *workers) handle(in *Incoming) {
	returned := false
	defer func() {
		if returned {
			return
		}
		in.Fail(fault.New(fault.KindPanic, fault.OutcomeExecuted, "the method ended its goroutine instead of returning"))
		if next := w.finish(in); next != nil {
			w.run(next)
		}
	}()
	w.handler.Serve(in)
	returned = true
	if !in.answered {
		in.Fail(fault.New(fault.KindInternal, fault.OutcomeUnknown, "the call was not answered"))
	}
}

// finish takes an answered call out of the books and returns the next for this
// goroutine, or nil.
func (w *workers) finish(in *Incoming) *Incoming {
	s := in.Session
	var next *Incoming
	if in.turn != nil {
		next = in.turn.leave(in)
	}
	in.recycle()
	w.total.Add(-1)
	s.callee.mu.Lock()
	s.callee.running--
	s.callee.mu.Unlock()
	s.changed.send()
	if in := s.admitQueued(next == nil); in != nil {
		next = in
	}
	if in := w.admitListed(next == nil); in != nil {
		next = in
	}
	return next
}

// admitListed hands out calls of sessions that the limit on all sessions'
// calls holds up, while there is room. If keep is true it returns one of them
// to be served by the caller.
func (w *workers) admitListed(keep bool) (kept *Incoming) {
	for s := w.unlist(); s != nil; s = w.unlist() {
		if in := s.admitQueued(keep && kept == nil); in != nil {
			kept = in
		}
	}
	return kept
}

// unlist takes a session off the waiting list if there is room for a call of its.
func (w *workers) unlist() *Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.waiting) == 0 || w.total.Load() >= int64(w.limit) {
		return nil
	}
	s := w.waiting[0]
	w.waiting = w.waiting[1:]
	return s
}

// trim ends the workers that were not needed since the last trim.
func (w *workers) trim() {
	w.mu.Lock()
	n := min(w.least, len(w.idle))
	for _, ch := range w.idle[:n] {
		ch <- nil
	}
	w.idle = append(w.idle[:0], w.idle[n:]...)
	w.least = len(w.idle)
	w.mu.Unlock()
}

// drain ends the idle workers, and the others when they are done.
func (w *workers) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.draining = true
	for _, ch := range w.idle {
		ch <- nil
	}
	w.idle = nil
}

// arrive takes in a call whose payload is complete. It runs on the reading
// goroutine.
func (s *Session) arrive(l *Link, in *Incoming) {
	if in.refused != nil {
		s.refuse(in, in.refused)
		return
	}
	t := s.transport
	threading, turn := t.Handler.Route(in)
	in.turn, in.perCaller = turn, threading == ThreadingPerConnection
	if l.lossy && (in.perCaller || turn != nil) && l.order.early(in.number) {
		s.hold(in)
		return
	}
	s.let(in)
}

// let serves a call whose turn to begin it is, queues it, or refuses it.
func (s *Session) let(in *Incoming) {
	t, c := s.transport, &s.callee
	c.mu.Lock()
	if c.over {
		c.slots[in.Header.Slot/slotChunk][in.Header.Slot%slotChunk].in = nil // it is another session's from here on
		c.mu.Unlock()
		in.recycle()
		return
	}
	if in.Header.Depth == 0 && (c.queued > 0 || c.running >= t.Limits.Handlers || t.workers.total.Load() >= int64(t.Limits.HandlersTotal)) {
		if c.queued >= t.Limits.Queue || c.bytes+in.Header.Payload.Len() > t.Limits.Assembly {
			c.mu.Unlock()
			s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "no handler is free (Options.Limits.Handlers, HandlersTotal), and %d calls of this peer (Queue) or %d bytes of their arguments (Assembly) wait already", t.Limits.Queue, t.Limits.Assembly))
			return
		}
		c.push(in)
		list := c.running == 0 && !c.listed // nothing of this session's will end and admit it
		c.listed = c.listed || list
		c.mu.Unlock()
		if list {
			t.workers.list(s)
			t.workers.admitListed(false) // the last call of another session may have ended just before
		}
		return
	}
	if c.running >= t.Limits.Handlers+t.Limits.Nested { // whatever depth the peer claims
		c.mu.Unlock()
		s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
			"%d calls of this peer are being served, nested ones included (Options.Limits.Handlers and Nested), and a nested call does not wait", t.Limits.Handlers+t.Limits.Nested))
		return
	}
	runs := s.admit(in)
	c.mu.Unlock()
	if runs {
		t.workers.run(in)
	}
}

// list puts a session on the waiting list of the limit on all sessions' calls.
func (w *workers) list(s *Session) {
	w.mu.Lock()
	w.waiting = append(w.waiting, s)
	w.mu.Unlock()
}

// admit counts a call as running and reports whether it may run now, or waits
// for its turn. callee.mu is held, so that calls enter a turn in order.
func (s *Session) admit(in *Incoming) bool {
	s.callee.running++
	s.transport.workers.total.Add(1)
	if in.perCaller {
		in.turn = s.callee.turnOf(in.Header.Object)
	}
	return in.turn == nil || in.turn.enter(in)
}

// admitQueued hands out queued calls while there is room. If keep is true it
// returns one of them to be served by the caller.
func (s *Session) admitQueued(keep bool) (kept *Incoming) {
	t, c := s.transport, &s.callee
	c.mu.Lock()
	c.listed = false
	for c.queued > 0 && c.running < t.Limits.Handlers {
		if t.workers.total.Load() >= int64(t.Limits.HandlersTotal) {
			if !c.listed {
				c.listed = true
				defer t.workers.list(s)
			}
			break
		}
		in := c.pop()
		switch {
		case !s.admit(in):
		case keep && kept == nil:
			kept = in
		default:
			defer t.workers.run(in)
		}
	}
	c.mu.Unlock()
	return kept
}

// refuse answers a call that is not served. It neither waits nor writes.
func (s *Session) refuse(in *Incoming, why *fault.Error) {
	in.dropTable()
	r := refused(why, in.uncounted && s.resumable)
	l, _ := s.callee.answered(in, &r)
	h := wire.ReturnHeader{Slot: in.Header.Slot, Seq: in.Header.Seq, Payload: r.payload}
	in.recycle()
	s.changed.send()
	if l == nil {
		return
	}
	if err := l.out.fromReader(func(b []byte) []byte { return r.append(b, &h) }); err != nil {
		s.end(err)
	}
}

// dropTable has the references counted of a call that nobody will decode.
func (in *Incoming) dropTable() {
	t := in.Session.transport
	if n := in.Header.Payload.References; n > 0 && !in.uncounted && t.OnTable != nil {
		table := in.payload
		if in.asm != nil {
			table, _ = in.asm.counted()
		}
		t.OnTable(in.Session, n, table[:in.Header.Payload.Table])
	}
}
