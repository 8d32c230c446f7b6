package codec

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// An Interface is a remote interface as the wire sees it. It is immutable, and
// there is one per Go type.
type Interface struct {
	// Type is an interface, a func, or a struct of funcs.
	Type reflect.Type
	// Name is for people: "bank.Account", or "func(int64) (string)". Interfaces
	// with different names can agree.
	Name        string
	Fingerprint refs.Fingerprint
	Methods     []*Method // sorted by name

	byID        map[wire.MethodID]*Method
	description *Description
}

// A Method is one method of an Interface. A func has one, named "Call".
type Method struct {
	Interface *Interface
	Name      string
	ID        wire.MethodID
	Index     int // in Interface.Methods
	// In and Out are without the context and without the error. The last In
	// of a variadic method is the slice.
	In, Out  []reflect.Type
	Variadic bool
	Semantics

	in, out   []*plan
	signature string
}

// funcMethod is the name of the one method that a func has.
const funcMethod = "Call"

const (
	maxMethods = 255
	maxParams  = 255
)

var (
	interfaces sync.Map // reflect.Type to *Interface
)

// InterfaceOf returns the remote interface that t is: an interface type, a
// func type, or a struct whose exported fields are funcs (and the Face of package
// proxy, embedded). The rules:
//
//  1. there is at least one method, and all are exported
//  2. the first parameter of each is a context.Context
//  3. the last result of each is an error
//  4. every other parameter and result is of a type that can travel
//  5. no two names have the same MethodID, and none has 0
//  6. there are at most 255 methods, of at most 255 parameters and 255 results
//     each, names have at most 255 bytes, and the description at most 64 KiB
//  7. a method that is declared one-way has no results but its error, and a
//     declared timeout is from 1 µs to 30 min
//
// The error is a *fault.Error of kind Invalid that lists every problem on a
// line of its own, each with the number of its rule and its place.
func InterfaceOf(t reflect.Type) (*Interface, error) {
	if i, ok := interfaces.Load(t); ok {
		return i.(*Interface), nil
	}
	if t == nil {
		return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "nil is not a remote interface")
	}
	compiling.Lock()
	defer compiling.Unlock()
	c := newCompiler()
	i := c.iface(t)
	if err := c.finish(); err != nil {
		return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s cannot be a remote interface:\n%s\n(the rules: go doc gormi/skeleton)", i.Name, err)
	}
	return i, nil
}

// ByID returns the method with an id, or nil.
func (i *Interface) ByID(id wire.MethodID) *Method { return i.byID[id] }

// ByName returns the method of a name, or nil.
func (i *Interface) ByName(name string) *Method {
	if at, ok := slices.BinarySearchFunc(i.Methods, name, func(m *Method, name string) int {
		return strings.Compare(m.Name, name)
	}); ok {
		return i.Methods[at]
	}
	return nil
}

// Description returns what the interface looks like from outside of this
// program. It is shared and must not be changed.
func (i *Interface) Description() *Description { return i.description }

// Signature returns the method without the context and the error:
// "Deposit(int64) (int64)".
func (m *Method) Signature() string { return m.signature }

// String returns the names of interface and method.
func (m *Method) String() string { return m.Interface.Name + "." + m.Name }

// EncodeArgs writes the arguments: an array of len(In) values. Errors are
// *fault.Error with outcome NotExecuted. They name the argument and the path in
// it. Their kind is TooLarge, Invalid, or that of the Exporter's error.
func (m *Method) EncodeArgs(e *Encoder, args []reflect.Value) error {
	return e.encodeValues(m, "argument", m.in, args, fault.OutcomeNotExecuted)
}

// DecodeArgs reads the arguments that EncodeArgs wrote, as values that can be
// passed to the method. Errors have outcome NotExecuted. Their kind is BadArguments, TooLarge, or
// that of the Importer's error.
func (m *Method) DecodeArgs(d *Decoder) ([]reflect.Value, error) {
	return d.decodeValues(m, "argument", m.in, fault.KindBadArguments, fault.OutcomeNotExecuted)
}

// EncodeResults writes the results: an array of len(Out) values. Errors are
// those of EncodeArgs with outcome Executed.
func (m *Method) EncodeResults(e *Encoder, out []reflect.Value) error {
	return e.encodeValues(m, "result", m.out, out, fault.OutcomeExecuted)
}

