package fault

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"reflect"
	"slices"
	"sync"
	"unicode"
	"unicode/utf8"
)

const (
	// ErrorName is the name by which an *Error within an application's error travels. It cannot be
	// registered.
	ErrorName = "rmi.Error"

	// maxIdentity is the longest name of a registered error, in bytes.
	maxIdentity = 255
)

// identities is what Register and RegisterType fill. Programs register while they start. Every
// error that is sent or received leads to lookups.
var identities = struct {
	sync.RWMutex // guards the fields below
	sentinels    map[string]error
	names        map[error]string // inverse of sentinels
	sorted       []string         // keys of sentinels; replaced, never changed, so that readers can let go of the lock
	types        map[string]reflect.Type
	typeNames    map[reflect.Type]string // inverse of types
}{
	sentinels: known,
	names:     invert(known),
	sorted:    slices.Sorted(maps.Keys(known)),
	types:     map[string]reflect.Type{},
	typeNames: map[reflect.Type]string{},
}

// known are the sentinels that need no registration. os.ErrNotExist and its like are those of
// io/fs.
var known = map[string]error{
	"context.Canceled":         context.Canceled,
	"context.DeadlineExceeded": context.DeadlineExceeded,
	"errors.ErrUnsupported":    errors.ErrUnsupported,
	"fs.ErrClosed":             fs.ErrClosed,
	"fs.ErrExist":              fs.ErrExist,
	"fs.ErrInvalid":            fs.ErrInvalid,
	"fs.ErrNotExist":           fs.ErrNotExist,
	"fs.ErrPermission":         fs.ErrPermission,
	"io.EOF":                   io.EOF,
	"io.ErrClosedPipe":         io.ErrClosedPipe,
	"io.ErrUnexpectedEOF":      io.ErrUnexpectedEOF,
	"net.ErrClosed":            net.ErrClosed,
	"os.ErrDeadlineExceeded":   os.ErrDeadlineExceeded,
}

func invert(m map[string]error) map[error]string {
	inv := make(map[error]string, len(m))
	for name, err := range m {
		inv[err] = name
	}
	return inv
}

// Register gives a sentinel error a name on the wire. Then errors.Is finds it in what a peer's
// method returned. Both sides register it under the same name, best where the sentinel is declared.
// Call it at program start. A name has 1 to 255 bytes of printable UTF-8. Register panics if the
// name is illegal or taken, or if the sentinel is nil, not comparable, or registered already.
func Register(name string, sentinel error) {
	if sentinel == nil {
		panic(fmt.Sprintf("rmi: RegisterError(%q): the sentinel is nil", name))
	}
	if !reflect.ValueOf(sentinel).Comparable() {
		panic(fmt.Sprintf("rmi: RegisterError(%q): values of %T are not comparable: use RegisterErrorType", name, sentinel))
	}
	identities.Lock()
	defer identities.Unlock()
	mustBeFree("RegisterError", name)
	if old, ok := identities.names[sentinel]; ok {
		panic(fmt.Sprintf("rmi: RegisterError(%q): the sentinel is registered as %q", name, old))
	}
	identities.sentinels[name] = sentinel
	identities.names[sentinel] = name
	identities.sorted = slices.Sorted(maps.Keys(identities.sentinels))
}

// RegisterType gives the error type E a name on the wire. Then errors.As finds its values, fields
// included, in what a peer's method returned. E is the type as the method returns it, often a
// pointer, and no interface. Its values must be able to travel. The rules of [Register] hold.
func RegisterType[E error](name string) {
	t := reflect.TypeFor[E]()
	if t.Kind() == reflect.Interface {
		panic(fmt.Sprintf("rmi: RegisterErrorType(%q): %v is an interface: register the types that implement it", name, t))
	}
	identities.Lock()
	defer identities.Unlock()
	mustBeFree("RegisterErrorType", name)
	if old, ok := identities.typeNames[t]; ok {
		panic(fmt.Sprintf("rmi: RegisterErrorType(%q): %v is registered as %q", name, t, old))
	}
	identities.types[name] = t
	identities.typeNames[t] = name
}

// mustBeFree panics unless name is legal and not taken. The caller holds the lock.
func mustBeFree(fn, name string) {
	if name == "" || len(name) > maxIdentity || !utf8.ValidString(name) {
		panic(fmt.Sprintf("rmi: %s(%q): the name is not 1 to %d bytes of UTF-8", fn, name, maxIdentity))
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			panic(fmt.Sprintf("rmi: %s(%q): the name has characters that are not printable", fn, name))
		}
	}
	_, sentinel := identities.sentinels[name]
	_, typed := identities.types[name]
	if sentinel || typed || name == ErrorName {
		panic(fmt.Sprintf("rmi: %s(%q): the name is taken", fn, name))
	}
}

// SentinelByName returns the sentinel that was registered under name.
func SentinelByName(name string) (error, bool) {
	identities.RLock()
	defer identities.RUnlock()
	err, ok := identities.sentinels[name]
	return err, ok
}

// NameOfSentinel returns the name of err if err itself, not something in it, is a registered
// sentinel.
func NameOfSentinel(err error) (string, bool) {
	if err == nil || !reflect.ValueOf(err).Comparable() {
		return "", false
	}
	identities.RLock()
	defer identities.RUnlock()
	name, ok := identities.names[err]
	return name, ok
}

// SentinelsOf returns the names of all registered sentinels that errors.Is finds in err, sorted.
// These can be more than stand in its tree: a missing file's syscall.ENOENT is fs.ErrNotExist only
// by its own Is method. SentinelsOf calls the Is methods of err's tree, which are the application's
// code.
func SentinelsOf(err error) []string {
	identities.RLock()
	all := identities.sorted
	identities.RUnlock()
	var names []string
	for _, name := range all {
		if s, ok := SentinelByName(name); ok && errors.Is(err, s) { // no lock is held while Is runs
			names = append(names, name)
		}
	}
	return names
}

// TypeByName returns the error type that was registered under name.
func TypeByName(name string) (reflect.Type, bool) {
	identities.RLock()
	defer identities.RUnlock()
	t, ok := identities.types[name]
	return t, ok
}

// NameOfType returns the name under which the error type t was registered.
func NameOfType(t reflect.Type) (string, bool) {
	identities.RLock()
	defer identities.RUnlock()
	name, ok := identities.typeNames[t]
	return name, ok
}
