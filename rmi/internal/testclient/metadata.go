package main

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"
)

// extMetadata is the extension that carries metadata.
const extMetadata = 0x82

// maxMetadata bounds the bytes of metadata of a call or a return.
const maxMetadata = 8128

// pair is a key with its value.
type pair struct {
	key, value string
	passedOn   bool
}

// metadataExtension returns the extension that carries pairs, or nothing if there are none.
func metadataExtension(pairs []pair) []byte {
	if len(pairs) == 0 {
		return nil
	}
	var b []byte
	for _, p := range slices.SortedFunc(slices.Values(pairs), func(x, y pair) int { return cmp.Compare(x.key, y.key) }) {
		flags := byte(0)
		if p.passedOn {
			flags = 1
		}
		b = append(append(b, flags, byte(len(p.key))), p.key...)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(p.value))), p.value...)
	}
	return append(binary.BigEndian.AppendUint16([]byte{extMetadata}, uint16(len(b))), b...)
}

// parseMetadata reads the value of the extension.
func parseMetadata(b []byte) (pairs []pair, err error) {
	if len(b) == 0 || len(b) > maxMetadata {
		return nil, fmt.Errorf("metadata of %d bytes", len(b))
	}
	for len(b) > 0 {
		p := pair{passedOn: b[0] == 1}
		if b[0] > 1 || len(b) < 2 {
			return nil, errors.New("metadata with unknown flags, or cut short")
		}
		n := int(b[1])
		if b = b[2:]; len(b) < n+2 {
			return nil, errors.New("metadata is cut short")
		}
		p.key = string(b[:n])
		size := int(binary.BigEndian.Uint16(b[n:]))
		if b = b[n+2:]; len(b) < size {
			return nil, errors.New("metadata is cut short")
		}
		p.value, b = string(b[:size]), b[size:]
		if p.key == "" || !utf8.ValidString(p.key) || slices.ContainsFunc([]rune(p.key), unicode.IsControl) {
			return nil, fmt.Errorf("the metadata key %q", p.key)
		}
		if len(pairs) > 0 && pairs[len(pairs)-1].key >= p.key {
			return nil, fmt.Errorf("the metadata key %q is not in order", p.key)
		}
		pairs = append(pairs, p)
	}
	return pairs, nil
}
