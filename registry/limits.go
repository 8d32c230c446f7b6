package registry

import (
	"time"

	"gormi/rmi"
)

// What a registry takes at most. ServeOptions has the limits that its operator can set, and
// MaxName in name.go is the longest name.
const (
	// MaxMessage is how many bytes of arguments a registry accepts in one call.
	MaxMessage = 64 << 10

	// MaxBatch is how many claims or names one call of Acquire, Renew or Release may
	// hold. A call with more is refused with rmi.KindTooLarge, and so is one of more than
	// MaxMessage bytes.
	MaxBatch = 1000

	defaultPage  = 100
	maxPage      = 1000
	maxPageBytes = 48 << 10 // of names; with what MessagePack adds, less than 64 KiB

	defaultLease = 20 * time.Second
	minLease     = time.Second

	// maxSweep is how many leases the sweep looks at while it holds the lock.
	maxSweep = 512

	// pastFor, maxPast and maxPastEach bound what is remembered of names that ended.
	pastFor     = 5 * time.Minute
	maxPast     = 1 << 16
	maxPastEach = maxPast / 4 // that one party held
)

// withDefaults returns the options without zeros.
func (o ServeOptions) withDefaults() ServeOptions {
	if o.MaxNames <= 0 {
		o.MaxNames = 1_000_000
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 256 << 20
	}
	if o.MaxLease <= 0 {
		o.MaxLease = 10 * time.Minute
	}
	if o.MaxNamesEach <= 0 {
		o.MaxNamesEach = max(o.MaxNames/2, 1000)
	}
	if o.MaxBytesEach <= 0 {
		o.MaxBytesEach = max(o.MaxBytes/2, 1<<20)
	}
	o.MaxLease = max(o.MaxLease, minLease)
	return o
}

// leaseLength returns how long a lease is granted for which asked was asked.
func (o ServeOptions) leaseLength(asked time.Duration) (time.Duration, error) {
	switch {
	case asked < 0:
		return 0, invalid("the lease is %v", asked)
	case asked == 0:
		asked = defaultLease
	}
	return min(max(asked, minLease), o.MaxLease), nil
}

// room returns how many bytes the names take once b has replaced old, which is nil if there is
// none. An error says that there is no room for b.
func (t *tables) room(b, old *binding) (bytes int, err error) {
	bytes = t.bytes + b.size()
	if old != nil {
		bytes -= old.size()
	} else if t.names.count >= t.limits.MaxNames {
		return 0, refused(rmi.KindOverloaded, "the registry holds %d names, its limit (ServeOptions.MaxNames)", t.limits.MaxNames)
	}
	if bytes > t.limits.MaxBytes {
		return 0, refused(rmi.KindOverloaded, "the registry holds %d bytes of names and descriptions, and its limit is %d (ServeOptions.MaxBytes)", t.bytes, t.limits.MaxBytes)
	}
	if b.by.node.IsZero() { // its own process
		return bytes, nil
	}
	has := t.shares[b.by.party()]
	if old != nil && old.by.party() == b.by.party() {
		has.names--
		has.bytes -= old.size()
	}
	switch {
	case has.names >= t.limits.MaxNamesEach:
		return 0, refused(rmi.KindOverloaded, "the registry holds %d names of this principal, or of this host's anonymous nodes, as many as one may have (ServeOptions.MaxNamesEach)", has.names)
	case has.bytes+b.size() > t.limits.MaxBytesEach:
		return 0, refused(rmi.KindOverloaded, "the registry holds %d bytes of names and descriptions of this principal, or of this host's anonymous nodes, and one may have %d (ServeOptions.MaxBytesEach)", has.bytes, t.limits.MaxBytesEach)
	}
	return bytes, nil
}

// share is what a party has of the registry.
type share struct{ names, bytes int }

// count adds a binding to its party's share, or takes it away.
func (t *tables) count(b *binding, n int) {
	x := b.by.party()
	s := t.shares[x]
	s.names += n
	s.bytes += n * b.size()
	if s.names == 0 {
		delete(t.shares, x)
	} else {
		t.shares[x] = s
	}
}

// checkBatch returns an error if a call holds too many claims or names.
func checkBatch(n int) error {
	if n > MaxBatch {
		return refused(rmi.KindTooLarge, "%d names in one call: the registry takes %d, a fixed limit", n, MaxBatch)
	}
	return nil
}
