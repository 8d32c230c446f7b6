// Package proxy makes proxies. A proxy stands for a remote object: calls of its methods go to a
// Caller. Proxies are values of Go interfaces, of func types, and of structs of func fields.
//
// There are three ways to make a proxy. For an interface with a registered stub, the stub makes it.
// For other interfaces, it is of a type made at run time (package proxy/dynamic explains how).
// Funcs, and the func fields of a struct, are made by reflect.MakeFunc, on every platform. Each of
// them leads to a Core.
//
// A node has one Core for each reference identity and interface, as long as anything refers to it:
// see Table. So == on proxies compares identity.
package proxy

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"
	"unsafe"
	"weak"

	"gormi/proxy/dynamic"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
)

// Caller makes the calls of proxies. Its implementation is the node.
type Caller interface {
	Begin(ctx context.Context, c *Core, m *codec.Method) Invocation
}

// Invocation is one call of a proxy, from its arguments to its results:
//
//	inv := c.Caller.Begin(ctx, c, m)
//	for inv.Attempt() { // once, and again for each retry
//		err := encode the arguments to inv.Encoder()
//		inv.Send(err)
//	}
//	var err error
//	if d := inv.Results(); d != nil {
//		err = decode the results from d
//	}
//	err = inv.End(err)
//
// A retry encodes again because references belong to the session on which they are sent. The core
// stays alive until End. After End, the invocation, its encoder and its decoder must not be used.
type Invocation interface {
	// Attempt reports whether the arguments must be encoded and sent, the first time or again.
	Attempt() bool
	// Encoder returns the encoder for the arguments of this attempt.
	Encoder() *codec.Encoder
	// Send makes the call, unless the arguments could not be encoded.
	Send(encodeErr error)
	// Results returns the decoder for the results, or nil if the call failed.
	Results() *codec.Decoder
	// End gives everything back. It returns the call's error, or the error of its results.
	End(decodeErr error) error
}

// Core is what stands behind a proxy, whatever its form.
type Core struct {
	Interface *codec.Interface
	Caller    Caller
	Agreed    atomic.Bool                       // the Caller's: the owner's interface was found to fit
	Cache     atomic.Value                      // the Caller's: how it reached the owner last
	Semantics atomic.Pointer[[]codec.Semantics] // the owner's, by Method.Index; nil if they are the Interface's
	Refresh   RefreshFunc                       // of a following proxy (Follow); else nil

	target atomic.Pointer[Core] // of a following proxy; see Target
	ref    atomic.Pointer[refs.Ref]
	value  reflect.Value  // the proxy itself, of Interface.Type
	fn     unsafe.Pointer // the closure of a func proxy; see funcs
	table  *Table         // whose proxy it is
	hold   *hold
}

// hold outlives its core, for the core's cleanup.
type hold struct {
	on bool // Holds.Pin was called and Unpin was not; guarded by Table.mu
}

// Holds is told what the proxies of a table refer to. Its methods are called under the table's
// lock, Unpin also by the runtime's cleanups. So they must be short, and must neither use the table
// nor wake a goroutine.
type Holds interface {
	Pin(r refs.Ref)
	Unpin(id refs.ID)
}

// Ref returns the reference to the object. If several came to this node, that is the newest, which
// knows best where the owner is. One that the program made stays until it makes another.
func (c *Core) Ref() refs.Ref {
	if c.Refresh != nil {
		c = c.Target()
	}
	return *c.ref.Load()
}

// Value returns the proxy, a value of the interface's type.
func (c *Core) Value() reflect.Value { return c.value }

func (c *Core) dispatch(m *codec.Method, args []reflect.Value) []reflect.Value {
	ctx, _ := args[0].Interface().(context.Context)
	out, err := c.Call(ctx, m, args[1:])
	res := make([]reflect.Value, len(m.Out)+1)
	for i, t := range m.Out {
		if err == nil {
			res[i] = out[i]
		} else {
			res[i] = reflect.Zero(t)
		}
	}
	if err == nil {
		res[len(m.Out)] = noError
	} else {
		res[len(m.Out)] = errorValue(err)
	}
	return res
}

