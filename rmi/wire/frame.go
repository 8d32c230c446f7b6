package wire

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"gormi/refs"
)

// FrameKind says what a record carries. Values are wire values: append only.
type FrameKind uint8

// Skippable is a bit of a frame kind or an extension type. A receiver that does not know the kind
// or type skips it if it has the bit. Otherwise that is a protocol error.
const Skippable = 0x80

const (
	FrameCall     FrameKind = 1
	FrameReturn   FrameKind = 2
	FrameFragment FrameKind = 3
	FrameCancel   FrameKind = 4
	FramePing     FrameKind = 5
	FramePong     FrameKind = 6
	FrameStream   FrameKind = 7
	FrameGoAway   FrameKind = 8
	FrameClose    FrameKind = 9
	FrameAck      FrameKind = 10 // only with FeatureResume
)

func (k FrameKind) String() string {
	names := [...]string{FrameCall: "call", FrameReturn: "return", FrameFragment: "fragment", FrameCancel: "cancel",
		FramePing: "ping", FramePong: "pong", FrameStream: "stream", FrameGoAway: "goaway", FrameClose: "close", FrameAck: "ack"}
	if int(k) < len(names) && names[k] != "" {
		return names[k]
	}
	return fmt.Sprintf("frame kind %d", uint8(k))
}

// Skippable reports whether a receiver that does not know the kind skips it.
func (k FrameKind) Skippable() bool { return k&Skippable != 0 }

const (
	// FlagFragmented, of a call or return: the payload does not follow in this record but in
	// fragment records.
	FlagFragmented uint8 = 1 << 0
	// FlagOfReturn, of a fragment: it belongs to a return.
	FlagOfReturn uint8 = 1 << 0
	// FlagError, of a return: the body is an error form.
	FlagError uint8 = 1 << 1
	// FlagUncounted, of a return: the callee never took the call's payload in, so the entries of
	// its table count for nothing.
	FlagUncounted uint8 = 1 << 2
	// FlagSettle, of a cancel: a call that did not arrive is given up; one that did goes on.
	FlagSettle uint8 = 1 << 0
)

// flags returns the flags that a record of kind k may have. A later version may add some. A node
// sends those only to peers that set the feature's bit.
func (k FrameKind) flags() uint8 {
	switch k {
	case FrameCall:
		return FlagFragmented
	case FrameReturn:
		return FlagFragmented | FlagError | FlagUncounted
	case FrameCancel:
		return FlagSettle
	case FrameFragment:
		return FlagOfReturn
	}
	return 0
}

// Sizes in bytes of the parts of a record.
const (
	PrefixSize         = 8
	CallHeaderSize     = 58
	ReturnHeaderSize   = 20
	FragmentHeaderSize = 8
	CancelSize         = 8
	PingSize           = 8

	// MaxInline is the largest payload that travels inside its call or return record. It is also
	// the largest piece of a payload in a fragment or stream record.
	MaxInline = 32 << 10
	// MaxExtensions bounds the extensions of one header.
	MaxExtensions = 8 << 10
	// MaxText bounds the text of goaway, close and refuse.
	MaxText = 1 << 10
	// MaxRecord bounds what follows a prefix, whatever the kind.
	MaxRecord = CallHeaderSize + MaxExtensions + MaxInline
	// MaxDepth is the depth of the deepest call in a chain.
	MaxDepth = 32
	// MaxHops is the number of relays that a call may pass.
	MaxHops = 8
)

// Slot numbers one of the places for calls in flight in one direction of a session.
type Slot uint32

// Seq counts the calls made in one slot; it wraps.
type Seq uint32

// ChainID names a call from outside and all calls made to serve it.
type ChainID [16]byte

func (c ChainID) String() string { return hex.EncodeToString(c[:]) }

// Prefix begins every record: kind, flags, bytes of extensions, bytes after the prefix.
type Prefix struct {
	Kind       FrameKind
	Flags      uint8
	Extensions uint16
	Length     uint32
}

func (p Prefix) put(b []byte) {
	b[0], b[1] = byte(p.Kind), p.Flags
	binary.BigEndian.PutUint16(b[2:], p.Extensions)
	binary.BigEndian.PutUint32(b[4:], p.Length)
}

// ParsePrefix reads the prefix of a record from the first PrefixSize bytes of b. It checks the
// bounds that hold for every kind, known or not.
func ParsePrefix(b []byte) (Prefix, error) {
	p := Prefix{
		Kind: FrameKind(b[0]), Flags: b[1],
		Extensions: binary.BigEndian.Uint16(b[2:]), Length: binary.BigEndian.Uint32(b[4:]),
	}
	if p.Flags&^p.Kind.flags() != 0 && !p.Kind.Skippable() {
		return p, ProtocolError("W-41: %v record with unknown flags %#x", p.Kind, p.Flags)
	}
	if p.Length > MaxRecord {
		return p, ProtocolError("W-40: %v record of %d bytes: the limit is %d", p.Kind, p.Length, MaxRecord)
	}
	if p.Extensions > MaxExtensions || uint32(p.Extensions) > p.Length {
		return p, ProtocolError("W-40: %v record of %d bytes with %d bytes of extensions", p.Kind, p.Length, p.Extensions)
	}
	return p, nil
}

