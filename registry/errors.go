package registry

import (
	"errors"

	"gormi/refs"
	"gormi/rmi"
)

// failed makes the error that a function of this package returns of what a
// call of the registry, or what came before it, returned: it tells the operation
// and the URL, and what to do where no registry answers. Of an error that the
// registry made it takes the kind. url is "" where the text needs none.
func failed(op, url string, err error) error {
	var e *rmi.Error
	if !errors.As(err, &e) {
		e = &rmi.Error{Kind: rmi.Internal, Err: err}
	}
	c := *e
	switch {
	case c.Kind == rmi.Application:
		// The registry's method ran, and says what it did not do.
		var said *rmi.Error
		if errors.As(c.Err, &said) {
			c = *said
			c.Outcome = rmi.NotExecuted
		}
	case !c.Ref.ID.IsWellKnown(): // not about the registry
	case c.Kind == rmi.ConnectFailed:
		c.Msg = join("no registry answers: start one with `go run gormi/cmd/rmiregistry`, or say where it is by "+Env+"=rmi://HOST:PORT or a name rmi://HOST:PORT/NAME", c.Msg)
	case c.Kind == rmi.Protocol:
		c.Msg = join("this is no GoRMI registry", c.Msg)
	case c.Kind == rmi.NoSuchObject:
		c.Msg = "the node there serves no registry: registry.Serve makes it one"
	}
	c.Op, c.Method = op, ""
	if c.Interface == "registry.Registry" {
		c.Interface = ""
	}
	if c.Ref.ID.IsWellKnown() {
		c.Ref = refs.Ref{} // the URL says it better
	}
	c.Msg = join(url, c.Msg)
	return &c
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}
