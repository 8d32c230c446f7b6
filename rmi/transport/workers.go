package transport

import (
	"slices"
	"sync"

	"gormi/rmi/audit"
	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// workers are the goroutines on which calls are served. An idle one waits for the next call.
// The last to become idle is the first to get one. Those that were not needed for a while end.
type workers struct {
	handler Handler
	limits  *Limits

	// Calls handed out and not served, of all accounts: those of depth 0, and the others.
	handlers, nested use

	mu guard.Mutex[lockedWorkers]
	wg sync.WaitGroup
}

// lockedWorkers is the state of workers.
type lockedWorkers struct {
	idle     []chan *Incoming // capacity 1 each
	least    int              // fewest idle ones since the last trim: so many were not needed
	waiting  []*account       // that have sessions in waiting, each once (lockedInbound.listed), in turn
	draining bool
}

// run serves in on an idle worker or a new one.
func (w *workers) run(in *Incoming) {
	st := w.mu.Lock()
	ch := st.take()
	w.mu.Unlock()
	if ch != nil {
		ch <- in
		return
	}
	w.wg.Add(1)
	go w.loop(in)
}

// take returns the channel of the worker that became idle last, or nil.
func (w *lockedWorkers) take() (ch chan *Incoming) {
	if n := len(w.idle); n > 0 {
		ch, w.idle = w.idle[n-1], w.idle[:n-1]
		w.least = min(w.least, n-1)
	}
	return ch
}

func (w *workers) loop(in *Incoming) {
	defer w.wg.Done()
	ch := make(chan *Incoming, 1)
	for in != nil {
		for in != nil {
			in = w.serve(in)
		}
		st := w.mu.Lock()
		draining := st.draining
		if !draining {
			st.idle = append(st.idle, ch)
		}
		w.mu.Unlock()
		if draining {
			return
		}
		in = <-ch
	}
}

// serve serves one call and returns the next for this goroutine, or nil.
func (w *workers) serve(in *Incoming) *Incoming {
	if err := in.late(); err != nil {
		in.dropTable()
		in.Fail(notSent(err))
	} else {
		in.join()
		w.handle(in)
	}
	return w.finish(in)
}

// late is why the call is not served after all, or nil.
func (in *Incoming) late() error {
	if in.waited || in.asm != nil { // in.asm: for its fragments
		return in.ctx.Err()
	}
	return in.ctx.ended() // its deadline has just been counted from now
}

// handle answers the call by the handler. A method may end its goroutine (runtime.Goexit, which
// a test's FailNow calls). Then the call, and this worker, end here.
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
	guard.NoneHeld()
	w.handler.Serve(in)
	returned = true
	if !in.answered {
		in.Fail(fault.New(fault.KindInternal, fault.OutcomeUnknown, "the call was not answered"))
	}
}

// finish no longer counts an answered call, and returns the next for this goroutine, or nil.
func (w *workers) finish(in *Incoming) *Incoming {
	s := in.Session
	var next *Incoming
	if in.turn != nil {
		next = in.turn.leave(in)
	}
	s.account.served(w, in.Header.Depth)
	in.recycle()
	if in := s.admitQueued(next == nil, 1); in != nil {
		next = in
	}
	if in := w.admitListed(next == nil); in != nil {
		next = in
	}
	return next
}

// admitListed admits calls of sessions that wait for the limit on all sessions' calls, while
// there is room. If keep is true, it returns one of them for the caller to serve.
func (w *workers) admitListed(keep bool) (mine *Incoming) {
	for s := w.unlist(); s != nil; s = w.unlist() {
		if in := s.admitQueued(keep && mine == nil, 0); in != nil {
			mine = in
		}
	}
	return mine
}

