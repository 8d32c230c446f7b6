package rmi

import (
	"reflect"

	"gormi/proxy"
)

// Gone returns a channel that is closed when the node behind a proxy is gone for good.
func Gone(v any) <-chan struct{} {
	var none proxy.Table
	c := none.CoreOf(reflect.ValueOf(v))
	if c == nil {
		return nil
	}
	if n, ok := c.Caller.(*Node); ok {
		if s := n.transport.Live(c.Ref().ID.Node); s != nil {
			return s.Done()
		}
	}
	over := make(chan struct{})
	close(over)
	return over
}
