package transport

import (
	"sync"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

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
		_, over, err := l.fragment(p, rec)
		return over, err
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
			s.refuse(in, fault.New(fault.KindCancelled, fault.OutcomeNotExecuted, "the caller cancelled while it sent the arguments"))
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
		return true, &fault.Error{Kind: k, Origin: fault.OriginPeer, Msg: text}
	default:
		if p.Kind.Skippable() {
			return false, nil
		}
		return true, wire.ProtocolError("W-42: %v is not known here and may not be skipped", p.Kind)
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
		in.Extensions, err = wire.ParseExtensions(ext)
		switch e := &in.Extensions; {
		case err != nil:
		case e.Resumable:
			err = wire.ProtocolError("W-45: extension %d is for proofs", wire.ExtConnection)
		case e.Order != 0 && !l.lossy:
			err = wire.ProtocolError("W-45: extension %d is for datagrams", wire.ExtOrder)
		}
		if err != nil {
			in.refused = &fault.Error{Kind: fault.KindProtocol, Outcome: fault.OutcomeNotExecuted, Msg: text(err)}
		}
	}
	if h.Depth > wire.MaxDepth {
		in.refused = fault.New(fault.KindOverloaded, fault.OutcomeNotExecuted, "the chain of calls is deeper than %d, a fixed limit: do the calls call each other for ever?", wire.MaxDepth)
	}
	if h.Depth == 0 && in.refused == nil && s.goingOff.Load() {
		in.refused = fault.New(fault.KindPeerGone, fault.OutcomeNotExecuted, "the node is shutting down and takes no new calls")
	}
	in.deadline = time.Now().Add(timeout(h.Timeout))
	in.ctx = &callContext{session: s, chain: h.Chain, depth: h.Depth, relayed: h.Hops > 0, deadline: in.deadline}
	if in.number = in.Extensions.Order; l.lossy && in.number == 0 && p.Flags&wire.FlagFragmented == 0 {
		return wire.ProtocolError("W-63: a call without its place among those sent on this connection")
	}
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

// timeout converts microseconds from the wire; a day and more is a day.
func timeout(us uint64) time.Duration {
	const day = 24 * time.Hour
	if us > uint64(day/time.Microsecond) {
		return day
	}
	return time.Duration(us) * time.Microsecond
}

// piece is a fragment whose bytes are on their way to their place.
type piece struct {
	slot     wire.Slot
	ofReturn bool
	in       *Incoming // of a call that is new
	asm      *assembly
	order    wire.CallNum // of the last piece of a call, over datagrams
	dst      []byte       // where the rest goes; nil: nowhere
	rest     int          // bytes that are not here yet
}

// fragment begins to take in a fragment. rec may be cut short: the rest of the
// record then goes to x.dst as it arrives.
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
		x.asm, err = s.calls.fragment(f.Slot, f.Seq)
	} else {
		x.in, x.asm, err = s.callee.assembling(f.Slot, f.Seq, s.transport.Limits.Slots)
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

// fragmented ends what fragment began: all of the piece is here. An error ends the session.
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
		s.dropTable(s.calls.assembled(x.slot))
		return nil
	}
	s.callee.complete(x.slot)
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