// unlist takes a session off the waiting list if there is room for a call of its. The accounts
// that have room take turns.
func (w *workers) unlist() *Session {
	st := w.mu.Lock()
	defer w.mu.Unlock()
	if len(st.waiting) == 0 || w.handlers.now() >= int64(w.limits.HandlersTotal) {
		return nil
	}
	i := slices.IndexFunc(st.waiting, func(a *account) bool { return a.handlers.now() < w.limits.share(w.limits.HandlersTotal) })
	if i < 0 {
		return nil
	}
	a := st.waiting[i]
	st.waiting = slices.Delete(st.waiting, i, i+1)
	s := a.waiting[0]
	if a.waiting = a.waiting[1:]; len(a.waiting) > 0 {
		st.waiting = append(st.waiting, a)
	}
	return s
}

// serving counts the calls that are being served.
func (w *workers) serving() int64 { return w.handlers.now() + w.nested.now() }

// begin counts a call as being served, if there is room for it.
func (a *account) begin(w *workers, depth uint8) bool {
	if depth > 0 {
		return both(&w.nested, int64(w.limits.NestedTotal), &a.nested, w.limits.share(w.limits.NestedTotal), 1)
	}
	return both(&w.handlers, int64(w.limits.HandlersTotal), &a.handlers, w.limits.share(w.limits.HandlersTotal), 1)
}

// served ends what begin began.
func (a *account) served(w *workers, depth uint8) {
	if depth > 0 {
		w.nested.add(-1)
		a.nested.add(-1)
		return
	}
	w.handlers.add(-1)
	a.handlers.add(-1)
}

// trim ends the workers that were not needed since the last trim.
func (w *workers) trim() {
	st := w.mu.Lock()
	defer w.mu.Unlock()
	n := min(st.least, len(st.idle))
	for _, ch := range st.idle[:n] {
		ch <- nil
	}
	st.idle = append(st.idle[:0], st.idle[n:]...)
	st.least = len(st.idle)
}

// drain ends the idle workers, and the others when their calls are done.
func (w *workers) drain() {
	st := w.mu.Lock()
	defer w.mu.Unlock()
	st.draining = true
	for _, ch := range st.idle {
		ch <- nil
	}
	st.idle = nil
}

// arrive handles a call whose payload is complete. It runs on the reading goroutine.
func (s *Session) arrive(l *Link, in *Incoming) {
	if in.refused != nil {
		s.refuse(in, in.refused)
		return
	}
	t := s.transport
	if !t.calls.allow(s.account.key) {
		s.refuse(in, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "more than %d calls a second from one principal, or from one address (Options.Limits.CallRate)", t.Limits.CallRate))
		return
	}
	guard.NoneHeld()
	threading, turn := t.Handler.Route(in)
	in.turn, in.perCaller = turn, threading == ThreadingPerConnection
	if l.lossy && (in.perCaller || turn != nil) && l.order.early(in.number) {
		s.hold(in)
		return
	}
	s.let(in)
}

// let serves a call that need not be held back, queues it, or refuses it.
func (s *Session) let(in *Incoming) {
	st := s.inbound.mu.Lock()
	what, why := st.let(in)
	s.inbound.mu.Unlock()
	switch what {
	case runs:
		s.transport.workers.run(in)
	case waitsListed:
		s.transport.workers.list(s)
		s.transport.workers.admitListed(false) // the last call of another session may have ended just before
	case isRefused:
		s.refuse(in, why)
	case isDropped:
		in.recycle()
	}
}

// verdict is what let decides for a call.
type verdict uint8

const (
	runs        verdict = iota
	waits               // in the queue, or for its turn
	waitsListed         // in the queue, and its session is to be listed
	isRefused
	isDropped // the session is over
)

