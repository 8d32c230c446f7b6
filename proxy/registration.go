package proxy

import (
	"reflect"
	"sync"
	"time"
)

// Registration is what is linked in for an interface or func type.
type Registration struct {
	// New makes the proxy, of the type that it is registered for. A func must be
	// a closure of its own for each core.
	New func(*Core) any
	// Semantics are those of the methods in the order of their names; nil if the
	// stub, written by hand, does not tell.
	Semantics []Semantics
}

// Semantics are what a method's directives say of its calls.
type Semantics struct {
	// Idempotent: the method may run twice for one call; a call whose reply was
	// lost is made again.
	Idempotent bool
	// OneWay: a call is over when it was sent; what the method returns is dropped.
	OneWay bool
	// Timeout is the deadline of calls whose context has none. If zero, the node's.
	Timeout time.Duration
}

var registrations sync.Map // reflect.Type → Registration

// Register has the proxies of type t, an interface or a func, made by r.New. It
// is for package rmi/stub, which generated and hand-written stubs use.
func Register(t reflect.Type, r Registration) { registrations.Store(t, r) }

// Registered returns what was registered for a type.
func Registered(t reflect.Type) (r Registration, ok bool) {
	v, ok := registrations.Load(t)
	if ok {
		r = v.(Registration)
	}
	return r, ok
}
