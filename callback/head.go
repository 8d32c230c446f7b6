package callback

import (
	"encoding/binary"

	"gormi/rmi"
)

// The head of a packet says what it is. Its first byte is the kind:
//
//	1  event    uvarint sequence number, key to the end; the body is the value
//	2  state    the same
//	3  begin    uvarint token: events up to joined are for the subscriptions of
//	            the request with this token, and for no others
//	4  joined   uvarint token, u64 epoch, uvarint number of the next event: the
//	            subscriptions of that request belong to the others from here on
//	5  gap      uvarint lost (0: not known), uvarint last number lost (0: not
//	            known), u64 epoch, u8 1 if that epoch is a new one
//	6  end      u8 error kind, text to the end: the receiver's subscriptions are over;
//	            kind 0: the topic was closed; kind 255: ErrSlow
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

func beginHead(token uint64) []byte {
	return binary.AppendUvarint([]byte{byte(headBegin)}, token)
}

func joinedHead(token uint64, epoch Epoch, next Seq) []byte {
	b := binary.AppendUvarint([]byte{byte(headJoined)}, token)
	b = binary.BigEndian.AppendUint64(b, uint64(epoch))
	return binary.AppendUvarint(b, uint64(next))
}

func appendGapHead(b []byte, lost uint64, last Seq, epoch Epoch, restarted bool) []byte {
	b = append(b, byte(headGap))
	b = binary.AppendUvarint(b, lost)
	b = binary.AppendUvarint(b, uint64(last))
	b = binary.BigEndian.AppendUint64(b, uint64(epoch))
	if restarted {
		return append(b, 1)
	}
	return append(b, 0)
}

func endHead(kind uint8, text string) []byte {
	return append([]byte{byte(headEnd), kind}, text[:min(len(text), rmi.MaxHead/2)]...)
}

// head is one that arrived.
type head struct {
	kind      headKind
	number    uint64 // sequence number, token, or how many are lost
	last      Seq    // of gap; next, of joined
	epoch     Epoch
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
		return h, len(b) == 0
	case headJoined:
		if len(b) < 9 {
			return h, false
		}
		h.epoch = Epoch(binary.BigEndian.Uint64(b))
		next, n := binary.Uvarint(b[8:])
		h.last = Seq(next)
		return h, n == len(b)-8
	case headGap:
		last, n := binary.Uvarint(b)
		if n <= 0 || len(b) != n+9 {
			return h, false
		}
		h.last = Seq(last)
		h.epoch = Epoch(binary.BigEndian.Uint64(b[n:]))
		h.restarted = b[n+8] == 1
		return h, true
	}
	return h, false
}
