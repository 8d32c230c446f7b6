package rmi

import (
	"context"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/audit"
	"gormi/rmi/multicast"
	"gormi/rmi/port"
)

// Port returns what the other packages of this module need of a node. It is not for programs.
func (n *Node) Port() port.Port { return (*nodePort)(n) }

// nodePort implements port.Port, which says what its methods do.
type nodePort Node

var _ port.Port = (*nodePort)(nil)

func (n *nodePort) Attachment(key any, create func() any) any {
	n.mu.Lock()
	defer n.mu.Unlock()
	x, ok := n.attached[key]
	if !ok {
		x = create()
		n.attached[key] = x
	}
	return x
}

func (n *nodePort) BeforeClose(f func(ctx context.Context)) (remove func()) {
	h := &hook{f}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.hooks[h] = true
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.hooks, h)
	}
}

func (n *nodePort) Public() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.public
}

func (n *nodePort) Detached(id refs.NodeID) bool {
	if id == n.transport.Node() {
		return false
	}
	s := n.transport.Live(id)
	return s == nil || s.Detached()
}

func (n *nodePort) Audit(e audit.Event) { n.transport.Note(e) }

func (n *nodePort) Multicast() *multicast.Exchange { return n.multicast }

// proxyCaller is the node as its proxies see it.
type proxyCaller Node

var _ proxy.Caller = (*proxyCaller)(nil)

// nodeOf returns the node that a proxy makes its calls through.
func nodeOf(c *proxy.Core) *Node {
	n, _ := c.Caller.(*proxyCaller)
	return (*Node)(n)
}
