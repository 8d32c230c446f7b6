package registry

import (
	"context"
	"iter"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/fault"
)

// LookupOptions say what Lookup returns. The zero value is a proxy of the object that the name is
// bound to now.
type LookupOptions struct {
	// Failover makes the proxy look its name up again when its reference is stale or the object's
	// owner is gone. It repeats calls that were NotExecuted until their deadline. So a caller
	// notices only the delay when a server is restarted or replaced. A call whose outcome is
	// Unknown fails.
	//
	// The proxy equals no other, even if the object is n's own. In that case n must listen. What
	// is bound to the name later must have the methods of T too. If it lacks one, calls fail with
	// rmi.KindMismatch.
	Failover bool
}

// Lookup returns what a name is bound to, as a T. T is a remote interface, a func type, or a
// struct of func fields. The result is a proxy, or the object itself if it is n's own and T is
// an interface or a func type. Lookup dials only the registry. o may be nil.
func Lookup[T any](ctx context.Context, n *rmi.Node, name string, o *LookupOptions) (T, error) {
	var zero T
	wanted, err := rmi.Describe[T]()
	if err != nil {
		return zero, during("lookup", "", err)
	}
	u, r, err := resolveName(n, name)
	if err != nil {
		return zero, during("lookup", "", err)
	}
	e, d, err := u.find(ctx, r, wanted)
	if err != nil {
		return zero, err
	}
	var v T
	if o != nil && o.Failover {
		v, err = rmi.ResolveWith[T](n, e.Ref, d, func(ctx context.Context, _ refs.Ref, _ error) (refs.Ref, error) {
			e, d, err := u.find(ctx, r, wanted)
			if err == nil && d != nil {
				if err = d.Accepts(wanted); err != nil {
					err = during("lookup", u.String(), err)
				}
			}
			return e.Ref, err
		})
	} else {
		v, err = rmi.Resolve[T](n, e.Ref, d)
	}
	if err != nil {
		return zero, during("lookup", u.String(), err)
	}
	return v, nil
}

// find looks the name up. It also returns the description of the object's interface, if that is
// known and must be compared with what is wanted.
func (u URL) find(ctx context.Context, r Registry, wanted *rmi.Description) (Entry, *rmi.Description, error) {
	e, err := u.lookup(ctx, r)
	if err != nil {
		return e, nil, err
	}
	d, err := e.differing(wanted)
	if err != nil {
		return e, nil, during("lookup", u.String(), err)
	}
	return e, d, nil
}

// differing returns the description of the object's interface, or nil if it is not known or
// need not be compared: equal fingerprints mean equal descriptions.
func (e Entry) differing(wanted *rmi.Description) (*rmi.Description, error) {
	if len(e.Description) == 0 || e.Ref.Interface.Fingerprint == wanted.Fingerprint() {
		return nil, nil
	}
	d := new(rmi.Description)
	return d, d.UnmarshalBinary(e.Description)
}

// LookupRef returns the registry's entry for a name.
func LookupRef(ctx context.Context, n *rmi.Node, name string) (Entry, error) {
	u, r, err := resolveName(n, name)
	if err != nil {
		return Entry{}, during("lookup", "", err)
	}
	return u.lookup(ctx, r)
}

func (u URL) lookup(ctx context.Context, r Registry) (Entry, error) {
	e, err := r.Lookup(ctx, u.Name)
	if err == nil && e.Ref.IsZero() {
		err = fault.New(fault.KindProtocol, fault.OutcomeExecuted, "W-151: the registry's answer holds no reference")
	}
	if err != nil {
		return Entry{}, during("lookup", u.String(), err)
	}
	return e, nil
}

// resolveName reads the URL of a legal name and returns the proxy of its registry.
func resolveName(n *rmi.Node, name string) (URL, Registry, error) {
	u, err := ParseURL(name)
	if err == nil {
		err = ValidName(u.Name)
	}
	if err != nil {
		return u, nil, err
	}
	r, err := u.registry(n)
	return u, r, err
}

// Unbind removes a name that the registry's policy lets n unbind: its own, or anybody's.
func Unbind(ctx context.Context, n *rmi.Node, name string) error {
	u, r, err := resolveName(n, name)
	if err != nil {
		return during("unbind", "", err)
	}
	if err := r.Unbind(ctx, u.Name, refs.Ref{}); err != nil {
		return during("unbind", u.String(), err)
	}
	return nil
}

// List walks the names that begin with a prefix, in order. "" stands for all names of the
// default registry, "bank/" for those below bank. The registry's address may come first:
// "rmi://host:port", "rmi://host:port/bank/". List reads page by page, so it may or may not see
// names that are bound or removed meanwhile. An error ends it.
func List(ctx context.Context, n *rmi.Node, prefix string) iter.Seq2[NameInfo, error] {
	return func(yield func(NameInfo, error) bool) {
		u, err := splitURL(prefix)
		if err == nil {
			err = validPrefix(u.Name)
		}
		var r Registry
		if err == nil {
			r, err = u.registry(n)
		}
		if err != nil {
			yield(NameInfo{}, during("list", "", err))
			return
		}
		for after, more := "", true; more; {
			p, err := r.List(ctx, u.Name, after, maxPage)
			if err != nil {
				yield(NameInfo{}, during("list", u.String(), err))
				return
			}
			for _, info := range p.Names {
				if info.Name <= after || ValidName(info.Name) != nil {
					// A list that is not in order could keep this loop running for ever.
					err := fault.New(fault.KindProtocol, fault.OutcomeExecuted, "W-153: the registry's list is not in order, or a name in it is not legal")
					yield(NameInfo{}, during("list", u.String(), err))
					return
				}
				if !yield(info, nil) {
					return
				}
				after = info.Name
			}
			more = p.More && len(p.Names) > 0
		}
	}
}
