package proxy

import (
	"reflect"
	"sync"
)

// Registration is what is registered for an interface or func type.
type Registration struct {
	// New makes the proxy, of the type that it is registered for. A func must be a new closure for
	// each core.
	New func(*Core) any
}

var registrations sync.Map // reflect.Type → Registration

// Register makes r.New the maker of the proxies of type t, an interface or a func. It is for
// package rmi/stub, which generated and hand-written stubs use.
func Register(t reflect.Type, r Registration) { registrations.Store(t, r) }

// Registered returns what was registered for a type.
func Registered(t reflect.Type) (r Registration, ok bool) {
	v, ok := registrations.Load(t)
	if ok {
		r = v.(Registration)
	}
	return r, ok
}
