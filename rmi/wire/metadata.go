package wire

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
	"unicode"
	"unicode/utf8"

	"gormi/rmi/fault"
)

// Metadata are the pairs of a call or of a return in the form in which they travel (W-47). They
// are well formed. The empty string is none.
type Metadata string

// MetadataPair is one of them.
type MetadataPair struct {
	Key, Value string
	PassOn     bool // the method's own calls carry it too
}

const (
	// MaxMetadata bounds the bytes of a Metadata: with what else a header carries, it fits
	// into MaxExtensions.
	MaxMetadata = MaxExtensions - 64
	// MaxMetadataKey bounds a key, because its length has 8 bits.
	MaxMetadataKey = 255

	metadataOverhead       = 1 + 1 + 2 // bytes of a pair beside key and value
	metadataPassOn   uint8 = 1
)

// All iterates over the pairs, in the order of their keys.
func (m Metadata) All() iter.Seq[MetadataPair] {
	return func(yield func(MetadataPair) bool) {
		for rest := m; rest != ""; {
			k := 2 + int(rest[1])
			v := k + 2 + int(rest[k])<<8 + int(rest[k+1])
			if !yield(MetadataPair{Key: string(rest[2:k]), Value: string(rest[k+2 : v]), PassOn: rest[0] == metadataPassOn}) {
				return
			}
			rest = rest[v:]
		}
	}
}

// Get returns the value of a key.
func (m Metadata) Get(key string) (value string, ok bool) {
	for p := range m.All() {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

// NewMetadata returns pairs, which it sorts, in the form in which they travel. No two may have
// one key. The error says what is wrong with a key, or that the pairs are too many.
func NewMetadata(pairs []MetadataPair) (Metadata, error) {
	size := 0
	for _, p := range pairs {
		if why := badMetadataKey(p.Key); why != "" {
			return "", fault.New(fault.KindInvalid, fault.OutcomeNotExecuted, "the metadata key %.64q %s", p.Key, why)
		}
		size += metadataOverhead + len(p.Key) + len(p.Value)
	}
	if size > MaxMetadata {
		return "", fault.New(fault.KindTooLarge, fault.OutcomeNotExecuted, "%d bytes of metadata with keys, and %d for each pair: a call, or a reply, carries %d at most, a fixed limit", size, metadataOverhead, MaxMetadata)
	}
	slices.SortFunc(pairs, func(a, b MetadataPair) int { return cmp.Compare(a.Key, b.Key) })
	b := make([]byte, 0, size)
	for _, p := range pairs {
		var flags uint8
		if p.PassOn {
			flags = metadataPassOn
		}
		b = append(append(b, flags, byte(len(p.Key))), p.Key...)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p.Value))), p.Value...)
	}
	return Metadata(b), nil
}

// ParseMetadata reads what a peer sent.
func ParseMetadata(b []byte) (Metadata, error) {
	if len(b) == 0 || len(b) > MaxMetadata {
		return "", ProtocolError("W-47: %d bytes of metadata", len(b))
	}
	m, last := Metadata(b), Metadata("")
	for rest := m; rest != ""; {
		if len(rest) < 2 || len(rest) < 2+int(rest[1])+2 {
			return "", ProtocolError("W-47: metadata is cut short")
		}
		k := 2 + int(rest[1])
		v := k + 2 + int(rest[k])<<8 + int(rest[k+1])
		if v > len(rest) {
			return "", ProtocolError("W-47: a metadata value of %d bytes: only %d are left", v-k-2, len(rest)-k-2)
		}
		if rest[0] > metadataPassOn {
			return "", ProtocolError("W-47: metadata with the flags %#x", rest[0])
		}
		key := rest[2:k]
		if why := badMetadataKey(string(key)); why != "" {
			return "", ProtocolError("W-47: the metadata key %.64q %s", key, why)
		}
		if key <= last {
			return "", ProtocolError("W-47: the metadata key %.64q after %.64q", key, last)
		}
		last, rest = key, rest[v:]
	}
	return m, nil
}

// AppendMetadata appends the extension that carries m, if there is any.
func AppendMetadata(b []byte, m Metadata) []byte {
	if m == "" {
		return b
	}
	b = append(b, byte(ExtMetadata), byte(len(m)>>8), byte(len(m)))
	return append(b, m...)
}

// badMetadataKey says what is wrong with a key, or nothing.
func badMetadataKey(key string) string {
	switch {
	case key == "":
		return "is empty"
	case len(key) > MaxMetadataKey:
		return "is longer than 255 bytes"
	case !utf8.ValidString(key):
		return "is not UTF-8"
	}
	for _, r := range key {
		if unicode.IsControl(r) {
			return "has a control character"
		}
	}
	return ""
}
