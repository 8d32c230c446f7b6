package chaos

import (
	"context"
	"math/rand/v2"
	"time"
)

// How a storm cuts a connection.
const (
	cleanly = int32(iota) // both nodes read the end
	reset                 // both get an error, perhaps before they read the last bytes
	oneWay                // one node reads the end; the other goes on until its bytes are used up, too
	styles
)

// Storm cuts every connection, every so often, until ctx ends. At each tick it draws a number
// of bytes for each direction, at random from seed. Exactly so many go on, and then nothing. A
// connection that has not carried them by the next tick is cut there.
func (f *Forwarder) Storm(ctx context.Context, seed uint64, every time.Duration) {
	random := rand.New(rand.NewPCG(seed, 0))
	ticks := time.NewTicker(every)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		for _, l := range f.all() {
			style := random.Int32N(styles)
			up, down := offset(random), offset(random)
			if l.left[Up].Load() < unbounded/2 { // of the last tick
				l.abort()
				continue
			}
			l.doom(style, up, down)
		}
	}
}

// offset draws a number of bytes below 64 KiB, as often a small one as a large one.
func offset(random *rand.Rand) int64 { return random.Int64N(1 << random.IntN(17)) }

// doom sets how many more bytes go on.
func (l *link) doom(style int32, up, down int64) {
	l.style.Store(style)
	for w, n := range [2]int64{Up: up, Down: down} {
		l.left[w].Store(n)
		if n == 0 {
			l.die(Way(w))
		}
	}
}

// die cuts the connection: direction w has carried its last byte.
func (l *link) die(w Way) {
	switch l.style.Load() {
	case cleanly:
		l.part()
	case reset:
		l.abort()
	case oneWay:
		l.count()
		closeWrite(l.to[w])
		if l.left[1-w].Load() <= 0 {
			l.part()
		}
	}
}
