// Package port is what packages registry and callback need of a node, beyond what programs
// call. It may change at any time.
package port

import (
	"context"

	"gormi/refs"
	"gormi/rmi/audit"
	"gormi/rmi/multicast"
)

// Port is a node as the packages of this module see it. rmi.Node.Port returns it.
type Port interface {
	// Attachment returns what a package stores in the node, under a key of the package's own
	// type. The first call for a key creates the value with create, which must not use the
	// node.
	Attachment(key any, create func() any) any

	// BeforeClose calls f when the node begins to shut down or to close, while calls can still be
	// made. Bindings use it to unbind their names. The returned function removes f.
	BeforeClose(f func(ctx context.Context)) (remove func())

	// Public reports whether the node listens on an address that programs on other machines can
	// reach.
	Public() bool

	// Detached reports whether the node has no connection with another one. That node may come
	// back, or is gone. A node is never detached from itself. Detached is meant for nodes that
	// this one had a session with.
	Detached(id refs.NodeID) bool

	// Audit tells of a security event.
	Audit(e audit.Event)

	// Multicast sends values to many receivers.
	Multicast() *multicast.Exchange
}
