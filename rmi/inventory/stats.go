package inventory

// Stats are counts of what a node has, and of what happened to its connections.
type Stats struct {
	Sessions, Detached int // now: sessions with other nodes, and how many have no connection
	Exports            int // now
	Streams            int // now: open on the connections, opened by either side

	Cuts, Resumes      int64 // connections lost, and made again, by either side
	DuplicatesRunning  int64 // calls that arrived again while they ran, and joined the running one
	DuplicatesRetained int64 // calls that arrived again after their reply, and got the retained reply

	Polled       int64 // times that bytes came while a reader spun for them; see rmi.Options.BusyPoll
	PolledInVain int64 // times that a reader spun in vain

	RetainedReplies int64 // now: replies that the callers have not acknowledged
	RetainedBytes   int64 // now: their bytes
}
