package rmi

import "gormi/rmi/inventory"

// Stats returns the node's counts.
func (n *Node) Stats() inventory.Stats {
	s := inventory.Stats{Exports: n.exports.Len(), Streams: n.transport.Streams()}
	c := n.transport.Counters()
	s.Sessions, s.Detached = c.Sessions, c.Detached
	s.Cuts, s.Resumes = c.Cuts, c.Resumes
	s.DuplicatesRunning, s.DuplicatesKept = c.DuplicatesRunning, c.DuplicatesKept
	s.Polled, s.PolledInVain = c.Polled, c.PolledInVain
	s.KeptReplies, s.KeptBytes = c.KeptReplies, c.KeptBytes
	return s
}
