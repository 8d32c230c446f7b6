package registry

import (
	"context"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

const (
	// renewEvery is how often leases are renewed; those below four times this are
	// renewed when a quarter of them is over.
	renewEvery    = 5 * time.Second
	minRenewEvery = minLease / 4

	// renewTimeout bounds one call of the renewer, and maxRetryPause is the longest
	// pause after one that failed. A registry that is there again is to be found
	// within 10 s. That its process ended rmi knows at once; that a network is there
	// again, by dials that are 7.5 s apart at most.
	renewTimeout  = 5 * time.Second
	maxRetryPause = 2 * time.Second
)

// renewer keeps the names that a node bound at one registry. It renews all their
// leases in one call, or a few, and makes those again that the registry does not
// know any more, because they lapsed while it could not be reached, or because
// it was restarted.
//
// Its goroutine begins with the first binding and ends when the node begins to
// close; the node's hook waits for it, and then unbinds what is bound.
type renewer struct {
	node     *rmi.Node
	url      string // of the registry
	registry Registry
	older    sync.Once // the log says that the registry knows no leases

	// turn is held, by sending, while the goroutine speaks with the registry.
	turn chan struct{}
	// wake has room for one: the goroutine is to look when the next renewal is due.
	wake chan struct{}

	mu       sync.Mutex // guards the fields below; taken before a Binding's
	bindings map[*Binding]struct{}
	stop     context.CancelFunc // ends the goroutine; nil while there is none
	ended    bool
	every    time.Duration  // between renewals; 0 if there is nothing to renew
	running  sync.WaitGroup // the goroutine

	failing bool // the last round failed; the goroutine's own
}

// renewers are a node's, by where the registry is.
type renewers struct {
	mu sync.Mutex
	at map[refs.Endpoint]*renewer
}

type renewersKey struct{}

func renewerOf(n *rmi.Node, u URL, registry Registry) *renewer {
	all := n.Port().Attachment(renewersKey{}, func() any { return &renewers{at: make(map[refs.Endpoint]*renewer)} }).(*renewers)
	all.mu.Lock()
	defer all.mu.Unlock()
	r := all.at[u.Endpoint]
	if r == nil {
		r = &renewer{
			node: n, url: URL{Endpoint: u.Endpoint}.String(), registry: registry,
			turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), bindings: make(map[*Binding]struct{}),
		}
		all.at[u.Endpoint] = r
		n.Port().BeforeClose(r.close)
	}
	return r
}

// add has the renewer look after a binding that is about to be made.
func (r *renewer) add(b *Binding) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.node.Context().Err() != nil {
		return &rmi.Error{Kind: rmi.KindClosed, Outcome: rmi.OutcomeNotExecuted, Msg: "the node is being closed"}
	}
	r.bindings[b] = struct{}{}
	if r.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		r.stop = stop
		r.running.Go(func() { r.run(ctx) })
	}
	return nil
}

func (r *renewer) drop(b *Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bindings, b)
}

// attend has the goroutine take notice of a binding that was made; lease is 0 if
// it is not to be renewed.
func (r *renewer) attend(lease time.Duration) {
	if lease == 0 {
		return
	}
	r.mu.Lock()
	if every := interval(lease); r.every == 0 || every < r.every {
		r.every = every
	}
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// interval is how often a lease is renewed.
func interval(lease time.Duration) time.Duration {
	return max(min(lease/4, renewEvery), minRenewEvery)
}

func (r *renewer) knowsNoLeases() {
	r.older.Do(func() {
		r.node.Logger().Warn("the registry is of an older version, which knows no leases: what this node binds there stays bound if the node is killed, and is lost if the registry restarts",
			"registry", r.url)
	})
}

// run renews until ctx ends.
func (r *renewer) run(ctx context.Context) {
	// The first renewal comes at any time within the interval, so that those of
	// programs which were started together do not come together.
	least := 0.0
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
				if least = 0.8; r.failing {
					least = 0.2
				}
			}
		}
		r.mu.Lock()
		every := r.every
		r.mu.Unlock()
		if every == 0 {
			continue
		}
		if r.failing {
			every = min(every, maxRetryPause)
		}
		if due.IsZero() || time.Until(due) > every {
			pause := time.Duration(float64(every) * (least + (1-least)*rand.Float64()))
			due = time.Now().Add(pause)
			timer.Reset(pause)
		}
	}
}

// round renews all leases once, and makes again what the registry lost.
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
		log.Warn("bindings could not be renewed; this goes on", "registry", r.url, "names", len(held)+len(again), "err", failed("renew", r.url, err))
	case err == nil:
		if r.failing || made > 0 {
			log.Info("bindings are renewed again", "registry", r.url, "names", len(held), "made_again", made)
		}
		r.failing = false
	}
}

// task is a binding with what the registry is to be asked for it.
type task struct {
	b    *Binding
	held Held
}

