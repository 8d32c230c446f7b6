package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every Go system does each of its works, over loopback, with a right answer.
func TestSystems(t *testing.T) {
	echoes := []string{"echo100", "echo1k", "echo1m", "echo64k", "null"}
	for name, want := range map[string][]string{
		"rawtcp": echoes, "rawtcp-polled": echoes, "rawunix": echoes, "net/rpc": echoes,
		"grpc": append([]string{"callback"}, echoes...), "drpc": append([]string{"callback"}, echoes...),
		"nats":          append([]string{"callback"}, echoes...),
		"capnp":         append([]string{"callback", "reference"}, echoes...),
		"gormi":         append([]string{"callback", "reference", "export"}, echoes...),
		"gormi-unix":    append([]string{"callback", "reference", "export"}, echoes...),
		"gormi-reflect": append([]string{"callback", "reference", "export"}, echoes...),
	} {
		t.Run(strings.ReplaceAll(name, "/", "-"), func(t *testing.T) {
			p, err := peerNamed(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasPrefix(name, "gormi") {
				for _, w := range jdkWorks {
					want = append(want, jdkPrefix+w)
				}
			}
			address, stop, err := p.system.Serve()
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			c, err := p.system.Dial(address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			calls := callsOf(c)
			if got := names(calls); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
				t.Errorf("does %q, want %q", got, want)
			}
			for work, call := range calls {
				for range 2 {
					if err := call(); err != nil {
						t.Errorf("%s: %v", work, err)
					}
				}
			}
			if s := measureConnections(p.system, address, 3, 5*time.Millisecond); s.Error != "" || s.Calls < 3 {
				t.Errorf("3 connections: %+v", s)
			}
		})
	}
}

func TestJava(t *testing.T) {
	if why := javaMissing(); why != "" {
		t.Skip(why)
	}
	if testing.Short() {
		t.Skip("compiles Java")
	}
	p, err := peerNamed("java-rmi")
	if err != nil {
		t.Fatal(err)
	}
	x, err := startPair(p, "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.stop()
	works := []work{
		{name: "null", callers: 3}, {name: "echo100", callers: 1}, {name: "echo1k", callers: 1}, {name: "echo64k", callers: 1},
		{name: "echo1m", callers: 1}, {name: "callback", callers: 1}, {name: "reference", callers: 1}, {name: "export", callers: 1},
	}
	for _, name := range jdkWorks {
		works = append(works, work{name: name, callers: 1, suite: "jdk"})
	}
	if len(works) != len(x.works) {
		t.Errorf("does %q", names(x.works))
	}
	for _, w := range works {
		if !x.can(w) {
			t.Errorf("cannot %v", w)
		} else if s, err := x.ask(w, time.Millisecond); err != nil || s.Allocs >= 0 {
			t.Errorf("%v: %+v, %v", w, s, err)
		}
	}
}

// Processes are started, measured in turn, and told of.
func TestCompare(t *testing.T) {
	o, err := parsed("-systems", "gormi,rawtcp,rawunix", "-works", "null,echo1k,export,connections", "-quick", "-dur", "10ms", "-rounds", "2", "-callers", "1,4")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := suitePeers(o)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range rows {
		got = append(got, r.System+" "+work{name: r.Work, callers: r.Callers}.String())
		if r.CallsPerS <= 0 || r.P50 <= 0 || r.P99 < r.P50 || r.Allocs == nil {
			t.Errorf("%+v", r)
		}
		_, known := os.Stat("/proc/self/io")
		if r.Work == "echo1k" && known == nil && (r.BytesACall < 2048 || r.BytesACall > 4096) {
			t.Errorf("%s sends and receives %.0f bytes to echo 1 KiB", r.System, r.BytesACall)
		}
		if x := r.Ratio["gormi"]; r.System == "rawtcp" && x <= 0 {
			t.Errorf("rawtcp to gormi: %v", r.Ratio)
		}
	}
	want := []string{
		"rawtcp null, 1 callers", "rawunix null, 1 callers", "gormi null, 1 callers", "gormi null, 4 callers",
		"rawtcp echo1k, 1 callers", "rawunix echo1k, 1 callers", "gormi echo1k, 1 callers", "gormi echo1k, 4 callers",
		"gormi export, 1 callers", "gormi export, 4 callers",
		"rawtcp connections, 200 callers", "rawunix connections, 200 callers", "gormi connections, 200 callers",
	}
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%q, want\n%q", got, want)
	}
}

func TestMissingWork(t *testing.T) {
	p, err := peerNamed("rawtcp")
	if err != nil {
		t.Fatal(err)
	}
	x, err := startPair(p, "")
	if err != nil {
		t.Fatal(err)
	}
	defer x.stop()
	if x.can(work{name: "callback", callers: 1}) || x.can(work{name: "null", callers: 2}) || !x.can(work{name: "null", callers: 1}) {
		t.Error("what raw TCP can do:", x.works)
	}
	if _, err := x.ask(work{name: "callback", callers: 1}, time.Millisecond); err == nil {
		t.Error("work that the system cannot do was measured")
	}
}

func TestFanout(t *testing.T) {
	for _, b := range brokers {
		rate, _, err := fanoutRound(b.name, b.open, spread{4, 2}, 300)
		if err != nil || rate <= 0 {
			t.Errorf("%s: %v deliveries/s, %v", b.name, rate, err)
		}
	}
}
