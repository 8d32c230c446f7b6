package registry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"gormi/refs"
	"gormi/rmi"
)

const (
	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 48 << 10 // of names; with what MessagePack adds, less than 64 KiB
)

// store is the servant: a registry that keeps its names in memory.
type store struct {
	maxNames, maxBytes int
	log                *slog.Logger
	// public tells whether other machines can reach the registry's node.
	public func() bool

	mu    sync.RWMutex // guards the fields below
	names names
	bytes int // sum of size() of all names
}

var _ Registry = (*store)(nil)

func (s *store) Bind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, false)
}

func (s *store) Rebind(ctx context.Context, name string, e Entry) error {
	return s.bind(name, e, true)
}

func (s *store) bind(name string, e Entry, replace bool) error {
	if err := s.check(name, e); err != nil {
		return err
	}
	b := &binding{name: name, ref: e.Ref, description: e.Description}
	if err := s.put(b, replace); err != nil {
		return err
	}
	s.log.Debug("bound", "name", name, "ref", e.Ref)
	return nil
}

func (s *store) put(b *binding, replace bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.names.get(b.name)
	bytes := s.bytes + b.size()
	switch {
	case old != nil && !replace:
		return refused(rmi.AlreadyBound, "the name is bound to a %s: Rebind replaces it, Unbind removes it", interfaceName(old.ref))
	case old != nil:
		bytes -= old.size()
	case s.names.count >= s.maxNames:
		return refused(rmi.Overloaded, "the registry holds %d names, its limit", s.maxNames)
	}
	if bytes > s.maxBytes {
		return refused(rmi.Overloaded, "the registry holds %d bytes of names and descriptions, and its limit is %d", s.bytes, s.maxBytes)
	}
	s.names.put(b)
	s.bytes = bytes
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
	if err := s.remove(name, only); err != nil {
		return err
	}
	s.log.Debug("unbound", "name", name)
	return nil
}

func (s *store) remove(name string, only refs.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.names.get(name)
	if b == nil {
		return notBound()
	}
	if !only.IsZero() && only.ID != b.ref.ID {
		return refused(rmi.NotBound, "the name is bound to another object by now, a %s", interfaceName(b.ref))
	}
	s.names.remove(name)
	s.bytes -= b.size()
	return nil
}

func (s *store) Lookup(ctx context.Context, name string) (Entry, error) {
	if err := ValidName(name); err != nil {
		return Entry{}, err
	}
	s.mu.RLock()
	b := s.names.get(name)
	s.mu.RUnlock()
	if b == nil {
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
	s.mu.RLock()
	defer s.mu.RUnlock()
	s.names.from(from, func(b *binding) bool {
		if after != "" && b.name == after {
			return true
		}
		if !strings.HasPrefix(b.name, prefix) {
			return false
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

// refused is an error by which the registry says that it did nothing.
func refused(k rmi.Kind, format string, a ...any) error {
	return &rmi.Error{Kind: k, Outcome: rmi.NotExecuted, Msg: fmt.Sprintf(format, a...)}
}

func notBound() error {
	return refused(rmi.NotBound, "nothing is bound to the name: does the program that binds it run, with the same registry?")
}

// interfaceName is the interface of a reference as a message names it.
func interfaceName(r refs.Ref) string {
	if r.Interface.Name == "" {
		return "remote object"
	}
	return r.Interface.Name
}