// collect returns what is to be renewed, and what to be claimed again, for it is
// not known whether the last claim was granted. It sets how often.
func (r *renewer) collect() (held, again []task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.every = 0
	for b := range r.bindings {
		b.mu.Lock()
		t := task{b, Held{b.claim.Name, b.revision}}
		switch {
		case !b.leased, b.closing:
			b.mu.Unlock()
			continue
		case b.unsure:
			again = append(again, t)
		default:
			held = append(held, t)
		}
		if every := interval(b.lease); r.every == 0 || every < r.every {
			r.every = every
		}
		b.mu.Unlock()
	}
	return held, again
}

// renew renews leases and returns those that the registry does not know. What
// somebody took or unbound ends.
func (r *renewer) renew(ctx context.Context, held []task) (lapsed []task, err error) {
	for tasks := range batches(held, task.size) {
		names := make([]Held, len(tasks))
		for i, t := range tasks {
			names[i] = t.held
		}
		lost, err := call(ctx, r.registry.Renew, names)
		if rmi.KindOf(err) == rmi.KindNoSuchMethod { // an older registry serves here now
			lapsed = append(lapsed, tasks...)
			continue
		}
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

// remake claims names that were lost, and returns how many were given.
func (r *renewer) remake(ctx context.Context, tasks []task) (made int, err error) {
	for tasks := range batches(tasks, task.claimSize) {
		claims := make([]Claim, len(tasks))
		for i, t := range tasks {
			claims[i] = t.b.claim
			claims[i].Held = t.held.Revision
		}
		grants, err := call(ctx, r.acquire, claims)
		if rmi.KindOf(err) == rmi.KindNoSuchMethod {
			return made, r.remakeUnleased(ctx, tasks)
		}
		for i, t := range tasks {
			t.b.mu.Lock()
			switch {
			case err != nil:
				t.b.unsure = rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || t.b.unsure
			case grants[i].Refused == nil:
				t.b.granted(grants[i])
				made++
			}
			t.b.mu.Unlock()
			// Who has no room now may have it later.
			if err == nil && grants[i].Refused != nil && rmi.KindOf(grants[i].Refused) != rmi.KindOverloaded {
				t.b.lose(grants[i].Refused)
			}
		}
		if err != nil {
			return made, err
		}
	}
	return made, nil
}

// remakeUnleased binds names that were lost at a registry that knows no leases.
func (r *renewer) remakeUnleased(ctx context.Context, tasks []task) error {
	r.knowsNoLeases()
	for _, t := range tasks {
		if err := r.registry.Bind(ctx, t.held.Name, t.b.claim.Entry); err != nil {
			err = failed("renew", t.b.url.String(), err)
			if rmi.KindOf(err) != rmi.KindAlreadyBound {
				return err
			}
			t.b.lose(err)
			continue
		}
		t.b.mu.Lock()
		t.b.leased, t.b.unsure, t.b.revision = false, false, 0
		t.b.mu.Unlock()
	}
	return nil
}

// acquire is Registry.Acquire, its answer checked.
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
	return &rmi.Error{Kind: rmi.KindProtocol, Outcome: rmi.OutcomeExecuted, Msg: "the registry's answer makes no sense"}
}

// goodbye bounds how long a node that closes waits for a registry to take its
// names back: if that does not answer, the leases lapse.
const goodbye = 2 * time.Second

// close unbinds everything, for the node is about to close.
func (r *renewer) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	r.mu.Lock()
	r.ended = true
	if r.stop != nil {
		r.stop()
	}
	var ours []*Binding // others are being closed
	for b := range r.bindings {
		if b.begin() {
			ours = append(ours, b)
		}
	}
	r.mu.Unlock()
	r.running.Wait()
	var held []task
	var each sync.WaitGroup
	const why = "the node was closed"
	for _, b := range ours {
		b.settle(ctx)
		b.mu.Lock()
		t := task{b, Held{b.claim.Name, b.revision}}
		batched := b.bound && b.leased && !b.unsure
		b.mu.Unlock()
		switch {
		case batched:
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

// release is Registry.Release. The connection may be that of a registry which was
// restarted just now, so it is tried on another one too.
func (r *renewer) release(ctx context.Context, held []Held) ([]Lost, error) {
	lost, err := r.registry.Release(ctx, held)
	if rmi.KindOf(err) == rmi.KindPeerGone {
		lost, err = r.registry.Release(ctx, held)
	}
	return lost, err
}

// call calls a method of the registry, with the renewer's patience. All that it
// calls can be called again, and is, for the session may be over because another
// registry is there now.
func call[A, R any](ctx context.Context, method func(context.Context, []A) ([]R, error), args []A) ([]R, error) {
	ctx, cancel := context.WithTimeout(ctx, renewTimeout)
	defer cancel()
	r, err := method(ctx, args)
	if rmi.KindOf(err) == rmi.KindPeerGone {
		r, err = method(ctx, args)
	}
	return r, err
}

// maxBatchBytes is how many bytes of names and descriptions, with what
// MessagePack adds, go into one call; MaxMessage has to hold them.
const maxBatchBytes = MaxMessage - 2<<10

// size is at least what a Held is in MessagePack.
func (t task) size() int { return 32 + len(t.held.Name) }

// claimSize is at least what a Claim is.
func (t task) claimSize() int { return 128 + len(t.held.Name) + len(t.b.claim.Entry.Description) }

// batches cuts a list so that each part fits into one call.
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
