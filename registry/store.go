package registry

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/multicast"
)

// store is the servant: a registry that keeps its tables in memory. Each method checks its
// arguments, takes the lock once, and logs after it.
type store struct {
	log *slog.Logger
	// public reports whether other machines can reach the registry's node.
	public func() bool
	// detached reports whether the session with a node is cut.
	detached func(refs.NodeID) bool
	limits   ServeOptions  // without zeros
	start    time.Time     // zero of the store's time; see now
	earlier  chan struct{} // has room for one: sent to when a lease comes before all others

	mu    sync.RWMutex
	state tables // guarded by mu; reached by lock and rlock alone
}

var _ Registry = (*store)(nil)

func newStore(o ServeOptions, log *slog.Logger, n node) *store {
	now := time.Now()
	// Higher than what the registry before this one gave, because none binds a name each
	// nanosecond.
	first := Revision(now.UnixNano())
	limits := o.withDefaults()
	return &store{
		log: log, public: n.Public, detached: n.Detached, start: now, earlier: make(chan struct{}, 1),
		limits: limits, state: tables{limits: limits, first: first, revision: first},
	}
}

// lock returns the tables, which the caller may use until it unlocks mu.
func (s *store) lock() *tables {
	s.mu.Lock()
	return &s.state
}

// rlock returns the tables, which the caller may read until it runlocks mu.
func (s *store) rlock() *tables {
	s.mu.RLock()
	return &s.state
}

// node is what a store needs to know of the node that serves it.
type node interface {
	Public() bool
	Detached(refs.NodeID) bool
}

// now is the store's time. No change of the computer's clock moves it.
func (s *store) now() time.Duration { return time.Since(s.start) }

// Bind implements Registry.
func (s *store) Bind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, s.unlessTaken(name))
}

// Rebind implements Registry.
func (s *store) Rebind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, always)
}

func (s *store) bind(name string, e Entry, allow allow) error {
	if err := s.check(name, e); err != nil {
		return err
	}
	b := &binding{name: name, ref: e.Ref, description: e.Description}
	if err := s.put(b, allow); err != nil {
		return err
	}
	s.log.Debug("bound", "name", name, "ref", e.Ref)
	return nil
}

// put is tables.put under the lock. allow is called under it too.
func (s *store) put(b *binding, allow allow) error {
	now := s.now()
	earliest, err := s.lock().put(b, now, allow)
	s.mu.Unlock()
	if earliest {
		select {
		case s.earlier <- struct{}{}:
		default:
		}
	}
	return err
}

// check returns why an entry cannot be bound.
func (s *store) check(name string, e Entry) error {
	if err := ValidName(name); err != nil {
		return err
	}
	if e.Ref.IsZero() || e.Ref.Object == 0 {
		return invalid("the reference refers to nothing")
	}
	if len(e.Description) > 0 {
		if err := new(rmi.Description).UnmarshalBinary(e.Description); err != nil {
			return invalid("the description of the object's interface: %v", err)
		}
	}
	if e.Ref.OnlyLoopback() && s.public() {
		return invalid("the reference leads to %s, which only its own machine can reach, and this registry can be reached by others: "+
			"let the object's node listen on an address that others reach, or set its Options.Advertise", e.Ref.Endpoint)
	}
	return nil
}

// unlessTaken allows a name to be bound if it is free. A leased name counts as free if the
// session with its holder is cut, which is asked before the lock is taken.
func (s *store) unlessTaken(name string) allow {
	b := s.rlock().names.get(name)
	s.mu.RUnlock()
	if b == nil || b.lease == nil || !s.detached(b.lease.holder) {
		b = nil
	}
	return onlyFree(b)
}

// Unbind implements Registry.
func (s *store) Unbind(ctx context.Context, name string, only refs.Ref) error {
	if err := ValidName(name); err != nil {
		return err
	}
	if err := s.unbind(name, only); err != nil {
		return err
	}
	s.log.Debug("unbound", "name", name)
	return nil
}

