package rmi

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"runtime"
	"strings"
	"sync"

	"gormi/refs"
	"gormi/rmi/access"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/intercept"
	"gormi/rmi/transport"
	"gormi/skeleton"
)

// Threading says how the calls to one exported object relate.
//
//	type Threading uint8
//
//	func (t Threading) String() string  // "concurrent", "per connection", "serial"
type Threading = transport.Threading

const (
	// ThreadingConcurrent: every call runs on its own goroutine. The default.
	ThreadingConcurrent Threading = transport.ThreadingConcurrent
	// ThreadingPerConnection: the calls of one client run one after the other, in the order they were
	// made, over every kind of connection. A large call begins when all of it has arrived;
	// small calls made after it may run before it.
	ThreadingPerConnection Threading = transport.ThreadingPerConnection
	// ThreadingSerial: one call runs at a time, so the object needs no locks. Calls that the
	// running call leads to (its chain) may run too, because the running call waits for them. The
	// calls of one client run in that client's order, as with ThreadingPerConnection.
	ThreadingSerial Threading = transport.ThreadingSerial
)

// ExportOptions say how an object is served. The zero value is the default.
type ExportOptions struct {
	Threading Threading

	// MaxMessage bounds the bytes of the arguments of one call. If zero, Limits.Message.
	MaxMessage int

	// Methods maps the names of methods to what becomes of their calls when messages are
	// lost. A method that it does not name is at-most-once, unless the interface's generated
	// code says otherwise. Callers learn it with the object's description.
	Methods map[string]Semantics

	// Authorize is asked about every call of the object, before its arguments are decoded and
	// after Options.Authorize has allowed it: see package rmi/access. If nil, the node's decides.
	Authorize access.Gate
	// Interceptors run around every call of the object from other nodes, the first outermost.
	// Package intercept says what they may do, and has some.
	Interceptors []intercept.Interceptor

	// Number is a well-known object number, below refs.ReservedObjects. If zero, the number
	// is random and cannot be guessed. Export an object with a well-known number before the
	// node listens: a call that arrives in between finds no object. An object has one
	// number for each interface.
	Number refs.ObjNum
}

// Semantics say what becomes of a method's calls when messages are lost. The zero value is
// at-most-once. The owner chooses them, by ExportOptions.Methods or by directives that cmd/rmigen
// reads. Callers learn them with the object's description:
//
//	at-most-once    the default: the caller handles Unknown
//	idempotent      at-least-once: retried, see Error      //rmi:idempotent
//	one-way         maybe                                  //rmi:oneway
//	timeout         of calls without a deadline            //rmi:timeout 5s
//
// A call of a one-way method returns when it was written to the connection, or handed to
// another goroutine that writes it. It has no results, and its error is dropped. If the
// connection is lost, the call is lost too. It still waits for a slot, a connection and room,
// and fails if it does not get these by its deadline.
//
//	type Semantics struct {
//		// At-least-once. If nobody knows whether a call ran, it is retried.
//		// So the method may run twice for one call.
//		Idempotent bool
//		// Maybe. A call ends when it was sent. The method has no results,
//		// and its error is dropped.
//		OneWay bool
//		// The time limit of calls whose context has no deadline. If zero, the node's.
//		Timeout time.Duration
//	}
//
//	func (s Semantics) String() string           // as "idempotent, timeout 5s"
//	func (s Semantics) Check(results int) error  // whether a method with so many results may
type Semantics = codec.Semantics

// served is what the node stores with an export.
type served struct {
	ExportOptions
	turn transport.Turn // of Serial

	// Where the object was exported: by Export, or by being passed to a node.
	by site
	to refs.NodeID
}

// place tells where the object was exported.
func (x *served) place() string {
	switch {
	case x.by != site{}:
		return "by Export at " + x.by.String()
	case !x.to.IsZero():
		return "by being passed to node " + x.to.Short()
	}
	return "by being passed in an event"
}