// Payload describes what follows a call or return header: the table of references, then the body.
type Payload struct {
	References uint32 // entries in the table
	Table      uint32 // bytes of the table
	Body       uint32 // bytes of the body
}

// Len is the number of bytes of table and body together.
func (p Payload) Len() int { return int(p.Table) + int(p.Body) }

// check bounds what a peer announced before anything is allocated for it.
func (p Payload) check(l *Limits) error {
	switch {
	case uint64(p.Table)+uint64(p.Body) > uint64(l.Message):
		return ProtocolError("W-51: payload of %d bytes: the announced limit is %d", uint64(p.Table)+uint64(p.Body), l.Message)
	case p.References > uint32(l.References):
		return ProtocolError("W-51: %d references in one frame: the limit is %d", p.References, l.References)
	case (p.References == 0) != (p.Table == 0):
		return ProtocolError("W-51: %d references in a table of %d bytes", p.References, p.Table)
	}
	return nil
}

// CallHeader is the header of a call record.
type CallHeader struct {
	Slot    Slot
	Seq     Seq
	Chain   ChainID
	Object  refs.ObjNum
	Timeout uint64 // microseconds left; never zero
	Method  MethodID
	Payload Payload
	Depth   uint8
	Hops    uint8
}

// AppendCall appends prefix, header and extensions of a call record. The caller appends the
// payload, unless flags say that it is fragmented.
func AppendCall(b []byte, h *CallHeader, flags uint8, ext []byte) []byte {
	n := CallHeaderSize + len(ext)
	if flags&FlagFragmented == 0 {
		n += h.Payload.Len()
	}
	b, p := grow(b, PrefixSize+CallHeaderSize)
	Prefix{FrameCall, flags, uint16(len(ext)), uint32(n)}.put(p)
	p = p[PrefixSize:]
	binary.BigEndian.PutUint32(p, uint32(h.Slot))
	binary.BigEndian.PutUint32(p[4:], uint32(h.Seq))
	copy(p[8:24], h.Chain[:])
	binary.BigEndian.PutUint64(p[24:], uint64(h.Object))
	binary.BigEndian.PutUint64(p[32:], h.Timeout)
	binary.BigEndian.PutUint32(p[40:], uint32(h.Method))
	h.Payload.put(p[44:])
	p[56], p[57] = h.Depth, h.Hops
	return append(b, ext...)
}

// ParseCall reads the header and extensions of a call from rec, the bytes after the prefix. rest is
// the payload, empty if it is fragmented. ext and rest alias rec.
func ParseCall(p Prefix, rec []byte, l *Limits, h *CallHeader) (ext, rest []byte, err error) {
	if len(rec) < CallHeaderSize+int(p.Extensions) {
		return nil, nil, ProtocolError("W-43: call record of %d bytes is cut short", len(rec))
	}
	h.Slot = Slot(binary.BigEndian.Uint32(rec))
	h.Seq = Seq(binary.BigEndian.Uint32(rec[4:]))
	copy(h.Chain[:], rec[8:24])
	h.Object = refs.ObjNum(binary.BigEndian.Uint64(rec[24:]))
	h.Timeout = binary.BigEndian.Uint64(rec[32:])
	h.Method = MethodID(binary.BigEndian.Uint32(rec[40:]))
	h.Payload.parse(rec[44:])
	h.Depth, h.Hops = rec[56], rec[57]
	if h.Timeout == 0 {
		return nil, nil, ProtocolError("W-52: call without a deadline")
	}
	return payload(p, rec, CallHeaderSize, h.Payload, l)
}

// ReturnHeader is the header of a return record.
type ReturnHeader struct {
	Slot     Slot
	Seq      Seq
	Payload  Payload
	Metadata Metadata // which ParseReturn found among the extensions
}

// AppendReturn appends prefix, header and extensions of a return record.
func AppendReturn(b []byte, h *ReturnHeader, flags uint8, ext []byte) []byte {
	n := ReturnHeaderSize + len(ext)
	if flags&FlagFragmented == 0 {
		n += h.Payload.Len()
	}
	b, p := grow(b, PrefixSize+ReturnHeaderSize)
	Prefix{FrameReturn, flags, uint16(len(ext)), uint32(n)}.put(p)
	p = p[PrefixSize:]
	binary.BigEndian.PutUint32(p, uint32(h.Slot))
	binary.BigEndian.PutUint32(p[4:], uint32(h.Seq))
	h.Payload.put(p[8:])
	return append(b, ext...)
}

