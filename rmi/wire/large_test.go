package wire

import (
	"bytes"
	"testing"
)

func TestLargeSizes(t *testing.T) {
	for class := range len(larges) {
		size := largeSize(class)
		if got := largeClass(size); got != class {
			t.Errorf("%d bytes, the size of class %d, are of class %d", size, class, got)
		}
		if got := largeClass(size + 1); got != class+1 {
			t.Errorf("%d bytes, one more than class %d has, are of class %d", size+1, class, got)
		}
	}
	if largeSize(0) != 1<<leastLarge || largeSize(len(larges)-1) != 1<<mostLarge {
		t.Errorf("sizes from %d to %d", largeSize(0), largeSize(len(larges)-1))
	}
	for _, n := range []int{1, 1<<leastLarge + 1, 1<<mostLarge + 1} {
		b := LargeBuffer(n)
		if len(b) != 0 || cap(b) < n {
			t.Errorf("for %d bytes: a buffer of %d in %d", n, len(b), cap(b))
		}
		Recycle(b)
	}
}

func TestJoin(t *testing.T) {
	one := []byte("alone")
	if got := Join([][]byte{one}); &got[0] != &one[0] {
		t.Error("one block was copied")
	}
	var blocks [][]byte
	var want []byte
	for i := range 5 {
		b := append(LargeBuffer(1<<leastLarge), bytes.Repeat([]byte{byte(i)}, 1000+i)...)
		blocks, want = append(blocks, b), append(want, b...)
	}
	got := Join(blocks)
	if !bytes.Equal(got, want) {
		t.Error("the blocks are not in the whole")
	}
	got[0]++ // it is the caller's
}