// with returns the options of an object that is exported again with o. more reports
// whether o sets an option that x does not have.
func (x *served) with(o *ExportOptions) (both ExportOptions, more bool, err error) {
	both = x.ExportOptions
	if o.Number != 0 && o.Number != x.Number {
		if more = true; x.Number != 0 {
			return both, more, fmt.Errorf("ExportOptions.Number %d there, %d here", x.Number, o.Number)
		}
		both.Number = o.Number
	}
	if o.Threading != ThreadingConcurrent && o.Threading != x.Threading {
		if more = true; x.Threading != ThreadingConcurrent {
			return both, more, fmt.Errorf("Threading %v there, %v here", x.Threading, o.Threading)
		}
		both.Threading = o.Threading
	}
	if o.MaxMessage != 0 && o.MaxMessage != x.MaxMessage {
		if more = true; x.MaxMessage != 0 {
			return both, more, fmt.Errorf("MaxMessage %d there, %d here", x.MaxMessage, o.MaxMessage)
		}
		both.MaxMessage = o.MaxMessage
	}
	if len(o.Methods) > 0 && !maps.Equal(o.Methods, x.Methods) {
		if more = true; len(x.Methods) > 0 {
			return both, more, errors.New("the Methods differ")
		}
		both.Methods = o.Methods
	}
	if o.Authorize != nil {
		if more = true; x.Authorize != nil { // funcs cannot be compared
			return both, more, errors.New("an Authorize there and another here")
		}
		both.Authorize = o.Authorize
	}
	if len(o.Interceptors) > 0 && !sameInterceptors(o.Interceptors, x.Interceptors) {
		if more = true; len(x.Interceptors) > 0 {
			return both, more, errors.New("other Interceptors there and here")
		}
		both.Interceptors = o.Interceptors
	}
	return both, more, nil
}

// sameInterceptors reports whether two lists are one. Functions cannot be compared.
func sameInterceptors(a, b []intercept.Interceptor) bool {
	return len(a) == len(b) && &a[0] == &b[0]
}

// Handle is an explicit export. The object stays exported at least until the handle is closed.
//
// # How long things live
//
// What Export or a binding exports stays until its handle, or the node, is closed, or it is
// revoked (Handle.Revoke). What is exported because it was passed in a call stays as long as
// another node holds a reference to it. That is as long as there is a proxy there, or until
// the session with the holder is over for good. The same is true of an object that has lost
// its handles.
//
// Nodes count the references that frames carry when they arrive (rmi/references.go). They
// give these references back in batches (rmi/lease.go) when the proxies are collected, or
// released (Release). A node that hands a reference on keeps its own until the receiver has
// registered with the owner. Package refs/lease explains all of it. An object that
// implements Unreferencer is told when its last holder is gone. Node.Inventory lists what a
// node exports and holds, and for whom. Garbage collections are left to the runtime: a
// program that seldom collects holds references for long. Objects that hold each other
// across nodes are not collected.
//
// A reference as a value (refs.Ref) holds nothing. One that came as a result or in an event
// is kept for 30 s, and one that is an argument while the method runs. In that time Resolve
// can make a proxy of it, or Node.Hold hold it. A proxy is good while the owner's process
// lives and exports the object. Its session begins when it is first needed. If the session
// is over, the next call begins another.
type Handle[T any] struct {
	node   *Node
	export *skeleton.Export
	value  T
	once   sync.Once
}

// Value is the object. Passed in calls, it travels by reference.
func (h *Handle[T]) Value() T { return h.value }

// Ref is the object's reference.
func (h *Handle[T]) Ref() refs.Ref { return h.node.refTo(h.node.exports.Known(h.export)) }

// Close gives the handle back. The object stays exported while another handle or binding,
// or a proxy at another node, holds it. So those who have a reference can go on. See Revoke.
func (h *Handle[T]) Close() error {
	h.once.Do(func() { h.node.exports.Unpin(h.export) })
	return nil
}

// Revoke takes the object back from everybody, and closes the handle. From now on calls through
// proxies fail with NoSuchObject, and so do calls through other handles' references and through
// bindings of the object. Running calls go on. If the object is exported or passed again, it gets
// another reference. A well-known number (ExportOptions.Number) can be used again. References with
// it are the same as before, so whoever has one then calls, and holds, the new object.
func (h *Handle[T]) Revoke() error {
	h.node.exports.Revoke(h.export)
	return h.Close()
}