// DecodeResults reads the results that EncodeResults wrote. Errors have outcome Executed. Their
// kind is Mismatch, TooLarge, or that of the Importer's error.
func (m *Method) DecodeResults(d *Decoder) ([]reflect.Value, error) {
	return d.decodeValues(m, "result", m.out, fault.KindMismatch, fault.OutcomeExecuted)
}

// fault adds the method's name to an error that was just made.
func (m *Method) fault(e *fault.Error) error {
	e.Interface, e.Method = m.Interface.Name, m.Name
	return e
}

// iface compiles t as a remote interface. It reports problems, and does not return them.
func (c *compiler) iface(t reflect.Type) *Interface {
	if i, ok := interfaces.Load(t); ok {
		return i.(*Interface)
	}
	if i, ok := c.ifaces[t]; ok {
		return i // perhaps under way: an interface may mention itself
	}
	i := &Interface{Type: t, Name: cut(typeName(t)), byID: map[wire.MethodID]*Method{}}
	c.ifaces[t] = i
	where, path := c.where, c.path
	prefix := c.here()
	c.path = nil
	switch t.Kind() {
	case reflect.Interface:
		for at := range t.NumMethod() {
			m := t.Method(at)
			if !m.IsExported() {
				c.report(1, prefix, "the method "+m.Name+" of "+i.Name+" is not exported")
				continue
			}
			c.method(i, prefix, m.Name, m.Type)
		}
	case reflect.Func:
		c.method(i, prefix, funcMethod, t)
	case reflect.Struct:
		for at := range t.NumField() {
			switch f := t.Field(at); {
			case !f.IsExported(), f.Anonymous && isFace(f.Type):
			case f.Type.Kind() == reflect.Func:
				c.method(i, prefix, f.Name, f.Type)
			default:
				c.report(1, prefix, fmt.Sprintf("the field %s of %s is not a func, but a %s", f.Name, i.Name, typeName(f.Type)))
			}
		}
	default:
		c.report(1, prefix, fmt.Sprintf("%s is a %v; name the interface that it implements", i.Name, t.Kind()))
		c.where, c.path = where, path
		return i
	}
	c.where, c.path = where, path
	if len(i.Methods) == 0 && len(c.problems) == 0 {
		c.report(1, prefix, i.Name+" has no methods")
	}
	if len(i.Methods) > maxMethods {
		c.report(6, prefix, fmt.Sprintf("%s has %d methods, more than %d", i.Name, len(i.Methods), maxMethods))
	}
	slices.SortFunc(i.Methods, func(a, b *Method) int { return strings.Compare(a.Name, b.Name) })
	semantics, _ := declared.Load(t)
	for at, m := range i.Methods {
		m.Index = at
		if all, ok := semantics.(map[string]Semantics); ok {
			m.Semantics = all[m.Name]
			if err := m.Semantics.Check(len(m.Out)); err != nil {
				c.report(7, m.Name, err.Error())
			}
		}
	}
	return i
}

// isFace recognises the types of proxies. Stubs, and what structs of funcs may embed, have the
// method by which package proxy knows them. Types made at run time have what no declared type has,
// a name without a package.
func isFace(t reflect.Type) bool {
	_, ok := t.MethodByName("RMICore")
	return t.Kind() == reflect.Struct && (ok || t.Name() != "" && t.PkgPath() == "")
}

// method compiles one method of i, whose type has no receiver.
func (c *compiler) method(i *Interface, prefix, name string, t reflect.Type) {
	where := name
	if prefix != "" {
		where = prefix + ": method " + name
	}
	m := &Method{Interface: i, Name: name, ID: wire.MethodIDOf(name), Variadic: t.IsVariadic(), signature: signature(name, t)}
	switch other := i.byID[m.ID]; {
	case m.ID == wire.DescribeID:
		c.report(5, where, "its name hashes to 0, which is reserved; rename it")
	case other != nil:
		c.report(5, where, fmt.Sprintf("its name hashes to the same number as %s; rename one of them", other.Name))
	}
	if len(name) > wire.MaxName {
		c.report(6, where, fmt.Sprintf("the name is longer than %d bytes", wire.MaxName))
	}
	in, out := t.NumIn(), t.NumOut()
	first, last := 0, out
	if in > 0 && t.In(0) == typeContext {
		first = 1
	} else {
		c.report(2, where, "the first parameter is not a context.Context")
	}
	if out > 0 && t.Out(out-1) == typeError {
		last--
	} else {
		c.report(3, where, "the last result is not an error")
	}
	if in-first > maxParams || last > maxParams {
		c.report(6, where, fmt.Sprintf("more than %d parameters or results", maxParams))
	}
	for at := first; at < in; at++ {
		c.where = where + ": " + numbered("argument", at-first)
		m.In = append(m.In, t.In(at))
		m.in = append(m.in, c.plan(t.In(at)))
	}
	for at := range last {
		c.where = where + ": " + numbered("result", at)
		m.Out = append(m.Out, t.Out(at))
		m.out = append(m.out, c.plan(t.Out(at)))
	}
	i.Methods = append(i.Methods, m)
	i.byID[m.ID] = m
}

