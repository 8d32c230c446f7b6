package wire

import "math"

// Limits bounds what a peer can make this process hold or compute for one body. A zero or negative
// field means its default, so the zero value is usable. Both ends check. So a sender learns locally
// what the receiver would refuse.
type Limits struct {
	// Message is the largest body in bytes. If zero, 4 MiB; at most 1 GiB.
	Message int
	// Depth is how deep arrays and maps may nest. The array of the arguments counts. If zero, 64;
	// at most 255.
	Depth int
	// Elements is how many array elements, map keys and map values a body may declare in total. If
	// zero, 1<<20.
	Elements int
	// Memory is how many bytes of Go values one body may be decoded into: a one-byte nil can stand
	// for a large struct. If zero, 256 MiB.
	Memory int
	// References is how many entries the reference table of one frame may have. If zero, 16384; at
	// most 65535, because an index has 16 bits.
	References int

	effective bool // WithDefaults has seen to it
}

const (
	MaxNesting     = 255 // the largest Limits.Depth
	DefaultNesting = 64  // Limits.Depth, if zero
	MaxName        = 255 // bytes of the name of a method, type or interface

	defaultMessage    = 4 << 20
	defaultElements   = 1 << 20
	defaultMemory     = 256 << 20
	defaultReferences = 16384

	maxMessage    = 1 << 30
	maxReferences = 1<<16 - 1
)

// WithDefaults returns l with every field set to the value that is used.
func (l Limits) WithDefaults() Limits {
	limit(&l.Message, defaultMessage, maxMessage)
	limit(&l.Depth, DefaultNesting, MaxNesting)
	limit(&l.Elements, defaultElements, maxMessage)
	limit(&l.Memory, defaultMemory, math.MaxInt)
	limit(&l.References, defaultReferences, maxReferences)
	l.effective = true
	return l
}

func limit(n *int, standard, most int) {
	switch {
	case *n <= 0:
		*n = standard
	case *n > most:
		*n = most
	}
}

// standard is what a nil stands for.
var standard = Limits{}.WithDefaults()

// Effective returns the limits that a nil or incomplete l stands for. They are not to be changed.
func (l *Limits) Effective() *Limits {
	switch {
	case l == nil:
		return &standard
	case l.effective:
		return l
	}
	full := l.WithDefaults()
	return &full
}
