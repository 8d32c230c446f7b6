package registry

import (
	"context"
	"time"

	"gormi/refs"
	"gormi/rmi"
)

//go:generate go tool rmigen

// Registry is the remote interface of a registry. Programs call the functions of this package,
// which call its methods.
//
// Its methods return errors that wrap an *rmi.Error, of the kinds that the package documentation
// lists.
type Registry interface {
	// Bind binds a name that is not bound.
	Bind(ctx context.Context, name string, e Entry) error

	// Rebind binds a name. It replaces what was bound to it.
	Rebind(ctx context.Context, name string, e Entry) error

	// Unbind removes a name. If only is not zero and the name is bound to an object of
	// another identity, the error is NotBound.
	Unbind(ctx context.Context, name string, only refs.Ref) error

	// Lookup returns the entry of a name.
	Lookup(ctx context.Context, name string) (Entry, error)

	// List returns, in order, the names that begin with prefix and come after the name after. If
	// after is "", it begins with the first. A page has at most limit names; 0 means 100. No page
	// has more than 1000 names, or more than 48 KiB of them.
	List(ctx context.Context, prefix, after string, limit int) (Page, error)

	// Acquire binds names by leases, for the caller's node. A name stays bound until its lease has
	// not been renewed for its length. There is one grant for each claim.
	Acquire(ctx context.Context, claims []Claim) ([]Grant, error)

	// Renew renews leases. It returns the names that the caller does not hold any more.
	Renew(ctx context.Context, held []Held) ([]Lost, error)

	// Release removes names that the caller holds. It returns those that it does not hold.
	Release(ctx context.Context, held []Held) ([]Lost, error)
}

// Entry is what a name is bound to.
type Entry struct {
	Ref refs.Ref
	// Description is the binary form of the rmi.Description of the object's interface. If
	// it is empty, it is not known, and a proxy's first call asks the object.
	Description []byte
}

// Revision numbers bindings. Each binding gets a higher one than all before it in this
// registry. A registry that restarts continues above those that it gave before, unless its
// computer's clock was set back. 0 means none.
type Revision uint64

// Claim asks for a name.
type Claim struct {
	Name  string
	Entry Entry
	// Lease is how long the name stays bound without being renewed. 0 means the
	// registry's default. The registry may grant less, or more.
	Lease time.Duration
	// Replace takes the name in any case. Without it, a bound name is refused with
	// rmi.KindAlreadyBound, unless it is leased and the session with its holder is cut.
	Replace bool
	// Held is the revision under which the caller held the name before it was lost. It is
	// 0 for a new claim. If it is set, Replace is ignored, and the claim is refused if
	// somebody else had the name meanwhile (rmi.KindAlreadyBound) or unbound it
	// (rmi.KindNotBound), even if the name is free now.
	Held Revision
}

// Grant is the answer to a claim.
type Grant struct {
	Revision Revision
	Lease    time.Duration // that was granted
	Refused  error         // why the claim was not granted; nil if it was
}

// Held is a name that the caller holds, or believes that it holds.
type Held struct {
	Name     string
	Revision Revision
}

// Lost is a name that is not held any more.
type Lost struct {
	Index   int      // in the list that the call was given
	Now     Revision // of the later binding, even if it has ended; 0 if there was none; 1 if its revision is not told
	Unbound bool     // the name is free because somebody unbound it
	By      string   // for people: what is bound, where and by whom ("a bank.Account of node 6ba7b810 at 192.0.2.1:7000, bound by ..."), or who unbound it
}

// Page is a part of a list of names.
type Page struct {
	Names []NameInfo
	More  bool // there are names after the last one
}

// NameInfo is a name that is bound.
type NameInfo struct {
	Name      string
	Interface string // the name of the object's interface, for people
}

// At returns the registry at an address, or the one that a name belongs to. "" means the
// default registry. At dials nothing.
func At(n *rmi.Node, url string) (Registry, error) {
	u, err := ParseURL(url)
	if err != nil {
		return nil, during("registry", "", err)
	}
	return u.registry(n)
}

func (u URL) registry(n *rmi.Node) (Registry, error) {
	return rmi.Resolve[Registry](n, refs.WellKnown(u.Endpoint, refs.RegistryObject), nil)
}
