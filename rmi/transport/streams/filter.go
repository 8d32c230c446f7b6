package streams

import (
	"encoding/binary"
	"fmt"
	"time"
)

// header is the header of a yamux frame: version, type, flags, stream, length.
type header [headerSize]byte

const headerSize = 12

type frameType uint8

const (
	typeData frameType = iota
	typeWindowUpdate
	typePing
	typeGoAway
)

const (
	flagSYN uint16 = 1 << iota
	flagACK
	flagFIN
	flagRST
)

func makeHeader(t frameType, flags uint16, id, length uint32) (h header) {
	h[1] = byte(t)
	binary.BigEndian.PutUint16(h[2:], flags)
	binary.BigEndian.PutUint32(h[4:], id)
	binary.BigEndian.PutUint32(h[8:], length)
	return h
}

func (h *header) kind() frameType { return frameType(h[1]) }
func (h *header) flags() uint16   { return binary.BigEndian.Uint16(h[2:]) }
func (h *header) stream() uint32  { return binary.BigEndian.Uint32(h[4:]) }
func (h *header) length() uint32  { return binary.BigEndian.Uint32(h[8:]) }

const (
	// maxSendWindow bounds the sum of window updates, well below the 32 bits in which yamux
	// counts.
	maxSendWindow = 1 << 31

	pingBurst = 16                     // pings that may come at once
	pingEvery = 250 * time.Millisecond // and one more in this time
)

// filter is the state of the parser of what arrives.
type filter struct {
	header header
	have   int // bytes of header that have arrived

	left   uint32       // bytes of the frame under way that have not arrived
	stream *streamState // that the data belongs to; nil if it is dropped
	first  uint16       // flags to pass on with the next data
	fin    bool         // the frame ends its stream

	pings   int       // pings that may come now
	pingsAt time.Time // when pings was last refilled
}

func violation(format string, a ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrProtocol}, a...)...)
}

// take checks chunk and passes on what yamux must see.
func (l *laneState) take(chunk []byte) error {
	f := &l.filter
	for len(chunk) > 0 {
		if f.left > 0 {
			part := chunk[:min(uint64(f.left), uint64(len(chunk)))]
			chunk = chunk[len(part):]
			f.left -= uint32(len(part))
			l.data(part)
		} else {
			n := copy(f.header[f.have:], chunk)
			chunk = chunk[n:]
			if f.have += n; f.have < headerSize {
				break
			}
			f.have = 0
			if err := l.frame(&f.header); err != nil {
				return err
			}
		}
		if l.err != nil {
			return l.err
		}
		if l.in.Len() > l.c.Buffer {
			return violation("more than %d bytes wait to be taken in", l.c.Buffer)
		}
	}
	return nil
}

func (l *laneState) frame(h *header) error {
	if h[0] != 0 {
		return violation("frame of version %d, want 0", h[0])
	}
	switch h.kind() {
	case typeData, typeWindowUpdate:
		return l.streamFrame(h)
	case typePing:
		return l.ping(h)
	case typeGoAway:
		return l.goAway(h)
	}
	return violation("frame of unknown type %d", h.kind())
}

func (l *laneState) ping(h *header) error {
	switch {
	case h.stream() != 0:
		return violation("ping for stream %d", h.stream())
	case h.flags() == flagACK:
		return violation("answer to a ping that was not sent")
	case h.flags() != flagSYN:
		return violation("ping with flags %#x", h.flags())
	}
	f := &l.filter
	now := time.Now()
	if refill := now.Sub(f.pingsAt) / pingEvery; refill > 0 {
		f.pings = int(min(pingBurst, time.Duration(f.pings)+refill))
		f.pingsAt = now
	}
	if f.pings == 0 {
		return violation("flood of pings")
	}
	f.pings--
	l.queue(makeHeader(typePing, flagACK, 0, h.length()))
	return nil
}

func (l *laneState) goAway(h *header) error {
	switch {
	case h.stream() != 0:
		return violation("go-away for stream %d", h.stream())
	case h.flags() != 0:
		return violation("go-away with flags %#x", h.flags())
	case h.length() != 0:
		return violation("go-away for reason %d: the peer gave up", h.length())
	}
	l.goingAway = true
	return nil
}

