package transport

import "sync/atomic"

// use counts what is in use of something that is limited.
type use struct{ n atomic.Int64 }

// add counts n more, or fewer.
func (u *use) add(n int64) { u.n.Add(n) }

// now is how much is in use.
func (u *use) now() int64 { return u.n.Load() }

// within counts n more unless that would go beyond limit, and reports whether it did.
func (u *use) within(n, limit int64) bool {
	if u.n.Add(n) > limit {
		u.n.Add(-n)
		return false
	}
	return true
}

// both counts n in a total and in an account's part of it, or in neither.
func both(total *use, limit int64, part *use, share, n int64) bool {
	if !total.within(n, limit) {
		return false
	}
	if !part.within(n, share) {
		total.add(-n)
		return false
	}
	return true
}
