package proxy

import (
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strconv"
	"unsafe"

	"gormi/proxy/dynamic"
	"gormi/rmi/fault"
)

// Face is what proxies have beside the methods of their interfaces, so that they
// print as what they are and do not pass for data: stubs embed it, structs of
// funcs may, and proxies that are made at run time have the same methods.
//
// It is comparable: those of one reference and interface are equal.
type Face struct {
	// core is a *Core, nil in what no node made. It has no type, as package fmt
	// calls no methods of unexported fields, but with some verbs follows pointers
	// to structs: it would read a core that is in use, and print it.
	core unsafe.Pointer
}

// FaceOf returns the face of the proxies of a core.
func FaceOf(c *Core) Face { return Face{unsafe.Pointer(c)} }

// RMICore is what stands behind the proxy.
func (f Face) RMICore() *Core { return (*Core)(f.core) }

// String shows interface and reference, without what would allow to call the object.
func (f Face) String() string {
	c := f.RMICore()
	if c == nil {
		return "proxy of nothing"
	}
	return "proxy of " + c.Interface.Name + " at " + c.Ref().String()
}

// GoString is String.
func (f Face) GoString() string { return f.String() }

// Format prints String for every verb, quoted for %q. Width and flags have no effect.
func (f Face) Format(s fmt.State, verb rune) {
	text := f.String()
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	io.WriteString(s, text)
}

// LogValue is String.
func (f Face) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalBinary fails: a proxy is no data.
func (f Face) MarshalBinary() ([]byte, error) { return nil, f.noData() }

// MarshalJSON fails: a proxy is no data.
func (f Face) MarshalJSON() ([]byte, error) { return nil, f.noData() }

// MarshalText fails: a proxy is no data.
func (f Face) MarshalText() ([]byte, error) { return nil, f.noData() }

func (f Face) noData() error {
	return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted,
		"a %v stands for an object and is no data: write its reference, which rmi.RefOf tells and rmi.Resolve takes", f)
}

// dispatcher makes the calls of a run-time proxy, and is its face.
type dispatcher struct{ Face }

var (
	_ dynamic.Dispatcher = dispatcher{}
	_ dynamic.Face       = dispatcher{}
)

// Dispatch makes a call: method counts in the order of the interface's method names.
func (d dispatcher) Dispatch(method int, args []reflect.Value) []reflect.Value {
	c := d.RMICore()
	return c.dispatch(c.Interface.Methods[method], args)
}
