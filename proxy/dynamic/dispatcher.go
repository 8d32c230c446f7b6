package dynamic

import (
	"errors"
	"fmt"
	"reflect"
)

// A Dispatcher performs the calls made on a proxy. It is usually a pointer: proxies are compared and hashed
// by their dispatchers, so comparing proxies whose dispatchers are of a type without == panics.
type Dispatcher interface {
	// Dispatch runs method number method of the interface type that the proxy was made for, and returns its results.
	// It may be called by several goroutines at once, and runs on the goroutine of the caller, where a panic continues.
	//
	// The number is the method's index in reflect's order: sorted by name, as in reflect.Type.Method. It stays
	// the same when the proxy has been assigned to a smaller interface. args has one value per parameter, without the
	// receiver, each of the exact type of the parameter (one of an interface type has Kind Interface); the last argument
	// of a variadic method is the slice. The values are copies and may be kept.
	//
	// There must be as many results as the method has, each assignable to its type: otherwise the call panics.
	// The zero reflect.Value is not a result; a nil error is reflect.Zero(reflect.TypeFor[error]()).
	//
	// The dispatcher stays reachable until Dispatch has returned.
	Dispatch(method int, args []reflect.Value) []reflect.Value
}

// unsupported is the error for platforms, builds and versions of Go on which no proxy can be made.
func unsupported(why string) error {
	return fmt.Errorf("dynamic: cannot make an implementation of an interface at run time: %s; "+
		"make a stub with gormi/cmd/rmigen, for a named interface, or use a struct of func fields: %w", why, errors.ErrUnsupported)
}
