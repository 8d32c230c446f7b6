package callback

import (
	"context"
	"errors"
	"time"

	"gormi/rmi"
	"gormi/rmi/backoff"
	"gormi/rmi/fault"
)

const (
	// firstPause and lastPause bound the pause between attempts to resume.
	firstPause = 20 * time.Millisecond
	lastPause  = 2 * time.Second
	// firstTimeout and resumeTimeout bound one attempt.
	firstTimeout  = 30 * time.Second
	resumeTimeout = 5 * time.Second
	// quickTries is how often a new subscription is tried if its connection breaks meanwhile.
	quickTries = 3
	// leaveTries is how often an owner is told that a subscription is over. If it
	// cannot be told, the subscription lasts as long as the connection.
	leaveTries = 3
)

// attempts are the pauses between attempts to resume, or to find a source.
var attempts = backoff.Policy{Min: firstPause, Max: lastPause, Jitter: 1.0 / 3}

// work makes the feed's requests, one at a time, until there is nothing to do.
func (f *feed[E]) work() {
	failures := 0
	for {
		s := f.lock()
		t := s.task()
		f.mu.Unlock()
		switch {
		case t.done:
			return
		case t.request != nil:
			err := f.request(t.request)
			if err == nil {
				failures = 0
				continue
			}
			failures++
			again, advanced := f.failed(t.request, err, failures)
			if advanced {
				failures = 1
			}
			if again {
				f.pause(failures)
			}
		case len(t.leaving) > 0:
			f.unsubscribe(t.src, t.leaving)
		case f.finish():
			return
		}
	}
}

// task is what work does next. The zero task is to finish, if nobody joins meanwhile.
type task[E any] struct {
	done    bool // work has ended
	request *request[E]
	leaving []subID // to be unsubscribed at src
	src     Source[E]
}

// task takes the next task.
func (f *feedState[E]) task() (t task[E]) {
	switch {
	case f.over:
		t.done = true
	case f.hub.ctx.Err() != nil:
		f.fail(f.all(), errNodeClosed)
	case f.lost && len(f.joined) > 0 || len(f.joining) > 0:
		t.request = f.next()
	case len(f.leaving) > 0:
		t.leaving, t.src = f.leaving, f.src
		f.leaving = nil
	case len(f.joined) == 0:
	default:
		f.working, t.done = false, true
	}
	return t
}

// finish takes the feed out of the hub, unless somebody joined meanwhile.
func (f *feed[E]) finish() bool {
	h := f.hub.lock()
	s := f.lock()
	over := s.finish()
	if over && h.feeds[f.key] == any(f) {
		delete(h.feeds, f.key)
	}
	f.mu.Unlock()
	f.hub.mu.Unlock()
	if over {
		f.stop()
	}
	return over
}

func (f *feedState[E]) finish() bool {
	if len(f.joined)+len(f.joining)+len(f.leaving) > 0 && f.hub.ctx.Err() == nil {
		return false
	}
	if len(f.joining) > 0 {
		f.fail(f.all(), errNodeClosed)
	}
	f.over, f.working = true, false
	return true
}

var errNodeClosed = fault.Add(fault.New(fault.KindClosed, fault.OutcomeUnknown, "the node is closed"), fault.Op("subscribe"))

// next makes the next request: first for members that lost their connection, then for those that
// join, as many as begin alike.
func (f *feedState[E]) next() *request[E] {
	f.tokens++
	b := &request[E]{token: f.tokens, joined: make(chan struct{}), rejected: make(chan struct{})}
	if f.lost && len(f.joined) > 0 {
		b.resume, b.patient = true, true
		b.members, f.joined, f.lost = f.joined, nil, false
	} else {
		f.lost = false
		first := f.joining[0]
		b.patient, b.waits = first.begun(), first.waits
		var rest []*member[E]
		for _, m := range f.joining {
			if m.start == first.start && m.seq == first.seq && m.epoch == first.epoch &&
				m.begun() == b.patient && m.waits == b.waits && len(b.members) < maxBatch {
				b.members = append(b.members, m)
			} else {
				rest = append(rest, m)
			}
		}
		f.joining = rest
	}
	f.batch = b
	return b
}

