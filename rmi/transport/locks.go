package transport

import "gormi/rmi/internal/guard"

// nestings lists every lock of this package that is taken while another is held. A test checks
// that there is no cycle. With the tag rmi_locks the tests find each of these nestings and no
// other.
var nestings = []guard.Nesting{
	guard.Nest[lockedDials, lockedPeers]("a dial begins unless one that ended just now left a session"),
	guard.Nest[lockedDials, lockedTransport]("a dial begins unless the transport is closed"),
	guard.Nest[lockedOutbox, lockedOutbound]("a session is resumed; acknowledgements and cancels are sent"),
	guard.Nest[lockedInbound, lockedTurn]("a call is admitted and enters its turn; turns that nobody uses are forgotten"),
	guard.Nest[lockedInbound, lockedContext]("a queued call is asked whether its context has ended"),
}

func init() { guard.Allow(nestings) }
