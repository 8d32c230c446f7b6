// Package data is what the calls of the benchmark carry.
package data

import "strings"

// Record is about 100 bytes.
type Record struct {
	ID    int64
	Name  string
	Tags  []string
	Value float64
}

// NewRecord returns the record that every system echoes.
func NewRecord() Record {
	return Record{ID: 42, Name: strings.Repeat("n", 32), Tags: []string{"aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb"}, Value: 3.14}
}

// Small is a node of a tree and nothing else.
type Small struct{ Left, Right *Small }

// Mixed is a node with a field of each kind.
type Mixed struct {
	Z           bool
	B           int8
	C           uint16
	S           int16
	I           int32
	J           int64
	F           float32
	D           float64
	Text        string
	Left, Right *Mixed
}

// SmallTree returns a full tree: of depth 4, 31 nodes.
func SmallTree(depth int) *Small {
	if depth == 0 {
		return new(Small)
	}
	return &Small{SmallTree(depth - 1), SmallTree(depth - 1)}
}

// NewMixed returns a node without children.
func NewMixed() *Mixed {
	return &Mixed{Z: true, B: 1, C: 'c', S: 300, I: 70_000, J: 5_000_000_000, F: 1.5, D: 3.14, Text: "some text"}
}

// MixedTree returns a full tree, as SmallTree does.
func MixedTree(depth int) *Mixed {
	m := NewMixed()
	if depth > 0 {
		m.Left, m.Right = MixedTree(depth-1), MixedTree(depth-1)
	}
	return m
}
