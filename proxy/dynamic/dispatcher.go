package dynamic

import (
	"errors"
	"fmt"
	"reflect"
)

// A Dispatcher performs the calls made on a proxy. It is usually a pointer. Proxies are compared
// and hashed by their dispatchers. So comparing proxies panics if their dispatchers have a type
// without ==.
type Dispatcher interface {
	// Dispatch runs a method of the interface type that the proxy was made for, and returns its
	// results. Several goroutines may call it concurrently. It runs on the caller's goroutine,
	// where a panic continues.
	//
	// method is the method's index in reflect's order: sorted by name, as in reflect.Type.Method.
	// It stays the same when the proxy was assigned to a smaller interface. args has one value per
	// parameter, without the receiver. Each has the exact type of the parameter; one of an
	// interface type has Kind Interface. The last argument of a variadic method is the slice. The
	// values are copies and may be kept.
	//
	// There must be as many results as the method has, each assignable to its type. Otherwise the
	// call panics. The zero reflect.Value is not a result. A nil error is
	// reflect.Zero(reflect.TypeFor[error]()).
	//
	// The dispatcher stays reachable until Dispatch has returned.
	Dispatch(method int, args []reflect.Value) []reflect.Value
}

// unsupported returns the error for platforms, builds and versions of Go that cannot make proxies.
func unsupported(why string) error {
	return fmt.Errorf("dynamic: cannot make an implementation of an interface at run time: %s; "+
		"make a stub with gormi/cmd/rmigen, for a named interface, or use a struct of func fields: %w", why, errors.ErrUnsupported)
}
