package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"gormi/callback"
)

// board is the picture of the view in place: a row for each symbol, and the state of the stream of
// events.
type board struct {
	title, match, hint string

	mu       sync.Mutex // guards the fields below
	rows     map[string]*row
	seq      callback.Seq
	heard    time.Time // when the last event came; zero: none did
	events   uint64    // quotes, without those of snapshots
	gaps     int
	missed   uint64
	restarts int
	lastGap  string
}

// row is the row of one symbol.
type row struct {
	Quote
	past []Cents // its last prices, oldest first; the last is the present one
}

const (
	keepPast = 20              // how many prices a row shows
	quiet    = 3 * time.Second // without an event until the board says so
)

// add adds an event.
func (b *board) add(ev callback.Event[Quote], now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = now
	switch ev.Kind {
	case callback.KindGap:
		b.gaps++
		b.missed += ev.Missed
		b.lastGap = now.Format(time.TimeOnly) + " " + gapText(ev)
		if ev.Restarted {
			b.restarts++
			clear(b.rows) // the new server's symbols follow
		}
		return
	case callback.KindPublished:
		b.events++
	}
	b.seq = ev.Seq
	r := b.rows[ev.Value.Symbol]
	if r == nil {
		if b.rows == nil {
			b.rows = make(map[string]*row)
		}
		r = new(row)
		b.rows[ev.Value.Symbol] = r
	}
	r.Quote = ev.Value
	if len(r.past) == keepPast {
		r.past = slices.Delete(r.past, 0, 1)
	}
	r.past = append(r.past, ev.Value.Price)
}

// lines is the picture, a string for each row of the screen.
func (b *board) lines(now time.Time) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	match := b.match
	if match == "" {
		match = "all symbols"
	}
	out := []string{
		bold + b.title + plain + "  " + match,
		fmt.Sprintf("#%d  %s  %s", b.seq, count(b.events, "quote"), b.state(now)),
		b.loss(),
		b.lastGap,
		fmt.Sprintf("%-8s%10s%10s%9s", "SYMBOL", "PRICE", "MOVE", "TODAY"),
	}
	for _, symbol := range slices.Sorted(maps.Keys(b.rows)) {
		out = append(out, b.rows[symbol].String())
	}
	return append(out, "", b.hint, "Ctrl-C ends")
}

func (b *board) state(now time.Time) string {
	switch silence := now.Sub(b.heard); {
	case b.heard.IsZero():
		return "waiting for the first quote"
	case silence >= quiet:
		return fmt.Sprintf("%sno quotes for %v%s", red, silence.Truncate(time.Second), plain)
	}
	return "live"
}

func (b *board) loss() string {
	if b.gaps == 0 {
		return "no gaps"
	}
	return red + b.sum() + "; the last:" + plain
}

// sum counts what was lost.
func (b *board) sum() string {
	return fmt.Sprintf("%s (%s missed, %s of the server)", count(b.gaps, "gap"), count(b.missed, "quote"), count(b.restarts, "restart"))
}

func count[N int | uint64](n N, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprint(n, " ", what)
}

func (r *row) String() string {
	move := Cents(0)
	if n := len(r.past); n > 1 {
		move = r.past[n-1] - r.past[n-2]
	}
	color, arrow := "", " "
	switch {
	case move > 0:
		color, arrow = green, "▲"
	case move < 0:
		color, arrow = red, "▼"
	}
	return fmt.Sprintf("%-8s%s%10v%10v %s%s%+7.2f%%  %s", r.Symbol, color, r.Price, move, arrow, plain, r.Percent(), spark(r.past))
}

// spark draws prices as bars, between the lowest and the highest of them.
func spark(prices []Cents) string {
	const bars = "▁▂▃▄▅▆▇█"
	levels := []rune(bars)
	low, high := slices.Min(prices), slices.Max(prices)
	var s strings.Builder
	for _, p := range prices {
		level := 0
		if high > low {
			level = int(p-low) * (len(levels) - 1) / int(high-low)
		}
		s.WriteRune(levels[level])
	}
	return s.String()
}
