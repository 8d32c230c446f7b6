package rmi

import "gormi/rmi/inventory"

// Stats returns the node's counts.
func (n *Node) Stats() inventory.Stats {
	s := inventory.Stats{Exports: n.exports.Len(), Streams: n.transport.Streams()}
	c := n.transport.Counters()
	s.Sessions, s.Detached = c.Sessions, c.Detached
	s.Cuts, s.Resumes = c.Cuts, c.Resumes
	s.DuplicatesRunning, s.DuplicatesRetained = c.DuplicatesRunning, c.DuplicatesRetained
	s.Polled, s.PolledInVain = c.Polled, c.PolledInVain
	s.RetainedReplies, s.RetainedBytes = c.RetainedReplies, c.RetainedBytes
	return s
}
