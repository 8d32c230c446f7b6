package refs

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxHost is the length in bytes that no host exceeds; one byte holds it on the wire.
	MaxHost = 255
	// MaxName is the longest legal name of an interface, in bytes.
	MaxName = 255

	maxSocket = 107 // sun_path of Linux less the NUL: the lowest limit where abstract sockets exist
	maxDNS    = 253 // RFC 1035, without the final dot
	maxLabel  = 63
	maxZone   = 64
)

// ValidHost tells why host cannot stand in a reference, or returns nil. Legal are:
//
//   - a DNS name: labels of ASCII letters, digits, "-" (not first or last) and "_", with or without
//     a final dot; the last label is no number, so that nothing but an IPv4 address looks like one
//   - an IPv4 address of four decimal numbers
//   - an IPv6 address without brackets, with an optional zone of ASCII letters, digits and - . _ ~
//   - the path of a unix socket, absolute and without "//", "." and "..", or "@" and the name of an
//     abstract one: at most 107 bytes of printable UTF-8
func ValidHost(host string) error {
	switch {
	case host == "":
		return errors.New("refs: the host is empty")
	case len(host) > MaxHost:
		return fmt.Errorf("refs: the host is %d bytes long, more than %d", len(host), MaxHost)
	case isSocket(host):
		return validSocket(host)
	case strings.Contains(host, ":"):
		return validIPv6(host)
	}
	return validName(host)
}

// isSocket reports whether a host is the address of a unix socket rather than a name or an IP
// address.
func isSocket(host string) bool { return host != "" && (host[0] == '/' || host[0] == '@') }

func validSocket(host string) error {
	switch {
	case len(host) > maxSocket:
		return fmt.Errorf("refs: the unix socket %s is %d bytes long, more than %d", quote(host), len(host), maxSocket)
	case len(host) == 1:
		return fmt.Errorf("refs: %s names no unix socket", quote(host))
	case !printable(host):
		return fmt.Errorf("refs: the unix socket %s has characters that are not printable", quote(host))
	case host[0] == '/' && path.Clean(host) != host:
		return fmt.Errorf("refs: the path of the unix socket %s is not the shortest: want %s", quote(host), quote(path.Clean(host)))
	}
	return nil
}

func validIPv6(host string) error {
	a, err := netip.ParseAddr(host)
	if err != nil || !a.Is6() {
		return fmt.Errorf("refs: the host %s is no IPv6 address (a host is given without port and brackets)", quote(host))
	}
	zone := a.Zone()
	if len(zone) > maxZone {
		return fmt.Errorf("refs: the zone of the host %s is longer than %d bytes", quote(host), maxZone)
	}
	for i := range len(zone) {
		if !unreserved(zone[i]) {
			return fmt.Errorf("refs: the zone of the host %s has a character other than letters, digits and - . _ ~", quote(host))
		}
	}
	return nil
}

// validName checks a DNS name or an IPv4 address.
func validName(host string) error {
	if a, err := netip.ParseAddr(host); err == nil && a.Is4() {
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	if len(name) > maxDNS {
		return fmt.Errorf("refs: the host name %s is %d bytes long, more than %d", quote(host), len(name), maxDNS)
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if err := validLabel(label); err != nil {
			return fmt.Errorf("refs: the host name %s %w", quote(host), err)
		}
		last = label
	}
	// As browsers do: a resolver may take "127.1" or "0x7f.0.0.1" for an address.
	if last[0] >= '0' && last[0] <= '9' && numeric(last) {
		return fmt.Errorf("refs: the host %s ends in a number but is no IPv4 address", quote(host))
	}
	return nil
}

func validLabel(label string) error {
	switch {
	case label == "":
		return errors.New("has an empty label")
	case len(label) > maxLabel:
		return fmt.Errorf("has a label longer than %d bytes", maxLabel)
	case label[0] == '-' || label[len(label)-1] == '-':
		return errors.New(`has a label that starts or ends with "-"`)
	}
	for i := range len(label) {
		switch c := label[i]; {
		case c >= utf8.RuneSelf:
			return errors.New(`is not ASCII: write it in its "xn--" form`)
		case !alnum(c) && c != '-' && c != '_':
			return fmt.Errorf("has the illegal character %q", c)
		}
	}
	return nil
}

// numeric reports whether a label that starts with a digit is a decimal or 0x number.
func numeric(label string) bool {
	if rest, ok := strings.CutPrefix(strings.ToLower(label), "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// validInterface checks the name of an interface. An empty name says that the holder does not know
// it.
func validInterface(name string) error {
	if len(name) > MaxName {
		return fmt.Errorf("refs: the interface name is %d bytes long, more than %d", len(name), MaxName)
	}
	if !printable(name) {
		return fmt.Errorf("refs: the interface name %s has characters that are not printable", quote(name))
	}
	return nil
}

// printable reports whether s is UTF-8 without control characters and without spaces other than
// U+0020.
func printable(s string) bool {
	for i, r := range s {
		if r == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
		}
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

func alnum(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// unreserved reports whether RFC 3986 lets c stand for itself anywhere in a URL.
func unreserved(c byte) bool { return alnum(c) || c == '-' || c == '.' || c == '_' || c == '~' }

// quote makes what a stranger sent fit for an error message: quoted, escaped and not too long.
func quote(s string) string {
	const most = 64
	if len(s) > most {
		return fmt.Sprintf("%+q...", s[:most])
	}
	return fmt.Sprintf("%q", s)
}
