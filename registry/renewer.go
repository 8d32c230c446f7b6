package registry

import (
	"context"
	"iter"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/backoff"
	"gormi/rmi/fault"
)

const (
	// renewEvery is how often leases are renewed. A lease shorter than four times this is renewed
	// when a quarter of it is over.
	renewEvery    = 5 * time.Second
	minRenewEvery = minLease / 4

	// renewTimeout bounds one call of the renewer, and maxRetryPause is the longest pause after one
	// that failed. They are chosen so that a registry that is back is found within 10 s. Package
	// rmi knows at once that the registry's process ended. That a network is back it knows by
	// dials, which are at most 7.5 s apart.
	renewTimeout  = 5 * time.Second
	maxRetryPause = 2 * time.Second
)

// renewer keeps the names that a node bound at one registry. It renews all their leases in one
// call, or a few. It binds names again that the registry does not know any more, because they
// lapsed while it could not be reached, or because it was restarted.
//
// Its goroutine begins with the first binding and ends when the node begins to close. The node's
// hook waits for it, and then unbinds what is bound.
type renewer struct {
	node     *rmi.Node
	url      string // of the registry
	registry Registry

	// turn is a lock, taken by sending. The goroutine holds it while it calls the registry.
	turn chan struct{}
	// wake has room for one: it tells the goroutine that the next renewal may be due sooner.
	wake chan struct{}

	mu    sync.Mutex   // taken before a Binding's
	state renewerState // guarded by mu; reached by lock alone

	running sync.WaitGroup // the goroutine
	failing bool           // the last round failed; the goroutine's own
}

// renewerState is what the lock of a renewer guards. Its methods need that lock.
type renewerState struct {
	bindings map[*Binding]struct{}
	stop     context.CancelFunc // ends the goroutine; nil while there is none
	ended    bool
	every    time.Duration // between renewals; 0 if there is nothing to renew
}

// lock returns the state, which the caller may use until it unlocks mu.
func (r *renewer) lock() *renewerState {
	r.mu.Lock()
	return &r.state
}

// renewers are a node's, by the registry's address.
type renewers struct {
	mu    sync.Mutex
	state map[refs.Endpoint]*renewer // guarded by mu; reached by lock alone
}

// lock returns the renewers, which the caller may use until it unlocks mu.
func (r *renewers) lock() map[refs.Endpoint]*renewer {
	r.mu.Lock()
	return r.state
}

type renewersKey struct{}

func renewerOf(n *rmi.Node, u URL, registry Registry) *renewer {
	all := n.Port().Attachment(renewersKey{}, func() any { return &renewers{state: make(map[refs.Endpoint]*renewer)} }).(*renewers)
	r := all.lock()[u.Endpoint]
	all.mu.Unlock()
	if r != nil {
		return r
	}
	fresh := &renewer{
		node: n, url: URL{Endpoint: u.Endpoint}.String(), registry: registry,
		turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), state: renewerState{bindings: make(map[*Binding]struct{})},
	}
	unhook := n.Port().BeforeClose(fresh.close) // before others can find it: what they bind is unbound then
	at := all.lock()
	if r = at[u.Endpoint]; r == nil {
		r = fresh
		at[u.Endpoint] = r
	}
	all.mu.Unlock()
	if r != fresh {
		unhook()
	}
	return r
}

// add registers a binding that is about to be made.
func (r *renewer) add(b *Binding) error {
	closing := r.node.Context().Err() != nil
	s := r.lock()
	defer r.mu.Unlock()
	if s.ended || closing {
		return fault.New(fault.KindClosed, fault.OutcomeNotExecuted, "the node is being closed")
	}
	s.bindings[b] = struct{}{}
	if s.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		s.stop = stop
		r.running.Go(func() { r.run(ctx) })
	}
	return nil
}

func (r *renewer) drop(b *Binding) {
	s := r.lock()
	defer r.mu.Unlock()
	delete(s.bindings, b)
}

