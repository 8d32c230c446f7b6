package transport

import (
	"fmt"
	"time"

	"gormi/rmi/wire"
)

// Request is a call to make. Session.Call fills in slot, sequence number, time-out and sizes of
// the header. It must not be changed until Call returns.
type Request struct {
	Header     wire.CallHeader
	Extensions []byte
	References int    // entries of Table
	Table      []byte // see wire.AppendTable
	Body       []byte

	// Deadline is when the caller gives up. Coarse says that it is a default deadline. The
	// context does not know it, and the session's clock, exact to half a second, enforces it.
	Deadline time.Time
	Coarse   bool

	// Name names the call for people. May be nil. It may be used after Call has returned.
	Name fmt.Stringer

	// OneWay says that nobody waits for the reply. Call returns when the call was sent. A call
	// that is lost with its connection is not sent again.
	OneWay bool

	// Uncounted, if it is not nil, is called once it is known that the peer did not take Table
	// in and never will, although the call was sent. That may be long after Call returned, and
	// on the reading goroutine: it must not block.
	Uncounted func()
}

// Reply is the reply to a call. Its parts are valid until Release.
type Reply struct {
	Failed     bool // Body is an error form
	References uint32
	Table      []byte
	Body       []byte
	Metadata   wire.Metadata

	// Owned says that the memory of Body holds nothing else. Whoever decodes it may keep that
	// memory, and then calls Detach instead of Release.
	Owned bool

	table *outbound
	slot  *slot
}

// Release gives the reply's memory and its slot back.
func (r *Reply) Release() {
	if r.slot != nil {
		r.table.release(r.slot)
	}
}

// Detach gives the slot back and leaves the memory to the caller.
func (r *Reply) Detach() {
	if r.slot != nil {
		r.slot.buf = nil
		r.table.release(r.slot)
	}
}
