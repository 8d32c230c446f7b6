package wire

import (
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// Buffers of large bodies are used again: making one means clearing it, and the
// collector's work for it. They are in pools by size, four sizes for each power of
// two from 4 KiB to 128 MiB, which the collector empties when they are not used.
const (
	leastLarge = 12
	mostLarge  = 27
	steps      = 4 // sizes for each power of two
)

var larges [(mostLarge-leastLarge)*steps + 1]sync.Pool

// largeClass is the number of the smallest size for n bytes.
func largeClass(n int) int {
	n = max(n, 1<<leastLarge)
	power := bits.Len(uint(n)) - 1
	step := 1 << power / steps
	return (power-leastLarge)*steps + (n-1<<power+step-1)/step
}

// largeSize is the size of a class.
func largeSize(class int) int {
	power := 1 << (leastLarge + class/steps)
	return power + class%steps*(power/steps)
}

// LargeBuffer returns an empty buffer for at least n bytes.
func LargeBuffer(n int) []byte {
	class := largeClass(n)
	if class >= len(larges) {
		return make([]byte, 0, n)
	}
	if b, ok := larges[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, largeSize(class))
}

// Join makes one piece of a body's blocks, whose memory it gives back. It lets
// others run now and then.
func Join(blocks [][]byte) []byte {
	if len(blocks) == 1 {
		return blocks[0]
	}
	size := 0
	for _, b := range blocks {
		size += len(b)
	}
	var all strings.Builder // whose memory is not cleared
	all.Grow(size)
	for _, b := range blocks {
		for piece := range slices.Chunk(b, copyAtOnce) {
			all.Write(piece)
			runtime.Gosched()
		}
		Recycle(b)
	}
	return unsafe.Slice(unsafe.StringData(all.String()), size)
}

// Recycle gives the memory of a body back that nobody uses any more. It does
// nothing with memory that is not a large body's.
func Recycle(b []byte) {
	n := cap(b)
	if n < 1<<leastLarge {
		return
	}
	if class := largeClass(n); class < len(larges) && largeSize(class) == n {
		empty := b[:0] // escapes, b does not
		larges[class].Put(&empty)
	}
}
