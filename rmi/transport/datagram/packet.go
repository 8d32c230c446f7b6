package datagram

import (
	"encoding/binary"

	"gormi/rmi/wire"
)

// The first byte of a datagram has the version of this format in the upper half and the type in
// the lower half.
const (
	typeInit   = 0x11 // dialler: may I connect? Padded, so that no answer to it is larger
	typeCookie = 0x12 // listener: ask again with this cookie
	typeOpen   = 0x13 // listener: the connection exists
	typeData   = 0x14
	typeReset  = 0x15 // the connection does not exist
)

// Sizes in bytes.
const (
	// MaxDatagram is the largest datagram that is sent. It passes every network that IPv6
	// passes, tunnels included. Larger ones that arrive are dropped.
	MaxDatagram = 1200

	cookieSize = 16
	idSize     = 8
	cookieAt   = 1 + idSize
	dataHeader = 1 + idSize + 4 + 4

	segmentHeader = 1 + 8 + 2
	maxSegment    = MaxDatagram - dataHeader - segmentHeader // of the ordered channel's bytes in one datagram
	maxDirect     = MaxDatagram - dataHeader - 1             // a record that travels directly
	maxRanges     = 32                                       // in one ACK frame
	maxGots       = 128                                      // calls in one GOT frame

	// window bounds the segments that a receiver holds. So the largest number that it accepts
	// is below the next one that it waits for plus the window.
	window = 256
)

// connID names a connection. The dialler draws it at random.
type connID uint64

// frameKind is the kind of a frame, a part of a data datagram.
type frameKind uint8

const (
	frameDirect  frameKind = 1 // a record outside of the order
	frameSegment frameKind = 2 // the next bytes of the ordered channel
	frameEnd     frameKind = 3 // in place of a segment: no more come
	frameAck     frameKind = 4 // which segments are here, and how many more may come
	frameGot     frameKind = 5 // direct calls that need not be sent again
	frameAsk     frameKind = 6 // answer by an ACK
)

// segNum numbers segments from 0.
type segNum uint64

// call names a call of a session: its slot and the sequence number there.
type call struct {
	slot wire.Slot
	seq  wire.Seq
}

func callOf(header []byte) call {
	return call{wire.Slot(binary.BigEndian.Uint32(header)), wire.Seq(binary.BigEndian.Uint32(header[4:]))}
}

// frame is a frame that was read. Byte slices alias the datagram.
type frame struct {
	kind   frameKind
	record wire.FrameKind // direct: call, return or cancel
	call   call           // direct
	num    segNum         // of a segment or end; of an ack the first that is missing
	window uint16         // ack
	list   []byte         // ack: ranges; got: calls
	data   []byte         // direct: the record; segment: its bytes
}

// nextFrame reads the frame at the beginning of b, which is not empty. ok is false if the frame
// is malformed.
func nextFrame(b []byte) (f frame, rest []byte, ok bool) {
	f.kind = frameKind(b[0])
	b = b[1:]
	be := binary.BigEndian
	switch f.kind {
	case frameDirect:
		if len(b) < wire.PrefixSize {
			return f, nil, false
		}
		p, err := wire.ParsePrefix(b)
		n := wire.PrefixSize + int(p.Length)
		if err != nil || !direct(p) || len(b) < n {
			return f, nil, false
		}
		f.record, f.call, f.data = p.Kind, callOf(b[wire.PrefixSize:]), b[:n]
		return f, b[n:], true
	case frameSegment:
		if len(b) < 8+2 {
			return f, nil, false
		}
		n := int(be.Uint16(b[8:]))
		if f.num = segNum(be.Uint64(b)); n == 0 || n > maxSegment || len(b) < 8+2+n {
			return f, nil, false
		}
		f.data = b[10 : 10+n]
		return f, b[10+n:], true
	case frameEnd:
		if len(b) < 8 {
			return f, nil, false
		}
		f.num = segNum(be.Uint64(b))
		return f, b[8:], true
	case frameAck:
		if len(b) < 8+2+1 {
			return f, nil, false
		}
		f.num, f.window = segNum(be.Uint64(b)), be.Uint16(b[8:])
		n := int(b[10])
		if b = b[11:]; n > maxRanges || len(b) < 2*n {
			return f, nil, false
		}
		f.list = b[:2*n]
		for i := range f.list {
			if f.list[i] == 0 {
				return f, nil, false
			}
		}
		return f, b[2*n:], true
	case frameGot:
		if len(b) < 1 {
			return f, nil, false
		}
		n := int(b[0])
		if b = b[1:]; n == 0 || n > maxGots || len(b) < 8*n {
			return f, nil, false
		}
		f.list = b[:8*n]
		return f, b[8*n:], true
	case frameAsk:
		return f, b, true
	}
	return f, nil, false
}

// direct reports whether a record with the prefix p may travel directly.
func direct(p wire.Prefix) bool {
	if p.Length < wire.CancelSize { // slot and sequence number
		return false
	}
	switch p.Kind {
	case wire.FrameCall, wire.FrameReturn:
		return p.Flags&wire.FlagFragmented == 0
	case wire.FrameCancel:
		return true
	}
	return false
}

// wellFormed reports whether b is a sequence of frames.
func wellFormed(b []byte) bool {
	for ok := true; len(b) > 0; {
		if _, b, ok = nextFrame(b); !ok {
			return false
		}
	}
	return true
}

// data is the header of a data datagram.
type data struct {
	id   connID
	sent uint32 // the sender's clock, microseconds
	echo uint32 // the newest sent that came from the peer, plus the time since; 0: none came
}

func (d data) put(b []byte) {
	b[0] = typeData
	binary.BigEndian.PutUint64(b[1:], uint64(d.id))
	binary.BigEndian.PutUint32(b[9:], d.sent)
	binary.BigEndian.PutUint32(b[13:], d.echo)
}

// parseData reads the header of a data datagram of at least dataHeader bytes.
func parseData(b []byte) data {
	be := binary.BigEndian
	return data{connID(be.Uint64(b[1:])), be.Uint32(b[9:]), be.Uint32(b[13:])}
}

// idOf returns the connection of a datagram. ok is false if its type and length are not those
// of this version.
func idOf(b []byte) (id connID, ok bool) {
	if len(b) < 1+idSize || len(b) > MaxDatagram {
		return 0, false
	}
	switch n := len(b); b[0] {
	case typeInit:
		ok = n == MaxDatagram
	case typeCookie:
		ok = n == cookieAt+cookieSize
	case typeOpen, typeReset:
		ok = n == 1+idSize
	case typeData:
		ok = n > dataHeader
	}
	return connID(binary.BigEndian.Uint64(b[1:])), ok
}

// appendShort appends a datagram of type and id. OPEN and RESET are no more than that; INIT and
// COOKIE begin with it.
func appendShort(b []byte, typ byte, id connID) []byte {
	return binary.BigEndian.AppendUint64(append(b, typ), uint64(id))
}

// appendInit appends an INIT, with a cookie if the listener gave one.
func appendInit(b []byte, id connID, cookie []byte) []byte {
	n := len(b)
	b = append(appendShort(b, typeInit, id), cookie...)
	return append(b, make([]byte, n+MaxDatagram-len(b))...)
}