// maxBatch bounds the subscriptions that one request opens.
const maxBatch = 4096

// request makes a request and waits until its members joined.
func (f *feed[E]) request(b *request[E]) error {
	bound := firstTimeout
	if b.resume {
		bound = resumeTimeout
	}
	ctx, cancel := context.WithTimeout(f.hub.ctx, bound)
	defer cancel()
	f.calling(cancel)
	defer f.calling(nil)
	src, err := f.source(ctx)
	if err != nil {
		return err
	}
	if (b.patient || b.waits) && f.find != nil && detached(src) {
		return errDetached
	}
	r := subscribeRequest{
		Receiver: f.id, Token: b.token, Resume: b.resume,
		Match: f.key.ask.match, Queue: f.key.ask.queue, Policy: f.key.ask.policy, Snapshot: f.key.ask.snapshot,
	}
	for _, m := range b.members {
		r.Subs = append(r.Subs, m.id)
	}
	f.begins(b, &r)
	g, err := src.Subscribe(ctx, r)
	if err != nil && f.gaveUp() {
		return errUnconfirmed
	}
	if err != nil {
		f.forget()
		if errors.Is(err, ErrClosed) {
			return during("subscribe", ErrClosed)
		}
		return peerError(err)
	}
	var gone <-chan struct{}
	p := f.hub.node.Port().Multicast().Peer(g.Node)
	if p == nil || p.Connection() != g.Session {
		p = nil // over already; but its packets may have come
	} else {
		gone = p.Done()
	}
	if p != nil {
		select {
		case <-b.joined:
			return nil
		case <-b.rejected:
		case <-gone:
		case <-f.hub.ctx.Done():
			return f.hub.ctx.Err()
		}
	}
	select {
	case <-b.joined:
		return nil
	default:
		return errUnconfirmed
	}
}

// calling notes how to cancel the call of the request in flight, nil if there is none.
func (f *feed[E]) calling(cancel context.CancelFunc) {
	s := f.lock()
	defer f.mu.Unlock()
	s.cancel, s.abandoned = cancel, false
}

// gaveUp reports whether the call in flight was cancelled because its connection is lost.
func (f *feed[E]) gaveUp() bool {
	s := f.lock()
	defer f.mu.Unlock()
	return s.abandoned
}

// begins says where the events of a request begin.
func (f *feed[E]) begins(b *request[E], r *subscribeRequest) {
	s := f.lock()
	defer f.mu.Unlock()
	r.Start, r.Seq, r.Epoch = b.members[0].start, b.members[0].seq, b.members[0].epoch
	if b.resume {
		r.Start, r.Seq, r.Epoch = StartFromSeq, s.last+1, s.epoch
	}
}

