package registry

import (
	"context"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

//go:generate go tool rmigen

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

	// Acquire binds names that the caller's node will hold by leases: each is
	// bound until its lease has not been renewed for its length. It answers claim
	// by claim.
	Acquire(ctx context.Context, claims []Claim) ([]Grant, error)

	// Renew renews leases, and tells which of the names are not held any more.
	Renew(ctx context.Context, held []Held) ([]Lost, error)

	// Release removes names that are held, and tells which are not.
	Release(ctx context.Context, held []Held) ([]Lost, error)
}

// Entry is what a name is bound to.
type Entry struct {
	Ref refs.Ref
	// Description is the binary form of the rmi.Description of the object's
	// interface. Empty is "not known": then a proxy's first call asks the object.
	Description []byte
}

// Revision numbers what is bound to names: whenever a name is bound, it gets one
// that is higher than all before it in this registry. A registry that was
// restarted goes on above those that it gave out before, unless its computer's
// clock was set back between. 0 is none.
type Revision uint64

// Claim asks for a name.
type Claim struct {
	Name  string
	Entry Entry
	// Lease is how long the name stays bound without being renewed: 0 is the
	// registry's default. The registry may grant less, or more.
	Lease time.Duration
	// Replace has the name taken in any case. Otherwise one that is bound is
	// refused with rmi.AlreadyBound, unless it is leased and the session with
	// the node that holds it is cut.
	Replace bool
	// Held is the revision under which the caller held the name before it was
	// lost, 0 for a name that is claimed anew. With it the name is given only if
	// nobody else had it (rmi.AlreadyBound) and nobody unbound it (rmi.NotBound)
	// meanwhile, whether it is bound now or not, and Replace means nothing.
	Held Revision
}

// Grant is the answer to a claim.
type Grant struct {
	Revision Revision
	Lease    time.Duration // that was granted
	Refused  error         // why the claim was not granted; nil if it was
}

// Held is a name that the caller holds, or believes to.
type Held struct {
	Name     string
	Revision Revision
}

// Lost is a name that is not held any more.
type Lost struct {
	Index   int      // in the list that the call was given
	Now     Revision // of what is bound to the name, or was since; 0 if nothing was
	Unbound bool     // nothing is, because somebody unbound it
	By      string   // what is bound, and where, for people: "a bank.Account of node 6ba7b810 at 192.0.2.1:7000"
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

// At returns the registry at an address, "" for the default one, or of a name,
// with an address or without. Nothing is dialled.
func At(n *rmi.Node, url string) (Registry, error) {
	u, err := ParseURL(url)
	if err != nil {
		return nil, failed("registry", "", err)
	}
	return u.registry(n)
}

func (u URL) registry(n *rmi.Node) (Registry, error) {
	return rmi.Resolve[Registry](n, rmi.WellKnown(u.Endpoint, refs.RegistryObject), nil)
}
