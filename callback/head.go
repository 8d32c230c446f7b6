package callback

import (
	"encoding/binary"

	"gormi/rmi/multicast"
)

// headKind is the first byte of a head; doc.go specifies what follows it.
type headKind uint8

const (
	headEvent headKind = 1 + iota
	headState
	headBegin
	headJoined
	headGap
	headEnd
)

// slowKind stands for ErrSlow in an end head.
const slowKind = 255

func appendEventHead(b []byte, kind headKind, seq Seq, key string) []byte {
	b = append(b, byte(kind))
	b = binary.AppendUvarint(b, uint64(seq))
	return append(b, key...)
}

func beginHead(token uint64, epoch Epoch) []byte {
	b := binary.AppendUvarint([]byte{byte(headBegin)}, token)
	return binary.BigEndian.AppendUint64(b, uint64(epoch))
}

func joinedHead(token uint64, next Seq) []byte {
	b := binary.AppendUvarint([]byte{byte(headJoined)}, token)
	return binary.AppendUvarint(b, uint64(next))
}

func appendGapHead(b []byte, lost uint64, last Seq, restarted bool) []byte {
	b = append(b, byte(headGap))
	b = binary.AppendUvarint(b, lost)
	b = binary.AppendUvarint(b, uint64(last))
	if restarted {
		return append(b, 1)
	}
	return append(b, 0)
}

func endHead(kind uint8, text string) []byte {
	return append([]byte{byte(headEnd), kind}, text[:min(len(text), multicast.MaxHead/2)]...)
}

// head is one that arrived.
type head struct {
	kind      headKind
	number    uint64 // sequence number, token, or how many are lost
	last      Seq    // of gap; next, of joined
	epoch     Epoch  // of begin
	restarted bool
	reason    uint8
	text      []byte // key or text
}

// parseHead reads a head; ok is false if it is malformed or of an unknown kind.
func parseHead(b []byte) (h head, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	h.kind = headKind(b[0])
	b = b[1:]
	if h.kind == headEnd {
		if len(b) == 0 {
			return h, false
		}
		h.reason, h.text = b[0], b[1:]
		return h, true
	}
	n := 0
	if h.number, n = binary.Uvarint(b); n <= 0 {
		return h, false
	}
	b = b[n:]
	switch h.kind {
	case headEvent, headState:
		h.text = b
		return h, true
	case headBegin:
		if len(b) != 8 {
			return h, false
		}
		h.epoch = Epoch(binary.BigEndian.Uint64(b))
		return h, true
	case headJoined:
		next, n := binary.Uvarint(b)
		h.last = Seq(next)
		return h, n > 0 && n == len(b) && next > 0
	case headGap:
		last, n := binary.Uvarint(b)
		if n <= 0 || len(b) != n+1 || b[n] > 1 {
			return h, false
		}
		h.last = Seq(last)
		h.restarted = b[n] == 1
		return h, true
	}
	return h, false
}