// Call calls a method by reflection. args are the arguments after the context, out the results
// before the error.
func (c *Core) Call(ctx context.Context, m *codec.Method, args []reflect.Value) (out []reflect.Value, err error) {
	inv := c.Caller.Begin(ctx, c, m)
	for inv.Attempt() {
		inv.Send(m.EncodeArgs(inv.Encoder(), args))
	}
	if d := inv.Results(); d != nil {
		out, err = m.DecodeResults(d)
	}
	return out, inv.End(err)
}

// errorValue returns err as a value of type error.
func errorValue(err error) reflect.Value { return reflect.ValueOf(&err).Elem() }

var noError = reflect.Zero(reflect.TypeFor[error]())

// Supported returns why proxies of an interface type cannot be made here, or nil if they can.
func Supported(t reflect.Type) error {
	if t.Kind() != reflect.Interface {
		return nil
	}
	if _, ok := Registered(t); ok {
		return nil
	}
	return dynamic.Supported()
}

// build makes the proxy's value.
func (c *Core) build() error {
	t := c.Interface.Type
	switch t.Kind() {
	case reflect.Func:
		if r, ok := Registered(t); ok {
			c.value = reflect.ValueOf(r.New(c))
		} else {
			c.value = reflect.MakeFunc(t, func(args []reflect.Value) []reflect.Value {
				return c.dispatch(c.Interface.Methods[0], args)
			})
		}
		c.fn = closureOf(c.value)
	case reflect.Struct:
		v := reflect.New(t).Elem()
		for i := range t.NumField() {
			if f := t.Field(i); f.Anonymous && f.Type == reflect.TypeFor[Face]() {
				v.Field(i).Set(reflect.ValueOf(FaceOf(c)))
			}
		}
		for _, m := range c.Interface.Methods {
			f := v.FieldByName(m.Name)
			f.Set(reflect.MakeFunc(f.Type(), func(args []reflect.Value) []reflect.Value { return c.dispatch(m, args) }))
		}
		c.value = v
	default:
		if r, ok := Registered(t); ok {
			v := reflect.New(t).Elem()
			v.Set(reflect.ValueOf(r.New(c)))
			c.value = v
			return nil
		}
		v, err := dynamic.New(t, dispatcher{FaceOf(c)})
		if err != nil {
			return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "no proxy for %s: %w", c.Interface.Name, err)
		}
		c.value = v
	}
	return nil
}

// Stub is implemented by stubs, and by structs of funcs that embed a Face.
type Stub interface{ RMICore() *Core }

// Table holds a node's proxies, by weak pointers.
type Table struct {
	Holds Holds // set before the table is used; may be nil

	mu    sync.Mutex // guards the fields below
	cores map[key]weak.Pointer[Core]
}

// funcs are the proxies of all tables that are funcs, by closure. Nothing else tells one func from
// another.
var funcs struct {
	sync.RWMutex // guards all; taken after Table.mu
	all          map[uintptr]weak.Pointer[Core]
}

type key struct {
	id       refs.ID
	endpoint refs.Endpoint // of well-known objects, whose id names no node
	origin   refs.Origin   // likewise
	typ      reflect.Type
}

func keyOf(r refs.Ref, t reflect.Type) key {
	k := key{id: r.ID, typ: t}
	if r.ID.IsWellKnown() {
		k.endpoint, k.origin = r.Endpoint, r.Origin
	}
	return k
}

