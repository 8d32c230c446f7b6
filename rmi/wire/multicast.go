package wire

import "encoding/binary"

// Multicast packets travel on a stream that the sender opens for them, one per direction of a
// session. doc.go specifies it.
const (
	// MulticastPreamble begins the stream: purpose, version, reserved.
	MulticastPreamble = "EVNT\x01\x00\x00\x00"
	// MaxReceivers bounds the receivers of one packet.
	MaxReceivers = 4096
	// MaxHead bounds the head of a packet.
	MaxHead = 1 << 10
	// MaxMulticast is the most bytes that a packet may have besides table and body.
	MaxMulticast = MaxReceivers*binary.MaxVarintLen64 + MaxHead + 32
)

// ReceiverID names a receiver of multicast packets in its node.
type ReceiverID uint64

// Multicast is a packet that arrived. Its slices are parts of the record.
type Multicast struct {
	Head       []byte
	References uint32
	Table      []byte
	Body       []byte
}

// AppendMulticast appends a packet up to its body, which the caller appends. body is the body's
// length. There is at least one receiver. Receivers ascend, each once.
func AppendMulticast(b []byte, to []ReceiverID, head []byte, references int, table []byte, body int) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = binary.AppendUvarint(b, uint64(len(to)))
	last := ReceiverID(0)
	for _, id := range to {
		b = binary.AppendUvarint(b, uint64(id-last))
		last = id
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(head)))
	b = append(b, head...)
	b = binary.AppendUvarint(b, uint64(references))
	if references > 0 {
		b = binary.AppendUvarint(b, uint64(len(table)))
		b = append(b, table...)
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-4+body))
	return b
}

// ParseMulticast reads a packet, without its length, and appends its receivers to to.
func ParseMulticast(b []byte, to []ReceiverID, l *Limits, m *Multicast) ([]ReceiverID, error) {
	count, b, ok := uvarint(b)
	if !ok || count == 0 || count > MaxReceivers || count > uint64(len(b)) {
		return to, ProtocolError("W-91: multicast packet for %d receivers: 1 to %d are allowed", count, MaxReceivers)
	}
	last := uint64(0)
	for range count {
		var step uint64
		if step, b, ok = uvarint(b); !ok || step == 0 || last+step < last {
			return to, ProtocolError("W-91: multicast packet whose receivers do not ascend")
		}
		last += step
		to = append(to, ReceiverID(last))
	}
	if len(b) < 2 {
		return to, ProtocolError("W-91: multicast packet without a head")
	}
	n := int(binary.BigEndian.Uint16(b))
	if b = b[2:]; n > MaxHead || n > len(b) {
		return to, ProtocolError("W-91: multicast packet with a head of %d bytes", n)
	}
	m.Head, b = b[:n], b[n:]
	references, b, ok := uvarint(b)
	if !ok || references > uint64(l.References) {
		return to, ProtocolError("W-92: multicast packet with %d references: the limit is %d", references, l.References)
	}
	m.References, m.Table = uint32(references), nil
	if references > 0 {
		var size uint64
		if size, b, ok = uvarint(b); !ok || size == 0 || size > uint64(len(b)) {
			return to, ProtocolError("W-91: multicast packet with a table of %d bytes", size)
		}
		m.Table, b = b[:size], b[size:]
	}
	if len(m.Table)+len(b) > l.Message {
		return to, ProtocolError("W-92: multicast packet of %d bytes: the limit is %d", len(m.Table)+len(b), l.Message)
	}
	m.Body = b
	return to, nil
}

func uvarint(b []byte) (uint64, []byte, bool) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), b[1:], true
	}
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, b, false
	}
	return v, b[n:], true
}
