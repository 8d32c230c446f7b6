package codec

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
)

// A plan is how values of one Go type travel. It is made once for each type and
// kept for ever. GoRMI walks values itself instead of leaving whole
// structures to msgpack, for three reasons. A reference may be at any depth.
// An error has to name the path to the field. And msgpack v5 trusts
// lengths, truncates integers and accepts any type.
type plan struct {
	typ  reflect.Type
	kind TypeKind
	enc  func(*Encoder, reflect.Value) error
	// dec fills a zero value of typ, which is addressable.
	dec func(*Decoder, reflect.Value) error
	// empty decides omitempty; nil means that no value is empty.
	empty func(reflect.Value) bool

	key, elem *plan          // of maps; of maps, lists, arrays and pointers
	fields    []*field       // of structs and tuples, in declaration order
	keys      []key          // of fields
	byName    map[string]int // of fields of structs, by both their names
	iface     *Interface     // of remote values
}

// kindPointer is in plans only. On the wire a pointer is what it points to, or nil.
const kindPointer TypeKind = 0

var (
	plans     sync.Map // reflect.Type to *plan
	compiling sync.Mutex
)

var (
	typeContext  = reflect.TypeFor[context.Context]()
	typeError    = reflect.TypeFor[error]()
	typeRef      = reflect.TypeFor[refs.Ref]()
	typeTime     = reflect.TypeFor[time.Time]()
	typeBytes    = reflect.TypeFor[[]byte]()
	typeIsZeroer = reflect.TypeFor[interface{ IsZero() bool }]()
)

// planOf returns the plan of a type that need not belong to an interface.
func planOf(t reflect.Type) (*plan, error) {
	if p, ok := plans.Load(t); ok {
		return p.(*plan), nil
	}
	compiling.Lock()
	defer compiling.Unlock()
	c := newCompiler()
	p := c.plan(t)
	if err := c.finish(); err != nil {
		return nil, err
	}
	return p, nil
}

// A compiler makes the plans of one interface or type, and of all types in them. It notes all
// problems on the way. finish makes the plans visible to others if there is no problem. It runs
// under compiling.
type compiler struct {
	plans    map[reflect.Type]*plan
	ifaces   map[reflect.Type]*Interface
	problems []string
	where    string   // "Watch: argument 2", empty outside of methods
	path     []string // within that, outermost first: ".Opts", "[]", ".C"
}

func newCompiler() *compiler {
	return &compiler{plans: map[reflect.Type]*plan{}, ifaces: map[reflect.Type]*Interface{}}
}

// finish publishes what was compiled, or reports every problem, one per line.
func (c *compiler) finish() error {
	if len(c.problems) == 0 {
		for _, i := range c.ifaces {
			if err := i.describe(); err != nil {
				c.report(6, i.Name, err.Error())
			}
		}
	}
	if len(c.problems) > 0 {
		return errors.New(strings.Join(c.problems, "\n"))
	}
	for t, p := range c.plans {
		plans.Store(t, p)
	}
	for t, i := range c.ifaces {
		interfaces.Store(t, i)
	}
	return nil
}

func (c *compiler) report(rule int, where, text string) {
	c.problems = append(c.problems, fmt.Sprintf("rule %d: %s", rule, join(where, text)))
}

// cannot reports that the type at the current path does not travel.
func (c *compiler) cannot(format string, a ...any) {
	c.report(4, c.here(), fmt.Sprintf(format, a...))
}

// here writes the current path: "Watch: argument 2: field Opts.C".
func (c *compiler) here() string {
	path := strings.Join(c.path, "")
	if rest, ok := strings.CutPrefix(path, "."); ok {
		return join(c.where, "field "+rest)
	}
	return c.where + path
}

func (c *compiler) inside(step string, do func()) {
	c.path = append(c.path, step)
	do()
	c.path = c.path[:len(c.path)-1]
}

func (c *compiler) planInside(step string, t reflect.Type) (p *plan) {
	c.inside(step, func() { p = c.plan(t) })
	return p
}

// plan returns the plan of t. If t contains itself, that plan may not be complete yet. So closures
// look up what they need from it when they run.
func (c *compiler) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := c.plans[t]; ok {
		return p
	}
	p := &plan{typ: t}
	c.plans[t] = p
	c.fill(p)
	if isZeroer(t) {
		p.empty = emptyByMethod
	}
	return p
}

// fill decides how values of p's type travel.
func (c *compiler) fill(p *plan) {
	t := p.typ
	switch t {
	case typeRef:
		c.fillRef(p)
		return
	case typeTime:
		c.fillTime(p)
		return
	case typeError:
		c.fillError(p)
		return
	}
	switch t.Kind() {
	case reflect.Interface:
		c.fillInterface(p)
		return
	case reflect.Func:
		c.fillFunc(p)
		return
	}
	if c.fillCodec(p) || c.servant(t) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		c.fillPointer(p)
	case reflect.Slice:
		c.fillSlice(p)
	case reflect.Array:
		c.fillArray(p)
	case reflect.Map:
		c.fillMap(p)
	case reflect.Struct:
		c.fillStruct(p)
	case reflect.Chan:
		c.cannot("channels cannot travel; pass a func(context.Context, T) error, or a remote interface")
	case reflect.Complex64, reflect.Complex128:
		c.cannot("complex numbers cannot travel; pass a struct of two floats")
	case reflect.Uintptr, reflect.UnsafePointer:
		c.cannot("a %v is a memory address and cannot travel", t)
	default:
		fillScalar(p)
	}
}

