package datagram

import (
	"math/rand/v2"
	"time"
)

const (
	// ackDelay is how long a receiver waits for a datagram that an acknowledgement can share.
	// So a call that is answered in that time costs two datagrams.
	ackDelay = 10 * time.Millisecond

	firstTimeout = 200 * time.Millisecond // until a round trip was measured
	leastTimeout = 15 * time.Millisecond
	mostTimeout  = time.Second
	mostTrip     = 60 * time.Second // a measurement beyond it is nonsense
)

// roundTrip estimates how long an answer takes, as RFC 6298 does.
type roundTrip struct {
	measured       bool
	mean, variance time.Duration
}

func (r *roundTrip) measure(d time.Duration) {
	if d > mostTrip {
		return
	}
	if !r.measured {
		r.measured, r.mean, r.variance = true, d, d/2
		return
	}
	r.variance += ((r.mean - d).Abs() - r.variance) / 4
	r.mean += (d - r.mean) / 8
}

// timeout is how long to wait for the answer to something that was sent tries times before. It
// includes the delay of acknowledgements, as in QUIC (RFC 9002).
func (r *roundTrip) timeout(tries int) time.Duration {
	t := firstTimeout
	if r.measured {
		t = max(r.mean+max(4*r.variance, 2*time.Millisecond)+ackDelay, leastTimeout)
	}
	return min(t<<min(tries, 12), max(t, mostTimeout))
}

// jitter makes d up to a quarter longer, so that what was lost together is not sent again
// together.
func jitter(d time.Duration) time.Duration { return d + rand.N(d/4+1) }

const (
	firstWindow = 10 // RFC 6928
	leastWindow = 10
	mostWindow  = window
)

// congestion bounds the datagrams in flight, as NewReno does (RFC 5681, counted in datagrams).
// The window grows by one for each that arrived until the first loss, and then by one in a
// round trip. A loss halves it, at most once in a round trip.
type congestion struct {
	window    float64
	threshold float64   // where slow start ends
	reduced   time.Time // when the window was last made smaller
}

func newCongestion() congestion { return congestion{window: firstWindow, threshold: mostWindow} }

// arrived counts n datagrams that the peer got, of inFlight. A window that is not used does not
// grow (RFC 7661).
func (c *congestion) arrived(n, inFlight int) {
	if float64(inFlight) < c.window/2 {
		return
	}
	for range n {
		if c.window < c.threshold {
			c.window++
		} else {
			c.window += 1 / c.window
		}
	}
	c.window = min(c.window, mostWindow)
}

func (c *congestion) lost(now time.Time, trip time.Duration) {
	if now.Sub(c.reduced) <= trip && !c.reduced.IsZero() {
		return
	}
	c.reduced = now
	c.window = max(c.window/2, leastWindow)
	c.threshold = c.window
}

// timedOut is called when all that was in flight seems lost.
func (c *congestion) timedOut(now time.Time) {
	c.reduced = now
	c.threshold = max(c.window/2, leastWindow)
	c.window = leastWindow
}

// allows reports whether one more datagram may be sent.
func (c *congestion) allows(inFlight int) bool { return inFlight < int(c.window) }