func (s *store) unbind(name string, only refs.Ref) error {
	now := s.now()
	defer s.mu.Unlock()
	return s.lock().unbind(name, only, now)
}

// Lookup implements Registry.
func (s *store) Lookup(ctx context.Context, name string) (Entry, error) {
	if err := ValidName(name); err != nil {
		return Entry{}, err
	}
	now := s.now()
	defer s.mu.RUnlock()
	b := s.rlock().names.get(name)
	if !b.live(now) {
		return Entry{}, notBound()
	}
	return Entry{b.ref, b.description}, nil
}

// List implements Registry.
func (s *store) List(ctx context.Context, prefix, after string, limit int) (Page, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	// The first name behind after is after itself, or what follows it.
	from := max(prefix, after)
	var p Page
	bytes := 0
	now := s.now()
	defer s.mu.RUnlock()
	s.rlock().names.from(from, func(b *binding) bool {
		if after != "" && b.name == after {
			return true
		}
		if !strings.HasPrefix(b.name, prefix) {
			return false
		}
		if !b.live(now) {
			return true
		}
		bytes += len(b.name) + len(b.ref.Interface.Name)
		if len(p.Names) == limit || bytes > maxPageBytes {
			p.More = true
			return false
		}
		p.Names = append(p.Names, NameInfo{b.name, b.ref.Interface.Name})
		return true
	})
	return p, nil
}

// Acquire implements Registry.
func (s *store) Acquire(ctx context.Context, claims []Claim) ([]Grant, error) {
	if err := checkBatch(len(claims)); err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	grants := make([]Grant, len(claims))
	for i, c := range claims {
		g := &grants[i]
		if g.Revision, g.Lease, g.Refused = s.acquire(caller, c); g.Refused == nil {
			s.log.Debug("bound", "name", c.Name, "ref", c.Entry.Ref, "lease", g.Lease, "revision", g.Revision)
		}
	}
	return grants, nil
}

func (s *store) acquire(caller refs.NodeID, c Claim) (Revision, time.Duration, error) {
	if err := s.check(c.Name, c.Entry); err != nil {
		return 0, 0, err
	}
	length, err := s.limits.leaseLength(c.Lease)
	if err != nil {
		return 0, 0, err
	}
	from := origin{caller, c.Entry.Ref.ID, c.Held}
	allow := allow(always)
	switch {
	case c.Held != 0:
		allow = regained(c.Name, from)
	case !c.Replace:
		allow = s.unlessTaken(c.Name)
	}
	b := &binding{name: c.Name, ref: c.Entry.Ref, description: c.Entry.Description, lease: &lease{origin: from, length: length}}
	if err := s.put(b, allow); err != nil {
		return 0, 0, err
	}
	return b.revision, length, nil
}

// Renew implements Registry.
func (s *store) Renew(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(_ *tables, b *binding, now time.Duration) { b.lease.expires = now + b.lease.length })
}

// Release implements Registry.
func (s *store) Release(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(t *tables, b *binding, now time.Duration) { t.remove(b, unbound, now) })
}

// each is tables.each under the lock, for the node that calls.
func (s *store) each(ctx context.Context, held []Held, do func(t *tables, b *binding, now time.Duration)) ([]Lost, error) {
	if err := checkBatch(len(held)); err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	now := s.now()
	t := s.lock()
	defer s.mu.Unlock()
	return t.each(caller, held, now, func(b *binding) { do(t, b, now) }), nil
}

func (s *store) len() int {
	defer s.mu.RUnlock()
	return s.rlock().names.count
}

// callerOf is the node whose call ctx belongs to, zero in a call from this process.
func callerOf(ctx context.Context) refs.NodeID {
	if p := multicast.PeerOf(ctx); p != nil {
		return p.Node()
	}
	return refs.NodeID{}
}
