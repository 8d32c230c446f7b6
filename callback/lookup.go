package callback

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
	"unicode"

	"gormi/refs"
	"gormi/rmi"
)

// names is the part of a registry's interface that finds a source. This package
// stands beside package registry, and knows of it what the protocol says.
type names struct {
	Lookup func(ctx context.Context, name string) (bound, error)
}

// bound is what a name is bound to; see package wire.
type bound struct {
	Ref         refs.Ref
	Description []byte
}

// lookup asks the registry for a source.
func lookup[E any](ctx context.Context, n *rmi.Node, name string) (Source[E], error) {
	at, path, err := parseName(name)
	if err != nil {
		return nil, err
	}
	r, err := rmi.Resolve[names](n, rmi.WellKnown(at, refs.RegistryObject), nil)
	if err != nil {
		return nil, err
	}
	b, err := r.Lookup(ctx, path)
	if err != nil {
		return nil, notFound(at, path, peerError(err))
	}
	var d *rmi.Description
	if len(b.Description) > 0 {
		if d, err = rmi.ParseDescription(b.Description); err != nil {
			return nil, err
		}
	}
	return rmi.Resolve[Source[E]](n, b.Ref, d)
}

// notFound says which name was not found where, and what to do if nobody
// answers there.
func notFound(at refs.Endpoint, path string, err error) error {
	var e *rmi.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.Op, c.Interface, c.Method, c.Ref = "lookup", "", "", refs.Ref{}
	where := nameOf(at, path)
	if strings.ContainsFunc(where, func(r rune) bool { return !unicode.IsPrint(r) }) {
		where = strconv.Quote(where)
	}
	if c.Kind == rmi.ConnectFailed {
		where += ": no registry answers: start one with `go run gormi/cmd/rmiregistry`, or say where it is"
	}
	if c.Msg != "" {
		where += ": " + c.Msg
	}
	c.Msg = where
	return &c
}

// What names with an address begin with.
const (
	scheme    = "rmi://"
	schemeUDP = "rmi+udp://"
)

// nameOf writes a name as parseName reads it.
func nameOf(at refs.Endpoint, path string) string {
	begins, host := scheme, at.Host
	if at.UDP {
		begins = schemeUDP
	}
	if at.IsUnix() {
		host = strings.ReplaceAll(url.QueryEscape(host), "+", "%20")
	} else {
		host = strings.Replace(at.Address(), "%", "%25", 1) // of a zone
	}
	return begins + host + "/" + path
}

// cutScheme returns what stands behind the scheme of a name with an address.
func cutScheme(s string) (rest string, udp, ok bool) {
	for _, begins := range []string{scheme, schemeUDP} {
		if len(s) >= len(begins) && strings.EqualFold(s[:len(begins)], begins) {
			return s[len(begins):], begins == schemeUDP, true
		}
	}
	return s, false, false
}

// parseName reads a name as registry.Lookup takes it.
func parseName(name string) (at refs.Endpoint, path string, err error) {
	where, path := os.Getenv("RMI_REGISTRY"), name
	rest, udp, full := cutScheme(name)
	switch {
	case full:
		where, path, _ = strings.Cut(rest, "/")
	case strings.Contains(name, "://"):
		return at, "", invalid("lookup", fmt.Sprintf("%.64q: a name with an address begins with rmi://", name))
	case where == "":
		where = "localhost"
	default:
		if where, udp, full = cutScheme(where); !full {
			return at, "", invalid("lookup", fmt.Sprintf("the environment variable RMI_REGISTRY is %.64q: want rmi://HOST:PORT", where))
		}
	}
	host, err := url.PathUnescape(where)
	switch {
	case err != nil:
	case host == "" || host[0] == ':':
		err = errors.New("the host is missing")
	case host[0] == '/' || host[0] == '@': // a unix socket
	case strings.HasSuffix(host, "]") || !strings.Contains(host, ":"):
		host += ":1099"
	}
	if err == nil {
		at, err = refs.ParseEndpoint(host)
	}
	switch {
	case err != nil:
	case at.UDP:
		err = errors.New("UDP is asked for by rmi+udp://HOST:PORT")
	case udp && at.IsUnix():
		err = errors.New("a unix socket takes no datagrams")
	case !at.Listens():
		err = errors.New("port 0 is nobody's")
	}
	if err != nil {
		return at, "", invalid("lookup", fmt.Sprintf("%.300q: the registry's address: %v", name, err))
	}
	at.UDP = udp
	return at, path, nil
}
