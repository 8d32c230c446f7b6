package rmi

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"gormi/refs"
	"gormi/refs/lease"
	"gormi/rmi/backoff"
	"gormi/rmi/codec"
	"gormi/rmi/transport"
)

// leases is the remote interface of the object by which nodes give references back to each other.
// Package lease says what its methods do. Every node has one, under refs.LeaseObject. The batches
// of a session, those of Clean and Dirty together, are numbered from 1. Each takes effect once.
type leases interface {
	// Clean gives references back: to objects of the callee's own, and to
	// others' that the callee handed on.
	Clean(ctx context.Context, batch uint64, own []lease.Count, others []lease.CountOf) error
	// Dirty says that the caller holds objects of the callee's. missing are the
	// indices of those that are not exported (any more).
	Dirty(ctx context.Context, batch uint64, own []refs.ObjNum) (missing []uint32, err error)
	// Linger asks to keep objects for one lease more after the end of the session. The caller
	// handed them on, and is about to close.
	Linger(ctx context.Context, own []refs.ObjNum, others []lease.Object) error
}

var (
	leasesInterface = sync.OnceValue(func() *codec.Interface {
		i, err := codec.InterfaceOf(reflect.TypeFor[leases]())
		if err != nil {
			panic(err)
		}
		return i
	})
	errNoCaller = errors.New("only calls of other nodes give references back")
)

// intake is what a session's peer has told about its leases.
type intake struct {
	mu sync.Mutex // guards Intake; held over what a batch does to the tables
	lease.Intake
}

// leaseObject is a node's leases.
type leaseObject struct{ n *Node }

var _ leases = leaseObject{}

func (o leaseObject) Clean(ctx context.Context, batch uint64, own []lease.Count, others []lease.CountOf) error {
	s := transport.SessionOf(ctx)
	if s == nil {
		return errNoCaller
	}
	x := sideOf(s)
	x.leases.mu.Lock()
	defer x.leases.mu.Unlock()
	x.leases.Take(batch, func() []uint32 {
		o.n.exports.Take(s, own...)
		o.n.leases.table.GivenBack(s, others)
		return nil
	})
	return nil
}

func (o leaseObject) Dirty(ctx context.Context, batch uint64, own []refs.ObjNum) (missing []uint32, err error) {
	s := transport.SessionOf(ctx)
	if s == nil {
		return nil, errNoCaller
	}
	x := sideOf(s)
	x.leases.mu.Lock()
	defer x.leases.mu.Unlock()
	missing = x.leases.Take(batch, func() []uint32 { return o.n.exports.Register(s, own) })
	o.n.forgetEnded(s)
	return missing, nil
}

func (o leaseObject) Linger(ctx context.Context, own []refs.ObjNum, others []lease.Object) error {
	s := transport.SessionOf(ctx)
	if s == nil {
		return errNoCaller
	}
	o.n.exports.Linger(s, own)
	o.n.leases.table.Linger(s, others)
	o.n.leases.start() // what lingers has an end
	return nil
}

// Durations of the lease keeper.
const (
	gather       = 250 * time.Millisecond // between looks at what is to be done; what comes meanwhile goes in one batch
	batchTimeout = 10 * time.Second       // for the answer to one batch; then it is sent again
	findTimeout  = 10 * time.Second       // for dialling an owner
	finding      = 4                      // concurrent dials
)

// batches are the pauses between attempts to send a batch.
var batches = backoff.Policy{Min: gather, Max: 30 * time.Second}

// maxHeld bounds the objects that one session's peer may have given references to.
const maxHeld = 1_000_000

