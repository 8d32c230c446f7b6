package registry

import "gormi/rmi"

// NewStore is what Serve exports, for tests that stand between it and its callers.
func NewStore(n *rmi.Node) Registry { return newStore(ServeOptions{}, n.Logger(), n.Port()) }
