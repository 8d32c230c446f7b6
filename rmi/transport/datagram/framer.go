package datagram

import (
	"gormi/rmi/wire"
)

// framer finds the units in one direction of a session's byte stream. First come the magic and
// the messages of the handshake, which pass as they come, and then whole records.
type framer struct {
	last  wire.HandshakeKind // of the direction: after it records follow
	state framerState
	left  int    // bytes of the magic or of a message's body that are still to come
	kind  byte   // of the message under way
	buf   []byte // the beginning of a message's prefix or of a record
	given bool   // buf was returned and begins anew
}

type framerState uint8

const (
	inMagic framerState = iota
	inPrefix
	inMessage
	inRecords
	inNothing // what follows REFUSE: it has no meaning
)

// newFramer returns the framer for what one side writes.
func newFramer(dialler bool) framer {
	f := framer{last: wire.HandshakeWelcome, left: len(wire.Magic)}
	if dialler {
		f.last = wire.HandshakeProof
	}
	return f
}

// held is how many bytes of an incomplete record are stored.
func (f *framer) held() int {
	if f.given {
		return 0
	}
	return len(f.buf)
}

// next takes n bytes from the front of b. unit is what they complete, or nil: a piece of the
// handshake, or, if record is true, a record. It is valid until the next call, or as long as b.
func (f *framer) next(b []byte) (unit []byte, n int, record bool, err error) {
	if f.given {
		f.given = false
		if f.buf = f.buf[:0]; cap(f.buf) > 4<<10 {
			f.buf = nil
		}
	}
	switch f.state {
	case inMagic, inMessage:
		n = min(f.left, len(b))
		if f.left -= n; f.left == 0 {
			f.messageOver()
		}
		return b[:n], n, false, nil
	case inPrefix:
		n = min(wire.HandshakePrefix-len(f.buf), len(b))
		f.buf = append(f.buf, b[:n]...)
		if len(f.buf) < wire.HandshakePrefix {
			return b[:n], n, false, nil
		}
		kind, size, err := wire.ParseHandshakePrefix(f.buf)
		if err != nil {
			return nil, 0, false, err
		}
		f.given = true
		f.kind, f.left, f.state = byte(kind), size, inMessage
		if size == 0 {
			f.messageOver()
		}
		return b[:n], n, false, nil
	case inNothing:
		return b, len(b), false, nil
	}
	if len(f.buf) == 0 && len(b) >= wire.PrefixSize { // the usual case, without a copy
		p, err := wire.ParsePrefix(b)
		if err != nil {
			return nil, 0, false, err
		}
		if n = wire.PrefixSize + int(p.Length); n <= len(b) {
			return b[:n], n, true, nil
		}
	}
	if len(f.buf) < wire.PrefixSize {
		n = min(wire.PrefixSize-len(f.buf), len(b))
		f.buf = append(f.buf, b[:n]...)
		if len(f.buf) < wire.PrefixSize {
			return nil, n, false, nil
		}
	}
	p, err := wire.ParsePrefix(f.buf)
	if err != nil {
		return nil, 0, false, err
	}
	m := min(wire.PrefixSize+int(p.Length)-len(f.buf), len(b)-n)
	f.buf = append(f.buf, b[n:n+m]...)
	if n += m; len(f.buf) < wire.PrefixSize+int(p.Length) {
		return nil, n, false, nil
	}
	f.given = true
	return f.buf, n, true, nil
}

// messageOver sets the state after the magic or a message.
func (f *framer) messageOver() {
	switch kind := wire.HandshakeKind(f.kind); {
	case f.state == inMagic:
		f.state = inPrefix
	case kind == wire.HandshakeRefuse:
		f.state = inNothing
	case kind == f.last:
		f.state = inRecords
	default:
		f.state = inPrefix
	}
}
