package transport

import (
	"errors"
	"io"
	"runtime"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

const (
	readBuffer    = 4 << 10  // while there is little to read
	maxReadBuffer = 64 << 10 // while there is much; a record fits
)

// intake takes a connection's bytes apart. Whoever reads asks for space, reads
// into it, and says how much it took.
//
// Large payloads go straight to their place: of a fragment that is not here in
// full, space is where its rest belongs.
type intake struct {
	link  *Link
	buf   []byte
	r, w  int   // buf[r:w] is unread
	need  int   // bytes of the record that begins at r, as far as that is known
	small int   // reads in a row that a small buffer would have served
	piece piece // piece.rest > 0: what comes next is the rest of a fragment
	waste []byte
	turn  int // bytes until others get their turn

	look    look
	records int // that the last read completed
}

// readAtOnce is how many bytes are read before others get their turn.
const readAtOnce = 128 << 10

// read takes records from the connection until it fails or the session is over,
// because the peer broke the protocol or closed it, and returns why. See Session
// for what it may and may not do.
func (l *Link) read() (over bool, err error) {
	x := &intake{link: l, buf: make([]byte, readBuffer)}
	if l.polled != nil {
		return x.readPolled(l.polled)
	}
	busy := &l.session.transport.busy
	defer busy.left(&x.look)
	for {
		n, err := l.conn.Read(x.space())
		if n > 0 {
			busy.came(&x.look, l.session.transport.nanotime())
			if over, err := x.took(n); err != nil {
				return over, err
			}
		}
		if err != nil {
			return false, x.lost(err)
		}
		if err := x.yield(); err != nil {
			return false, err
		}
	}
}

// space is where the next bytes go. It is not empty.
func (x *intake) space() []byte {
	if x.piece.rest > 0 {
		if x.piece.dst != nil {
			return x.piece.dst
		}
		if x.waste == nil {
			x.waste = make([]byte, readBuffer)
		}
		return x.waste[:min(len(x.waste), x.piece.rest)]
	}
	switch {
	case x.r == x.w:
		x.r, x.w = 0, 0
		if x.small > 8 && len(x.buf) > readBuffer {
			x.buf = make([]byte, readBuffer)
		}
	case x.need > len(x.buf):
		x.move(make([]byte, maxReadBuffer))
	case x.need > len(x.buf)-x.r || len(x.buf)-x.w < readBuffer/8:
		x.move(x.buf)
	}
	return x.buf[x.w:]
}

func (x *intake) move(to []byte) {
	x.w = copy(to, x.buf[x.r:x.w])
	x.r, x.buf = 0, to
}

// took takes in n bytes that were read into space. An error ends the connection,
// and if over is true the session.
func (x *intake) took(n int) (over bool, err error) {
	l := x.link
	l.lastRead.Store(l.session.transport.now.Load())
	if l.session.closing.Load() != nil {
		l.heard.Store(true)
	}
	x.turn -= n
	x.records = 0
	if p := &x.piece; p.rest > 0 {
		p.rest -= n
		if p.dst != nil {
			p.dst = p.dst[n:]
		}
		if p.rest == 0 {
			err = l.fragmented(p)
			*p, x.waste = piece{}, nil
		}
		return err != nil, err
	}
	x.w += n
	if n < readBuffer/2 {
		x.small++
	} else if x.small = 0; x.w == len(x.buf) && len(x.buf) < maxReadBuffer {
		x.move(make([]byte, maxReadBuffer))
	}
	x.need = 0
	for x.w-x.r >= wire.PrefixSize {
		p, err := wire.ParsePrefix(x.buf[x.r:])
		if err != nil {
			return true, err
		}
		x.need = wire.PrefixSize + int(p.Length)
		if x.w-x.r < x.need {
			if p.Kind == wire.FrameFragment && x.w-x.r >= wire.PrefixSize+wire.FragmentHeaderSize+int(p.Extensions) {
				if x.piece, over, err = l.fragment(p, x.buf[x.r+wire.PrefixSize:x.w]); err != nil {
					return over, err
				}
				x.r, x.w, x.need = 0, 0, 0
			}
			return false, nil
		}
		if over, err := l.record(p, x.buf[x.r+wire.PrefixSize:x.r+x.need]); err != nil {
			return over, err
		}
		x.records++
		if p.Kind != wire.FrameFragment {
			x.turn = 0 // somebody was woken
		}
		x.r += x.need
		x.need = 0
	}
	return false, nil
}

// yield lets others run, if it is their turn, before more is read at once. The error is
// the link's, if it was cut: whoever never waits for a read does not hear of that.
func (x *intake) yield() error {
	if x.turn > 0 {
		return nil
	}
	x.turn = readAtOnce
	runtime.Gosched()
	return x.link.Err()
}

// lost is why the connection ended.
func (x *intake) lost(err error) error {
	switch {
	case errors.Is(err, io.EOF) && (x.w > x.r || x.piece.rest > 0):
		return fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the connection ended in the middle of a record: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, io.EOF):
		return fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "the peer closed the connection")
	}
	return connectionLost(err)
}