// Get returns the proxy for a reference. It makes one if there is none.
func (t *Table) Get(r refs.Ref, i *codec.Interface, caller Caller) (*Core, error) {
	k := keyOf(r, i.Type)
	t.mu.Lock()
	if c := t.cores[k].Value(); c != nil {
		t.pin(c, r)
		t.mu.Unlock()
		c.learn(r)
		return c, nil
	}
	t.mu.Unlock()

	c := &Core{Interface: i, Caller: caller, hold: new(hold), table: t}
	c.ref.Store(&r)
	if err := c.build(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if other := t.cores[k].Value(); other != nil { // made at the same time
		t.pin(other, r)
		other.learn(r)
		return other, nil
	}
	if t.cores == nil {
		t.cores = make(map[key]weak.Pointer[Core])
	}
	t.cores[k] = weak.Make(c)
	if c.fn != nil {
		addFunc(c)
	}
	t.pin(c, r)
	fn, h := uintptr(c.fn), c.hold
	runtime.AddCleanup(c, func(h *hold) { t.forget(k, fn, h) }, h)
	return c, nil
}

// learn stores a newer reference. A peer's does not replace the program's own.
func (c *Core) learn(r refs.Ref) {
	if old := c.Ref(); old != r && (old.Origin != refs.OriginProgram || r.Origin == refs.OriginProgram) {
		c.ref.Store(&r)
	}
}

// addFunc adds the proxy of a func type to funcs.
func addFunc(c *Core) {
	funcs.Lock()
	defer funcs.Unlock()
	if funcs.all == nil {
		funcs.all = make(map[uintptr]weak.Pointer[Core])
	}
	funcs.all[uintptr(c.fn)] = weak.Make(c)
}

// pin makes a core hold its reference. mu is held.
func (t *Table) pin(c *Core, r refs.Ref) {
	if !c.hold.on && t.Holds != nil {
		c.hold.on = true
		t.Holds.Pin(r)
	}
}

// unpin takes pin back. mu is held.
func (t *Table) unpin(h *hold, id refs.ID) {
	if h.on {
		h.on = false
		t.Holds.Unpin(id)
	}
}

// Release ends the hold of a core on its reference, until the reference arrives again. A following
// proxy holds through its target.
func (t *Table) Release(c *Core) {
	if c.Refresh != nil {
		c = c.Target()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpin(c.hold, c.Ref().ID)
}

// forget removes the entries of a collected proxy, unless a new one has them.
func (t *Table) forget(k key, fn uintptr, h *hold) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpin(h, k.id)
	if w, ok := t.cores[k]; ok && w.Value() == nil {
		delete(t.cores, k)
	}
	if fn != 0 {
		dropFunc(fn)
	}
}

// dropFunc removes the entry of a collected func, unless a new one has it.
func dropFunc(fn uintptr) {
	funcs.Lock()
	defer funcs.Unlock()
	if w, ok := funcs.all[fn]; ok && w.Value() == nil {
		delete(funcs.all, fn)
	}
}

// Len returns the number of proxies that are not collected yet.
func (t *Table) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.cores)
}

// CoreOf returns what stands behind v, or nil if v is no proxy. A proxy of an interface may be of
// any node. A func must be of this table's node: a func of another node is an object like any
// other.
func (t *Table) CoreOf(v reflect.Value) *Core {
	c := CoreOf(v)
	if c != nil && c.fn != nil && c.table != t {
		return nil
	}
	return c
}

// CoreOf returns what stands behind v, or nil if v is no proxy. The proxy may be of any node.
func CoreOf(v reflect.Value) *Core {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if !v.IsValid() || !v.CanInterface() {
		return nil
	}
	if v.Kind() == reflect.Func {
		funcs.RLock()
		defer funcs.RUnlock()
		return funcs.all[uintptr(closureOf(v))].Value()
	}
	x := v.Interface()
	if s, ok := x.(Stub); ok {
		return s.RMICore()
	}
	if d, ok := dynamic.DispatcherOf(x); ok {
		f, _ := d.(dispatcher)
		return f.RMICore()
	}
	return nil
}

// closureOf returns the address of a func value's closure, nil for a nil func. Each func that
// reflect.MakeFunc made has its own. So has each func of a stub, because it captures the core. The
// address of a collected closure may be used again. But its Core is collected with it, and the
// table's weak pointer is nil by then.
func closureOf(v reflect.Value) unsafe.Pointer {
	p := reflect.New(v.Type())
	p.Elem().Set(v)
	return *(*unsafe.Pointer)(p.UnsafePointer())
}
