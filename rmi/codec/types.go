package codec

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// namedTypes holds what RegisterType was told, in both directions. Reads are
// on the path of every call that passes an interface value.
var namedTypes = func() *struct{ byName, byType sync.Map } {
	var r struct{ byName, byType sync.Map }
	for name, t := range map[string]reflect.Type{
		"bool": reflect.TypeFor[bool](), "string": reflect.TypeFor[string](), "[]byte": reflect.TypeFor[[]byte](),
		"int": reflect.TypeFor[int](), "int8": reflect.TypeFor[int8](), "int16": reflect.TypeFor[int16](),
		"int32": reflect.TypeFor[int32](), "int64": reflect.TypeFor[int64](),
		"uint": reflect.TypeFor[uint](), "uint8": reflect.TypeFor[uint8](), "uint16": reflect.TypeFor[uint16](),
		"uint32": reflect.TypeFor[uint32](), "uint64": reflect.TypeFor[uint64](),
		"float32": reflect.TypeFor[float32](), "float64": reflect.TypeFor[float64](),
		"time.Time": typeTime, "time.Duration": reflect.TypeFor[time.Duration](),
		"[]any": reflect.TypeFor[[]any](), "[]string": reflect.TypeFor[[]string](),
		"map[string]any": reflect.TypeFor[map[string]any](),
		"refs.Ref":       reflect.TypeFor[refs.Ref](),
	} {
		r.byName.Store(name, t)
		r.byType.Store(t, name)
	}
	return &r
}()

// RegisterType gives t a name on the wire. Then its values can travel where
// a parameter or field is of interface type, as the name and the value. Pointers to t
// can too. Both sides register the type under the same name, at program start. Registered already
// are bool, string, the integer and float types, []byte, time.Time, time.Duration, []any,
// []string, map[string]any and refs.Ref.
//
// RegisterType panics if the name is invalid or taken, if t has another name already, or if t
// cannot travel. A name has 1 to 254 bytes of printable UTF-8 and does not
// start with '*'. Registering a type again under its name does nothing.
func RegisterType(name string, t reflect.Type) {
	fail := func(format string, a ...any) {
		panic(fmt.Sprintf("rmi: RegisterType(%q, %v): ", name, t) + fmt.Sprintf(format, a...))
	}
	switch {
	case t == nil || t.Kind() == reflect.Interface:
		fail("an interface has no values of its own; register the types that implement it")
	case name == "" || len(name) >= wire.MaxName || name[0] == '*' || !printableName(name):
		fail("the name is not 1 to %d bytes of printable UTF-8 without a leading '*'", wire.MaxName-1)
	}
	if _, err := planOf(t); err != nil {
		fail("its values cannot travel:\n%v", err)
	}
	registering.Lock()
	defer registering.Unlock()
	old, taken := namedTypes.byName.Load(name)
	if taken && old == t {
		return
	}
	if taken {
		fail("the name belongs to %v", old)
	}
	if old, ok := namedTypes.byType.Load(t); ok {
		fail("the type is registered as %q", old)
	}
	namedTypes.byName.Store(name, t)
	namedTypes.byType.Store(t, name)
}

var registering sync.Mutex // makes the checks of RegisterType and its stores one step

func printableName(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// nameOfType returns the name under which values of t travel.
func nameOfType(t reflect.Type) (string, bool) {
	if name, ok := namedTypes.byType.Load(t); ok {
		return name.(string), true
	}
	if t.Kind() == reflect.Pointer {
		if name, ok := namedTypes.byType.Load(t.Elem()); ok {
			return "*" + name.(string), true
		}
	}
	return "", false
}

func typeByName(name string) (reflect.Type, bool) {
	if t, ok := namedTypes.byName.Load(name); ok {
		return t.(reflect.Type), true
	}
	if base, ok := strings.CutPrefix(name, "*"); ok {
		if t, ok := namedTypes.byName.Load(base); ok {
			return reflect.PointerTo(t.(reflect.Type)), true
		}
	}
	return nil, false
}

// fillData plans an interface that holds data. It travels as nil, or as an array of the name of
// a registered type and the value.
func (c *compiler) fillData(p *plan) {
	p.kind = KindAny
	p.empty = reflect.Value.IsNil
	p.enc = func(e *Encoder, v reflect.Value) error {
		if v.IsNil() {
			return e.nil()
		}
		return e.named(v.Elem())
	}
	p.dec = func(d *Decoder, v reflect.Value) error {
		if d.null() {
			return nil
		}
		n, err := d.length(classArray, p.typ)
		if err != nil {
			return err
		}
		if n != 2 {
			return refuse(fault.KindBadArguments, "got an array of %d, want the name of a type and a value of it", n)
		}
		return d.named(v)
	}
}

func (e *Encoder) named(v reflect.Value) error {
	t := v.Type()
	name, ok := nameOfType(t)
	if !ok {
		switch t.Kind() {
		case reflect.Func, reflect.Chan, reflect.UnsafePointer, reflect.Complex64, reflect.Complex128:
			return refuse(fault.KindInvalid, "a %s in an interface that holds data, where none can travel", typeName(t))
		}
		if isFace(t) {
			return refuse(fault.KindInvalid, "%s is a proxy, and stands where data is wanted: pass it as its remote interface, or what rmi.RefOf tells of it", typeName(t))
		}
		if names := remoteNames(t); len(names) > 0 {
			return refuse(fault.KindInvalid, "in an interface that holds data, %s", servantText(t, names, nil))
		}
		return refuse(fault.KindInvalid, "a %s in an interface that holds data: its type has no name that the other side knows; "+
			"call rmi.RegisterType for it on both sides, or pass it as its remote interface if it is a remote object", typeName(t))
	}
	p, err := planOf(t)
	if err != nil {
		return refuse(fault.KindInvalid, "%v", err)
	}
	if err := e.array(2); err != nil {
		return err
	}
	if err := e.string(name); err != nil {
		return err
	}
	if err := p.enc(e, v); err != nil {
		return within(err, ".("+typeName(t)+")")
	}
	e.depth--
	return nil
}

func (d *Decoder) named(v reflect.Value) error {
	h, err := d.head()
	if err != nil {
		return err
	}
	if h.class != classString {
		return refuse(fault.KindBadArguments, "got %v, want the name of a type", h.class)
	}
	name, err := d.payload(h)
	if err != nil {
		return err
	}
	t, ok := typeByName(string(name))
	if !ok {
		return refuse(fault.KindBadArguments, "a value of the type %.100q came, which this side has not registered; call rmi.RegisterType", name)
	}
	if !t.AssignableTo(v.Type()) {
		return refuse(fault.KindBadArguments, "a %s came, which is no %s", typeName(t), typeName(v.Type()))
	}
	p, err := planOf(t)
	if err != nil {
		return refuse(fault.KindBadArguments, "%v", err)
	}
	if err := d.charge(1, t.Size()); err != nil {
		return err
	}
	value := reflect.New(t).Elem()
	if err := p.dec(d, value); err != nil {
		return within(err, ".("+typeName(t)+")")
	}
	v.Set(value)
	return nil
}