// attend tells the goroutine of a binding that was made. lease is 0 if it is not to be renewed.
func (r *renewer) attend(lease time.Duration) {
	if lease == 0 {
		return
	}
	r.lock().renewed(lease)
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// renewed makes renewals frequent enough for a lease.
func (r *renewerState) renewed(lease time.Duration) {
	if every := interval(lease); r.every == 0 || every < r.every {
		r.every = every
	}
}

// interval is how often a lease is renewed.
func interval(lease time.Duration) time.Duration {
	return max(min(lease/4, renewEvery), minRenewEvery)
}

// run renews until ctx ends.
func (r *renewer) run(ctx context.Context) {
	// The first renewal comes at a random time within the interval, so that programs that were
	// started together do not renew together.
	jitter := 1.0
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var due time.Time // of the timer; zero if nothing is to be renewed
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
		case <-timer.C:
			if !due.IsZero() {
				r.round(ctx)
				due = time.Time{}
				if jitter = 0.2; r.failing {
					jitter = 0.8
				}
			}
		}
		every := r.lock().every
		r.mu.Unlock()
		if every == 0 {
			continue
		}
		if r.failing {
			every = min(every, maxRetryPause)
		}
		if due.IsZero() || time.Until(due) > every {
			pause := backoff.Jitter(every, jitter)
			due = time.Now().Add(pause)
			timer.Reset(pause)
		}
	}
}

// round renews all leases once, and binds again what the registry lost.
func (r *renewer) round(ctx context.Context) {
	select {
	case r.turn <- struct{}{}:
		defer func() { <-r.turn }()
	case <-ctx.Done():
		return
	}
	held, again := r.collect()
	lapsed, err := r.renew(ctx, held)
	made := 0
	if again = append(again, lapsed...); err == nil && len(again) > 0 {
		made, err = r.remake(ctx, again)
	}
	switch log := r.node.Logger(); {
	case ctx.Err() != nil:
	case err != nil && !r.failing:
		r.failing = true
		log.Warn("bindings could not be renewed; this goes on", "registry", r.url, "names", len(held)+len(again), "err", during("renew", r.url, err))
	case err == nil:
		if r.failing || made > 0 {
			log.Info("bindings are renewed again", "registry", r.url, "names", len(held), "made_again", made)
		}
		r.failing = false
	}
}

// task is a binding, what to ask the registry for it, and its state at that time.
type task struct {
	b    *Binding
	held Held
	bindingState
}

func (b *Binding) task() task {
	s := b.lock()
	defer b.mu.Unlock()
	return task{b, Held{b.claim.Name, s.revision}, *s}
}

// collect returns what to renew, and what to claim again because the last claim may have been
// granted. It sets how often to renew.
func (r *renewer) collect() (held, again []task) {
	s := r.lock()
	defer r.mu.Unlock()
	s.every = 0
	for b := range s.bindings {
		t := b.task()
		switch {
		case !t.leased, t.closing:
			continue
		case t.unsure:
			again = append(again, t)
		default:
			held = append(held, t)
		}
		s.renewed(t.lease)
	}
	return held, again
}

// renew renews leases and returns those that the registry does not know. It ends bindings whose
// name somebody took or unbound.
func (r *renewer) renew(ctx context.Context, held []task) (lapsed []task, err error) {
	for tasks := range batches(held, task.size) {
		names := make([]Held, len(tasks))
		for i, t := range tasks {
			names[i] = t.held
		}
		lost, err := call(ctx, r.registry.Renew, names)
		if err != nil {
			return lapsed, err
		}
		for _, l := range lost {
			switch {
			case l.Index < 0 || l.Index >= len(tasks):
				return lapsed, nonsense()
			case l.Now == 0 && !l.Unbound:
				lapsed = append(lapsed, tasks[l.Index])
			default:
				tasks[l.Index].b.lose(l.reason())
			}
		}
	}
	return lapsed, nil
}