// fillInterface tells apart two kinds of interfaces. Remote interfaces travel by reference. Others
// hold data, and travel as the name of a registered type and the value.
func (c *compiler) fillInterface(p *plan) {
	t := p.typ
	remote, local := remoteMethods(t)
	switch {
	case t == typeContext:
		c.cannot("a context.Context travels as the first parameter of a method and nowhere else")
	case isStream(t):
		c.cannot("streams (%v) are not supported yet; pass a []byte, or a func that takes one", t)
	case len(remote) > 0 && len(local) == 0:
		c.fillRemote(p)
	case len(remote) > 0:
		c.cannot("%s is neither a remote interface nor data: %s", typeName(t), strings.Join(local, "; "))
	default:
		c.fillData(p)
	}
}

func (c *compiler) fillFunc(p *plan) {
	if isStream(p.typ) {
		c.cannot("streams (%s) are not supported yet; pass a slice, or a func that is called for each value", typeName(p.typ))
		return
	}
	if why := notRemote(p.typ); why != "" {
		c.cannot("a function that travels %s; %s does not", why, typeName(p.typ))
		return
	}
	c.fillRemote(p)
}

// isStream recognises what will travel as a stream one day.
func isStream(t reflect.Type) bool {
	if t.PkgPath() == "iter" {
		return true
	}
	if t.Kind() != reflect.Interface {
		return false
	}
	for _, name := range []string{"Read", "Write"} {
		if m, ok := t.MethodByName(name); ok && m.Type == reflect.TypeFor[func([]byte) (int, error)]() {
			return true
		}
	}
	return false
}

func (c *compiler) fillRemote(p *plan) {
	i := c.iface(p.typ)
	p.kind, p.iface = KindRemote, i
	p.empty = reflect.Value.IsNil
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return e.export(v, i)
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		got, err := d.imported(i)
		if err == nil {
			v.Set(got)
		}
		return err
	}
}

// imported reads a reference and returns its value, which can be assigned to i's type.
func (d *Decoder) imported(i *Interface) (reflect.Value, error) {
	r, err := d.reference(i.Type)
	if err != nil {
		return reflect.Value{}, err
	}
	if d.importer == nil {
		return reflect.Value{}, refuse(fault.KindBadArguments, "a %s cannot travel here: only arguments and results of a call carry references", i.Name)
	}
	got, err := d.importer.ImportRef(r, i)
	if err == nil && (!got.IsValid() || !got.Type().AssignableTo(i.Type)) {
		err = refuse(fault.KindInternal, "the imported reference is no %s", i.Name)
	}
	return got, err
}

func (c *compiler) fillRef(p *plan) {
	p.kind = KindReference
	p.enc = func(e *Encoder, v reflect.Value) error {
		return e.ref(v.Interface().(refs.Ref))
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		r, err := d.ref(p.typ)
		if err == nil {
			*v.Addr().Interface().(*refs.Ref) = r
		}
		return err
	}
}

// ref writes a reference that is data to the program.
func (e *Encoder) ref(r refs.Ref) error {
	if r.IsZero() {
		return e.nil()
	}
	if x, ok := e.exporter.(Forwarder); ok {
		r = x.ForwardRef(r)
	}
	return e.reference(r)
}

// ref reads a reference that is data to the program.
func (d *Decoder) ref(t reflect.Type) (refs.Ref, error) {
	r, err := d.reference(t)
	if x, ok := d.importer.(Keeper); ok && err == nil {
		x.KeepRef(r)
	}
	return r, err
}

// reference reads an index and returns the entry of the table.
func (d *Decoder) reference(t reflect.Type) (refs.Ref, error) {
	h, err := d.head()
	if err != nil {
		return refs.Ref{}, err
	}
	if h.class != classExt || h.ext != extReference {
		return refs.Ref{}, unexpected(h, t)
	}
	b, err := d.payload(h)
	if err != nil {
		return refs.Ref{}, err
	}
	i := int(b[0])<<8 | int(b[1])
	if i >= len(d.table) {
		return refs.Ref{}, refuse(fault.KindBadArguments, "reference %d is outside the message's table of %d", i, len(d.table))
	}
	return d.table[i], nil
}

func (c *compiler) fillTime(p *plan) {
	p.kind = KindTime
	p.enc = func(e *Encoder, v reflect.Value) error {
		return e.mp.EncodeTime(v.Interface().(time.Time))
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		t, err := d.time()
		if err == nil {
			*v.Addr().Interface().(*time.Time) = t
		}
		return err
	}
}

func (d *Decoder) time() (time.Time, error) {
	if d.null() {
		return time.Time{}, nil
	}
	start := d.r.pos
	h, err := d.head()
	if err != nil {
		return time.Time{}, err
	}
	if h.class != classExt || h.ext != extTime {
		return time.Time{}, unexpected(h, typeTime)
	}
	d.r.pos = start
	return d.mp.DecodeTime()
}

// emptyByMethod calls the value's own IsZero. If that panics, the value is not empty: it travels.
func emptyByMethod(v reflect.Value) (empty bool) {
	defer func() {
		if recover() != nil {
			empty = false
		}
	}()
	switch v.Kind() {
	case reflect.Pointer, reflect.Map, reflect.Slice:
		if v.IsNil() {
			return true
		}
	}
	return v.Interface().(interface{ IsZero() bool }).IsZero()
}
