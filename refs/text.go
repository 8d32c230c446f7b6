package refs

import (
	"encoding"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	scheme = "rmi+ref://"

	// maxText bounds what Parse looks at: more than the longest text form, in which each byte of a
	// host and of a name takes three characters.
	maxText = 4096
)

var (
	_ encoding.TextMarshaler   = Ref{}
	_ encoding.TextAppender    = Ref{}
	_ encoding.TextUnmarshaler = (*Ref)(nil)
)

// MarshalText returns the text form that the package comment specifies. It includes the object
// number, so whoever reads it can call the object. It fails if r holds what no reference may hold,
// for example an illegal host.
func (r Ref) MarshalText() ([]byte, error) { return r.AppendText(nil) }

// AppendText appends what MarshalText returns to b. On an error it returns b as it was.
func (r Ref) AppendText(b []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return b, err
	}
	b = append(b, scheme...)
	b = appendPlace(b, r.Endpoint)
	b = append(b, '/')
	b = appendNode(b, r.Node)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(r.Time), 10)
	b = append(b, '/')
	b = append(b, r.Object.Hex()...)
	b = append(b, '/')
	b = appendEscaped(b, r.Interface.Name, nameByte)
	b = append(b, '/')
	if r.Interface.Fingerprint.IsZero() {
		b = append(b, '-')
	} else {
		b = append(b, r.Interface.Fingerprint.String()...)
	}
	sep := byte('?')
	param := func(s string) {
		b = append(append(b, sep), s...)
		sep = '&'
	}
	if r.Completed {
		param("completed")
	}
	if !r.Via.IsZero() {
		param("via=")
		b = appendNode(b, r.Via.Node)
		b = append(b, '@')
		b = appendPlace(b, r.Via.Endpoint)
	}
	if r.Via.Completed {
		param("via-completed")
	}
	return b, nil
}

// UnmarshalText is [Parse]. On an error it does not change r.
func (r *Ref) UnmarshalText(text []byte) error {
	p, err := Parse(string(text))
	if err == nil {
		*r = p
	}
	return err
}

