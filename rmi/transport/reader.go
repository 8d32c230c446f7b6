package transport

import (
	"errors"
	"io"
	"runtime"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/guard"
	"gormi/rmi/wire"
)

// The reader of a connection, from bytes to calls that arrived: read takes bytes, took finds
// the records in them, and record handles each. A record of the peer's calls goes on to its
// slot (inbound.go) and then to a handler (workers.go). A reply goes to the slot of the call
// (outbound.go). The comment of Session says what a reader may do.

const (
	readBuffer    = 4 << 10  // while there is little to read
	maxReadBuffer = 64 << 10 // while there is much; a record fits
)

// intake cuts a connection's bytes into records. Whoever reads asks for space, reads into
// it, and calls took with the number of bytes.
//
// Large payloads are not copied: while a fragment is not complete, space is the place where
// the rest of it belongs.
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

// readAtOnce is how many bytes are read before other goroutines may run.
const readAtOnce = 128 << 10

// read takes records from the connection until that fails, and returns why. If over is
// true, the session is over too: the peer broke the protocol, or closed the session.
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

// took takes in n bytes that were read into space. An error ends the connection. If over is
// true, it ends the session too.
func (x *intake) took(n int) (over bool, err error) {
	l := x.link
	l.arrived = time.Time{}
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

// yield lets other goroutines run after readAtOnce bytes. It returns the link's error if the
// link was cut. A reader that never waits learns of a cut only here.
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

// record handles one whole record; rec is what follows its prefix. An error ends the
// connection. If over is true, it ends the session too.
func (l *Link) record(p wire.Prefix, rec []byte) (over bool, err error) {
	s := l.session
	switch p.Kind {
	case wire.FrameCall:
		return true, l.call(p, rec)
	case wire.FrameReturn:
		var h wire.ReturnHeader
		rest, err := wire.ParseReturn(p, rec, &s.transport.Limits.Limits, &h)
		if err != nil {
			return true, err
		}
		uncounted, table, err := s.outbound.returned(l, p, &h, rest)
		if uncounted != nil {
			guard.NoneHeld()
			uncounted()
		}
		s.dropTable(h.Payload.References, table)
		return true, err
	case wire.FrameFragment:
		_, over, err := l.fragment(p, rec)
		return over, err
	case wire.FrameCancel:
		slot, seq, err := wire.ParseCancel(p, rec)
		if err != nil {
			return true, err
		}
		in, a, err := s.inbound.cancel(l, slot, seq, s.transport.Limits.Slots, p.Flags&wire.FlagSettle != 0)
		if a != nil {
			a.end()
			a.release()
			in.asm, in.uncounted = nil, true
			s.refuse(in, fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "the caller cancelled while it sent the arguments"))
		}
		return true, err
	case wire.FrameAck:
		slot, seq, err := wire.ParseCancel(p, rec)
		if err == nil {
			s.inbound.acked(slot, seq, s.transport.Limits.Slots)
		}
		return true, err
	case wire.FramePing:
		token, err := wire.ParsePing(p, rec)
		if err != nil {
			return true, err
		}
		return true, l.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePong, token) })
	case wire.FramePong:
		_, err := wire.ParsePing(p, rec) // the byte that came is all that matters
		return true, err
	case wire.FrameStream:
		chunk, err := wire.ParseStream(p, rec)
		if err != nil {
			return true, err
		}
		if err := l.lane.Feed(chunk); err != nil {
			return true, wire.ProtocolError("W-80: stream lane: %w", err)
		}
		if !l.accepting && s.transport.OnStream != nil {
			l.accepting = true
			l.acceptors.Go(l.acceptStreams)
		}
		return false, nil
	case wire.FrameGoAway:
		_, _, err := wire.ParseNotice(p, rec)
		s.peerOff.Store(true)
		s.sendAcks(0)
		return true, err
	case wire.FrameClose:
		kind, text, err := wire.ParseNotice(p, rec)
		if err != nil {
			return true, err
		}
		k := fault.Kind(kind)
		if k == 0 {
			k = fault.KindPeerGone
		}
		return true, fault.Add(fault.New(k, fault.OutcomeUnknown, "%s", text), fault.OriginPeer)
	default:
		if p.Kind.Skippable() {
			return false, nil
		}
		return true, wire.ProtocolError("W-42: %v is not known here and may not be skipped", p.Kind)
	}
}

// dropTable counts the references in a reply that nobody reads.
func (s *Session) dropTable(references uint32, table []byte) {
	if references > 0 && len(table) > 0 && s.transport.OnTable != nil {
		guard.NoneHeld()
		s.transport.OnTable(s, references, table)
	}
}

