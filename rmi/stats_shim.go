package rmi

// Stats counts what a node has and what happened to its sessions.
type Stats struct {
	Sessions, Detached     int   // now
	Cuts, Resumes          int64 // connections lost and made again, as either side
	DuplicatesRunning      int64 // calls that arrived again while they ran: attached to
	DuplicatesKept         int64 // calls that arrived again after they were answered: the kept reply was sent again
	KeptReplies, KeptBytes int64 // now
	Exports, Streams       int
}

// Stats returns the node's counts.
func (n *Node) Stats() Stats {
	return Stats{Sessions: len(n.transport.Sessions()), Exports: n.exports.Len()}
}