// leaseKeeper holds the node's references to other nodes' objects, and tells those nodes: it sends
// what the table says is due.
//
// Its loop runs from the first reference that arrived until the node begins to close. It looks at
// the table every 250 ms instead of being woken. Most of its work comes from the runtime's
// cleanups. These come in groups anyhow, and must not wake goroutines (in a bubble of
// testing/synctest they may not). For each session with something due it starts one goroutine,
// which sends batch after batch. For each owner that must be found it starts one too, few at once.
// All end with the node, and close waits for them.
type leaseKeeper struct {
	n     *Node
	table *lease.Holder[*transport.Session]
	dials chan struct{} // a token for each dial under way

	batches atomic.Int64 // sent, for tests

	started atomic.Bool
	mu      sync.Mutex // guards the fields below
	closed  bool
	sending map[*transport.Session]*sending
	wg      sync.WaitGroup // the loop and what it starts
}

// sending is the state of a session's batches.
type sending struct {
	running  bool
	failures int       // in a row
	until    time.Time // the end of the pause after them
}

func (k *leaseKeeper) init(n *Node) {
	k.n = n
	k.table = lease.NewHolder[*transport.Session](n.ID(), maxHeld, time.Now)
	k.dials = make(chan struct{}, finding)
	k.sending = make(map[*transport.Session]*sending)
	n.exports.System(leasesInterface(), reflect.ValueOf(leaseObject{n}), refs.LeaseObject, new(served))
}

// Pin implements proxy.Holds.
func (k *leaseKeeper) Pin(r refs.Ref) {
	k.start()
	k.table.Pin(r)
}

// Unpin implements proxy.Holds. The runtime's cleanups call it.
func (k *leaseKeeper) Unpin(id refs.ID) { k.table.Unpin(id) }

// start starts the loop if it does not run yet.
func (k *leaseKeeper) start() {
	if !k.started.Swap(true) {
		k.run(k.loop)
	}
}

// run runs f on a goroutine that close waits for, unless the node is closing.
func (k *leaseKeeper) run(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.closed {
		k.wg.Go(f)
	}
}

// close waits for the keeper's goroutines. The node's context has ended.
func (k *leaseKeeper) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.wg.Wait()
}

func (k *leaseKeeper) loop() {
	ticker := time.NewTicker(gather)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-k.n.ctx.Done():
			return
		}
		now := time.Now()
		k.table.Expire(now)
		k.n.exports.Expire(now)
		for _, owner := range k.table.Wanting() {
			if s := k.n.transport.Live(owner); s != nil {
				k.table.Ask(s)
			}
		}
		for _, s := range k.table.Due() {
			if k.begin(s, now) {
				k.run(func() { k.send(s) })
			}
		}
	}
}

// begin reports whether to send what is due on a session now.
func (k *leaseKeeper) begin(s *transport.Session, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.sending[s]
	if x == nil {
		x = new(sending)
		k.sending[s] = x
	}
	if k.closed || x.running || now.Before(x.until) {
		return false
	}
	x.running = true
	return true
}

// end ends what begin began.
func (k *leaseKeeper) end(s *transport.Session, failed bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x := k.sending[s]
	switch {
	case !failed:
		delete(k.sending, s)
	case s.Err() != nil:
		delete(k.sending, s)
	default:
		x.running = false
		x.failures++
		x.until = time.Now().Add(batches.Delay(x.failures))
	}
}

// send sends what is due on a session, batch by batch, until nothing is due or the session fails. A
// batch whose answer did not arrive stays due.
func (k *leaseKeeper) send(s *transport.Session) {
	failed := false
	for b := k.table.Next(s); b != nil && !failed; {
		missing, err := k.sendBatch(s, b)
		switch {
		case err == nil:
			k.table.Done(s, missing)
		case errors.Is(err, KindNoSuchObject) || errors.Is(err, KindNoSuchMethod):
			k.table.Mute(s) // a peer without leases
		default:
			failed = true
		}
		if s.Err() != nil {
			k.n.forgetEnded(s)
			failed = true
		}
		if !failed {
			b = k.table.Next(s)
		}
	}
	k.end(s, failed)
}

