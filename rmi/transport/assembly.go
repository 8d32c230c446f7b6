package transport

import (
	"gormi/rmi/wire"
)

// assembly takes in a payload that arrives in fragments. Its buffer grows with
// what arrives, not with what was announced, and what it holds is charged to
// the session and the transport until the payload was used.
type assembly struct {
	session *Session
	size    int // announced
	got     int
	buf     []byte
	discard bool // nobody wants it: count it and forget it
	refused bool // there was no room for it
	charged int
}

// assemble begins an assembly. The peer may announce no more than the budget
// that it was told; more is a protocol error. It runs on the reading goroutine.
func (s *Session) assemble(p wire.Payload, discard bool) (*assembly, error) {
	size := int64(p.Len())
	limit := int64(s.transport.Limits.Assembly)
	if s.assembling+size > limit {
		return nil, wire.ProtocolError("%d bytes under assembly and %d more: the announced budget is %d", s.assembling, size, limit)
	}
	s.assembling += size
	return &assembly{session: s, size: p.Len(), discard: discard}, nil
}

// part returns where the next n bytes go; nil if they go nowhere.
func (a *assembly) part(n int) ([]byte, error) {
	if n > a.size-a.got {
		return nil, wire.ProtocolError("a fragment of %d bytes: %d of %d are left", n, a.size-a.got, a.size)
	}
	a.got += n
	if a.discard || a.refused {
		return nil, nil
	}
	if a.got > cap(a.buf) {
		c := min(a.size, max(1<<20, 2*cap(a.buf), a.got))
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
	s, t := a.session, a.session.transport
	limit := int64(t.Limits.AssemblyTotal)
	a.charged += n
	// A quarter for one peer, so that one with slow servants leaves the others room.
	all, mine := t.held.Add(int64(n)), s.held.Add(int64(n))
	return all <= limit && mine <= max(limit/4, int64(t.Limits.Assembly))
}

// release forgets the buffer and takes back what it was charged.
func (a *assembly) release() {
	a.session.held.Add(-int64(a.charged))
	a.session.transport.held.Add(-int64(a.charged))
	a.charged, a.buf = 0, nil
}

// end is called when the last fragment is here or none will come any more. It
// runs on the reading goroutine.
func (a *assembly) end() {
	a.session.assembling -= int64(a.size)
}
