package callback

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

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
	where := "rmi://" + at.String() + "/" + path
	if c.Kind == rmi.ConnectFailed {
		where += ": no registry answers: start one with `go run gormi/cmd/rmiregistry`, or say where it is"
	}
	if c.Msg != "" {
		where += ": " + c.Msg
	}
	c.Msg = where
	return &c
}

// parseName reads a name as registry.Lookup takes it.
func parseName(name string) (at refs.Endpoint, path string, err error) {
	const scheme = "rmi://"
	where, path := os.Getenv("RMI_REGISTRY"), name
	if len(name) >= len(scheme) && strings.EqualFold(name[:len(scheme)], scheme) {
		where, path, _ = strings.Cut(name[len(scheme):], "/")
	} else if strings.Contains(name, "://") {
		return at, "", invalid("lookup", fmt.Sprintf("%.64q: a name with an address begins with rmi://", name))
	} else if where == "" {
		where = "localhost"
	} else if where, err = trimScheme(where, scheme); err != nil {
		return at, "", err
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
	if err == nil && !at.Listens() {
		err = errors.New("port 0 is nobody's")
	}
	if err != nil {
		return at, "", invalid("lookup", fmt.Sprintf("%.300q: the registry's address: %v", name, err))
	}
	return at, path, nil
}

// trimScheme reads what the environment says about where the registry is.
func trimScheme(s, scheme string) (string, error) {
	if len(s) < len(scheme) || !strings.EqualFold(s[:len(scheme)], scheme) {
		return "", invalid("lookup", fmt.Sprintf("the environment variable RMI_REGISTRY is %.64q: want rmi://HOST:PORT", s))
	}
	return s[len(scheme):], nil
}