// let admits a call, queues it, or says why it must be refused.
func (c *lockedInbound) let(in *Incoming) (verdict, *fault.Error) {
	t := c.session.transport
	if c.over {
		c.slotOf(in).in = nil // in is about to be recycled
		return isDropped, nil
	}
	if in.Header.Depth == 0 && (c.queued > 0 || c.running >= t.Limits.Handlers || !c.session.account.begin(&t.workers, 0)) {
		if c.queued >= t.Limits.Queue || c.bytes+in.size() > t.Limits.Assembly {
			return isRefused, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "no handler is free (Options.Limits.Handlers, HandlersTotal, Share), and %d calls of this peer (Queue) or %d bytes of their arguments (Assembly) wait already", t.Limits.Queue, t.Limits.Assembly)
		}
		c.push(in)
		if c.running == 0 && !c.listed { // no call of this session runs whose end would admit it
			c.listed = true
			return waitsListed, nil
		}
		return waits, nil
	}
	if c.running >= t.Limits.Handlers+t.Limits.Nested { // whatever depth the peer claims
		return isRefused, fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
			"%d calls of this peer are being served, nested ones included (Options.Limits.Handlers and Nested), and a nested call does not wait", t.Limits.Handlers+t.Limits.Nested)
	}
	if in.Header.Depth > 0 && !c.session.account.begin(&t.workers, in.Header.Depth) {
		return isRefused, t.crowded(fault.OutcomeNotExecuted, "too many nested calls are being served, and a nested call does not wait", "NestedTotal", t.Limits.NestedTotal)
	}
	if c.admit(in) {
		return runs, nil
	}
	return waits, nil
}

// list adds a session to those that wait for the limit on all sessions' calls.
func (w *workers) list(s *Session) {
	st := w.mu.Lock()
	defer w.mu.Unlock()
	a := s.account
	if a.waiting = append(a.waiting, s); len(a.waiting) == 1 {
		st.waiting = append(st.waiting, a)
	}
}

// admit counts a call as running, for which account.begin found room, and reports whether
// it may run now, or waits for its turn. Calls enter a turn in the order in which they are
// admitted.
func (c *lockedInbound) admit(in *Incoming) bool {
	c.running++
	if in.perCaller {
		in.turn = c.turnOf(in.Header.Object)
	}
	return in.turn == nil || in.turn.enter(in)
}

// admitQueued admits queued calls while there is room. If keep is true, it returns one of them
// for the caller to serve. ended is how many calls of the session have ended.
func (s *Session) admitQueued(keep bool, ended int) (mine *Incoming) {
	st := s.inbound.mu.Lock()
	st.running -= ended
	more, list := st.admitQueued()
	s.inbound.mu.Unlock()
	if ended > 0 {
		s.changed.send()
	}
	if list {
		s.transport.workers.list(s)
	}
	for more != nil {
		in := more
		more, in.next = in.next, nil
		if keep && mine == nil {
			mine = in
		} else {
			s.transport.workers.run(in)
		}
	}
	return mine
}

// admitQueued admits queued calls while there is room. It returns the first of those that
// may run now; the others follow as next. list says that the session is to be listed.
func (c *lockedInbound) admitQueued() (first *Incoming, list bool) {
	t := c.session.transport
	c.listed = false
	end := &first
	for c.queued > 0 && c.running < t.Limits.Handlers {
		if !c.session.account.begin(&t.workers, 0) {
			c.listed = true
			return first, true
		}
		if in := c.pop(); c.admit(in) {
			*end, end = in, &in.next
		}
	}
	return first, false
}

// refuse answers a call that is not served. It neither waits nor writes.
func (s *Session) refuse(in *Incoming, why *fault.Error) {
	if why.Kind == fault.KindOverloaded {
		s.noteOf(audit.QuotaExceeded, why)
	}
	in.dropTable()
	r := refused(why, in.uncounted && s.resumable)
	l, _ := s.inbound.answered(in, &r)
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

// dropTable counts the references of a call that nobody will decode.
func (in *Incoming) dropTable() {
	t := in.Session.transport
	if n := in.Header.Payload.References; n > 0 && !in.uncounted && t.OnTable != nil {
		table := in.payload
		if in.asm != nil {
			table, _ = in.asm.counted()
		}
		guard.NoneHeld()
		t.OnTable(in.Session, n, table[:in.Header.Payload.Table])
	}
}
