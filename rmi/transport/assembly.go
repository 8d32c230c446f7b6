package transport

import (
	"gormi/rmi/wire"
)

// firstAssembly is how many bytes a payload's buffer has at first, if so many were
// announced: messages of the default limit are not copied from one to the next.
const firstAssembly = 4 << 20

// assembly takes in a payload that arrives in fragments. The buffer of a large
// one grows with what arrives, not with what was announced, and what it holds is
// charged to the session and the transport until the payload was used.
type assembly struct {
	link    *Link
	size    int // announced
	table   int // bytes of it that are the table of references
	got     int
	buf     []byte
	discard bool // nobody wants it: only the table is kept, for the references count
	refused bool // there was no room for it
	charged int
}

// assemble begins an assembly. The peer may announce no more than the budget
// that it was told; more is a protocol error. It runs on the reading goroutine.
func (l *Link) assemble(p wire.Payload, discard bool) (*assembly, error) {
	size := int64(p.Len())
	limit := int64(l.session.transport.Limits.Assembly)
	if l.assembling+size > limit {
		return nil, wire.ProtocolError("%d bytes under assembly and %d more: the announced budget is %d", l.assembling, size, limit)
	}
	l.assembling += size
	return &assembly{link: l, size: p.Len(), table: int(p.Table), discard: discard}, nil
}

// part returns where the next n bytes go; nil if they go nowhere.
func (a *assembly) part(n int) ([]byte, error) {
	if n > a.size-a.got {
		return nil, wire.ProtocolError("a fragment of %d bytes: %d of %d are left", n, a.size-a.got, a.size)
	}
	had := a.got
	a.got += n
	if a.refused || a.discard && had >= a.table {
		return nil, nil
	}
	if a.got > cap(a.buf) {
		size := a.size
		if a.discard {
			size = min(size, a.table+wire.MaxInline) // a whole fragment more, where the table ends in one
		}
		c := min(size, max(firstAssembly, 2*cap(a.buf), a.got))
		if !a.charge(c - a.charged) {
			a.refused = true
			a.release()
			return nil, nil
		}
		b := make([]byte, len(a.buf), c)
		copy(b, a.buf)
		a.buf = b
	}
	a.buf = a.buf[:a.got]
	return a.buf[a.got-n:], nil
}

func (a *assembly) charge(n int) bool {
	s, t := a.link.session, a.link.session.transport
	limit := int64(t.Limits.AssemblyTotal)
	a.charged += n
	// A quarter for one peer, so that one with slow servants leaves the others room.
	all, mine := t.held.Add(int64(n)), s.held.Add(int64(n))
	return all <= limit && mine <= max(limit/4, int64(t.Limits.Assembly))
}

// release forgets the buffer and takes back what it was charged.
func (a *assembly) release() {
	a.link.session.held.Add(-int64(a.charged))
	a.link.session.transport.held.Add(-int64(a.charged))
	a.charged, a.buf = 0, nil
}

// counted is the table of a payload that is complete and that nobody will
// decode; ok is false if it had no room.
func (a *assembly) counted() (table []byte, ok bool) {
	if len(a.buf) < a.table {
		return nil, a.table == 0
	}
	return a.buf[:a.table], true
}

// end is called when the last fragment is here or none will come any more. It
// runs on the reading goroutine.
func (a *assembly) end() {
	a.link.assembling -= int64(a.size)
}