// remake claims names that were lost, and returns how many were granted.
func (r *renewer) remake(ctx context.Context, tasks []task) (made int, err error) {
	for tasks := range batches(tasks, task.claimSize) {
		claims := make([]Claim, len(tasks))
		for i, t := range tasks {
			claims[i] = t.b.claim
			claims[i].Held = t.held.Revision
		}
		grants, err := call(ctx, r.acquire, claims)
		for i, t := range tasks {
			switch {
			case err != nil:
				t.b.lock().unanswered(err)
				t.b.mu.Unlock()
			case grants[i].Refused == nil:
				t.b.lock().granted(grants[i])
				t.b.mu.Unlock()
				made++
			case rmi.KindOf(grants[i].Refused) != rmi.KindOverloaded: // who has no room now may have it later
				t.b.lose(grants[i].Refused)
			}
		}
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// acquire calls Registry.Acquire and checks its answer.
func (r *renewer) acquire(ctx context.Context, claims []Claim) ([]Grant, error) {
	grants, err := r.registry.Acquire(ctx, claims)
	if err != nil {
		return nil, err
	}
	if len(grants) != len(claims) {
		return nil, nonsense()
	}
	for _, g := range grants {
		if g.Refused == nil && (g.Revision == 0 || g.Lease <= 0) {
			return nil, nonsense()
		}
	}
	return grants, nil
}

func nonsense() error {
	return fault.New(fault.KindProtocol, fault.OutcomeExecuted, "W-155: the registry's answer makes no sense")
}

// goodbye bounds how long a node that closes waits for a registry to unbind its names. If the
// registry does not answer, the leases lapse.
const goodbye = 2 * time.Second

// close unbinds everything: the node is about to close.
func (r *renewer) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	s := r.lock()
	s.ended = true
	stop := s.stop
	var ours []*Binding // others are being closed
	for b := range s.bindings {
		if b.begin() {
			ours = append(ours, b)
		}
	}
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
	r.running.Wait()
	var held []task
	var each sync.WaitGroup
	const why = "the node was closed"
	for _, b := range ours {
		b.settle(ctx)
		t := b.task()
		switch {
		case t.bound && t.leased && !t.unsure:
			held = append(held, t)
		case b.stays:
			b.end(closed(why + "; the name stays bound"))
		default:
			each.Go(func() { b.end(b.unbind(ctx, why)) })
		}
	}
	for tasks := range batches(held, task.size) {
		each.Go(func() { r.releaseAll(ctx, tasks, why) })
	}
	each.Wait()
}

// releaseAll releases names that fit into one call, and ends their bindings.
func (r *renewer) releaseAll(ctx context.Context, tasks []task, why string) {
	names := make([]Held, len(tasks))
	for i, t := range tasks {
		names[i] = t.held
	}
	lost, err := r.release(ctx, names)
	reasons := make([]error, len(tasks))
	for _, l := range lost {
		if l.Index >= 0 && l.Index < len(tasks) {
			reasons[l.Index] = l.reason()
		}
	}
	for i, t := range tasks {
		switch {
		case err != nil:
			t.b.end(err)
		case reasons[i] != nil:
			t.b.end(reasons[i])
		default:
			t.b.end(closed(why))
		}
	}
}

// release calls Registry.Release. The connection may be to a registry that was restarted just now,
// so it tries another connection too.
func (r *renewer) release(ctx context.Context, held []Held) ([]Lost, error) {
	lost, err := r.registry.Release(ctx, held)
	if rmi.KindOf(err) == rmi.KindPeerGone {
		lost, err = r.registry.Release(ctx, held)
	}
	return lost, err
}

// call calls a method of the registry, at most for renewTimeout. Every method that it is used for
// can be repeated. It repeats the call because the session may be over and another registry be
// there now.
func call[A, R any](ctx context.Context, method func(context.Context, []A) ([]R, error), args []A) ([]R, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	r, err := method(ctx, args)
	if rmi.KindOf(err) == rmi.KindPeerGone {
		r, err = method(ctx, args)
	}
	return r, err
}

// maxBatchBytes is how many bytes of names and descriptions go into one call, with what MessagePack
// adds. A call must fit into MaxMessage.
const maxBatchBytes = MaxMessage - 2<<10

// size is an upper bound of a Held's size in MessagePack.
func (t task) size() int { return 32 + len(t.held.Name) }

// claimSize is an upper bound of a Claim's size.
func (t task) claimSize() int { return 128 + len(t.held.Name) + len(t.b.claim.Entry.Description) }

// batches splits a list into parts that each fit into one call.
func batches(all []task, size func(task) int) iter.Seq[[]task] {
	return func(yield func([]task) bool) {
		for len(all) > 0 {
			n, bytes := 0, 0
			for n < len(all) && n < MaxBatch {
				if bytes += size(all[n]); bytes > maxBatchBytes && n > 0 {
					break
				}
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}
