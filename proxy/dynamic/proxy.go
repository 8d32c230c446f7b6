//go:build gc && (amd64 || arm64) && !rmi_safe

package dynamic

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// proxy is the layout of every struct type made by newClass, whatever the type of the embedded
// interface. The slots know the offset of entries, and that it is the third word.
type proxy struct {
	embedded   any // nil; stands for the embedded interface, which may be of any interface type
	entries    *entry
	dispatcher Dispatcher
	noFace     Face // nil; stands for the embedded Face
}

// The methods below are put into the method tables as they are. They need no slot, because they do
// not depend on the interface.
var _ Face = proxy{}

// face answers for the proxy.
func (p proxy) face() Face {
	if f, ok := p.dispatcher.(Face); ok {
		return f
	}
	return plain{}
}

func (p proxy) Format(s fmt.State, verb rune)  { p.face().Format(s, verb) }
func (p proxy) String() string                 { return p.face().String() }
func (p proxy) GoString() string               { return p.face().GoString() }
func (p proxy) LogValue() slog.Value           { return p.face().LogValue() }
func (p proxy) MarshalBinary() ([]byte, error) { return p.face().MarshalBinary() }
func (p proxy) MarshalJSON() ([]byte, error)   { return p.face().MarshalJSON() }
func (p proxy) MarshalText() ([]byte, error)   { return p.face().MarshalText() }

// entry is what the two slots of one method load: function values from reflect.MakeFunc. A proxy
// refers to the first entry of its class.
type entry struct {
	byPointer unsafe.Pointer // func(*S, parameters) results, for Ifn
	byValue   unsafe.Pointer // func(S, parameters) results, for Tfn
}

// class is what all proxies of one interface type share.
type class struct {
	typ     reflect.Type // the struct type S; its method table refers to the slots
	entries []entry      // one per method, in reflect's order; never changed
}

var (
	classes sync.Map   // reflect.Type, the interface's and the struct's, to *class; entries are never removed
	making  sync.Mutex // held while a class is made
)

// Supported returns nil if New works in this build. Otherwise the error wraps
// errors.ErrUnsupported, gives the reason and names the alternatives. The first call runs the
// checks that the package documentation lists. Later calls return its result.
func Supported() error { return supported() }

var supported = sync.OnceValue(selfCheck)

// New returns a value of the interface type t whose methods call d. The reflect.Value has Kind
// Interface, is settable and holds the proxy. The error is that of Supported, or says why t cannot
// have proxies.
//
// New does not look for an existing proxy: each call allocates one. It is safe for concurrent use.
func New(t reflect.Type, d Dispatcher) (reflect.Value, error) {
	if err := Supported(); err != nil {
		return reflect.Value{}, err
	}
	return makeProxy(t, d)
}

func makeProxy(t reflect.Type, d Dispatcher) (reflect.Value, error) {
	if t == nil {
		return reflect.Value{}, errors.New("dynamic: no type given")
	}
	if d == nil {
		return reflect.Value{}, fmt.Errorf("dynamic: %v: no dispatcher given", t)
	}
	c, err := classOf(t)
	if err != nil {
		return reflect.Value{}, err
	}
	s := reflect.New(c.typ)
	p := (*proxy)(s.UnsafePointer())
	p.entries = &c.entries[0]
	p.dispatcher = d
	v := reflect.New(t).Elem()
	v.Set(s.Elem())
	return v, nil
}

// DispatcherOf returns the dispatcher of the proxy v. It returns false for nil and for everything
// that New did not make. It takes some nanoseconds: it looks at the kind and size of v's type, and
// then in a table of proxy types.
func DispatcherOf(v any) (Dispatcher, bool) {
	if v == nil {
		return nil, false
	}
	t := reflect.TypeOf(v)
	if t.Kind() != reflect.Struct || t.Size() != unsafe.Sizeof(proxy{}) {
		return nil, false
	}
	if _, ok := classes.Load(t); !ok {
		return nil, false
	}
	d := proxyIn(v).dispatcher
	return d, d != nil // nil in a zero value of the struct type, which only reflect can produce
}

// proxyIn returns the proxy in v, whose type is the struct type of a class. A struct that is larger
// than a pointer is not in the data word of an interface but behind it.
func proxyIn(v any) *proxy {
	return (*proxy)((*[2]unsafe.Pointer)(unsafe.Pointer(&v))[1])
}

