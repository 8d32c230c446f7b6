package transport

import (
	"errors"
	"io"
	"sync"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

const (
	readBuffer    = 4 << 10  // while there is little to read
	maxReadBuffer = 64 << 10 // while there is much; a record fits
)

// read takes records from the connection until it fails or the session is over,
// because the peer broke the protocol or closed it, and returns why. See Session
// for what it may and may not do.
func (l *Link) read() (over bool, err error) {
	buf := make([]byte, readBuffer)
	r, w := 0, 0 // buf[r:w] is unread
	small := 0   // reads in a row that a small buffer would have served
	var need int // bytes of the record that begins at r
	for err == nil {
		need = 0
		for w-r >= wire.PrefixSize {
			p, perr := wire.ParsePrefix(buf[r:])
			if perr != nil {
				return true, perr
			}
			need = wire.PrefixSize + int(p.Length)
			if w-r < need {
				if p.Kind == wire.FrameFragment && w-r >= wire.PrefixSize+wire.FragmentHeaderSize+int(p.Extensions) {
					if over, err := l.fragment(p, buf[r+wire.PrefixSize:w]); err != nil {
						return over, err
					}
					r, w, need = 0, 0, 0
				}
				break
			}
			if over, err := l.record(p, buf[r+wire.PrefixSize:r+need]); err != nil {
				return over, err
			}
			r += need
			need = 0
		}
		switch {
		case r == w:
			r, w = 0, 0
			if small > 8 && len(buf) > readBuffer {
				buf = make([]byte, readBuffer)
			}
		case need > len(buf):
			b := make([]byte, maxReadBuffer)
			w = copy(b, buf[r:w])
			r, buf = 0, b
		case need > len(buf)-r || len(buf)-w < readBuffer/8:
			w = copy(buf, buf[r:w])
			r = 0
		}
		var n int
		n, err = l.conn.Read(buf[w:])
		w += n
		l.lastRead.Store(l.session.transport.now.Load())
		if n < readBuffer/2 {
			small++
		} else {
			small = 0
			if w == len(buf) && len(buf) < maxReadBuffer {
				b := make([]byte, maxReadBuffer)
				w = copy(b, buf[r:w])
				r, buf = 0, b
			}
		}
	}
	if w > r && errors.Is(err, io.EOF) {
		return false, fault.New(fault.PeerGone, fault.Unknown, "the connection ended in the middle of a record: %w", io.ErrUnexpectedEOF)
	}
	if errors.Is(err, io.EOF) {
		return false, fault.New(fault.PeerGone, fault.Unknown, "the peer closed the connection")
	}
	return false, connectionLost(err)
}

// record takes in one whole record; rec is what follows its prefix. An error ends
// the connection, and if over is true the session.
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
		uncounted, table, err := s.calls.returned(l, p, &h, rest)
		if uncounted != nil {
			uncounted()
		}
		s.dropTable(h.Payload.References, table)
		return true, err
	case wire.FrameFragment:
		return l.fragment(p, rec)
	case wire.FrameCancel:
		slot, seq, err := wire.ParseCancel(p, rec)
		if err != nil {
			return true, err
		}
		in, a, err := s.callee.cancel(l, slot, seq, s.transport.Limits.Slots, p.Flags&wire.FlagSettle != 0)
		if a != nil {
			a.end()
			a.release()
			in.asm, in.uncounted = nil, true
			s.refuse(in, fault.New(fault.Cancelled, fault.NotExecuted, "the caller cancelled while it sent the arguments"))
		}
		return true, err
	case wire.FrameAck:
		slot, seq, err := wire.ParseCancel(p, rec)
		if err == nil {
			s.callee.acked(slot, seq, s.transport.Limits.Slots)
		}
		return true, err
	case wire.FramePing:
		token, err := wire.ParsePing(p, rec)
		if err != nil {
			return true, err
		}
		return true, l.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePong, token) })
	case wire.FramePong:
		_, err := wire.ParsePing(p, rec) // that a byte came is all it says
		return true, err
	case wire.FrameStream:
		chunk, err := wire.ParseStream(p, rec)
		if err != nil {
			return true, err
		}
		if err := l.lane.Feed(chunk); err != nil {
			return true, wire.ProtocolError("stream lane: %w", err)
		}
		if !l.accepting && s.transport.OnStream != nil {
			l.accepting = true
			l.acceptors.Go(l.acceptStreams)
		}
		return false, nil
	case wire.FrameGoAway:
		_, _, err := wire.ParseNotice(p, rec)
		s.peerOff.Store(true)
		return true, err
	case wire.FrameClose:
		kind, text, err := wire.ParseNotice(p, rec)
		if err != nil {
			return true, err
		}
		k := fault.Kind(kind)
		if k == 0 {
			k = fault.PeerGone
		}
		return true, &fault.Error{Kind: k, Origin: fault.Peer, Msg: text}
	default:
		if p.Kind.Skippable() {
			return false, nil
		}
		return true, wire.ProtocolError("%v is not known here and may not be skipped", p.Kind)
	}
}

