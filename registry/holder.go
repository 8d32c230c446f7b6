package registry

import (
	"context"
	"fmt"

	"gormi/refs"
	"gormi/registry/policy"
	"gormi/rmi/access"
	"gormi/rmi/multicast"
)

// This file tells who calls a registry, and what that peer may do with a name.

// holder is who bound a name. It is the node, or another one of the same principal: a program that
// was started anew. An anonymous principal is nobody's.
type holder struct {
	node      refs.NodeID
	principal string
	host      string // from which the node came
}

// party is whose share of a registry a name is counted to: a principal's, or that of all anonymous
// nodes of a host.
type party struct{ principal, host string }

func (h holder) party() party {
	if h.principal == policy.Anonymous {
		return party{host: h.host}
	}
	return party{principal: h.principal}
}

func (h holder) is(other holder) bool {
	return h.node == other.node || h.principal == other.principal && h.principal != policy.Anonymous && h.principal != ""
}

// String is the holder as messages and logs have it.
func (h holder) String() string {
	switch {
	case h.node.IsZero():
		return "the registry's own process"
	case h.principal == policy.Anonymous:
		return "node " + h.node.Short() + ", which is anonymous"
	}
	return fmt.Sprintf("%.255q (node %s)", h.principal, h.node.Short())
}

// peer is who calls.
type peer struct {
	holder
	local bool // on the registry's machine
	own   bool // of the registry's process
}

// peerOf returns whose call ctx belongs to. Whoever calls through a relay is anonymous and of
// another machine, whoever the relay is: the rights of that are not the caller's.
func peerOf(ctx context.Context) peer {
	p := multicast.PeerOf(ctx)
	switch {
	case p == nil:
		return peer{own: true, local: true}
	case multicast.Relayed(ctx):
		return peer{holder: holder{p.Node(), policy.Anonymous, p.Host()}}
	}
	return peer{holder: holder{p.Node(), p.Principal(), p.Host()}, local: p.Local()}
}

func (p peer) known() policy.Peer { return policy.Peer{Principal: p.principal, Local: p.local} }

// may reports whether the policy lets a peer do something with a name.
func (s *store) may(p peer, op policy.Op, name string) bool {
	return p.own || s.policy.Load().Allows(p.known(), op, name)
}

// rights are what a peer may do with a name, if it does not hold it.
type rights struct {
	peer
	hold   bool // bind it, if it is free
	take   bool // bind it, if somebody else has it. Such a peer may know its revision
	unbind bool
	see    bool // look it up
}

func (s *store) rights(p peer, name string) rights {
	take := s.may(p, policy.Rebind, name)
	return rights{
		peer: p, take: take, hold: take || s.may(p, policy.Bind, name),
		unbind: s.may(p, policy.Unbind, name), see: s.may(p, policy.Lookup, name),
	}
}

// rightsOf is rights for many names, one after the other. A result is valid until the next.
func (s *store) rightsOf(p peer) func(name string) *rights {
	var r rights
	if p.own || s.policy.Load().Uniform() {
		r = s.rights(p, "")
		return func(string) *rights { return &r }
	}
	return func(name string) *rights { r = s.rights(p, name); return &r }
}

// owns reports whether the peer holds a binding. nil is no binding.
func (r *rights) owns(b *binding) bool { return b != nil && (r.own || r.is(b.by)) }

// knows reports whether the peer may know the revision of a binding.
func (r *rights) knows(b *binding) bool { return r.take || r.owns(b) }

// denied is why the policy does not let the peer do something.
func (p peer) denied(op policy.Op) error {
	switch {
	case p.principal != policy.Anonymous:
		return refused(kindDenied, "the registry's policy does not let %.255q %v this name: whoever runs it can allow that", p.principal, op)
	case p.local:
		return refused(kindDenied, "the registry's policy does not let peers of its own machine %v this name: whoever runs it can allow that", op)
	}
	return refused(kindDenied, "the registry does not know who you are, and its policy does not let such peers %v this name: "+
		"connect with a certificate of an authority that it trusts (rmi.TLSFromEnv), or let whoever runs it allow it", op)
}

// needs are what a call of a method needs for some name. A call of another method needs anything.
var needs = map[string]policy.Op{
	"Bind": policy.Bind | policy.Rebind, "Rebind": policy.Bind | policy.Rebind, "Acquire": policy.Bind | policy.Rebind,
	"Renew": policy.Bind | policy.Rebind, "Release": policy.Bind | policy.Rebind,
	"Unbind": policy.Unbind | policy.Bind | policy.Rebind,
	"Lookup": policy.Lookup, "List": policy.List,
}

// gate denies the calls of peers who may do what they want with no name at all, before their
// arguments are decoded. Whoever holds a name passes: what becomes of that is decided name by
// name.
func (s *store) gate(_ context.Context, c access.Call) bool {
	p := policy.Peer{Principal: c.Principal, Local: c.Local}
	if c.Relayed {
		p = policy.Peer{Principal: policy.Anonymous}
	}
	ops, ok := needs[c.Method]
	if !ok {
		ops = policy.All
	}
	if s.policy.Load().AllowsSome(p, ops) {
		return true
	}
	if ops&policy.Bind == 0 {
		return false
	}
	defer s.mu.RUnlock()
	return s.rlock().held[c.Node] > 0
}
