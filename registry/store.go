package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

const (
	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 48 << 10 // of names; with what MessagePack adds, less than 64 KiB
)

// store is the servant: a registry that keeps its names in memory. lease.go has
// what is held by leases.
type store struct {
	ServeOptions // without zeros
	log          *slog.Logger
	// public tells whether other machines can reach the registry's node.
	public func() bool
	// detached tells whether the session with a node is cut.
	detached func(refs.NodeID) bool
	start    time.Time // zero of the store's time; see now
	first    Revision  // those up to this one were given out by registries before this one

	mu       sync.RWMutex // guards the fields below
	names    names
	bytes    int // sum of size() of all names
	revision Revision
	leases   leaseHeap
	past     past
	earlier  chan struct{} // has room for one: sent to when a lease comes before all others
}

var _ Registry = (*store)(nil)

func newStore(o ServeOptions, n node) *store {
	now := time.Now()
	// Above what the registry before this one gave out, for none binds a name
	// each nanosecond.
	first := Revision(now.UnixNano())
	return &store{
		ServeOptions: o.withDefaults(), log: n.Logger(), public: n.Public, detached: n.Detached, start: now,
		first: first, revision: first, earlier: make(chan struct{}, 1),
	}
}

// node is what a store needs to know of the node that serves it.
type node interface {
	Logger() *slog.Logger
	Public() bool
	Detached(refs.NodeID) bool
}

// now is the store's time, which no change of the computer's clock moves.
func (s *store) now() time.Duration { return time.Since(s.start) }

func (s *store) Bind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, s.unlessTaken(name))
}

func (s *store) Rebind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, always)
}

func (s *store) bind(name string, e Entry, may func(*binding) error) error {
	if err := s.check(name, e); err != nil {
		return err
	}
	b := &binding{name: name, ref: e.Ref, description: e.Description}
	if err := s.put(b, may); err != nil {
		return err
	}
	s.log.Debug("bound", "name", name, "ref", e.Ref)
	return nil
}

// put binds a name and gives it its revision, unless may, which is told what is
// bound to it (nil is nothing), returns an error.
func (s *store) put(b *binding, may func(old *binding) error) error {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.current(b.name, now)
	if err := may(old); err != nil {
		return err
	}
	bytes := s.bytes + b.size()
	if old != nil {
		bytes -= old.size()
	} else if s.names.count >= s.MaxNames {
		return refused(rmi.Overloaded, "the registry holds %d names, its limit (ServeOptions.MaxNames)", s.MaxNames)
	}
	if bytes > s.MaxBytes {
		return refused(rmi.Overloaded, "the registry holds %d bytes of names and descriptions, and its limit is %d (ServeOptions.MaxBytes)", s.bytes, s.MaxBytes)
	}
	s.revision++
	b.revision = s.revision
	s.leases.remove(old)
	s.names.put(b)
	s.bytes = bytes
	s.past.forget(b.name)
	if b.lease != nil {
		b.lease.expires = now + b.lease.length
		s.hold(b)
	}
	return nil
}

// check tells why an entry cannot be bound.
func (s *store) check(name string, e Entry) error {
	if err := ValidName(name); err != nil {
		return err
	}
	if e.Ref.IsZero() || e.Ref.Object == 0 {
		return invalid("the reference refers to nothing")
	}
	if len(e.Description) > 0 {
		if _, err := rmi.ParseDescription(e.Description); err != nil {
			return invalid("the description of the object's interface: %v", err)
		}
	}
	if e.Ref.OnlyLoopback() && s.public() {
		return invalid("the reference leads to %s, which only its own machine can reach, and this registry can be reached by others: "+
			"let the object's node listen on an address that others reach, or set its Options.Advertise", e.Ref.Endpoint)
	}
	return nil
}

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
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.current(name, now)
	if b == nil {
		return notBound()
	}
	if !only.IsZero() && only.ID != b.ref.ID {
		return refused(rmi.NotBound, "the name is bound to another object by now, %s", whose(b.ref))
	}
	s.remove(b, unbound, now)
	return nil
}

// current returns the binding of a name, nil if there is none. One that lapsed
// and that the sweep did not come to yet is removed. mu is held.
func (s *store) current(name string, now time.Duration) *binding {
	b := s.names.get(name)
	if b != nil && !b.live(now) {
		s.remove(b, lapsed, now)
		return nil
	}
	return b
}

// remove takes a binding out, and remembers how it ended. mu is held.
func (s *store) remove(b *binding, how ending, now time.Duration) {
	s.leases.remove(b)
	s.names.remove(b.name)
	s.bytes -= b.size()
	e := end{revision: b.revision, how: how}
	if b.lease != nil {
		e.origin = b.lease.origin
	}
	s.past.add(b.name, e, now)
}

func (s *store) Lookup(ctx context.Context, name string) (Entry, error) {
	if err := ValidName(name); err != nil {
		return Entry{}, err
	}
	now := s.now()
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.names.get(name)
	if !b.live(now) {
		return Entry{}, notBound()
	}
	return Entry{b.ref, b.description}, nil
}

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
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.names.from(from, func(b *binding) bool {
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

func (s *store) len() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.names.count
}

// callerOf is the node whose call ctx belongs to; zero in a call of this process.
func callerOf(ctx context.Context) refs.NodeID {
	if p := rmi.PeerOf(ctx); p != nil {
		return p.Node()
	}
	return refs.NodeID{}
}

// refused is an error by which the registry says that it did nothing.
func refused(k rmi.Kind, format string, a ...any) error {
	return &rmi.Error{Kind: k, Outcome: rmi.NotExecuted, Msg: fmt.Sprintf(format, a...)}
}

func alreadyBound(b *binding) error {
	how := ""
	if b.lease != nil {
		how = ", by a node that lives"
	}
	return refused(rmi.AlreadyBound, "the name is bound to %s%s: Rebind replaces it, Unbind removes it", whose(b.ref), how)
}

func notBound() error {
	return refused(rmi.NotBound, "nothing is bound to the name: does the program that binds it run, with the same registry?")
}

// whose says what a reference leads to, as a message names it: "a bank.Account of
// node 6ba7b810 at 192.0.2.1:7000".
func whose(r refs.Ref) string {
	what, where := r.Interface.Name, " at "+r.Endpoint.String()
	if what == "" {
		what = "remote object"
	}
	switch {
	case r.Listens():
	case r.Via.Listens():
		where = ", reached through " + r.Via.Endpoint.String()
	default:
		where = ", which listens nowhere"
	}
	return fmt.Sprintf("a %s of node %s%s", what, r.ID.Node.Short(), where)
}