// dropTable has the references counted of a reply that nobody reads.
func (s *Session) dropTable(references uint32, table []byte) {
	if references > 0 && len(table) > 0 && s.transport.OnTable != nil {
		s.transport.OnTable(s, references, table)
	}
}

var incomings = sync.Pool{New: func() any { return new(Incoming) }}

// recycle gives the memory of a served call back.
func (in *Incoming) recycle() {
	if in.asm != nil {
		in.asm.release()
	}
	buf := in.buf
	if cap(buf) > 64<<10 {
		buf = nil
	}
	*in = Incoming{buf: buf}
	incomings.Put(in)
}

// call takes in a call record.
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
		if in.Extensions, err = wire.ParseExtensions(ext); err == nil && in.Extensions.Resumable {
			err = wire.ProtocolError("extension %d is for proofs", wire.ExtConnection)
		}
		if err != nil {
			in.refused = &fault.Error{Kind: fault.Protocol, Outcome: fault.NotExecuted, Msg: text(err)}
		}
	}
	if h.Depth > wire.MaxDepth {
		in.refused = fault.New(fault.Overloaded, fault.NotExecuted, "the chain of calls is deeper than %d: do the calls call each other for ever?", wire.MaxDepth)
	}
	in.deadline = time.Now().Add(timeout(h.Timeout))
	in.ctx = &callContext{session: s, chain: h.Chain, depth: h.Depth, deadline: in.deadline}
	if p.Flags&wire.FlagFragmented != 0 {
		if in.asm, err = l.assemble(h.Payload, false); err != nil {
			return err
		}
	}
	was, err := s.callee.occupy(in, l, limits.Slots, in.asm)
	switch {
	case err != nil:
		return err
	case was != isNew:
		if in.asm != nil {
			in.asm.discard, in.asm.table, in.asm = true, 0, nil // the slot has it
		}
		in.recycle()
	case in.asm != nil:
		in.asm.discard = in.refused != nil
	default:
		in.buf = append(in.buf[:0], rest...)
		in.payload = in.buf
		s.arrive(in)
	}
	return nil
}

// timeout converts microseconds from the wire; a day and more is a day.
func timeout(us uint64) time.Duration {
	const day = 24 * time.Hour
	if us > uint64(day/time.Microsecond) {
		return day
	}
	return time.Duration(us) * time.Microsecond
}

// fragment takes in a fragment. rec may be cut short: the rest of the record is
// then read from the connection into the place where it belongs.
func (l *Link) fragment(p wire.Prefix, rec []byte) (over bool, err error) {
	s := l.session
	f, err := wire.ParseFragment(p, rec)
	if err != nil {
		return true, err
	}
	var in *Incoming
	var a *assembly
	if f.OfReturn {
		a, err = s.calls.fragment(f.Slot, f.Seq)
	} else {
		in, a, err = s.callee.assembling(f.Slot, f.Seq, s.transport.Limits.Slots)
	}
	if err != nil {
		return true, err
	}
	dst, err := a.part(f.Size)
	if err != nil {
		return true, err
	}
	if err := l.fill(dst, f.Size, f.Piece); err != nil {
		return false, err
	}
	if a.got < a.size {
		return false, nil
	}
	a.end()
	if f.OfReturn {
		s.dropTable(s.calls.assembled(f.Slot))
		return false, nil
	}
	s.callee.complete(f.Slot)
	if in == nil { // it came again
		a.release()
		return false, nil
	}
	if in.refused == nil && a.refused {
		in.refused = fault.New(fault.Overloaded, fault.NotExecuted,
			"%d bytes of arguments: the node holds as many bytes of payloads as its limits allow", a.size)
	}
	in.payload = a.buf
	if in.refused != nil {
		_, ok := a.counted()
		in.uncounted = !ok
	}
	s.arrive(in)
	return false, nil
}

// fill puts n bytes in dst, or nowhere if dst is nil: first those of have, then
// from the connection.
func (l *Link) fill(dst []byte, n int, have []byte) error {
	copy(dst, have)
	var waste []byte
	for got := len(have); got < n; {
		to := waste
		if dst != nil {
			to = dst[got:]
		} else if to == nil {
			waste = make([]byte, min(n-got, readBuffer))
			to = waste
		}
		m, err := l.conn.Read(to[:min(len(to), n-got)])
		got += m
		l.lastRead.Store(l.session.transport.now.Load())
		if err != nil && got < n {
			return fault.New(fault.PeerGone, fault.Unknown, "the connection ended in the middle of a record: %w", err)
		}
	}
	return nil
}
