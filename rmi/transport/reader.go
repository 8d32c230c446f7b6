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

// read takes records from the connection until it fails or the peer breaks the
// protocol, and returns why. See Session for what it may and may not do.
func (s *Session) read() error {
	buf := make([]byte, readBuffer)
	r, w := 0, 0  // buf[r:w] is unread
	small := 0    // reads in a row that a small buffer would have served
	var need int  // bytes of the record that begins at r
	var err error // of the connection
	for err == nil {
		need = 0
		for w-r >= wire.PrefixSize {
			p, perr := wire.ParsePrefix(buf[r:])
			if perr != nil {
				return perr
			}
			need = wire.PrefixSize + int(p.Length)
			if w-r < need {
				if p.Kind == wire.FrameFragment && w-r >= wire.PrefixSize+wire.FragmentHeaderSize+int(p.Extensions) {
					if err := s.fragment(p, buf[r+wire.PrefixSize:w]); err != nil {
						return err
					}
					r, w, need = 0, 0, 0
				}
				break
			}
			if err := s.record(p, buf[r+wire.PrefixSize:r+need]); err != nil {
				return err
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
		n, err = s.conn.Read(buf[w:])
		w += n
		s.lastRead.Store(s.transport.now.Load())
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
		return fault.New(fault.PeerGone, fault.Unknown, "the connection ended in the middle of a record: %w", io.ErrUnexpectedEOF)
	}
	if errors.Is(err, io.EOF) {
		return fault.New(fault.PeerGone, fault.Unknown, "the peer closed the connection")
	}
	return connectionLost(err)
}

// record takes in one whole record; rec is what follows its prefix.
func (s *Session) record(p wire.Prefix, rec []byte) error {
	switch p.Kind {
	case wire.FrameCall:
		return s.call(p, rec)
	case wire.FrameReturn:
		var h wire.ReturnHeader
		rest, err := wire.ParseReturn(p, rec, &s.transport.Limits.Limits, &h)
		if err != nil {
			return err
		}
		return s.calls.returned(s, p, &h, rest)
	case wire.FrameFragment:
		return s.fragment(p, rec)
	case wire.FrameCancel:
		slot, seq, err := wire.ParseCancel(p, rec)
		if err != nil {
			return err
		}
		if in, asm := s.callee.cancelled(slot, seq, s.transport.Limits.Slots); asm != nil {
			asm.end()
			asm.release()
			in.asm = nil
			s.refuse(in, fault.New(fault.Cancelled, fault.NotExecuted, "the caller cancelled while it sent the arguments"))
		}
		return nil
	case wire.FramePing:
		token, err := wire.ParsePing(p, rec)
		if err != nil {
			return err
		}
		return s.out.fromReader(func(b []byte) []byte { return wire.AppendPing(b, wire.FramePong, token) })
	case wire.FramePong:
		_, err := wire.ParsePing(p, rec) // that a byte came is all it says
		return err
	case wire.FrameStream:
		chunk, err := wire.ParseStream(p, rec)
		if err != nil {
			return err
		}
		if err := s.lane.Feed(chunk); err != nil {
			return wire.ProtocolError("stream lane: %w", err)
		}
		if !s.accepting && s.transport.OnStream != nil {
			s.accepting = true
			s.acceptors.Go(s.acceptStreams)
		}
		return nil
	case wire.FrameGoAway:
		_, _, err := wire.ParseNotice(p, rec)
		s.peerOff.Store(true)
		return err
	case wire.FrameClose:
		kind, text, err := wire.ParseNotice(p, rec)
		if err != nil {
			return err
		}
		k := fault.Kind(kind)
		if k == 0 {
			k = fault.PeerGone
		}
		return &fault.Error{Kind: k, Origin: fault.Peer, Msg: text}
	default:
		if p.Kind.Skippable() {
			return nil
		}
		return wire.ProtocolError("%v is not known here and may not be skipped", p.Kind)
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
func (s *Session) call(p wire.Prefix, rec []byte) error {
	l := &s.transport.Limits
	in := incomings.Get().(*Incoming)
	h := &in.Header
	ext, rest, err := wire.ParseCall(p, rec, &l.Limits, h)
	if err != nil {
		return err
	}
	in.Session = s
	if len(ext) > 0 {
		if in.Extensions, err = wire.ParseExtensions(ext); err != nil {
			in.refused = &fault.Error{Kind: fault.Protocol, Outcome: fault.NotExecuted, Msg: text(err)}
		}
	}
	if h.Depth > wire.MaxDepth {
		in.refused = fault.New(fault.Overloaded, fault.NotExecuted, "the chain of calls is deeper than %d: do the calls call each other for ever?", wire.MaxDepth)
	}
	in.deadline = time.Now().Add(timeout(h.Timeout))
	in.ctx = &callContext{session: s, chain: h.Chain, depth: h.Depth, deadline: in.deadline}
	if p.Flags&wire.FlagFragmented == 0 {
		in.buf = append(in.buf[:0], rest...)
		in.payload = in.buf
		if err := s.callee.occupy(in, l.Slots, nil); err != nil {
			return err
		}
		s.arrive(in)
		return nil
	}
	asm, err := s.assemble(h.Payload, in.refused != nil)
	if err != nil {
		return err
	}
	in.asm = asm
	return s.callee.occupy(in, l.Slots, asm)
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
func (s *Session) fragment(p wire.Prefix, rec []byte) error {
	f, err := wire.ParseFragment(p, rec)
	if err != nil {
		return err
	}
	var in *Incoming
	var a *assembly
	if f.OfReturn {
		a, err = s.calls.fragment(f.Slot, f.Seq)
	} else {
		in, a, err = s.callee.assembling(f.Slot, f.Seq, s.transport.Limits.Slots)
	}
	if err != nil {
		return err
	}
	dst, err := a.part(f.Size)
	if err != nil {
		return err
	}
	if err := s.fill(dst, f.Size, f.Piece); err != nil {
		return err
	}
	if a.got < a.size {
		return nil
	}
	a.end()
	if f.OfReturn {
		s.calls.assembled(f.Slot)
		return nil
	}
	if in.refused == nil && a.refused {
		in.refused = fault.New(fault.Overloaded, fault.NotExecuted,
			"%d bytes of arguments: the node holds as many bytes of payloads as its limits allow", a.size)
	}
	in.payload = a.buf
	s.callee.complete(in)
	s.arrive(in)
	return nil
}

// fill puts n bytes in dst, or nowhere if dst is nil: first those of have, then
// from the connection.
func (s *Session) fill(dst []byte, n int, have []byte) error {
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
		m, err := s.conn.Read(to[:min(len(to), n-got)])
		got += m
		s.lastRead.Store(s.transport.now.Load())
		if err != nil && got < n {
			return fault.New(fault.PeerGone, fault.Unknown, "the connection ended in the middle of a record: %w", err)
		}
	}
	return nil
}
