package registry

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gormi/refs"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/audit"
)

// store is the servant: a registry that keeps its tables in memory. Each method checks its
// arguments, takes the lock once, and logs after it.
type store struct {
	log *slog.Logger
	// public reports whether other machines can reach the registry's node.
	public func() bool
	// detached reports whether the session with a node is cut.
	detached func(refs.NodeID) bool
	limits   ServeOptions // without zeros
	policy   atomic.Pointer[policy.Policy]
	audit    func(audit.Event)
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
	s := &store{
		log: log, public: n.Public, detached: n.Detached, audit: n.Audit, start: now, earlier: make(chan struct{}, 1),
		limits: limits, state: tables{limits: limits, first: first, revision: first, held: make(map[refs.NodeID]int), shares: make(map[party]share)},
	}
	s.policy.Store(cmp.Or(o.Policy, policy.Default()))
	return s
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
	Audit(audit.Event)
}

// now is the store's time. No change of the computer's clock moves it.
func (s *store) now() time.Duration { return time.Since(s.start) }

// Bind implements Registry.
func (s *store) Bind(ctx context.Context, name string, e Entry) error {
	who := s.rights(peerOf(ctx), name)
	return s.bind(name, e, &who, s.unlessTaken(name, &who))
}

// Rebind implements Registry.
func (s *store) Rebind(ctx context.Context, name string, e Entry) error {
	who := s.rights(peerOf(ctx), name)
	return s.bind(name, e, &who, replaced(&who))
}

func (s *store) bind(name string, e Entry, who *rights, allow allow) error {
	if err := s.check(name, e); err != nil {
		return err
	}
	return s.put(&binding{name: name, ref: e.Ref, description: e.Description, by: who.holder}, allow)
}

// put is tables.put under the lock. allow is called under it too.
func (s *store) put(b *binding, allow allow) error {
	now := s.now()
	old, earliest, err := s.lock().put(b, now, allow)
	revision := b.revision
	s.mu.Unlock()
	if err != nil {
		s.note(b.by, b.name, err)
		return err
	}
	if earliest {
		select {
		case s.earlier <- struct{}{}:
		default:
		}
	}
	if old != nil && old.by != b.by {
		s.audit(audit.Event{Kind: audit.NameTaken, Principal: b.by.principal, Node: b.by.node, Name: b.name, Holder: old.by.String(), Reason: "bound anew"})
	} else {
		s.log.Debug("bound", "name", b.name, "by", b.by.String(), "ref", b.ref, "revision", revision)
	}
	return nil
}

