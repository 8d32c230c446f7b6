package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets 3 % wide: 32 to a power of two, from a
// nanosecond to 36 minutes. Client.java has the same.
type histogram [36 * 32]uint32

func (h *histogram) add(d time.Duration) { h[bucketOf(d)]++ }

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < 32 {
		return int(n)
	}
	e := bits.Len64(n) - 6
	return min(e*32+int(n>>e), len(histogram{})-1)
}

// middle is the duration that stands for a bucket.
func middle(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket)
	}
	e := bucket/32 - 1
	return time.Duration(bucket-e*32)<<e + 1<<e/2
}

func (h *histogram) merge(o *histogram) {
	for i, n := range o {
		h[i] += n
	}
}

func (h *histogram) count() (n int64) {
	for _, c := range h {
		n += int64(c)
	}
	return n
}

// quantile is the duration that the share q of all is at most.
func (h *histogram) quantile(q float64) time.Duration {
	left := int64(q * float64(h.count()))
	for i, c := range h {
		if left -= int64(c); c > 0 && left < 0 {
			return middle(i)
		}
	}
	for i := len(h) - 1; i >= 0; i-- {
		if h[i] > 0 {
			return middle(i)
		}
	}
	return 0
}

// sparse is the form in which a histogram travels: bucket, count.
func (h *histogram) sparse() (out [][2]int64) {
	for i, c := range h {
		if c > 0 {
			out = append(out, [2]int64{int64(i), int64(c)})
		}
	}
	return out
}

func (h *histogram) addSparse(in [][2]int64) {
	for _, b := range in {
		if b[0] >= 0 && b[0] < int64(len(h)) {
			h[b[0]] += uint32(b[1])
		}
	}
}
