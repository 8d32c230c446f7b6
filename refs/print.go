package refs

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
)

// redacted stands where an object number is left out.
const redacted = "…"

// String returns a well-known number in decimal and "…" for any other.
func (n ObjNum) String() string {
	if n < ReservedObjects {
		return strconv.FormatUint(uint64(n), 10)
	}
	return redacted
}

// GoString is String.
func (n ObjNum) GoString() string { return n.String() }

// Format prints String for every verb, so that %d and %x do not reveal the number. Width and flags
// have no effect.
func (n ObjNum) Format(s fmt.State, _ rune) { io.WriteString(s, n.String()) }

// LogValue is String.
func (n ObjNum) LogValue() slog.Value { return slog.StringValue(n.String()) }

// String returns the start of the node id, the time and the redacted object number:
// "6ba7b810/2026-01-02T03:04:05Z/…".
func (id ID) String() string {
	return id.Node.Short() + "/" + id.Time.String() + "/" + id.Object.String()
}

// GoString is String.
func (id ID) GoString() string { return id.String() }

// Format prints String for every verb. Width and flags have no effect.
func (id ID) Format(s fmt.State, _ rune) { io.WriteString(s, id.String()) }

// LogValue is String.
func (id ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// String describes r for people: place, start of node id, "…" for the object number (unless it
// is well known), interface and relay. It leaves out what would allow a reader to call the object.
// So the result is safe to log, whatever r holds. Use [Ref.MarshalText] for the form that [Parse]
// reads.
func (r Ref) String() string {
	b := append([]byte(scheme), appendPlace(nil, r.Endpoint)...)
	b = append(b, '/')
	b = append(b, r.Node.Short()...)
	b = append(b, '/')
	b = append(b, r.Object.String()...)
	b = append(b, '/')
	if printable(r.Interface.Name) {
		b = append(b, r.Interface.Name...)
	} else {
		b = appendEscaped(b, r.Interface.Name, nameByte)
	}
	if !r.Via.IsZero() {
		b = append(b, "?via="...)
		b = append(b, r.Via.Node.Short()...)
		b = append(b, '@')
		b = appendPlace(b, r.Via.Endpoint)
	}
	return string(b)
}

// GoString is String.
func (r Ref) GoString() string { return r.String() }

// Format prints String for every verb. Width and flags have no effect.
func (r Ref) Format(s fmt.State, _ rune) { io.WriteString(s, r.String()) }

// LogValue is String.
func (r Ref) LogValue() slog.Value { return slog.StringValue(r.String()) }
