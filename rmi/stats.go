package rmi

// Stats counts what a node has, and what became of its connections.
type Stats struct {
	Sessions, Detached int // now: with other nodes, and of these without a connection
	Exports            int // now
	Streams            int // now: open on the connections, of either side

	Cuts, Resumes     int64 // connections lost, and made again, by either side
	DuplicatesRunning int64 // calls that came again while they ran, and attached
	DuplicatesKept    int64 // calls that came again after they were answered, and got the kept reply

	Polled       int64 // times that bytes came while a connection was looked at for them; see Options.BusyPoll
	PolledInVain int64 // times that none did for so long

	KeptReplies int64 // now: replies that the caller has not acknowledged
	KeptBytes   int64 // now: their bytes
}

// Stats returns the node's counts.
func (n *Node) Stats() Stats {
	s := Stats{Exports: n.exports.Len(), Streams: n.transport.Streams()}
	c := n.transport.Counters()
	s.Sessions, s.Detached = c.Sessions, c.Detached
	s.Cuts, s.Resumes = c.Cuts, c.Resumes
	s.DuplicatesRunning, s.DuplicatesKept = c.DuplicatesRunning, c.DuplicatesKept
	s.Polled, s.PolledInVain = c.Polled, c.PolledInVain
	s.KeptReplies, s.KeptBytes = c.KeptReplies, c.KeptBytes
	return s
}
