package rmi

import "gormi/refs"

// Detached reports whether the connection of the peer's session is cut and was
// not made again.
func (p *Peer) Detached() bool { return p.Err() != nil }

// Detached reports whether the connection of this node's session with another
// is cut: that node may come back, or is gone. A node is never detached from
// itself. It is meant for nodes that this one had a session with.
func (n *Node) Detached(id refs.NodeID) bool {
	return id != n.ID() && n.transport.Live(id) == nil
}
