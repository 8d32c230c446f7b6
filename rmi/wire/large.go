package wire

import (
	"math/bits"
	"sync"
)

// Buffers of large bodies are used again: making one means clearing it, and the
// collector's work for it. They are in pools by size, the powers of two from
// 128 KiB to 4 MiB, which the collector empties when they are not used.
const (
	leastLarge = 17
	mostLarge  = 22
)

var larges [mostLarge - leastLarge + 1]sync.Pool

// largeBuffer returns an empty buffer for at least n bytes.
func largeBuffer(n int) []byte {
	class := max(bits.Len(uint(n-1)), leastLarge)
	if class > mostLarge {
		return make([]byte, 0, n)
	}
	if b, ok := larges[class-leastLarge].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, 1<<class)
}

// Recycle gives the memory of a body back that nobody uses any more. It does
// nothing with memory that is not a large body's.
func Recycle(b []byte) {
	if n := cap(b); n >= 1<<leastLarge && n <= 1<<mostLarge && n&(n-1) == 0 {
		b = b[:0]
		larges[bits.Len(uint(n))-1-leastLarge].Put(&b)
	}
}
