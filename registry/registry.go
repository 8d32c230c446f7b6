package registry

import (
	"context"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/stub"
)

// Registry is the remote interface of a registry. Programs call the functions
// of this package, which speak to one of these.
//
// Its methods return errors that wrap an *rmi.Error, of the kinds that the
// package documentation lists.
type Registry interface {
	// Bind binds a name that is not bound.
	Bind(ctx context.Context, name string, e Entry) error

	// Rebind binds a name, whether it is bound or not.
	Rebind(ctx context.Context, name string, e Entry) error

	// Unbind removes a name. If only is not zero, it does so only if the name is
	// bound to the object of that identity; otherwise the error is NotBound.
	Unbind(ctx context.Context, name string, only refs.Ref) error

	// Lookup returns what a name is bound to.
	Lookup(ctx context.Context, name string) (Entry, error)

	// List returns, in order, names that begin with prefix and come behind after
	// ("" is before all), at most limit of them: 0 is 100, and no page has more
	// than 1000 names, or 48 KiB of them.
	List(ctx context.Context, prefix, after string, limit int) (Page, error)
}

// Entry is what a name is bound to.
type Entry struct {
	Ref refs.Ref
	// Description is the binary form of the rmi.Description of the object's
	// interface. Empty is "not known": then a proxy's first call asks the object.
	Description []byte
}

// Page is a part of a list of names.
type Page struct {
	Names []NameInfo
	More  bool // there are names behind the last one
}

// NameInfo is a name that is bound.
type NameInfo struct {
	Name      string
	Interface string // the name of the object's interface, for people
}

// registryStub makes proxies of Registry on every platform.
type registryStub struct{ stub.Object }

func init() { stub.Register(func(o stub.Object) Registry { return registryStub{o} }) }

func (s registryStub) Bind(ctx context.Context, name string, e Entry) error {
	return s.Invoke(ctx, "Bind", stub.Args(name, e))
}

func (s registryStub) Rebind(ctx context.Context, name string, e Entry) error {
	return s.Invoke(ctx, "Rebind", stub.Args(name, e))
}

func (s registryStub) Unbind(ctx context.Context, name string, only refs.Ref) error {
	return s.Invoke(ctx, "Unbind", stub.Args(name, only))
}

func (s registryStub) Lookup(ctx context.Context, name string) (e Entry, err error) {
	err = s.Invoke(ctx, "Lookup", stub.Args(name), &e)
	return
}

func (s registryStub) List(ctx context.Context, prefix, after string, limit int) (p Page, err error) {
	err = s.Invoke(ctx, "List", stub.Args(prefix, after, limit), &p)
	return
}

// At returns the registry at an address, "" for the default one. A name in the
// URL is not looked at. Nothing is dialled.
func At(n *rmi.Node, url string) (Registry, error) {
	u, err := splitURL(url)
	if err != nil {
		return nil, failed("registry", "", err)
	}
	return u.registry(n)
}

func (u URL) registry(n *rmi.Node) (Registry, error) {
	return rmi.Resolve[Registry](n, rmi.WellKnown(u.Endpoint, refs.RegistryObject), nil)
}