// errDetached is why a source that has a name is not asked now: a call would wait for the
// connection with an owner that may have been replaced.
var errDetached = fault.Add(fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the connection with the owner is lost"), fault.Op("subscribe"))

// detached reports whether the connection with a source's owner is lost.
func detached[E any](src Source[E]) bool {
	r, ok := rmi.RefOf(src)
	if !ok {
		return false
	}
	n, _ := rmi.NodeOf(src)
	p := n.Port().Multicast().Peer(r.ID.Node)
	return p != nil && p.Detached()
}

// source returns the source. It finds it the first time, after an attempt that failed, and while
// the owner is detached. If it cannot be found, what was known stays: the owner may be back before
// the registry.
func (f *feed[E]) source(ctx context.Context) (Source[E], error) {
	src := f.known()
	if f.find == nil || src != nil && !detached(src) {
		return src, nil
	}
	src, err := f.find(ctx)
	if n, _ := rmi.NodeOf(src); err == nil && n != f.hub.node {
		err = invalid("subscribe", "the source that was found again is no proxy of the same node")
	}
	if err != nil {
		return nil, err
	}
	s := f.lock()
	defer f.mu.Unlock()
	s.src = src
	return src, nil
}

// known is the source that was found last, nil if it is to be found again.
func (f *feed[E]) known() Source[E] {
	s := f.lock()
	defer f.mu.Unlock()
	return s.src
}

// forget makes source find the source again: what is known did not serve.
func (f *feed[E]) forget() {
	s := f.lock()
	defer f.mu.Unlock()
	if f.find != nil {
		s.src = nil
	}
}

// failed puts the members of a request that failed back, or ends them. It reports whether to try
// again, and whether a part of what they asked for came.
func (f *feed[E]) failed(b *request[E], err error, failures int) (again, advanced bool) {
	s := f.lock()
	defer f.mu.Unlock()
	return s.failed(b, err, failures)
}

func (f *feedState[E]) failed(b *request[E], err error, failures int) (again, advanced bool) {
	if f.batch != b {
		return false, false // they joined after all, or it is their end
	}
	f.batch = nil
	advanced = f.advance(b)
	if f.peer != nil && len(f.joined) == 0 && f.peer.Err() != nil {
		f.peer, f.private, f.to = nil, false, nil // what it still has to say is for nobody
	}
	var members []*member[E]
	for _, m := range b.members {
		if !m.left {
			members = append(members, m)
		}
	}
	if b.repeat(err, f.find != nil, failures) {
		if b.resume {
			f.joined = append(f.joined, members...)
			f.lost = len(f.joined) > 0
		} else {
			f.joining = append(members, f.joining...)
		}
		return true, advanced
	}
	f.fail(members, err)
	for _, m := range members {
		if f.peer != nil && rmi.OutcomeOf(err) == rmi.OutcomeUnknown {
			f.leaving = append(f.leaving, m.id) // the owner may have it
		}
	}
	return false, advanced
}

// repeat reports whether a request that failed with err is made again. The first request of a
// subscription fails fast, unless it waits for its source. Once events came, it waits for the
// owner.
func (b *request[E]) repeat(err error, finds bool, failures int) bool {
	if errors.Is(err, errUnconfirmed) {
		return true
	}
	switch kind := rmi.KindOf(err); {
	case !b.patient && b.waits:
		return notUp(err)
	case !b.patient:
		return kind == rmi.KindPeerGone && failures < quickTries
	case kind == rmi.KindPeerGone, kind == rmi.KindConnectFailed, kind == rmi.KindOverloaded, kind == rmi.KindDeadline, kind == rmi.KindCancelled:
		return true
	case kind == rmi.KindNotBound, kind == rmi.KindNoSuchObject, kind == rmi.KindStaleReference, kind == rmi.KindDenied, kind == rmi.KindProtocol:
		return finds
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// notUp reports whether an attempt to find or to reach a source failed because the source is not
// up, or not yet.
func notUp(err error) bool {
	switch rmi.KindOf(err) {
	case rmi.KindNotBound, rmi.KindConnectFailed, rmi.KindPeerGone, rmi.KindNoSuchObject, rmi.KindStaleReference, rmi.KindDeadline:
		return true
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// pause waits before the next attempt.
func (f *feed[E]) pause(failures int) {
	timer := time.NewTimer(attempts.Delay(failures))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.wake:
	case <-f.hub.ctx.Done():
	}
}

// unsubscribe tells the owner that subscriptions are over.
func (f *feed[E]) unsubscribe(src Source[E], subs []subID) {
	for i := range leaveTries {
		s := f.lock()
		p := s.peer
		f.mu.Unlock()
		if p == nil || src == nil {
			return // they ended with the connection
		}
		ctx, cancel := context.WithTimeout(f.hub.ctx, 10*time.Second)
		unhook := p.OnEnd(cancel)
		err := src.Unsubscribe(ctx, f.id, subs)
		unhook()
		cancel()
		if err == nil || f.hub.ctx.Err() != nil {
			return
		}
		f.pause(i + 1)
	}
}
