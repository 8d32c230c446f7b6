package rmi

import (
	"context"
	"reflect"
	"runtime"
	"slices"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Description says what an interface's methods are: names, parameters and
// results as they travel. It has a binary form (MarshalBinary, UnmarshalBinary).
//
//	type Description struct {
//		Name    string
//		Types   []codec.DescribedType   // methods, fields and elements are indices into it
//		Methods []codec.DescribedMethod // by name
//	}
//
//	func (d *Description) Accepts(caller *Description) error   // whether a caller's interface fits
//	func (d *Description) Fingerprint() refs.Fingerprint       // equal if calls are alike
//	func (d *Description) MarshalBinary() ([]byte, error)      // for UnmarshalBinary
//	func (d *Description) UnmarshalBinary(b []byte) error      // refuses what is malformed
//	func (d *Description) Signature(m codec.DescribedMethod) string
//	func (d *Description) SemanticsFor(i *codec.Interface) []Semantics
//	func (d *Description) String() string                      // as a Go interface
type Description = codec.Description

// Describe returns the description of T, an interface, a func type, or a struct
// of func fields.
func Describe[T any]() (*Description, error) {
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	return i.Description(), nil
}

// Describe asks the object behind a reference for the description of its interface.
func (n *Node) Describe(ctx context.Context, r refs.Ref) (*Description, error) {
	if r.Node == n.ID() && r.Time == n.time {
		if e := n.exports.Get(r.Object); e != nil {
			return e.Interface.Description(), nil
		}
	}
	to, err := n.route(ctx, r)
	if err != nil {
		return nil, fault.Add(err, fault.Op("describe"), fault.At(r))
	}
	d, err := n.describe(ctx, r, to)
	if err != nil {
		return nil, fault.Add(err, fault.Op("describe"), fault.At(r))
	}
	return d, nil
}

// Resolve returns the value that a reference stands for, as a T: an interface, a func type or a
// struct of func fields. If the object is this node's own, and T is an interface, that is the
// object itself. d is the description of the object's interface, or nil if it is not known. With
// d, a T that does not fit is refused now, otherwise at the first call. Resolve dials nothing.
func Resolve[T any](n *Node, r refs.Ref, d *Description) (T, error) {
	var zero T
	i, err := fitting[T](n, r, d)
	if err != nil {
		return zero, err
	}
	v, err := n.resolve(r, i)
	if err != nil {
		return zero, err
	}
	n.leases.table.Taken(r.ID) // from here on the proxy holds
	return v.Interface().(T), nil
}

// fitting returns T's interface, unless it does not fit the object's, d.
func fitting[T any](n *Node, r refs.Ref, d *Description) (*codec.Interface, error) {
	i, err := codec.InterfaceOf(reflect.TypeFor[T]())
	if err != nil {
		return nil, err
	}
	if d != nil && i.Fingerprint != d.Fingerprint() {
		if err := d.Accepts(i.Description()); err != nil {
			return nil, fault.Add(err, fault.Op("resolve"), fault.At(r))
		}
	}
	return i, nil
}

// Proxy can be embedded in a struct of funcs. Then the struct behaves like a proxy of an
// interface type:
//
//	type Account struct {
//		rmi.Proxy
//		Deposit func(ctx context.Context, cents int64) (int64, error)
//	}
//
// Proxies of all forms print as "proxy of INTERFACE at REFERENCE", by every verb of package fmt
// and in logs. Marshalling them fails: what can be stored is RefOf(p). RefOf, As, Gone and
// Release accept them. Structs of funcs without Proxy, and funcs, print as package fmt
// prints any func.
//
//	func (p Proxy) String() string                  // "proxy of INTERFACE at REFERENCE"
//	func (p Proxy) GoString() string                // the same
//	func (p Proxy) Format(s fmt.State, verb rune)   // the same, by every verb
//	func (p Proxy) LogValue() slog.Value            // the same
//	func (p Proxy) MarshalBinary() ([]byte, error)  // an error, as the next two
//	func (p Proxy) MarshalJSON() ([]byte, error)
//	func (p Proxy) MarshalText() ([]byte, error)
//	func (p Proxy) RMICore() *proxy.Core            // what stands behind it, for this module
type Proxy = proxy.Face

// As returns the object behind a proxy as another interface, T. It asks the owner whether the
// object's interface has the methods of T. A value that is no proxy is converted as by a type
// assertion; if that fails, the error is of kind Mismatch.
func As[T any](ctx context.Context, v any) (T, error) {
	var zero T
	if proxy.CoreOf(reflect.ValueOf(v)) == nil {
		if t, ok := v.(T); ok {
			return t, nil
		}
		return zero, fault.Add(fault.New(fault.KindMismatch, fault.OutcomeNotExecuted, "%T is neither a proxy nor a %v", v, reflect.TypeFor[T]()), fault.Op("as"))
	}
	c, n, err := coreOf("as", v)
	if err != nil {
		return zero, err
	}
	defer runtime.KeepAlive(c) // it holds the object until the other proxy does
	d, err := n.Describe(ctx, c.Ref())
	if err != nil {
		return zero, err
	}
	return Resolve[T](n, c.Ref(), d)
}

// NodeOf returns the node that a proxy makes its calls through. ok is false if v is no proxy. v may
// be of the forms that RefOf takes.
func NodeOf(v any) (n *Node, ok bool) {
	c := proxy.CoreOf(reflect.ValueOf(v))
	if c == nil {
		return nil, false
	}
	n = nodeOf(c)
	return n, n != nil
}

// RefOf returns the reference of a proxy of any node. v may be an interface, a func, or a struct of
// funcs that embeds Proxy. ok is false if v is no proxy. The reference holds nothing: keep the
// proxy, or see Node.Hold.
func RefOf(v any) (r refs.Ref, ok bool) {
	if c := proxy.CoreOf(reflect.ValueOf(v)); c != nil {
		return c.Ref(), true
	}
	return r, false
}

// coreOf returns what stands behind a proxy, and its node. op is the operation, for the error.
func coreOf(op string, v any) (*proxy.Core, *Node, error) {
	c := proxy.CoreOf(reflect.ValueOf(v))
	if c == nil {
		return nil, nil, fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%T is no proxy", v), fault.Op(op))
	}
	n := nodeOf(c)
	if n == nil {
		return nil, nil, fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the proxy belongs to no node"), fault.Op(op))
	}
	return c, n, nil
}

// Invoke calls a method by name, for tools that do not know the object's Go interface. It
// asks the object what its interface is. Arguments travel as their own types, proxies by
// reference. Results are what MessagePack makes of them (int64, float64, string, []byte,
// []any, map[string]any, ...). References among them are of type refs.Ref.
func (n *Node) Invoke(ctx context.Context, r refs.Ref, method string, args ...any) ([]any, error) {
	to, err := n.route(ctx, r)
	if err != nil {
		return nil, fault.Add(err, fault.Op("invoke"), fault.At(r))
	}
	d, err := n.describe(ctx, r, to)
	if err != nil {
		return nil, fault.Add(err, fault.Op("invoke"), fault.At(r))
	}
	if err := fits(d, method, len(args)); err != nil {
		return nil, fault.Add(err, fault.Op("invoke"), fault.At(r))
	}
	defer runtime.KeepAlive(args) // proxies hold what their references are to
	args = slices.Clone(args)
	for i, a := range args {
		if c := n.proxies.CoreOf(reflect.ValueOf(a)); c != nil {
			args[i] = c.Ref()
		}
	}
	var out []any
	if len(n.opts.Interceptors) == 0 {
		out, err = n.invoke(ctx, to, r, method, args)
	} else {
		out, err = n.invokeIntercepted(ctx, to, r, d.Name, method, args)
	}
	if err != nil {
		return nil, fault.Add(err, fault.Op("invoke"), fault.At(r))
	}
	return out, nil
}

// invoke makes the call of Invoke.
func (n *Node) invoke(ctx context.Context, to route, r refs.Ref, method string, args []any) ([]any, error) {
	var x exchange
	x.begin(n, to)
	bad := codec.EncodeAny(x.enc, args)
	if bad == nil {
		bad = x.carry(ctx)
	}
	if err := x.send(ctx, r, wire.MethodIDOf(method), bad); err != nil {
		return nil, err
	}
	defer x.end()
	return codec.DecodeAny(x.dec)
}

// fits checks a call by name against the object's description: method and
// number of arguments. Their types are the owner's to check.
func fits(d *Description, method string, args int) error {
	for _, m := range d.Methods {
		if m.Name != method {
			continue
		}
		if want := len(m.Params); args != want {
			return fault.New(KindBadArguments, OutcomeNotExecuted, "%s takes %d arguments, got %d (a variadic's are passed as one slice): %s", method, want, args, d.Signature(m))
		}
		return nil
	}
	var names []string
	for _, m := range d.Methods {
		if len(d.Methods) <= 8 { // else it would be too long for an error
			m.Name = d.Signature(m)
		}
		names = append(names, m.Name)
	}
	return fault.New(KindNoSuchMethod, OutcomeNotExecuted, "%s has no method %s; it has %s", d.Name, method, among(names))
}
