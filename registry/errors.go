package registry

import (
	"errors"
	"fmt"
	"strings"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/fault"
)

// during returns the error of a function of this package, made from the error of a call of the
// registry or of what came before it. It adds the operation, the URL, and what to do if no
// registry answers. It keeps the kind of an error that the registry made. url is "" if the text
// needs none.
func during(op, url string, err error) error {
	c := fault.Add(err)
	switch {
	case c.Kind == rmi.KindApplication:
		// The registry's method ran, and says why it did nothing.
		var said *rmi.Error
		if errors.As(c.Err, &said) {
			c = fault.Add(said, fault.OutcomeNotExecuted)
		}
	case !c.Ref.ID.IsWellKnown(): // not about the registry
	case c.Kind == rmi.KindConnectFailed:
		c.Msg = join("no registry answers: start one with `go run gormi/cmd/rmiregistry`, or set its address by "+Env+"=rmi://HOST:PORT or a name rmi://HOST:PORT/NAME", c.Msg)
	case c.Kind == rmi.KindProtocol:
		c.Msg = join("this is no GoRMI registry", c.Msg)
	case c.Kind == rmi.KindNoSuchObject:
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
	return c
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ": " + b
}

// refused returns the error by which the registry says that it did nothing.
func refused(k rmi.Kind, format string, a ...any) error {
	return fault.New(k, fault.OutcomeNotExecuted, format, a...)
}

// kindDenied is the kind of what the policy does not allow.
const kindDenied = rmi.KindDenied

func alreadyBound(b *binding, who *rights) error {
	how := ""
	if b.lease != nil {
		how = ", whose node is alive"
	}
	return refused(rmi.KindAlreadyBound, "the name is bound%s%s: Rebind replaces it, Unbind removes it, where the registry's policy allows it", strings.Replace(b.shown(who), ", ", " to ", 1), how)
}

func notBound() error {
	return refused(rmi.KindNotBound, "nothing is bound to the name: is the program running that binds it, with the same registry?")
}

// whose says what a reference leads to, as a message names it: "a bank.Account of
// node 6ba7b810 at 192.0.2.1:7000".
func whose(r refs.Ref) string {
	what, where := r.Interface.Name, " at "+r.Endpoint.String()
	if what == "" {
		what = "remote object"
	}
	switch {
	case r.Listens():
	case r.Via.Listens():
		where = ", reached through " + r.Via.Endpoint.String()
	default:
		where = ", which listens nowhere"
	}
	return fmt.Sprintf("a %s of node %s%s", what, r.ID.Node.Short(), where)
}