func classOf(t reflect.Type) (*class, error) {
	if c, ok := classes.Load(t); ok && t.Kind() == reflect.Interface {
		return c.(*class), nil
	}
	if err := admit(t); err != nil {
		return nil, err
	}
	making.Lock()
	defer making.Unlock()
	if c, ok := classes.Load(t); ok {
		return c.(*class), nil
	}
	c, err := newClass(t)
	if err != nil {
		return nil, unsupported(fmt.Sprintf("%v: %v", t, err))
	}
	classes.Store(c.typ, c)
	classes.Store(t, c)
	return c, nil
}

// admit checks the rules for interface types.
func admit(t reflect.Type) error {
	if t.Kind() != reflect.Interface {
		return fmt.Errorf("dynamic: %v is not an interface type", t)
	}
	n := t.NumMethod()
	if n == 0 {
		return fmt.Errorf("dynamic: %v has no methods", t)
	}
	if n > slotCount {
		return fmt.Errorf("dynamic: %v has %d methods, more than %d", t, n, slotCount)
	}
	for i := range n {
		m := t.Method(i)
		if !m.IsExported() {
			return fmt.Errorf("dynamic: %v has the unexported method %s", t, m.Name)
		}
		if m.Type.NumIn()+m.Type.NumOut() > maxArity {
			return fmt.Errorf("dynamic: %v: method %s has more than %d parameters and results", t, m.Name, maxArity)
		}
	}
	return nil
}

// maxArity leaves room for the receiver in reflect.FuncOf's limit of 128 parameters and results.
const maxArity = 127

// newClass makes the struct type of an interface type that admit has accepted, and its closures.
// The caller holds making, so nobody sees the type before its method table is changed.
func newClass(t reflect.Type) (c *class, err error) {
	defer func() {
		if p := recover(); p != nil { // a limit of package reflect that admit does not know
			c, err = nil, fmt.Errorf("%v", p)
		}
	}()
	// The number -1 would mean something else in a method table. So make sure that it is not handed
	// out for a slot or a stub: the first to come gets it. See textOff in runtime/type.go.
	addReflectOff(descriptor(t))

	proxyType := reflect.TypeFor[proxy]()
	private := func(i int) reflect.StructField {
		f := proxyType.Field(i)
		return reflect.StructField{Name: f.Name, PkgPath: f.PkgPath, Type: f.Type}
	}
	s := reflect.StructOf([]reflect.StructField{
		{Name: "Interface", Type: t, Anonymous: true},
		private(1),
		private(2),
		{Name: "Face", Type: reflect.TypeFor[Face](), Anonymous: true},
	})
	// If a program has one interface type twice, as with plugins, reflect gives the same struct
	// type for both.
	if c, ok := classes.Load(s); ok {
		return c.(*class), nil
	}
	table, err := methodTable(s, t)
	if err != nil {
		return nil, err
	}
	c = &class{typ: s, entries: make([]entry, t.NumMethod())}
	for i := range c.entries {
		c.entries[i] = newEntry(s, t.Method(i).Type, i)
	}
	if err := table.redirect(s, t); err != nil {
		return nil, err
	}
	setName(s, t.String()+"(proxy)")
	return c, nil
}

// newEntry makes the closures for method number i, of type m, of the struct type s.
func newEntry(s, m reflect.Type, i int) entry {
	byPointer := reflect.MakeFunc(withReceiver(reflect.PointerTo(s), m), func(args []reflect.Value) []reflect.Value {
		return dispatch((*proxy)(args[0].UnsafePointer()), i, args[1:])
	})
	byValue := reflect.MakeFunc(withReceiver(s, m), func(args []reflect.Value) []reflect.Value {
		return dispatch(proxyIn(args[0].Interface()), i, args[1:])
	})
	return entry{byPointer: closure(byPointer), byValue: closure(byValue)}
}

func dispatch(p *proxy, method int, args []reflect.Value) []reflect.Value {
	d := p.dispatcher
	results := d.Dispatch(method, args)
	runtime.KeepAlive(d)
	return results
}

// withReceiver returns the type of the function that takes the receiver as its first parameter, and
// then the parameters of the method type m.
func withReceiver(receiver, m reflect.Type) reflect.Type {
	in := make([]reflect.Type, 0, 1+m.NumIn())
	in = append(in, receiver)
	for i := range m.NumIn() {
		in = append(in, m.In(i))
	}
	out := make([]reflect.Type, 0, m.NumOut())
	for i := range m.NumOut() {
		out = append(out, m.Out(i))
	}
	return reflect.FuncOf(in, out, m.IsVariadic())
}

// closure returns what a variable of f's type would hold: the pointer to the function's code and
// context.
func closure(f reflect.Value) unsafe.Pointer {
	variable := reflect.New(f.Type())
	variable.Elem().Set(f)
	return *(*unsafe.Pointer)(variable.UnsafePointer())
}
