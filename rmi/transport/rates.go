package transport

import (
	"time"

	"golang.org/x/time/rate"

	"gormi/rmi/internal/guard"
)

// rates bound how often each owner of an account does something. An owner may do in a moment what
// it may do in a second. What it did is remembered when its last connection is gone: else it
// would connect again.
type rates struct {
	second int // how often a second; 0: as often as it likes
	mu     guard.Mutex[map[string]*rate.Limiter]
}

// mostOwners is of how many owners a node remembers what they did. Above it, it forgets some.
const mostOwners = 1 << 16

// allow counts something that an owner does, and reports whether it may.
func (r *rates) allow(owner string) bool {
	if r.second <= 0 {
		return true
	}
	st := r.mu.Lock()
	defer r.mu.Unlock()
	l := (*st)[owner]
	if l == nil {
		if *st == nil {
			*st = make(map[string]*rate.Limiter)
		}
		for other := range *st {
			if len(*st) < mostOwners {
				break
			}
			delete(*st, other)
		}
		l = rate.NewLimiter(rate.Limit(r.second), r.second)
		(*st)[owner] = l
	}
	return l.Allow()
}

// forget forgets the owners that may do everything again.
func (r *rates) forget(now time.Time) {
	st := r.mu.Lock()
	defer r.mu.Unlock()
	for owner, l := range *st {
		if l.TokensAt(now) >= float64(r.second) {
			delete(*st, owner)
		}
	}
}

// size counts the owners that are remembered.
func (r *rates) size() int {
	st := r.mu.Lock()
	defer r.mu.Unlock()
	return len(*st)
}