// notRemote returns what keeps a func from being called remotely, "" if nothing does.
func notRemote(t reflect.Type) string {
	ctx := t.NumIn() > 0 && t.In(0) == typeContext
	err := t.NumOut() > 0 && t.Out(t.NumOut()-1) == typeError
	switch {
	case !ctx && !err:
		return "takes a context.Context first and returns an error last"
	case !ctx:
		return "takes a context.Context first"
	case !err:
		return "returns an error last"
	}
	return ""
}

// remoteMethods sorts the methods of an interface type into those of remote shape and the others,
// with what these lack.
func remoteMethods(t reflect.Type) (remote, local []string) {
	for i := range t.NumMethod() {
		m := t.Method(i)
		switch why := notRemote(m.Type); {
		case !m.IsExported():
			local = append(local, m.Name+" is not exported")
		case why != "":
			local = append(local, m.Name+" is no method that "+why)
		default:
			remote = append(remote, m.Name)
		}
	}
	return remote, local
}

// signature writes a func type without its context and error.
func signature(name string, t reflect.Type) string {
	var in, out []string
	for i := range t.NumIn() {
		p := t.In(i)
		switch {
		case i == 0 && p == typeContext:
		case t.IsVariadic() && i == t.NumIn()-1:
			in = append(in, "..."+typeName(p.Elem()))
		default:
			in = append(in, typeName(p))
		}
	}
	for i := range t.NumOut() {
		if r := t.Out(i); i < t.NumOut()-1 || r != typeError {
			out = append(out, typeName(r))
		}
	}
	return callText(name, in, out)
}

func callText(name string, in, out []string) string {
	s := name + "(" + strings.Join(in, ", ") + ")"
	if len(out) > 0 {
		s += " (" + strings.Join(out, ", ") + ")"
	}
	return s
}

// typeName writes a type for people. It uses short package names, also within type parameters, and
// remote funcs without context and error.
func typeName(t reflect.Type) string {
	if t.Name() == "" {
		switch t.Kind() {
		case reflect.Pointer:
			return "*" + typeName(t.Elem())
		case reflect.Slice:
			return "[]" + elemName(t.Elem())
		case reflect.Array:
			return fmt.Sprintf("[%d]%s", t.Len(), elemName(t.Elem()))
		case reflect.Map:
			return "map[" + typeName(t.Key()) + "]" + typeName(t.Elem())
		case reflect.Func:
			if notRemote(t) == "" {
				return signature("func", t)
			}
		case reflect.Interface:
			if t.NumMethod() == 0 {
				return "any"
			}
		}
	}
	return shortPaths(t.String())
}

// elemName is typeName, except for the bytes of []byte, which reflect calls uint8.
func elemName(t reflect.Type) string {
	if t == reflect.TypeFor[byte]() {
		return "byte"
	}
	return typeName(t)
}

// shortPaths cuts "example.com/x/bank.Account" to "bank.Account" everywhere in s.
func shortPaths(s string) string {
	var b strings.Builder
	start := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '/':
			start = i + 1
		case strings.IndexByte("[](){}*, ", c) >= 0:
			b.WriteString(s[start : i+1])
			start = i + 1
		}
	}
	return b.String() + s[start:]
}

// cut shortens a name to what a reference can carry.
func cut(name string) string {
	const tail = "…"
	if len(name) <= wire.MaxName {
		return name
	}
	end := wire.MaxName - len(tail)
	for end > 0 && name[end]&0xc0 == 0x80 {
		end--
	}
	return name[:end] + tail
}
