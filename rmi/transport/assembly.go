package transport

import (
	"gormi/rmi/internal/mempool"
	"gormi/rmi/wire"
)

// A payload of up to oneBlock bytes, the default limit, is received into one piece of memory. A
// larger one is received into blocks. The goroutine that wants the payload joins them when it
// is complete: on the reading goroutine that would delay all other calls.
const (
	oneBlock = 4 << 20
	block    = 1 << 20
)

// assembly receives a payload that arrives in fragments. Its memory grows with what arrives,
// not with what was announced. Its memory counts against the limits of the session and of the
// transport until the payload was used.
type assembly struct {
	link    *Link
	size    int // announced
	table   int // bytes of it that are the table of references
	got     int
	blocks  [][]byte // each but the last is as full as fragments fill it
	discard bool     // nobody wants it: only the table is received, because its references count
	refused bool     // there was no room for it
	charged int
}

// assemble begins an assembly. A peer that announces more than the budget that it was told
// breaks the protocol. It runs on the reading goroutine.
func (l *Link) assemble(p wire.Payload, discard bool) (*assembly, error) {
	size := int64(p.Len())
	limit := int64(l.session.transport.Limits.Assembly)
	if l.assembling.Load()+size > limit {
		return nil, wire.ProtocolError("W-66: %d bytes under assembly and %d more: the announced budget is %d", l.assembling.Load(), size, limit)
	}
	l.assembling.Add(size)
	return &assembly{link: l, size: p.Len(), table: int(p.Table), discard: discard}, nil
}

// part returns where the next n bytes go; nil if they are discarded.
func (a *assembly) part(n int) ([]byte, error) {
	if n > a.size-a.got {
		return nil, wire.ProtocolError("W-65: a fragment of %d bytes: %d of %d are left", n, a.size-a.got, a.size)
	}
	had := a.got
	a.got += n
	a.link.pieces.Add(int64(n))
	if a.refused || a.discard && had >= a.table {
		return nil, nil
	}
	last := len(a.blocks) - 1
	if last < 0 || cap(a.blocks[last])-len(a.blocks[last]) < n {
		size := a.size
		if a.discard {
			size = min(size, a.table+wire.MaxInline) // a whole fragment more, where the table ends in one
		}
		large := size > oneBlock
		if large {
			size = max(n, block)
		}
		if !a.charge(size) {
			a.refused = true
			a.release()
			return nil, nil
		}
		if large {
			a.blocks = append(a.blocks, mempool.Get(size))
		} else {
			a.blocks = append(a.blocks, make([]byte, 0, size))
		}
		last++
	}
	b := &a.blocks[last]
	*b = (*b)[:len(*b)+n]
	return (*b)[len(*b)-n:], nil
}

func (a *assembly) charge(n int) bool {
	s, t := a.link.session, a.link.session.transport
	limit := int64(t.Limits.AssemblyTotal)
	// A quarter for one peer, so that a peer with slow servants leaves room for others.
	if s.held.Add(int64(n)) > max(limit/4, int64(t.Limits.Assembly)) {
		s.held.Add(-int64(n))
		return false
	}
	if !both(&t.held, limit, &s.account.assembled, max(t.Limits.share(t.Limits.AssemblyTotal), int64(t.Limits.Assembly)), int64(n)) {
		s.held.Add(-int64(n))
		return false
	}
	a.charged += n
	return true
}

// release drops the memory, and no longer counts it.
func (a *assembly) release() {
	s, n := a.link.session, int64(a.charged)
	s.held.Add(-n)
	s.transport.held.add(-n)
	s.account.assembled.add(-n)
	a.charged, a.blocks = 0, nil
}

// counted returns the table of a complete payload that nobody will decode. ok is false if
// there was no room for it.
func (a *assembly) counted() (table []byte, ok bool) {
	switch {
	case a.table == 0:
		return nil, true
	case len(a.blocks) == 0:
		return nil, false
	case len(a.blocks[0]) < a.table:
		a.blocks = [][]byte{mempool.Join(a.blocks)}
	}
	return a.blocks[0][:a.table], true
}

// end is called after the last fragment, or when no more will come. It runs on the reading
// goroutine.
func (a *assembly) end() {
	a.link.assembling.Add(-int64(a.size))
}