// ParseReturn reads the header of a return; rest is as for ParseCall.
func ParseReturn(p Prefix, rec []byte, l *Limits, h *ReturnHeader) (rest []byte, err error) {
	if len(rec) < ReturnHeaderSize+int(p.Extensions) {
		return nil, ProtocolError("W-43: return record of %d bytes is cut short", len(rec))
	}
	h.Slot = Slot(binary.BigEndian.Uint32(rec))
	h.Seq = Seq(binary.BigEndian.Uint32(rec[4:]))
	h.Payload.parse(rec[8:])
	ext, rest, err := payload(p, rec, ReturnHeaderSize, h.Payload, l)
	if h.Metadata = ""; err == nil && len(ext) > 0 {
		var e Extensions
		if e, err = ParseExtensions(ext); err == nil {
			err = e.ofCalls(ext)
		}
		h.Metadata = e.Metadata
	}
	return rest, err
}

// payload splits what follows a fixed header of size n, and checks it against what the header
// announced.
func payload(p Prefix, rec []byte, n int, pl Payload, l *Limits) (ext, rest []byte, err error) {
	if err := pl.check(l); err != nil {
		return nil, nil, err
	}
	ext, rest = rec[n:n+int(p.Extensions)], rec[n+int(p.Extensions):]
	switch {
	case p.Flags&FlagFragmented == 0 && len(rest) > MaxInline:
		return nil, nil, ProtocolError("W-50: %v carries %d bytes itself: from %d on a payload is fragmented", p.Kind, len(rest), MaxInline+1)
	case p.Flags&FlagFragmented == 0 && len(rest) != pl.Len():
		return nil, nil, ProtocolError("W-50: %v announces a payload of %d bytes and carries %d", p.Kind, pl.Len(), len(rest))
	case p.Flags&FlagFragmented != 0 && len(rest) != 0:
		return nil, nil, ProtocolError("W-50: fragmented %v carries %d bytes itself", p.Kind, len(rest))
	case p.Flags&FlagFragmented != 0 && pl.Len() == 0:
		return nil, nil, ProtocolError("W-50: fragmented %v without a payload", p.Kind)
	}
	return ext, rest, nil
}

func (p Payload) put(b []byte) {
	binary.BigEndian.PutUint32(b, p.References)
	binary.BigEndian.PutUint32(b[4:], p.Table)
	binary.BigEndian.PutUint32(b[8:], p.Body)
}

func (p *Payload) parse(b []byte) {
	p.References = binary.BigEndian.Uint32(b)
	p.Table = binary.BigEndian.Uint32(b[4:])
	p.Body = binary.BigEndian.Uint32(b[8:])
}

// AppendFragment appends prefix and header of a fragment of n bytes.
func AppendFragment(b []byte, slot Slot, seq Seq, ofReturn bool, n int) []byte {
	var flags uint8
	if ofReturn {
		flags = FlagOfReturn
	}
	return appendSlot(b, FrameFragment, flags, slot, seq, n)
}

// AppendLastFragment appends prefix, header and extension of a fragment of n bytes. The fragment
// completes the payload of a call over datagrams.
func AppendLastFragment(b []byte, slot Slot, seq Seq, n int, order CallNum) []byte {
	at := len(b)
	b = AppendOrder(appendSlot(b, FrameFragment, 0, slot, seq, n), order)
	ext := len(b) - at - PrefixSize - FragmentHeaderSize
	Prefix{FrameFragment, 0, uint16(ext), uint32(FragmentHeaderSize + ext + n)}.put(b[at:])
	return b
}

// AppendCancel appends a cancel record.
func AppendCancel(b []byte, slot Slot, seq Seq) []byte {
	return appendSlot(b, FrameCancel, 0, slot, seq, 0)
}

// AppendSettle appends a cancel record that lets the call go on if it arrived.
func AppendSettle(b []byte, slot Slot, seq Seq) []byte {
	return appendSlot(b, FrameCancel, FlagSettle, slot, seq, 0)
}

// AppendAck appends the acknowledgement of a return.
func AppendAck(b []byte, slot Slot, seq Seq) []byte {
	return appendSlot(b, FrameAck, 0, slot, seq, 0)
}

func appendSlot(b []byte, k FrameKind, flags uint8, slot Slot, seq Seq, n int) []byte {
	b, p := grow(b, PrefixSize+FragmentHeaderSize)
	Prefix{k, flags, 0, uint32(FragmentHeaderSize + n)}.put(p)
	binary.BigEndian.PutUint32(p[8:], uint32(slot))
	binary.BigEndian.PutUint32(p[12:], uint32(seq))
	return b
}

