package main

import (
	"math"
	"math/rand/v2"
	"time"
)

// symbols are the companies, which do not exist.
var symbols = [...]string{
	"ACME", "AJAX", "APEX", "ATOM", "BOLT", "BRIO", "COMET", "DUNE",
	"ECHO", "FABLE", "GIZMO", "HALO", "IRIS", "JOLT", "KITE", "LYNX",
}

// market makes up quotes: each price is a random walk. Except for the times, it is a function of
// its seed.
type market struct {
	random *rand.Rand
	quotes []Quote // the newest of each symbol
}

// newMarket returns a market with its first quotes.
func newMarket(seed uint64, now time.Time) *market {
	m := &market{random: rand.New(rand.NewPCG(seed, 0))}
	for _, s := range symbols {
		price := Cents(20_00 + m.random.Int64N(480_00))
		m.quotes = append(m.quotes, Quote{Symbol: s, Price: price, Open: price, At: now})
	}
	return m
}

// step moves the price of one company, mostly by less than half a percent, and at least by a cent.
func (m *market) step(now time.Time) Quote {
	q := &m.quotes[m.random.IntN(len(m.quotes))]
	move := float64(q.Price) * 0.004 * m.random.NormFloat64()
	q.Price = max(1, q.Price+Cents(math.Copysign(math.Ceil(math.Abs(move)), move)))
	q.At = now
	return *q
}
