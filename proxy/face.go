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

// Face has the methods of proxies besides those of their interfaces. By them, proxies print as what
// they are and are not taken for data. Stubs embed it, and structs of funcs may. Proxies that are
// made at run time have the same methods.
//
// Face is comparable. Faces of one reference and interface are equal.
type Face struct {
	// core is a *Core. It is nil if no node made the Face. It is untyped because of package fmt,
	// which calls no methods of unexported fields, but with some verbs follows pointers to structs.
	// So it would read and print a core that is in use.
	core unsafe.Pointer
}

// FaceOf returns the face of the proxies of c.
func FaceOf(c *Core) Face { return Face{unsafe.Pointer(c)} }

// RMICore returns what stands behind the proxy.
func (f Face) RMICore() *Core { return (*Core)(f.core) }

// String shows interface and reference. It leaves out what one needs to call the object.
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

// MarshalBinary fails: a proxy is not data.
func (f Face) MarshalBinary() ([]byte, error) { return nil, f.noData() }

// MarshalJSON fails: a proxy is not data.
func (f Face) MarshalJSON() ([]byte, error) { return nil, f.noData() }

// MarshalText fails: a proxy is not data.
func (f Face) MarshalText() ([]byte, error) { return nil, f.noData() }

func (f Face) noData() error {
	return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted,
		"a %v stands for an object and is not data: write its reference, which rmi.RefOf returns and rmi.Resolve takes", f)
}

// dispatcher makes the calls of a run-time proxy. It is also the proxy's face.
type dispatcher struct{ Face }

var (
	_ dynamic.Dispatcher = dispatcher{}
	_ dynamic.Face       = dispatcher{}
)

// Dispatch makes a call. method counts in the order of the interface's method names.
func (d dispatcher) Dispatch(method int, args []reflect.Value) []reflect.Value {
	c := d.RMICore()
	return c.dispatch(c.Interface.Methods[method], args)
}
