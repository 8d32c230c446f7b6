package stub

import (
	"context"
	"fmt"
	"reflect"
	"runtime"
	"slices"

	"gormi/proxy"
	"gormi/rmi/codec"
	"gormi/skeleton"
)

// FilesOfVersion1 is the constant that generated files of the current form mention. If your
// compiler does not find the constant that a file mentions, the file does not fit this version of
// the module: run rmigen again.
const FilesOfVersion1 = true

// Semantics are what a method's directives say about its calls.
type Semantics = codec.Semantics

// Method is a method of an interface as a generated file knows it.
type Method struct {
	Name string
	Semantics
}

// Generated is what a generated file offers for T. T is an interface or a func type.
type Generated[T any] struct {
	Proxy func(Object) T
	// Serve runs a method of v: see skeleton.Served.
	Serve func(ctx context.Context, v T, method int, d *Decoder, e *Encoder) error
	// Methods in the order of their names; a func has one, named Call.
	Methods []Method
}

// Register puts g to use in every node of the process. The generated file calls it to initialize a
// variable. That is before all init functions, but perhaps after other variables of the package.
// Register panics if T has other methods than g. It also panics if such a variable used T already,
// and so missed its directives.
func (g Generated[T]) Register() struct{} {
	t := reflect.TypeFor[T]()
	var want, have []string
	semantics := make(map[string]Semantics)
	for _, m := range g.Methods {
		have = append(have, m.Name)
		if m.Semantics != (Semantics{}) {
			semantics[m.Name] = m.Semantics
		}
	}
	switch t.Kind() {
	case reflect.Interface:
		for i := range t.NumMethod() {
			want = append(want, t.Method(i).Name)
		}
	case reflect.Func:
		want = []string{"Call"}
	}
	if !slices.Equal(want, have) {
		stale(fmt.Sprintf("%v has the methods %v, the file was made for %v", t, want, have))
	}
	if err := codec.Declare(t, semantics); err != nil {
		_, file, _, _ := runtime.Caller(1)
		panic(fmt.Sprintf("%s comes too late: %v; use the interface in main or in an init function, not to initialize a package's variable", file, err))
	}
	proxy.Register(t, proxy.Registration{New: func(c *proxy.Core) any { return g.Proxy(objectOf(c)) }})
	skeleton.Register(t, func(v reflect.Value) skeleton.Served {
		servant := v.Interface().(T)
		return func(ctx context.Context, method int, d *Decoder, e *Encoder) error {
			return g.Serve(ctx, servant, method, d, e)
		}
	})
	return struct{}{}
}

// stale panics: the file of the caller's caller does not fit its types.
func stale(how string) {
	_, file, _, _ := runtime.Caller(2)
	panic(fmt.Sprintf("%s is stale: %s; run rmigen again", file, how))
}

// Call is one call of a generated proxy.
type Call struct {
	inv proxy.Invocation
	m   *codec.Method
	e   *Encoder
	d   *Decoder
}

// Begin begins a call of a method, by its number in the order of the names.
func (o Object) Begin(ctx context.Context, method int) Call {
	c := o.RMICore()
	m := c.Interface.Methods[method]
	return Call{inv: c.Caller.Begin(ctx, c, m), m: m}
}

// Attempt reports whether the arguments must be encoded and sent, the first time or again.
func (c *Call) Attempt() bool { return c.inv.Attempt() }

// Args returns the encoder for the arguments of an attempt.
func (c *Call) Args() *Encoder {
	c.e = c.inv.Encoder()
	c.e.OpenArgs(c.m)
	return c.e
}

// Send makes the call, unless the arguments could not be encoded.
func (c *Call) Send() { c.inv.Send(c.e.CloseArgs(c.m)) }

// Results returns the decoder for the results, or nil if the call failed.
func (c *Call) Results() *Decoder {
	if c.d = c.inv.Results(); c.d != nil {
		c.d.OpenResults(c.m)
	}
	return c.d
}

// End ends the call and returns its error, or an error in its results.
func (c *Call) End() error {
	var err error
	if c.d != nil {
		err = c.d.CloseResults(c.m)
	}
	return c.inv.End(err)
}