// call handles a call record.
func (l *Link) call(p wire.Prefix, rec []byte) error {
	s := l.session
	limits := &s.transport.Limits
	in := incomings.Get().(*Incoming)
	h := &in.Header
	ext, rest, err := wire.ParseCall(p, rec, &limits.Limits, h)
	if err != nil {
		return err
	}
	in.Session = s
	if len(ext) > 0 {
		in.Extensions, err = wire.ParseExtensions(ext)
		switch e := &in.Extensions; {
		case err != nil:
		case e.Resumable:
			err = wire.ProtocolError("W-45: extension %d is for proofs", wire.ExtConnection)
		case e.Order != 0 && !l.lossy:
			err = wire.ProtocolError("W-45: extension %d is for datagrams", wire.ExtOrder)
		}
		if err != nil {
			in.refused = &fault.Error{Kind: fault.KindProtocol, Outcome: fault.OutcomeNotExecuted, Msg: text(err)} // this text begins with the rule
		}
	}
	if h.Depth > wire.MaxDepth {
		in.refused = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the chain of calls is deeper than %d, a fixed limit: do the calls call each other for ever?", wire.MaxDepth)
	}
	if h.Depth == 0 && in.refused == nil && s.goingOff.Load() {
		in.refused = fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the node is shutting down and takes no new calls")
	}
	if l.arrived.IsZero() {
		l.arrived = time.Now() // once for all calls that came together
	}
	in.deadline = l.arrived.Add(timeout(h.Timeout))
	in.ctx = &callContext{session: s, chain: h.Chain, depth: h.Depth, relayed: h.Hops > 0, deadline: in.deadline}
	if in.Extensions.Metadata != "" {
		in.ctx.metadata.Store(&callMetadata{came: in.Extensions.Metadata})
	}
	if in.number = in.Extensions.Order; l.lossy && in.number == 0 && p.Flags&wire.FlagFragmented == 0 {
		return wire.ProtocolError("W-63: a call without its place among those sent on this connection")
	}
	if p.Flags&wire.FlagFragmented != 0 {
		if in.asm, err = l.assemble(h.Payload, false); err != nil {
			return err
		}
	}
	was, err := s.inbound.occupy(in, l, limits.Slots, in.asm)
	switch {
	case err != nil:
		return err
	case was != isNew:
		if in.asm != nil {
			in.asm.discard, in.asm.table, in.asm = true, 0, nil // the slot has it
		}
		number := in.number
		in.recycle()
		return l.came(number, nil)
	case in.asm != nil:
		in.asm.discard = in.refused != nil
		return nil
	}
	in.buf = append(in.buf[:0], rest...)
	in.payload = in.buf
	return l.came(in.number, in)
}

// came is called when a call is complete. in is nil if the call came before. Over a lossy
// carrier n is its place among the calls of the connection (order.go). It runs on the reading
// goroutine.
func (l *Link) came(n wire.CallNum, in *Incoming) error {
	s := l.session
	if l.lossy {
		if err := l.order.came(n, s.transport.Limits.Slots); err != nil {
			return err
		}
	}
	if in != nil {
		s.arrive(l, in)
	}
	if l.lossy {
		for next := s.inbound.release(&l.order); next != nil; next = s.inbound.release(&l.order) {
			s.let(next)
		}
	}
	return nil
}

// timeout converts microseconds from the wire. A day is the most.
func timeout(us uint64) time.Duration {
	const day = 24 * time.Hour
	if us > uint64(day/time.Microsecond) {
		return day
	}
	return time.Duration(us) * time.Microsecond
}

// piece is a fragment of which some bytes have not arrived.
type piece struct {
	slot     wire.Slot
	ofReturn bool
	in       *Incoming // of a call that is new
	asm      *assembly
	order    wire.CallNum // of the last piece of a call, over datagrams
	dst      []byte       // where the rest goes; nil: nowhere
	rest     int          // bytes that are not here yet
}

// fragment handles the beginning of a fragment. rec may be incomplete: then the rest of the
// record goes to x.dst when it arrives.
func (l *Link) fragment(p wire.Prefix, rec []byte) (x piece, over bool, err error) {
	s := l.session
	f, err := wire.ParseFragment(p, rec)
	if err != nil {
		return x, true, err
	}
	if f.Order != 0 && !l.lossy {
		return x, true, wire.ProtocolError("W-45: extension %d is for datagrams", wire.ExtOrder)
	}
	x.slot, x.ofReturn, x.order = f.Slot, f.OfReturn, f.Order
	if f.OfReturn {
		x.asm, err = s.outbound.fragment(f.Slot, f.Seq)
	} else {
		x.in, x.asm, err = s.inbound.assembling(f.Slot, f.Seq, s.transport.Limits.Slots)
	}
	if err != nil {
		return x, true, err
	}
	if x.dst, err = x.asm.part(f.Size); err != nil {
		return x, true, err
	}
	if n := copy(x.dst, f.Piece); x.dst != nil {
		x.dst = x.dst[n:]
	}
	x.rest = f.Size - len(f.Piece)
	if x.rest == 0 {
		err = l.fragmented(&x)
	}
	return x, err != nil, err
}

// fragmented handles the end of a fragment, when its piece is complete. An error ends the
// session.
func (l *Link) fragmented(x *piece) error {
	s, a, in := l.session, x.asm, x.in
	if a.got < a.size {
		return nil
	}
	if l.lossy && !x.ofReturn && x.order == 0 {
		return wire.ProtocolError("W-63: the last fragment of a call without its place among those sent on this connection")
	}
	a.end()
	if x.ofReturn {
		s.dropTable(s.outbound.assembled(x.slot))
		return nil
	}
	s.inbound.complete(x.slot)
	if in == nil { // it came again
		a.release()
		return l.came(x.order, nil)
	}
	in.number = x.order
	if in.refused == nil && a.refused {
		in.refused = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted,
			"%d bytes of arguments: the node holds as many bytes of payloads as its limits allow (Options.Limits.AssemblyTotal, a quarter of it for one peer)", a.size)
	}
	if in.refused != nil {
		_, ok := a.counted()
		in.uncounted = !ok
	}
	return l.came(x.order, in)
}
