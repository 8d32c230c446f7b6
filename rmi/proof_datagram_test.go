package rmi_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/lossy"
	"gormi/rmi/transport/datagram"
)

// badLink loses a fifth of all datagrams; others come twice, and late.
func badLink(seed uint64) lossy.Options {
	return lossy.Options{Seed: seed, Loss: 0.2, Dup: 0.1, Reorder: 0.2}
}

// Over a link that loses, duplicates and reorders datagrams, small calls, large ones and calls back
// succeed, and each runs once. One in eight is cancelled or reaches its deadline, at any time: it
// runs at most once, as its caller is told.
func TestProofDatagrams(t *testing.T) {
	for seed := range uint64(size(1, 10)) {
		t.Run(fmt.Sprintf("in memory, seed %d", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := badLink(seed)
				o.Delay = 2 * time.Millisecond
				packets := lossy.New(o)
				opts := rmi.Options{Network: datagram.Network{Packets: packets}}
				overBadLink(t, opts, "udp:owner:7000", seed, 10_000, packets.Counts)
			})
		})
	}
	for seed := range uint64(size(1, 3)) {
		t.Run(fmt.Sprintf("sockets, seed %d", seed), func(t *testing.T) {
			packets := lossy.NewSockets(badLink(seed))
			opts := rmi.Options{Network: datagram.Network{Packets: packets}}
			overBadLink(t, opts, "udp:127.0.0.1:0", seed, size(3000, 10_000), packets.Counts)
		})
	}
}

func overBadLink(t *testing.T, o rmi.Options, at string, seed uint64, calls int, passed func() lossy.Counts) {
	o.Timeout = 5 * time.Minute // of what the nodes ask for by themselves, too
	theirs, ours := o, o
	owner, caller := quiet(t, &theirs), quiet(t, &ours)
	if _, err := owner.Listen(t.Context(), at); err != nil {
		t.Fatal(err)
	}
	var there, here ledger // what ran at the owner, and at the caller when called back
	var told, answered tally
	var givenUp ledger // calls that need not end well
	w := hire(t, owner, caller, &worker{
		do: func(ctx context.Context, id int64) (int64, error) {
			there.enter(id)
			return id, work(ctx, time.Duration(id%4/3*25)*time.Millisecond) // a quarter until the callee takes charge
		},
		bytes: func(_ context.Context, b []byte) ([]byte, error) {
			there.enter(int64(binary.BigEndian.Uint64(b)))
			return bytes.Clone(b), nil
		},
		apply: func(ctx context.Context, f Func, id int64) (int64, error) {
			there.enter(id)
			n, err := f(ctx, id)
			answered.note(id, err)
			return n, err
		},
	})
	back := func(_ context.Context, id int64) (int64, error) {
		here.enter(id)
		return -id, nil
	}
	ctx := duration(t, 5*time.Minute)
	start := time.Now()
	var next atomic.Int64
	var workers sync.WaitGroup
	for c := range uint64(64) {
		workers.Go(func() {
			random := draw(seed, c)
			for id := next.Add(1); id <= int64(calls); id = next.Add(1) {
				kind, n := random.IntN(100), 50<<10
				if kind < 5 && kind > 1 { // a fiftieth of the calls is large
					kind = 99
				}
				call, done := ctx, func() {}
				if random.IntN(8) == 0 {
					givenUp.enter(id)
					patience := time.Duration(random.Int64N(int64(60 * time.Millisecond)))
					if call, done = context.WithTimeout(ctx, patience); id%2 == 0 {
						done()
						call, done = context.WithCancel(ctx)
						time.AfterFunc(patience, done)
					}
				}
				told.note(id, oneCall(call, w, id, kind, n, true, back))
				done()
			}
		})
	}
	workers.Wait()
	took := time.Since(start)

	if err := caller.Shutdown(ctx); err != nil { // until those are over that were given up
		t.Error(err)
	}
	told.check(t, &there)
	told.allOKBut(t, &givenUp)
	answered.check(t, &here)
	answered.allOKBut(t, &givenUp)
	a, b, c := owner.Stats(), caller.Stats(), passed()
	figure(t, "%d calls in %v: %v; callbacks: %v; %d datagrams of %d lost, %d twice, %d late; duplicates: %d and %d answered from the kept replies",
		calls, took.Round(time.Millisecond), told.counts(), answered.counts(), c.Lost, c.Sent, c.Dup, c.Late, a.DuplicatesRetained, b.DuplicatesRetained)
	for what, n := range map[string]int64{
		"datagram was lost":               int64(c.Lost), // so, as all calls ended well, it was sent again
		"datagram came twice":             int64(c.Dup),
		"datagram came late":              int64(c.Late),
		"callback was made":               int64(len(here.ran)),
		"call was given up":               int64(calls - told.counts().OK),
		"call was answered once more":     a.DuplicatesRetained,
		"callback was answered once more": b.DuplicatesRetained,
	} {
		if n == 0 {
			t.Errorf("no %s: this proves nothing", what)
		}
	}
	if a.Sessions != 1 || b.Sessions != 1 || a.Cuts+b.Cuts != 0 {
		t.Errorf("%d and %d sessions, want the one that there was, and %d connections lost", a.Sessions, b.Sessions, a.Cuts+b.Cuts)
	}
}
