package main

import (
	"strings"
	"testing"
	"time"

	"gormi/callback"
)

func TestBoard(t *testing.T) {
	start := time.Date(2026, 5, 4, 10, 0, 0, 0, time.UTC)
	b := &board{title: "ticker/quotes", match: "A*", hint: "more: ..."}
	event := func(second int, ev callback.Event[Quote]) { b.add(ev, start.Add(time.Duration(second)*time.Second)) }
	quote := func(kind callback.Kind, seq callback.Seq, symbol string, price Cents) callback.Event[Quote] {
		return callback.Event[Quote]{Kind: kind, Seq: seq, Key: symbol, Value: Quote{Symbol: symbol, Price: price, Open: 100_00}}
	}
	screen := newScreen(16)
	shows := func(second int, want string) {
		t.Helper()
		screen.Write(frame(b.lines(start.Add(time.Duration(second) * time.Second))))
		if got := screen.String(); got != strings.TrimPrefix(want, "\n") {
			t.Errorf("after %d s, the screen is\n%s\nwant%s", second, got, want)
		}
	}

	shows(0, `
ticker/quotes  A*
#0  0 quotes  waiting for the first quote
no gaps

SYMBOL       PRICE      MOVE    TODAY

more: ...
Ctrl-C ends
`)
	event(0, quote(callback.KindState, 40, "AJAX", 99_00))
	event(0, quote(callback.KindState, 40, "ACME", 100_00))
	event(1, quote(callback.KindPublished, 41, "ACME", 104_00))
	event(1, quote(callback.KindPublished, 43, "ACME", 102_50))
	event(2, quote(callback.KindPublished, 44, "AJAX", 99_01))
	shows(2, `
ticker/quotes  A*
#44  3 quotes  live
no gaps

SYMBOL       PRICE      MOVE    TODAY
ACME        102.50     -1.50 ▼  +2.50%  ▁█▅
AJAX         99.01      0.01 ▲  -0.99%  ▁█

more: ...
Ctrl-C ends
`)
	shows(7, `
ticker/quotes  A*
#44  3 quotes  no quotes for 5s
no gaps

SYMBOL       PRICE      MOVE    TODAY
ACME        102.50     -1.50 ▼  +2.50%  ▁█▅
AJAX         99.01      0.01 ▲  -0.99%  ▁█

more: ...
Ctrl-C ends
`)
	event(8, callback.Event[Quote]{Kind: callback.KindGap, Seq: 50, Missed: 6})
	event(9, callback.Event[Quote]{Kind: callback.KindGap, Restarted: true})
	event(9, quote(callback.KindState, 2, "ATOM", 7_07))
	shows(9, `
ticker/quotes  A*
#2  3 quotes  live
2 gaps (6 quotes missed, 1 restart of the server); the last:
10:00:09 the server restarted; all prices follow anew
SYMBOL       PRICE      MOVE    TODAY
ATOM          7.07      0.00   -92.93%  ▁

more: ...
Ctrl-C ends
`)
	for i := range Cents(3 * keepPast) {
		event(10, quote(callback.KindPublished, 3, "ATOM", 100_00+i))
	}
	if n := len([]rune(spark(b.rows["ATOM"].past))); n != keepPast {
		t.Errorf("a row shows %d prices, want the last %d", n, keepPast)
	}
}

func TestAFrameFitsASmallScreen(t *testing.T) {
	screen := newScreen(3)
	screen.Write(frame([]string{"one", "two", "three", "four", "five"}))
	if got := screen.String(); got != "one\ntwo\nfive\n" {
		t.Errorf("a screen of 3 rows shows %q", got)
	}
}

func TestGapText(t *testing.T) {
	for _, c := range []struct {
		gap  callback.Event[Quote]
		want string
	}{
		{callback.Event[Quote]{}, "quotes are missing here, how many is not known"},
		{callback.Event[Quote]{Missed: 1}, "1 quote is missing here"},
		{callback.Event[Quote]{Missed: 12}, "12 quotes are missing here"},
		{callback.Event[Quote]{Restarted: true}, "the server restarted; all prices follow anew"},
		{callback.Event[Quote]{Restarted: true, Missed: 3}, "the server restarted; 3 quotes are missing here; all prices follow anew"},
	} {
		if got := gapText(c.gap); got != c.want {
			t.Errorf("gapText(%+v) = %q, want %q", c.gap, got, c.want)
		}
	}
}

func TestCents(t *testing.T) {
	for _, c := range []struct {
		cents Cents
		want  string
	}{{0, "0.00"}, {5, "0.05"}, {12345, "123.45"}, {-7, "-0.07"}, {-12300, "-123.00"}} {
		if got := c.cents.String(); got != c.want {
			t.Errorf("Cents(%d) is %q, want %q", int64(c.cents), got, c.want)
		}
	}
}

func TestTheSeedMakesTheMarket(t *testing.T) {
	walk := func(seed uint64) (prices []string) {
		m := newMarket(seed, time.Time{})
		for range 1000 {
			q := m.step(time.Time{})
			prices = append(prices, q.Symbol+q.Price.String())
			if q.Price < 1 {
				t.Fatalf("a price of %v", q.Price)
			}
		}
		return prices
	}
	one := strings.Join(walk(1), " ")
	if again := strings.Join(walk(1), " "); again != one {
		t.Error("the same seed made another walk")
	}
	if other := strings.Join(walk(2), " "); other == one {
		t.Error("another seed made the same walk")
	}
}