// streamFrame checks the header of a frame that belongs to a stream.
func (l *laneState) streamFrame(h *header) error {
	f, id, flags, length := &l.filter, h.stream(), h.flags(), h.length()
	isData := h.kind() == typeData
	remote := l.isRemote(id)
	switch {
	case id == 0:
		return violation("stream frame for stream 0")
	case flags&^(flagSYN|flagACK|flagFIN|flagRST) != 0:
		return violation("stream %d: unknown flags %#x", id, flags)
	case isData && length > l.c.Window:
		return violation("stream %d: data frame of %d bytes, larger than any window", id, length)
	}
	if isData { // dropped unless the checks below pass
		f.left, f.stream, f.first, f.fin = length, nil, 0, false
	}

	st := l.streams[id]
	switch {
	case flags&flagSYN != 0:
		var err error
		if st, err = l.arrive(id, flags); err != nil {
			return err
		}
	case remote && id > l.lastRemote, !remote && id > l.lastLocal:
		return violation("frame for stream %d, which was never opened", id)
	}
	if st == nil {
		return nil // refused, or the frame crossed the stream's end
	}

	first := !st.acked
	if flags&flagACK != 0 {
		if st.acked {
			return violation("stream %d: acknowledged without need", id)
		}
		st.acked = true
		st.changed.broadcast()
	}
	switch {
	case flags&flagRST != 0:
		cause := ErrReset
		if !st.acked {
			cause = ErrRefused
		}
		l.drop(st, cause, first)
		return nil
	case !st.acked:
		return violation("stream %d: used before it was acknowledged", id)
	case st.finIn && flags&flagFIN != 0:
		return violation("stream %d: ended twice", id)
	case st.finIn && isData && length > 0:
		return violation("stream %d: data after its end", id)
	}

	if isData && length > 0 {
		if uint64(length) > st.recvWindow {
			return violation("stream %d: %d bytes of data in a window of %d", id, length, st.recvWindow)
		}
		st.recvWindow -= uint64(length)
		f.stream, f.first, f.fin = st, flags&^flagFIN, flags&flagFIN != 0
		return nil
	}
	if !isData {
		if st.sendWindow+uint64(length) > maxSendWindow {
			return violation("stream %d: window update by %d overflows the window", id, length)
		}
		st.sendWindow += uint64(length)
		st.changed.broadcast()
	}
	l.pass(*h, nil)
	if flags&flagFIN != 0 {
		st.finIn = true
		l.endIfDone(st)
	}
	return nil
}

// arrive admits a stream that the peer opens. It returns nil if the stream was refused.
func (l *laneState) arrive(id uint32, flags uint16) (*streamState, error) {
	switch {
	case !l.isRemote(id):
		return nil, violation("opened stream %d, whose number is ours to give", id)
	case flags&(flagACK|flagRST) != 0:
		return nil, violation("stream %d: opened with flags %#x", id, flags)
	case id <= l.lastRemote:
		return nil, violation("opened stream %d after stream %d", id, l.lastRemote)
	case l.remoteOpen >= l.c.MaxStreams:
		return nil, violation("opened more than %d streams", l.c.MaxStreams)
	}
	l.lastRemote = id
	if l.slots >= l.c.MaxStreams {
		l.queue(makeHeader(typeWindowUpdate, flagRST, id, 0))
		return nil, nil
	}
	st := l.newStream()
	st.id, st.remote, st.acked = id, true, true
	st.recvWindow, st.sendWindow = protocolWindow, protocolWindow
	l.slots++
	l.remoteOpen++
	l.streams[id] = st
	l.arriving[id] = st
	return st, nil
}

// data passes on a part of the data of the frame under way.
func (l *laneState) data(part []byte) {
	f := &l.filter
	st := f.stream
	if st == nil || st.ended {
		return
	}
	l.pass(makeHeader(typeData, f.first, st.id, uint32(len(part))), part)
	st.received += uint64(len(part))
	f.first = 0
	if f.left == 0 && f.fin {
		// Separate from the data: otherwise yamux tells readers of the end first.
		l.pass(makeHeader(typeWindowUpdate, flagFIN, st.id, 0), nil)
		st.finIn = true
		l.endIfDone(st)
	}
}

// pass lets yamux see a whole frame.
func (l *laneState) pass(h header, data []byte) {
	l.in.Write(h[:])
	l.in.Write(data)
	l.inReady.Signal()
}

// isRemote reports whether the peer gives out the number: a dialer's numbers are odd.
func (l *laneState) isRemote(id uint32) bool { return (id%2 == 1) != l.c.Dialer }

// drop makes yamux forget a stream that is open on the wire, and fails it with cause. unacked
// says that yamux has not seen the acknowledgement.
func (l *laneState) drop(st *streamState, cause error, unacked bool) {
	flags := flagRST
	if unacked {
		flags |= flagACK
	}
	l.pass(makeHeader(typeWindowUpdate, flags, st.id, 0), nil)
	st.failure = cause
	l.end(st)
}

// reset resets a stream from this side. It tells the peer, and it tells yamux that the peer did
// it.
func (l *laneState) reset(st *streamState, cause error) {
	if st.ended || l.err != nil {
		return
	}
	l.drop(st, cause, !st.acked)
	l.queue(makeHeader(typeWindowUpdate, flagRST, st.id, 0))
}

// endIfDone ends a stream if both sides have ended their directions.
func (l *laneState) endIfDone(st *streamState) {
	if st.finIn && st.finOut {
		l.end(st)
	}
}

// end removes a stream that is no longer on the wire.
func (l *laneState) end(st *streamState) {
	st.ended = true
	delete(l.streams, st.id)
	if st.remote {
		l.remoteOpen--
	}
	if l.arriving[st.id] != st {
		l.slots--
	}
	if st.failure != nil {
		for i, b := range l.backlog {
			if b == st {
				l.backlog = append(l.backlog[:i], l.backlog[i+1:]...)
				break
			}
		}
	}
	st.stopLinger()
	st.changed.broadcast()
}
