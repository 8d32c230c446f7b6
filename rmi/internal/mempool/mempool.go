// Package mempool lends memory for large bodies, so that it need not be allocated and cleared
// each time. Package codec encodes into it, and package transport receives into it.
package mempool

import (
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync"
	"unsafe"
)

// Buffers of large bodies are reused: a new one must be cleared, and is work for the collector.
// They are in pools by size, four sizes for each power of two from 4 KiB to 128 MiB. The
// collector empties pools that are not used.
const (
	leastPower = 12
	mostPower  = 27
	steps      = 4 // sizes for each power of two
)

var pools [(mostPower-leastPower)*steps + 1]sync.Pool

// classOf is the number of the smallest size for n bytes.
func classOf(n int) int {
	n = max(n, 1<<leastPower)
	power := bits.Len(uint(n)) - 1
	step := 1 << power / steps
	return (power-leastPower)*steps + (n-1<<power+step-1)/step
}

// sizeOf is the size of a class.
func sizeOf(class int) int {
	power := 1 << (leastPower + class/steps)
	return power + class%steps*(power/steps)
}

// Get returns an empty buffer for at least n bytes.
func Get(n int) []byte {
	class := classOf(n)
	if class >= len(pools) {
		return make([]byte, 0, n)
	}
	if b, ok := pools[class].Get().(*[]byte); ok {
		return *b
	}
	return make([]byte, 0, sizeOf(class))
}

// copyAtOnce is how many bytes are copied before other goroutines may run.
const copyAtOnce = 64 << 10

// Join makes one piece of a body's blocks, and gives their memory back. It lets other
// goroutines run now and then.
func Join(blocks [][]byte) []byte {
	if len(blocks) == 1 {
		return blocks[0]
	}
	size := 0
	for _, b := range blocks {
		size += len(b)
	}
	var all strings.Builder // its memory is not cleared
	all.Grow(size)
	for _, b := range blocks {
		for piece := range slices.Chunk(b, copyAtOnce) {
			all.Write(piece)
			runtime.Gosched()
		}
		Put(b)
	}
	return unsafe.Slice(unsafe.StringData(all.String()), size)
}

// Put gives back the memory of a body that nobody uses any more. It ignores memory that is not
// a large body's.
func Put(b []byte) {
	n := cap(b)
	if n < 1<<leastPower {
		return
	}
	if class := classOf(n); class < len(pools) && sizeOf(class) == n {
		empty := b[:0] // this escapes, b does not
		pools[class].Put(&empty)
	}
}
