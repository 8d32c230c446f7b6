package refs

import (
	"encoding"
	"encoding/binary"
	"errors"
)

// MaxBinary is the length of the longest wire form, in bytes. Readers of messages refuse a longer
// one before they look at it.
const MaxBinary = 1 + 16 + 8 + 8 + 2 + 1 + MaxHost + 1 + MaxName + 16 + 16 + 2 + 1 + MaxHost

const (
	flagVia          = 1 << 0
	flagCompleted    = 1 << 1
	flagViaCompleted = 1 << 2
	flagUDP          = 1 << 3
	flagViaUDP       = 1 << 4
	flagsKnown       = flagVia | flagCompleted | flagViaCompleted | flagUDP | flagViaUDP
)

var _ encoding.BinaryAppender = Ref{}

// AppendBinary appends the wire form that the package comment specifies to b. It fails, and returns
// b as it was, if r holds what no reference may hold.
func (r Ref) AppendBinary(b []byte) ([]byte, error) {
	if err := r.check(); err != nil {
		return b, err
	}
	var flags byte
	if !r.Via.IsZero() {
		flags |= flagVia
	}
	if r.Completed {
		flags |= flagCompleted
	}
	if r.Via.Completed {
		flags |= flagViaCompleted
	}
	if r.UDP {
		flags |= flagUDP
	}
	if r.Via.UDP {
		flags |= flagViaUDP
	}
	b = append(b, flags)
	b = append(b, r.Node[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(r.Time))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Object))
	b = appendEndpoint(b, r.Endpoint)
	b = append(b, byte(len(r.Interface.Name)))
	b = append(b, r.Interface.Name...)
	b = append(b, r.Interface.Fingerprint[:]...)
	if flags&flagVia != 0 {
		b = append(b, r.Via.Node[:]...)
		b = appendEndpoint(b, r.Via.Endpoint)
	}
	return b, nil
}

func appendEndpoint(b []byte, e Endpoint) []byte {
	b = binary.BigEndian.AppendUint16(b, e.Port)
	b = append(b, byte(len(e.Host)))
	return append(b, e.Host...)
}

// ParseBinary reads one wire form, which must fill b. It copies what it stores of b, at most
// MaxBinary bytes.
func ParseBinary(b []byte) (Ref, error) {
	if len(b) > MaxBinary {
		return Ref{}, errors.New("refs: bytes follow the reference")
	}
	in := reader{b: b}
	flags := in.byte()
	if flags&^flagsKnown != 0 {
		return Ref{}, errors.New("refs: the reference has flags of a later version")
	}
	var r Ref
	copy(r.Node[:], in.take(16))
	r.Time = Time(in.uint64())
	r.Object = ObjNum(in.uint64())
	r.Endpoint = in.endpoint()
	r.Interface.Name = in.string()
	copy(r.Interface.Fingerprint[:], in.take(16))
	r.Completed = flags&flagCompleted != 0
	if flags&flagVia != 0 {
		copy(r.Via.Node[:], in.take(16))
		r.Via.Endpoint = in.endpoint()
	}
	r.Via.Completed = flags&flagViaCompleted != 0
	r.UDP = flags&flagUDP != 0
	r.Via.UDP = flags&flagViaUDP != 0
	switch {
	case in.short:
		return Ref{}, errors.New("refs: the reference is cut short")
	case len(in.b) > 0:
		return Ref{}, errors.New("refs: bytes follow the reference")
	case flags&flagVia != 0 && r.Via.Node.IsZero():
		return Ref{}, errors.New("refs: the relay has no node id")
	}
	if err := r.check(); err != nil {
		return Ref{}, err
	}
	return r, nil
}

// reader takes fields from the front of b. After b was too short it returns zeros.
type reader struct {
	b     []byte
	short bool
}

func (in *reader) take(n int) []byte {
	if len(in.b) < n {
		in.b, in.short = nil, true
		return nil
	}
	f := in.b[:n]
	in.b = in.b[n:]
	return f
}

func (in *reader) byte() byte {
	if f := in.take(1); f != nil {
		return f[0]
	}
	return 0
}

func (in *reader) uint64() uint64 {
	if f := in.take(8); f != nil {
		return binary.BigEndian.Uint64(f)
	}
	return 0
}

func (in *reader) string() string { return string(in.take(int(in.byte()))) }

func (in *reader) endpoint() Endpoint {
	var e Endpoint
	if f := in.take(2); f != nil {
		e.Port = binary.BigEndian.Uint16(f)
	}
	e.Host = in.string()
	return e
}
