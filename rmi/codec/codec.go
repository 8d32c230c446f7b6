// Package codec turns Go values into the bodies that package wire specifies, and
// back, and describes remote interfaces. It knows types and MessagePack, and nothing
// of frames or connections.
//
// A type is compiled once into a plan (plan.go and the plan_ files). The plan encodes and
// decodes values of the type by reflection. Generated code does the same by typed calls
// (typed_encode.go, typed_decode.go), and writes the same bytes. InterfaceOf compiles a
// remote interface: its methods, their identifiers, and its description (description.go). By
// the description two sides find out whether they agree.
//
// An Encoder makes one body, and collects the references in it. A Decoder reads one body.
// Before that, Scan goes through the body once, without recursion. It checks every length
// against the bytes that are left and against the limits. So no memory is allocated because a
// peer announced a length.
package codec

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"gormi/refs"
	"gormi/rmi/fault"
)

// An Exporter turns a remote value into a reference while it is encoded. It exports a
// local object. For a proxy it returns the reference of the remote object. v is a
// non-nil value of i's type.
type Exporter interface {
	ExportRef(v reflect.Value, i *Interface) (refs.Ref, error)
}

// A Forwarder is an Exporter that also looks at refs.Ref values, which are data
// to the program. If the owner of a reference listens nowhere, its receiver could not use it.
// ForwardRef makes it a reference that leads through this node.
type Forwarder interface {
	ForwardRef(r refs.Ref) refs.Ref
}

// A Repeater is an Exporter that counts the references it makes. Each entry of
// the table counts once. RepeatRef is called when what ExportRef or ForwardRef returned
// is in the table already.
type Repeater interface {
	RepeatRef(r refs.Ref)
}

// An Importer turns a reference into a value while it is decoded. The value is
// assignable to i.Type. It is a proxy, or the object itself if it is one of this node.
type Importer interface {
	ImportRef(r refs.Ref, i *Interface) (reflect.Value, error)
}

// A Keeper is an Importer that is told of references that become refs.Ref
// values, which are data to the program. The program may make proxies of them later.
type Keeper interface {
	KeepRef(r refs.Ref)
}

// valueError is an error on its way out of a value that was being encoded or
// decoded. Each level adds where it was, so a success costs nothing.
type valueError struct {
	kind fault.Kind
	msg  string
	err  error    // cause, nil when msg says it all
	path []string // innermost first: "[3]", ".Listeners", ".Opts"
}

func (e *valueError) Error() string {
	if e.err == nil {
		return e.msg
	}
	return e.msg + e.err.Error()
}

func (e *valueError) Unwrap() error { return e.err }

func refuse(kind fault.Kind, format string, a ...any) error {
	return &valueError{kind: kind, msg: fmt.Sprintf(format, a...)}
}

// within adds one step of the path to an error that passes by.
func within(err error, step string) error {
	e := placed(err)
	e.path = append(e.path, step)
	return e
}

func placed(err error) *valueError {
	e, ok := err.(*valueError)
	if !ok {
		e = &valueError{kind: fault.KindOf(err), err: err}
	}
	return e
}

func withinField(err error, name string) error { return within(err, "."+name) }
func withinIndex(err error, i int) error       { return within(err, "["+strconv.Itoa(i)+"]") }

func withinKey(err error, key reflect.Value) error { return within(err, keyStep(key)) }

func keyStep(key reflect.Value) string {
	switch key.Kind() {
	case reflect.String:
		s := key.String()
		if len(s) > 40 {
			s = s[:40] + "…"
		}
		return "[" + strconv.Quote(s) + "]"
	case reflect.Struct, reflect.Array, reflect.Slice:
		return "[…]"
	}
	return fmt.Sprintf("[%v]", key)
}

// pathSteps is how many steps of a path an error shows at either end. The path of a cycle is as
// long as the depth limit.
const pathSteps = 8

// location writes a path as Go does: ".Opts.Listeners[3]".
func location(path []string) string {
	steps := slices.Clone(path)
	slices.Reverse(steps)
	if len(steps) > 2*pathSteps {
		steps = slices.Concat(steps[:pathSteps], []string{"…"}, steps[len(steps)-pathSteps:])
	}
	return strings.Join(steps, "")
}

// failure makes the error that leaves this package. what names the whole value, as in "argument 2".
// kind is for a cause that has none of its own.
func failure(err error, what string, kind fault.Kind, outcome fault.Outcome) *fault.Error {
	out := &fault.Error{Kind: kind, Outcome: outcome}
	where := what
	if e, ok := err.(*valueError); ok {
		if e.kind != 0 {
			out.Kind = e.kind
		}
		if l := location(e.path); strings.HasPrefix(l, "[") || strings.HasPrefix(l, ".(") {
			where += l
		} else {
			where = join(where, strings.TrimPrefix(l, "."))
		}
		out.Msg, out.Err = join(where, e.msg), e.err
		return out
	}
	if k := fault.KindOf(err); k != 0 {
		out.Kind = k
	}
	out.Msg, out.Err = where, err
	return out
}

func join(where, msg string) string {
	if where == "" || msg == "" {
		return where + msg
	}
	return where + ": " + msg
}

// errSize is what the body's buffer returns above the message limit.
var errSize = errors.New("the body is above the message limit")
