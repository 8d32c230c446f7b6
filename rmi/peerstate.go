package rmi

import "gormi/refs"

// Detached reports whether the connection of this node's session with another
// is cut: that node may come back, or is gone. So it is of a node that this one
// has no session with (any more), but never of this node itself.
func (n *Node) Detached(id refs.NodeID) bool {
	s := n.transport.Live(id)
	return id != n.ID() && (s == nil || s.Detached())
}