// note tells of an operation that failed because the policy or a limit did not allow it.
func (s *store) note(by holder, name string, err error) {
	e := audit.Event{Kind: audit.CallDenied, Principal: by.principal, Node: by.node, Name: name, Reason: err.Error()}
	switch rmi.KindOf(err) {
	case kindDenied:
	case rmi.KindOverloaded:
		e.Kind = audit.QuotaExceeded
	default:
		return
	}
	s.audit(e)
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

// unlessTaken allows a peer to bind a name if it is free. A leased name counts as free if the
// session with its holder is cut, which is asked before the lock is taken, and the peer is a new
// process of the holder's or may take the name anyhow.
func (s *store) unlessTaken(name string, who *rights) allow {
	b := s.rlock().names.get(name)
	s.mu.RUnlock()
	if b == nil || b.lease == nil || !s.detached(b.lease.holder) {
		b = nil
	}
	return onlyFree(b, who)
}

// Unbind implements Registry.
func (s *store) Unbind(ctx context.Context, name string, only refs.Ref) error {
	if err := ValidName(name); err != nil {
		return err
	}
	who := s.rights(peerOf(ctx), name)
	b, err := s.unbind(name, only, who)
	switch {
	case err != nil:
		s.note(who.holder, name, err)
		return err
	case b.by != who.holder:
		s.audit(audit.Event{Kind: audit.NameTaken, Principal: who.principal, Node: who.node, Name: name, Holder: b.by.String(), Reason: "unbound"})
	default:
		s.log.Debug("unbound", "name", name)
	}
	return nil
}

func (s *store) unbind(name string, only refs.Ref, who rights) (*binding, error) {
	now := s.now()
	defer s.mu.Unlock()
	return s.lock().unbind(name, only, who, now)
}

// Lookup implements Registry.
func (s *store) Lookup(ctx context.Context, name string) (Entry, error) {
	if err := ValidName(name); err != nil {
		return Entry{}, err
	}
	if p := peerOf(ctx); !s.may(p, policy.Lookup, name) {
		err := p.denied(policy.Lookup)
		s.note(p.holder, name, err)
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

// List implements Registry. A page has the names that the peer may list.
func (s *store) List(ctx context.Context, prefix, after string, limit int) (Page, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	x := listing{prefix: prefix, after: after, limit: min(limit, maxPage)}
	if p := peerOf(ctx); !p.own {
		by, who := s.policy.Load(), p.known()
		x.may = func(name string) bool { return by.Allows(who, policy.List, name) }
	}
	// The first name behind after is after itself, or what follows it.
	x.next = max(prefix, after)
	for !x.done {
		if err := ctx.Err(); err != nil { // who may list little may have to go over much
			return Page{}, err
		}
		s.list(&x)
	}
	return x.page, nil
}

// listing is a page under way.
type listing struct {
	prefix, after string
	limit         int
	may           func(name string) bool // nil: any
	next          string                 // the first name that was not looked at may be this one
	bytes         int
	page          Page
	done          bool
}

// list looks at some names, for a page.
func (s *store) list(x *listing) {
	now := s.now()
	defer s.mu.RUnlock()
	looked := 0
	x.done = true
	s.rlock().names.from(x.next, func(b *binding) bool {
		if looked++; looked > maxPage { // others want the lock too
			x.next, x.done = b.name, false
			return false
		}
		if x.after != "" && b.name == x.after {
			return true
		}
		if !strings.HasPrefix(b.name, x.prefix) {
			return false
		}
		if !b.live(now) || x.may != nil && !x.may(b.name) {
			return true
		}
		x.bytes += len(b.name) + len(b.ref.Interface.Name)
		if len(x.page.Names) == x.limit || x.bytes > maxPageBytes {
			x.page.More = true
			return false
		}
		x.page.Names = append(x.page.Names, NameInfo{b.name, b.ref.Interface.Name})
		return true
	})
}

// Acquire implements Registry.
func (s *store) Acquire(ctx context.Context, claims []Claim) ([]Grant, error) {
	if err := checkBatch(len(claims)); err != nil {
		return nil, err
	}
	p := peerOf(ctx)
	grants := make([]Grant, len(claims))
	for i, c := range claims {
		g := &grants[i]
		g.Revision, g.Lease, g.Refused = s.acquire(p, c)
	}
	return grants, nil
}

func (s *store) acquire(p peer, c Claim) (Revision, time.Duration, error) {
	if err := s.check(c.Name, c.Entry); err != nil {
		return 0, 0, err
	}
	length, err := s.limits.leaseLength(c.Lease)
	if err != nil {
		return 0, 0, err
	}
	who := s.rights(p, c.Name)
	from := origin{p.node, c.Entry.Ref.ID, c.Held}
	allow := replaced(&who)
	switch {
	case c.Held != 0:
		allow = regained(c.Name, from, &who)
	case !c.Replace:
		allow = s.unlessTaken(c.Name, &who)
	}
	b := &binding{name: c.Name, ref: c.Entry.Ref, description: c.Entry.Description, by: p.holder, lease: &lease{origin: from, length: length}}
	if err := s.put(b, allow); err != nil {
		return 0, 0, err
	}
	return b.revision, length, nil
}

// Renew implements Registry. Who may not bind a name any more does not keep it: its lease ends.
func (s *store) Renew(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(_ *tables, b *binding, who func(string) *rights, now time.Duration) {
		if who(b.name).hold {
			b.lease.expires = now + b.lease.length
		}
	})
}

// Release implements Registry.
func (s *store) Release(ctx context.Context, held []Held) ([]Lost, error) {
	return s.each(ctx, held, func(t *tables, b *binding, _ func(string) *rights, now time.Duration) {
		t.remove(b, unbound, now, b.by)
	})
}

// each is tables.each under the lock, for the node that calls.
func (s *store) each(ctx context.Context, held []Held, do func(t *tables, b *binding, who func(string) *rights, now time.Duration)) ([]Lost, error) {
	if err := checkBatch(len(held)); err != nil {
		return nil, err
	}
	p := peerOf(ctx)
	who := s.rightsOf(p)
	now := s.now()
	t := s.lock()
	defer s.mu.Unlock()
	return t.each(p.node, held, who, now, func(b *binding) { do(t, b, who, now) }), nil
}

func (s *store) len() int {
	defer s.mu.RUnlock()
	return s.rlock().names.count
}