func (k *leaseKeeper) sendBatch(s *transport.Session, b *lease.Batch) (missing []uint32, err error) {
	k.batches.Add(1)
	ctx, cancel := context.WithTimeout(k.n.ctx, batchTimeout)
	defer cancel()
	if len(b.Register) == 0 {
		_, err := k.call(ctx, s, "Clean", b.Number, b.Own, b.Others)
		return nil, err
	}
	out, err := k.call(ctx, s, "Dirty", b.Number, b.Register)
	if err != nil {
		return nil, err
	}
	return out[0].Interface().([]uint32), nil
}

// call calls a method of the peer's leases.
func (k *leaseKeeper) call(ctx context.Context, s *transport.Session, method string, args ...any) ([]reflect.Value, error) {
	m := leasesInterface().ByName(method)
	values := make([]reflect.Value, len(args))
	for i, a := range args {
		values[i] = reflect.ValueOf(a)
	}
	var x exchange
	x.begin(k.n, route{session: s})
	if err := x.send(ctx, refs.WellKnown(refs.Endpoint{}, refs.LeaseObject), m.ID, m.EncodeArgs(x.enc, values)); err != nil {
		return nil, err
	}
	defer x.end()
	return m.DecodeResults(x.dec)
}

// sessionCut looks for the owners of what this node holds through a session whose connection is
// lost, because it may not come back. It does not block.
func (n *Node) sessionCut(s *transport.Session) { n.leases.find(n.leases.table.Cut(s)) }

// sessionGone gives back and takes back what was held on a session that is over
// for good. It may be called more than once.
func (n *Node) sessionGone(s *transport.Session) {
	until := time.Now().Add(n.transport.SessionLease) // for what lingers
	n.exports.Gone(s, until)
	n.leases.find(n.leases.table.Gone(s, until))
}

// find looks for sessions with the owners of references; the loop then does the rest. It may dial,
// because who handed the references on is gone, and the objects would be collected. The dial
// policy decides as for a call. A reference
// whose owner cannot be reached stays as it is until it is called.
func (k *leaseKeeper) find(orphans []refs.Ref) {
	if len(orphans) == 0 {
		return
	}
	owners := make(map[refs.NodeID]refs.Ref)
	for _, r := range orphans {
		owners[r.ID.Node] = r
	}
	k.run(func() {
		for id, r := range owners {
			if k.n.transport.Live(id) != nil {
				continue
			}
			select {
			case k.dials <- struct{}{}:
			case <-k.n.ctx.Done():
				return
			}
			k.run(func() {
				defer func() { <-k.dials }()
				ctx, cancel := context.WithTimeout(k.n.ctx, findTimeout)
				defer cancel()
				if _, err := k.n.transport.SessionFor(ctx, r.Endpoint, id, r.Origin); err != nil {
					k.n.opts.Logger.Debug("the owner of references cannot be reached", "owner", id.String(), "err", err)
				}
			})
		}
	})
}

// farewell asks the owners of objects that this node handed on to keep them until the receivers
// have registered. The node is about to close.
func (k *leaseKeeper) farewell(ctx context.Context) {
	const most = 1000 // objects in one call
	var wg sync.WaitGroup
	for s, f := range k.table.Farewells() {
		wg.Go(func() {
			for len(f.Own)+len(f.Others) > 0 {
				own, others := f.Own[:min(most, len(f.Own))], f.Others[:min(most/2, len(f.Others))]
				f.Own, f.Others = f.Own[len(own):], f.Others[len(others):]
				if _, err := k.call(ctx, s, "Linger", own, others); err != nil {
					k.n.opts.Logger.Debug("what this node handed on may be collected: its owner was not told", "peer", s.Peer().String(), "err", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// Release gives up a proxy before the garbage collector finds that nobody uses it. The owner may
// then collect the object. Calls through the proxy still work while somebody else keeps the object
// exported. The proxy holds the object again when another reference to it arrives. v may be of the
// forms that RefOf takes. If it is no proxy, Release returns an error of kind Invalid.
func Release(v any) error {
	c, n, err := coreOf("release", v)
	if err != nil {
		return err
	}
	n.proxies.Release(c)
	return nil
}
