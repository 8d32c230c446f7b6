package registry

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"gormi/rmi"
	"gormi/rmi/fault"
)

// MaxName is the length of the longest legal name, in bytes.
const MaxName = 255

// ValidName returns nil if name is legal. Otherwise the error is of kind rmi.KindInvalid, and says
// which rule of the package documentation the name breaks.
func ValidName(name string) error {
	if name == "" {
		return illegal(name, 1, "it is empty")
	}
	if err := validPrefix(name); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(name, "/") {
		switch segment {
		case "":
			return illegal(name, 2, emptySegment)
		case ".", "..":
			return illegal(name, 3, fmt.Sprintf("the segment %q", segment))
		}
	}
	return nil
}

const emptySegment = `a "/" stands at its beginning, at its end, or after another`

// hint says what is missing in an address that was written without its scheme, as Java's Naming
// accepts it. r is the character that is not allowed in a name.
func hint(s string, r rune) string {
	switch {
	case strings.HasPrefix(s, "//"):
		return "; is this an address that lacks its rmi:? It is rmi://HOST:PORT/NAME"
	case len(s) > 4 && strings.EqualFold(s[:4], "rmi:"):
		return "; is this an address that lacks its //? It is rmi://HOST:PORT/NAME"
	case r == ':':
		return "; is this an address that lacks its rmi://?"
	}
	return ""
}

// validPrefix checks the rules that hold for the beginning of a name too.
func validPrefix(s string) error {
	switch {
	case len(s) > MaxName:
		return illegal(s, 1, fmt.Sprintf("it is %d bytes long, more than %d", len(s), MaxName))
	case !utf8.ValidString(s):
		return illegal(s, 1, "it is not UTF-8")
	}
	for _, r := range s {
		if r != '/' && !legal(r) {
			return illegal(s, 4, fmt.Sprintf("the character %q%s", r, hint(s, r)))
		}
	}
	if strings.HasPrefix(s, "/") || strings.Contains(s, "//") {
		return illegal(s, 2, emptySegment+hint(s, 0))
	}
	return nil
}

// legal reports whether r may stand in a segment.
func legal(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || strings.ContainsRune("-_.~@+=,", r)
}

func illegal(name string, rule int, why string) error {
	const most = 64
	if len(name) > most {
		name = name[:most] + "…"
	}
	return invalid("%q is no legal name by rule %d: %s (the rules: go doc gormi/registry)", name, rule, why)
}

func invalid(format string, a ...any) *rmi.Error {
	return fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, format, a...)
}
