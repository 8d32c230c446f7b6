package rmi

import (
	"context"
	"sync"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
)

// agreement is a question that agree answers once: does the caller's interface fit the owner's?
type agreement struct{ callers, owners refs.Fingerprint }

// agree makes sure, before a proxy's first call, that its interface fits the owner's. If the
// fingerprints are equal, it asks nothing. Otherwise it asks the object for its description. The
// interfaces of registries and leases are specified by the protocol and fit.
func (n *Node) agree(ctx context.Context, c *proxy.Core, to route) error {
	mine, owners, id := c.Interface.Fingerprint, c.Ref().Interface.Fingerprint, c.Ref().ID
	if mine == owners || id.IsWellKnown() && (id.Object == refs.RegistryObject || id.Object == refs.LeaseObject) {
		c.Agreed.Store(true)
		return nil
	}
	q := agreement{mine, owners}
	v, known := n.agreed.get(q)
	if !known {
		d, err := n.describe(ctx, c.Ref(), to)
		if err != nil {
			return err
		}
		v = verdict{err: d.Accepts(c.Interface.Description()), semantics: d.SemanticsFor(c.Interface)}
		if d.Fingerprint() == owners { // else the reference lied: ask again next time
			n.agreed.put(q, v)
		}
	}
	if v.err != nil {
		return v.err
	}
	c.Semantics.Store(&v.semantics)
	c.Agreed.Store(true)
	return nil
}

type verdict struct {
	err       error
	semantics []codec.Semantics // of the caller's methods
}

// mostAgreements bounds what is remembered, for peers can describe any number of interfaces.
const mostAgreements = 1024

// agreements are the answers that are remembered. At the bound a new one takes the place of
// any other, which is asked for again when it is needed.
type agreements struct {
	mu sync.Mutex
	m  map[agreement]verdict
}

func (a *agreements) get(q agreement) (v verdict, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	v, known = a.m[q]
	return v, known
}

func (a *agreements) put(q agreement, v verdict) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.m == nil {
		a.m = make(map[agreement]verdict)
	}
	if _, known := a.m[q]; !known && len(a.m) >= mostAgreements {
		for other := range a.m {
			delete(a.m, other)
			break
		}
	}
	a.m[q] = v
}
