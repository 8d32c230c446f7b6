package registry

import (
	"cmp"
	"context"
	"net"
	"sync"
	"time"

	"gormi/refs"
	"gormi/registry/policy"
	"gormi/rmi"
	"gormi/rmi/fault"
)

// ServeOptions set the limits of a registry and where it listens. The zero value means the
// defaults.
type ServeOptions struct {
	// Listen is the address at which the node listens once it has the registry, in the
	// form that Node.Listen takes. A node that listens earlier admits clients that find no
	// registry there. After a restart clients do meet that moment. If empty, the node must
	// listen already.
	Listen string

	// MaxNames is how many names can be bound. If zero, a million.
	MaxNames int

	// MaxBytes is how many bytes the names, the descriptions of interfaces and the texts in
	// references can take together. If zero, 256 MiB. A name takes some 400 bytes more.
	MaxBytes int

	// MaxNamesEach and MaxBytesEach are how much of that one principal can have, or all
	// anonymous nodes of one host together. If zero, half of it, but not less than 1000 names
	// and a MiB. They do not bound the registry's own process.
	MaxNamesEach, MaxBytesEach int

	// MaxLease is the longest lease that is granted. It is at least a second. If zero, 10
	// minutes.
	MaxLease time.Duration

	// Policy says who may do what with which names. If nil, policy.Default().
	Policy *policy.Policy
}

// Server is a registry that a node serves.
type Server struct {
	node   *rmi.Node
	handle *rmi.Handle[Registry]
	store  *store
	addr   net.Addr

	unhook  func()
	stop    context.CancelFunc // ends the sweep
	sweeper sync.WaitGroup
}

// Serve makes n serve an empty registry until the Server or the node is closed. The node must
// listen, or ServeOptions.Listen must be set. A node has at most one registry.
// ctx bounds the call. o may be nil.
func Serve(ctx context.Context, n *rmi.Node, o *ServeOptions) (*Server, error) {
	if o == nil {
		o = new(ServeOptions)
	}
	if o.Listen == "" && !n.Endpoint().Listens() {
		return nil, during("serve", "", invalid(`the node does not listen, so nobody could reach its registry: set ServeOptions.Listen, or call node.Listen(ctx, "127.0.0.1:%d") first`, DefaultPort))
	}
	s := newStore(*o, n.Logger(), n.Port())
	h, err := rmi.Export[Registry](n, s, &rmi.ExportOptions{Number: refs.RegistryObject, MaxMessage: MaxMessage, Authorize: s.gate})
	if err != nil {
		if rmi.KindOf(err) == rmi.KindAlreadyBound {
			err = fault.New(fault.KindAlreadyBound, fault.OutcomeNotExecuted, "the node serves a registry already")
		}
		return nil, during("serve", "", err)
	}
	r := &Server{node: n, handle: h, store: s}
	if o.Listen != "" {
		if r.addr, err = n.Listen(ctx, o.Listen); err != nil {
			h.Close()
			return nil, err
		}
	}
	sweeping, stop := context.WithCancel(context.Background())
	r.stop = stop
	r.sweeper.Go(func() { s.sweep(sweeping) }) // ended by Close, or with the node
	r.unhook = n.Port().BeforeClose(func(context.Context) { r.end() })
	return r, nil
}

// URL returns the address of a name in the registry, or of the registry itself for "". It is
// valid in this process, and elsewhere if the node's address means the same there. If the node
// listens on all addresses, the host is localhost.
func (s *Server) URL(name string) string {
	ep := s.node.Endpoint()
	if ep.IsBlank() {
		ep.Host = "localhost"
	}
	return URL{ep, name}.String()
}

// Addr is the address that the node got for ServeOptions.Listen. It is nil if that was empty.
func (s *Server) Addr() net.Addr { return s.addr }

// Len is the number of names that are bound.
func (s *Server) Len() int { return s.store.len() }

// SetPolicy replaces ServeOptions.Policy, for the calls that arrive from now on. nil is
// policy.Default(). Names that are bound stay; see the package documentation about their renewal.
func (s *Server) SetPolicy(p *policy.Policy) { s.store.policy.Store(cmp.Or(p, policy.Default())) }

// Close ends the registry, and all its names are gone. The node stays open.
func (s *Server) Close() error {
	s.unhook()
	s.end()
	return s.handle.Close()
}

// end ends the sweep. Lapsed names are not found even without it.
func (s *Server) end() {
	s.stop()
	s.sweeper.Wait()
}