// Parse reads the text form that [Ref.MarshalText] writes, and nothing else: every reference has
// one spelling. Errors do not repeat the object number.
func Parse(s string) (Ref, error) {
	if len(s) > maxText {
		return Ref{}, fmt.Errorf("refs: a reference of %d bytes is too long", len(s))
	}
	rest, ok := strings.CutPrefix(s, scheme)
	if !ok {
		return Ref{}, errors.New("refs: not a reference: it does not start with " + scheme)
	}
	rest, params, query := strings.Cut(rest, "?")
	part := strings.Split(rest, "/")
	if len(part) > 2 && part[2] == redacted {
		return Ref{}, errors.New("refs: this is a reference as String prints it, with the object number left out; MarshalText gives the one that can be read back")
	}
	if len(part) != 6 {
		return Ref{}, fmt.Errorf("refs: a reference has six parts with / between them (place, node, time, object, interface, fingerprint), not %d", len(part))
	}
	var r Ref
	var err error
	if r.Endpoint, err = parsePlace(part[0]); err != nil {
		return Ref{}, err
	}
	if r.Node, err = parseNode(part[1]); err != nil {
		return Ref{}, err
	}
	t, err := strconv.ParseInt(part[2], 10, 64)
	if err != nil || strconv.FormatInt(t, 10) != part[2] {
		return Ref{}, fmt.Errorf("refs: %s is no time: want nanoseconds since 1970 in decimal", quote(part[2]))
	}
	r.Time = Time(t)
	n, err := strconv.ParseUint(part[3], 16, 64)
	if r.Object = ObjNum(n); err != nil || r.Object.Hex() != part[3] {
		return Ref{}, errors.New("refs: the object number is not 16 lower-case hexadecimal digits")
	}
	if r.Interface.Name, err = unescape(part[4], nameByte); err != nil {
		return Ref{}, err
	}
	if part[5] != "-" {
		if r.Interface.Fingerprint, err = ParseFingerprint(part[5]); err != nil {
			return Ref{}, err
		}
		if r.Interface.Fingerprint.IsZero() {
			return Ref{}, errors.New("refs: the zero fingerprint is written -")
		}
	}
	if query {
		if err := r.parseParams(params); err != nil {
			return Ref{}, err
		}
	}
	if err := r.check(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// parseParams reads what follows the question mark. The order of the parameters is fixed, so each
// step takes its own from the front and the next must start where it ended.
func (r *Ref) parseParams(s string) error {
	more := true
	take := func(ok bool, rest string, found bool) bool {
		if ok {
			s, more = rest, found
		}
		return ok
	}
	head, rest, found := strings.Cut(s, "&")
	if take(head == "completed", rest, found) {
		r.Completed = true
	}
	head, rest, found = strings.Cut(s, "&")
	if via, ok := strings.CutPrefix(head, "via="); more && take(ok, rest, found) {
		node, place, ok := strings.Cut(via, "@")
		if !ok {
			return fmt.Errorf("refs: the relay %s has no @ between node and place", quote(via))
		}
		var err error
		if r.Via.Node, err = parseNode(node); err != nil {
			return err
		}
		if r.Via.Endpoint, err = parsePlace(place); err != nil {
			return err
		}
		if r.Via.IsZero() {
			return errors.New("refs: the relay has no node id")
		}
	}
	head, rest, found = strings.Cut(s, "&")
	if more && take(head == "via-completed", rest, found) {
		r.Via.Completed = true
	}
	if more || s != "" {
		return fmt.Errorf("refs: the parameters end in %s: want completed, via=node@place and via-completed, in this order", quote(s))
	}
	return nil
}

// appendPlace writes an endpoint so that it can stand where a URL has its authority. It serves
// String as well, and so copes with hosts that are not legal.
func appendPlace(b []byte, e Endpoint) []byte {
	if e.IsUnix() {
		return appendEscaped(b, e.Host, unreserved)
	}
	if e.IsZero() {
		return b
	}
	if e.UDP {
		b = append(b, "udp:"...)
	}
	addr, zone, zoned := strings.Cut(e.Host, "%")
	six := strings.Contains(e.Host, ":")
	if six {
		b = append(b, '[')
		b = appendEscaped(b, addr, func(c byte) bool { return unreserved(c) || c == ':' })
		if zoned {
			b = append(b, "%25"...)
			b = appendEscaped(b, zone, unreserved)
		}
		b = append(b, ']')
	} else {
		b = appendEscaped(b, e.Host, unreserved)
	}
	b = append(b, ':')
	return strconv.AppendUint(b, uint64(e.Port), 10)
}

func parsePlace(s string) (Endpoint, error) {
	if s == "" {
		return Endpoint{}, nil
	}
	if !strings.Contains(s, ":") {
		sock, err := unescape(s, unreserved)
		if err != nil {
			return Endpoint{}, err
		}
		if !isSocket(sock) {
			return Endpoint{}, fmt.Errorf("refs: the place %s has no port and is no unix socket", quote(s))
		}
		return Endpoint{Host: sock}, nil
	}
	if isSocket(s) {
		return Endpoint{}, fmt.Errorf("refs: the unix socket %s is not escaped", quote(s))
	}
	if strings.HasPrefix(s, "[") || strings.HasPrefix(s, "udp:[") {
		// RFC 6874: the % before a zone is itself escaped.
		addr, zone, zoned := strings.Cut(s, "%")
		if zoned {
			if zone, zoned = strings.CutPrefix(zone, "25"); !zoned {
				return Endpoint{}, fmt.Errorf("refs: the place %s does not write the %% before the zone as %%25", quote(s))
			}
			s = addr + "%" + zone
		}
	}
	e, err := ParseEndpoint(s)
	if err == nil && (e.IsUnix() || e.Port == 0) {
		err = fmt.Errorf("refs: the place %s has no port from 1 to 65535", quote(s))
	}
	return e, err
}

// appendNode writes "-" for the zero id, which is shorter and says that no node is expected.
func appendNode(b []byte, n NodeID) []byte {
	if n.IsZero() {
		return append(b, '-')
	}
	return append(b, n.String()...)
}

func parseNode(s string) (NodeID, error) {
	if s == "-" {
		return NodeID{}, nil
	}
	n, err := ParseNodeID(s)
	if err == nil && n.IsZero() {
		err = errors.New("refs: the zero node id is written -")
	}
	return n, err
}

// nameByte reports whether c stands for itself in the name of an interface. Beyond RFC 3986's
// unreserved characters these are what names of Go types are made of, which keeps them readable.
func nameByte(c byte) bool { return unreserved(c) || strings.IndexByte("()[]*,", c) >= 0 }

const upperHex = "0123456789ABCDEF"

func appendEscaped(b []byte, s string, plain func(byte) bool) []byte {
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b = append(b, c)
		} else {
			b = append(b, '%', upperHex[c>>4], upperHex[c&15])
		}
	}
	return b
}

// unescape undoes appendEscaped and refuses what that would not have written.
func unescape(s string, plain func(byte) bool) (string, error) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '%' {
			if !plain(c) {
				return "", fmt.Errorf("refs: %s has the character %q that must be escaped", quote(s), c)
			}
			b = append(b, c)
			continue
		}
		if len(s)-i < 3 {
			return "", fmt.Errorf("refs: %s ends within an escape", quote(s))
		}
		hi, lo := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if hi < 0 || lo < 0 || plain(byte(hi<<4|lo)) {
			return "", fmt.Errorf("refs: %s has the escape %s that is illegal or not needed", quote(s), quote(s[i:i+3]))
		}
		b = append(b, byte(hi<<4|lo))
		i += 2
	}
	return string(b), nil
}