// Export makes v callable from other nodes as the interface T (or as the func type T), and
// nothing else of v. o may be nil.
//
// A pointer exported twice as the same interface is one object, whether by Export or by
// being passed in a call. The second export may set options with o. If no reference to the
// object was made yet, nobody can have called it, and they are applied. Otherwise they must
// be those that it was exported with; if they differ, Export fails (Invalid) and names both
// places. So export with options first.
func Export[T any](n *Node, v T, o *ExportOptions) (*Handle[T], error) {
	i, err := exportable[T]("Export")
	if err != nil {
		return nil, err
	}
	rv := reflect.ValueOf(&v).Elem()
	if isNil(rv) {
		return nil, unfit(i, "the value is nil")
	}
	if n.proxies.CoreOf(rv) != nil {
		return nil, unfit(i, "the value is a proxy: its owner exports the object")
	}
	if o == nil {
		o = new(ExportOptions)
	}
	if o.Number >= refs.ReservedObjects {
		return nil, unfit(i, "well-known object numbers are below %d", uint64(refs.ReservedObjects))
	}
	plain := i
	if i, err = i.With(o.Methods); err != nil {
		return nil, err
	}
	at := here()
	e, err := n.exports.Pin(i, rv, o.Number, func(e *skeleton.Export) { e.Extra = &served{ExportOptions: *o, by: at} },
		func(old *skeleton.Export, known bool) (*skeleton.Export, error) {
			x := old.Extra.(*served)
			both, more, err := x.with(o)
			switch {
			case !more:
				return nil, nil
			case err == nil && known:
				err = errors.New("somebody may have called it already without the options that are asked for here")
			case err == nil:
				as, err := plain.With(both.Methods)
				if err != nil {
					return nil, err
				}
				return &skeleton.Export{Skeleton: skeleton.New(as, rv), Num: both.Number, Extra: &served{ExportOptions: both, by: x.by, to: x.to}}, nil
			}
			return nil, fault.Add(unfit(i, "the object was exported %s, with other options than here, at %s: export it with its options first, before it is passed or bound", x.place(), at), fault.Cause(err))
		})
	if err != nil {
		return nil, err
	}
	return &Handle[T]{node: n, export: e, value: v}, nil
}

// unfit is the error of an export that cannot be.
func unfit(i *codec.Interface, format string, a ...any) *Error {
	return fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, format, a...), fault.Op("export"), fault.Of(i.Name))
}

// site is a place in the program from which this module was called. Its text is made when somebody
// asks: that takes longer than an export. The zero site is nowhere.
type site struct{ pcs [8]uintptr }

func here() (s site) {
	runtime.Callers(2, s.pcs[:])
	return s
}

func (s site) String() string {
	frames := runtime.CallersFrames(s.pcs[:])
	for {
		f, more := frames.Next()
		if !more || !strings.HasPrefix(f.Function, "gormi/rmi.") && !strings.HasPrefix(f.Function, "gormi/registry.") && !strings.HasPrefix(f.Function, "gormi/callback.") {
			return fmt.Sprintf("%s:%d", f.File, f.Line)
		}
	}
}

// exportable describes T, or explains how to write the call of fn so that T is
// an interface.
func exportable[T any](fn string) (*codec.Interface, error) {
	t := reflect.TypeFor[T]()
	if k := t.Kind(); k != reflect.Interface && k != reflect.Func {
		return nil, fault.Add(fault.New(fault.KindInvalid, fault.OutcomeNotExecuted,
			"%v is not an interface, and an object is exported as one: name it, as in %s[Account](..., v), where Account is the remote interface that %v implements", t, fn, t), fault.Op("export"))
	}
	return codec.InterfaceOf(t)
}

func isNil(v reflect.Value) bool {
	for v.Kind() == reflect.Interface {
		if v.IsNil() {
			return true
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Func, reflect.Map, reflect.Slice, reflect.Chan:
		return v.IsNil()
	}
	return !v.IsValid()
}

// refTo is the reference to an object of this node.
func (n *Node) refTo(e *skeleton.Export) refs.Ref {
	return refs.Ref{
		Endpoint:  n.Endpoint(),
		ID:        refs.ID{Node: n.ID(), Time: n.time, Object: e.Num},
		Interface: refs.Interface{Name: e.Interface.Name, Fingerprint: e.Interface.Fingerprint},
	}
}
