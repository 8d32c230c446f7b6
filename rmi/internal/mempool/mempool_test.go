package mempool

import (
	"bytes"
	"testing"
)

func TestLargeSizes(t *testing.T) {
	for class := range len(pools) {
		size := sizeOf(class)
		if got := classOf(size); got != class {
			t.Errorf("%d bytes, the size of class %d, are of class %d", size, class, got)
		}
		if got := classOf(size + 1); got != class+1 {
			t.Errorf("%d bytes, one more than class %d has, are of class %d", size+1, class, got)
		}
	}
	if sizeOf(0) != 1<<leastPower || sizeOf(len(pools)-1) != 1<<mostPower {
		t.Errorf("sizes from %d to %d", sizeOf(0), sizeOf(len(pools)-1))
	}
	for _, n := range []int{1, 1<<leastPower + 1, 1<<mostPower + 1} {
		b := Get(n)
		if len(b) != 0 || cap(b) < n {
			t.Errorf("for %d bytes: a buffer of %d in %d", n, len(b), cap(b))
		}
		Put(b)
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
		b := append(Get(1<<leastPower), bytes.Repeat([]byte{byte(i)}, 1000+i)...)
		blocks, want = append(blocks, b), append(want, b...)
	}
	got := Join(blocks)
	if !bytes.Equal(got, want) {
		t.Error("the blocks are not in the whole")
	}
	got[0]++ // it is the caller's
}