// ParseCancel reads a cancel or an ack record.
func ParseCancel(p Prefix, rec []byte) (Slot, Seq, error) {
	if len(rec) != CancelSize+int(p.Extensions) {
		return 0, 0, ProtocolError("W-43: %v record of %d bytes", p.Kind, len(rec))
	}
	if err := skipExtensions(rec[CancelSize:]); err != nil {
		return 0, 0, err
	}
	return Slot(binary.BigEndian.Uint32(rec)), Seq(binary.BigEndian.Uint32(rec[4:])), nil
}

// Fragment is a fragment record. Its piece may not be here in full.
type Fragment struct {
	Slot     Slot
	Seq      Seq
	OfReturn bool
	Order    CallNum // of the last fragment of a call over datagrams, else 0
	Size     int     // bytes of the piece
	Piece    []byte  // those of them that are here; aliases the record
}

// ParseFragment reads a fragment record. rec may be cut short after the header and extensions.
func ParseFragment(p Prefix, rec []byte) (Fragment, error) {
	n := FragmentHeaderSize + int(p.Extensions)
	f := Fragment{Size: int(p.Length) - n, OfReturn: p.Flags&FlagOfReturn != 0}
	if f.Size <= 0 || f.Size > MaxInline || len(rec) < n {
		return f, ProtocolError("W-65: fragment record of %d bytes", p.Length)
	}
	if ext := rec[FragmentHeaderSize:n]; len(ext) > 0 {
		e, err := ParseExtensions(ext)
		if err == nil && (e.Relay || e.Resumable || e.Metadata != "" || e.Order != 0 && f.OfReturn) {
			err = ProtocolError("W-45: extension %d has no place here", ext[0])
		}
		if err != nil {
			return f, err
		}
		f.Order = e.Order
	}
	f.Slot, f.Seq = Slot(binary.BigEndian.Uint32(rec)), Seq(binary.BigEndian.Uint32(rec[4:]))
	f.Piece = rec[n:]
	return f, nil
}

// AppendPing appends a ping (or its pong) that carries token.
func AppendPing(b []byte, k FrameKind, token uint64) []byte {
	b, p := grow(b, PrefixSize+PingSize)
	Prefix{k, 0, 0, PingSize}.put(p)
	binary.BigEndian.PutUint64(p[8:], token)
	return b
}

// ParsePing reads the token of a ping or pong.
func ParsePing(p Prefix, rec []byte) (uint64, error) {
	if len(rec) != PingSize+int(p.Extensions) {
		return 0, ProtocolError("W-43: %v record of %d bytes", p.Kind, len(rec))
	}
	if err := skipExtensions(rec[PingSize:]); err != nil {
		return 0, err
	}
	return binary.BigEndian.Uint64(rec), nil
}

// AppendStream appends the prefix of a stream record of n bytes.
func AppendStream(b []byte, n int) []byte {
	b, p := grow(b, PrefixSize)
	Prefix{FrameStream, 0, 0, uint32(n)}.put(p)
	return b
}

// ParseStream returns the chunk that a stream record carries.
func ParseStream(p Prefix, rec []byte) ([]byte, error) {
	if err := skipExtensions(rec[:p.Extensions]); err != nil {
		return nil, err
	}
	if rec = rec[p.Extensions:]; len(rec) > MaxInline {
		return nil, ProtocolError("W-43: stream record of %d bytes", len(rec))
	}
	return rec, nil
}

// AppendNotice appends a goaway or close record: a fault kind and a text.
func AppendNotice(b []byte, k FrameKind, kind uint8, text string) []byte {
	clean := appendText([]byte{kind}, text)
	b, p := grow(b, PrefixSize)
	Prefix{k, 0, 0, uint32(len(clean))}.put(p)
	return append(b, clean...)
}

// ParseNotice reads a goaway or close record.
func ParseNotice(p Prefix, rec []byte) (kind uint8, text string, err error) {
	if err := skipExtensions(rec[:p.Extensions]); err != nil {
		return 0, "", err
	}
	rec = rec[p.Extensions:]
	if len(rec) < 1 || len(rec) > 1+MaxText {
		return 0, "", ProtocolError("W-82: %v record of %d bytes", p.Kind, len(rec))
	}
	return rec[0], cleanText(string(rec[1:])), nil
}

// grow extends b by n bytes and returns it and the new part.
func grow(b []byte, n int) (all, part []byte) {
	l := len(b)
	if cap(b)-l < n {
		b = append(b, make([]byte, n)...)
	} else {
		b = b[:l+n]
	}
	return b, b[l : l+n : l+n]
}
