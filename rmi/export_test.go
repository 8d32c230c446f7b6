package rmi

// Exports is how many objects a node exports, for tests.
func (n *Node) Exports() int { return n.exports.Len() }

// Sessions is how many connections a node has, for tests.
func (n *Node) Sessions() int { return len(n.transport.Sessions()) }

// Batches is how many batches of references a node gave back or registered, for tests.
func (n *Node) Batches() int64 { return n.leases.batches.Load() }

// NoResume has the node's sessions end with their connections, for
// measurements. It comes before the first session.
func (n *Node) NoResume() { n.transport.NoResume = true }
