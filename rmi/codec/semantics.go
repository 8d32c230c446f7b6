package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// Semantics say what becomes of a method's calls when messages are lost. The zero value is
// at-most-once. The owner of an object chooses them. They stand in the object's description and
// count in its fingerprint, by which callers learn them.
type Semantics struct {
	// Idempotent: at-least-once. The method may run twice for one call. If nobody knows whether a
	// call ran, it is made again.
	Idempotent bool
	// OneWay: maybe. A call is over when it is sent. The method has no results, and its error is
	// dropped.
	OneWay bool
	// Timeout is the deadline of calls whose context has none. If zero, the node's.
	Timeout time.Duration
}

// Bits of the wire form of Semantics.
const (
	semanticsIdempotent = 1 << iota
	semanticsOneWay
)

func (s Semantics) flags() byte {
	var b byte
	if s.Idempotent {
		b |= semanticsIdempotent
	}
	if s.OneWay {
		b |= semanticsOneWay
	}
	return b
}

// String lists what differs from at-most-once, in the words of the directives.
func (s Semantics) String() string {
	var words []string
	if s.Idempotent {
		words = append(words, "idempotent")
	}
	if s.OneWay {
		words = append(words, "oneway")
	}
	if s.Timeout > 0 {
		words = append(words, "timeout "+s.Timeout.String())
	}
	return strings.Join(words, ", ")
}

var declared sync.Map // reflect.Type → map[string]Semantics

// Declare gives the methods of an interface or func type their semantics, wherever objects are
// exported or called as that type. It must come before the type is used, because an Interface never
// changes. If there is one with other semantics already, Declare changes nothing and returns an
// error that says which.
func Declare(t reflect.Type, methods map[string]Semantics) error {
	compiling.Lock()
	defer compiling.Unlock()
	if i, ok := interfaces.Load(t); ok {
		for _, m := range i.(*Interface).Methods {
			if want := methods[m.Name]; m.Semantics != want {
				return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s was used before %s was declared %q", typeName(t), m.Name, want)
			}
		}
	}
	declared.Store(t, methods)
	return nil
}

// With returns the interface with other semantics for the methods named.
func (i *Interface) With(methods map[string]Semantics) (*Interface, error) {
	if len(methods) == 0 {
		return i, nil
	}
	c := *i
	c.Methods = slices.Clone(i.Methods)
	c.byID = make(map[wire.MethodID]*Method, len(i.Methods))
	d := *i.description
	d.Methods = slices.Clone(d.Methods)
	for at, m := range i.Methods {
		n := *m
		n.Interface = &c
		if s, ok := methods[m.Name]; ok {
			n.Semantics, d.Methods[at].Semantics = s, s
		}
		if err := n.Semantics.Check(len(n.Out)); err != nil {
			return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "%s.%s: %w", i.Name, m.Name, err)
		}
		c.Methods[at], c.byID[n.ID] = &n, &n
	}
	for name := range methods {
		if i.ByName(name) == nil {
			return nil, fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "semantics are declared for %s, which is no method of %s", name, i.Name)
		}
	}
	c.description, c.Fingerprint = &d, d.Fingerprint()
	return &c, nil
}

// Check returns what is wrong with the semantics of a method with so many results besides its
// error.
func (s Semantics) Check(results int) error {
	switch {
	case s.OneWay && results > 0:
		return errors.New("it is declared one-way and has results, which nobody would wait for")
	case s.Timeout < 0, s.Timeout > 0 && s.Timeout < time.Microsecond, s.Timeout > maxTimeout:
		return fmt.Errorf("its timeout is %v: want at least 1µs and at most %v", s.Timeout, maxTimeout)
	}
	return nil
}

// special reports whether a method of the description has semantics of its own.
func (d *Description) special() bool {
	return slices.ContainsFunc(d.Methods, func(m DescribedMethod) bool { return m.Semantics != Semantics{} })
}

// withSemantics returns the fingerprint of an interface whose methods have semantics of their own.
// f is its fingerprint without them.
func (d *Description) withSemantics(f refs.Fingerprint) refs.Fingerprint {
	b := append([]byte("semantics"), f[:]...)
	for _, m := range d.Methods {
		if m.Semantics != (Semantics{}) {
			b = append(binary.AppendUvarint(b, uint64(len(m.Name))), m.Name...)
			b = append(b, m.Semantics.flags())
			b = binary.BigEndian.AppendUint64(b, uint64(min(m.Timeout, maxTimeout).Microseconds()))
		}
	}
	sum := sha256.Sum256(b)
	return refs.Fingerprint(sum[:16])
}

// SemanticsFor returns what the description says about each method of i, which d accepts.
func (d *Description) SemanticsFor(i *Interface) []Semantics {
	out := make([]Semantics, len(i.Methods))
	for _, m := range d.Methods {
		if mine := i.ByName(m.Name); mine != nil {
			if out[mine.Index] = m.Semantics; m.OneWay && len(mine.Out) > 0 {
				out[mine.Index].OneWay = false // it waits for what cannot be lost
			}
		}
	}
	return out
}

// semantics reads the last part of a method's description.
func (p *descriptionParser) semantics() (s Semantics) {
	n := p.array()
	if n < 2 {
		p.fail("semantics of %d parts", n)
	}
	flags := p.below(256) // bits of later versions mean nothing
	us := p.uint()
	p.skip(n - 2)
	if p.err == nil {
		s = Semantics{Idempotent: flags&semanticsIdempotent != 0, OneWay: flags&semanticsOneWay != 0, Timeout: time.Duration(us) * time.Microsecond}
	}
	return s
}

// comment returns what the text of a description has after a method.
func (s Semantics) comment() string {
	if s == (Semantics{}) {
		return ""
	}
	return fmt.Sprintf(" // %v", s)
}
