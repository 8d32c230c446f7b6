package main

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"gormi/callback"
	"gormi/rmi"
)

// oracle knows what a server of a seed publishes: quote number n is the nth of its market.
type oracle struct {
	t      *testing.T
	market *market
	seq    uint64 // of the newest quote
	newest map[string]string
	match  string // a prefix
}

func newOracle(t *testing.T, seed uint64, match string) *oracle {
	o := &oracle{t: t, market: newMarket(seed, time.Time{}), newest: make(map[string]string), match: match}
	for _, q := range o.market.quotes {
		o.newest[q.Symbol] = q.Price.String()
		o.seq++
	}
	return o
}

// next is the next quote that matches.
func (o *oracle) next() said {
	for {
		q := o.market.step(time.Time{})
		o.seq++
		o.newest[q.Symbol] = q.Price.String()
		if strings.HasPrefix(q.Symbol, o.match) {
			return said{what: "quote", seq: o.seq, symbol: q.Symbol, price: q.Price.String()}
		}
	}
}

// join reads the snapshot and checks it: each matching symbol once, all of one time. From there on
// it uses the oracle. It returns when the first quote after it was read, and checked.
func (o *oracle) join(p *program) {
	o.t.Helper()
	state := make(map[string]said)
	var ev said
	for ev = p.event(); ev.what == "state"; ev = p.event() {
		if !strings.HasPrefix(ev.symbol, o.match) || state[ev.symbol] != (said{}) {
			o.t.Fatalf("the snapshot has %v, after %v", ev, state)
		}
		state[ev.symbol] = ev
	}
	for o.seq < ev.seq {
		before := make(map[string]string, len(o.newest))
		for s, price := range o.newest {
			before[s] = price
		}
		if want := o.next(); want.seq < ev.seq {
			continue
		} else if ev != want {
			o.t.Fatalf("the first quote after the snapshot is %v, want %v", ev, want)
		}
		for s, price := range before {
			if strings.HasPrefix(s, o.match) && state[s].price != price {
				o.t.Errorf("the snapshot before #%d has %v, want %s", ev.seq, state[s], price)
			}
			if !strings.HasPrefix(s, o.match) {
				delete(before, s)
			}
		}
		if len(state) != len(before) {
			o.t.Errorf("the snapshot has %d symbols, want %d", len(state), len(before))
		}
	}
}

// follow reads n quotes: none of those that match is missing, doubled, or another.
func (o *oracle) follow(p *program, n int) {
	o.t.Helper()
	for range n {
		if ev, want := p.event(), o.next(); ev != want {
			o.t.Fatalf("got %v, want %v", ev, want)
		}
	}
}

func TestClientsJoinWithASnapshotAndMissNothing(t *testing.T) {
	at := serveRegistry(t)
	serve(t, at, 7, 500)
	first := start(t, "-role", "client", "-registry", at+"/")
	all := newOracle(t, 7, "")
	all.join(first)
	all.follow(first, 200)

	second := start(t, "-role", "client", "-registry", at, "-match", "A*")
	some := newOracle(t, 7, "A")
	some.join(second)
	if some.seq < 200 {
		t.Errorf("the second client joined before #%d", some.seq)
	}
	some.follow(second, 30)
	all.follow(first, 300)
}

func TestAClientGoesOnAfterTheServerWasRestarted(t *testing.T) {
	at := serveRegistry(t)
	server := serve(t, at, 1, 200)
	client := start(t, "-role", "client", "-registry", at, "-match", "A*")
	first := newOracle(t, 1, "A")
	first.join(client)
	first.follow(client, 10)

	for _, c := range []struct {
		name string
		seed uint64
		end  func(*program)
	}{
		{"killed", 2, (*program).Kill},
		{"ended by Ctrl-C", 3, func(p *program) { needSignals(t); p.interrupt() }},
	} {
		c.end(server)
		server = serve(t, at, c.seed, 200)
		untilRestart(client)
		again := newOracle(t, c.seed, "A")
		again.join(client)
		again.follow(client, 10)
		t.Logf("the client goes on after a server was %s", c.name)
	}
	client.interrupt()
	server.interrupt()
}

// untilRestart reads the rest of what the former server published, and the gap behind it.
func untilRestart(p *program) {
	p.t.Helper()
	for ev := p.event(); ; ev = p.event() {
		if ev.what == "gap" {
			if !strings.HasPrefix(ev.text, "the server restarted; ") {
				p.t.Fatalf("the gap is %q, want that the server restarted", ev.text)
			}
			return
		}
		if ev.what != "quote" {
			p.t.Fatalf("got %v before the gap", ev)
		}
	}
}

// A client whose output nobody reads cannot show all quotes. It says how many are missing.
func TestASlowClientShowsItsGap(t *testing.T) {
	at := serveRegistry(t)
	serve(t, at, 5, 20_000)
	slow := start(t, "-role", "client", "-registry", at)
	newOracle(t, 5, "").join(slow) // and then it is not read

	node := rmi.NewNode(nil)
	defer node.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen := 0
	for _, err := range callback.EventsByName[Quote](ctx, node, name(at), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen == 50_000 { // more than the pipe and the queue hold
			break
		}
	}

	missing := regexp.MustCompile(`^(\d+) quotes are missing here$`)
	last := uint64(0)
	for {
		ev := slow.event()
		if ev.what == "quote" {
			last = ev.seq
			continue
		}
		m := missing.FindStringSubmatch(ev.text)
		if m == nil {
			t.Fatalf("got %v, want a gap that says how many quotes are missing", ev)
		}
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if ev = slow.event(); ev.what != "quote" || ev.seq != last+n+1 {
			t.Fatalf("#%d, %d are missing, and then %v", last, n, ev)
		}
		break
	}
}

func TestNoFlagsStartAllOnOneMachine(t *testing.T) {
	all := start(t)
	hint := all.Line()
	at, ok := strings.CutPrefix(hint, "more: go run ./examples/ticker -role client -registry ")
	if !ok {
		t.Fatalf("the first line is %q", hint)
	}
	own := newOracle(t, 1, "")
	own.join(all)
	own.follow(all, 5)

	client := start(t, "-role", "client", "-registry", at, "-match", "[AB]*")
	for range 6 {
		if ev := client.event(); ev.what != "state" || !strings.ContainsAny(ev.symbol[:1], "AB") {
			t.Errorf("the client's snapshot has %v", ev)
		}
	}
	needSignals(t)
	client.interrupt()
	all.interrupt()
}

func TestWrongUse(t *testing.T) {
	at := serveRegistry(t)
	for _, c := range []struct {
		args, want string
	}{
		{"-role broker", "-role is \"broker\": want all, server or client"},
		{"-rate 0", "-rate is 0: want more than 0"},
		{"-rate NaN", "-rate is NaN: want more than 0"},
		{"-rate 1e6", "at most 100000"},
		{"quotes", "\"quotes\" is no argument"},
		{"-role client -registry " + at, "not bound"},
		{"-role server -registry rmi://127.0.0.1:1", "no registry answers"},
		{"-match [", "["},
	} {
		p := start(t, strings.Fields(c.args)...)
		if status := p.End(); status != 1 || !strings.Contains(p.Log(), c.want) {
			t.Errorf("ticker %s: status %d, log %q, want 1 and %q", c.args, status, p.Log(), c.want)
		}
	}
}
