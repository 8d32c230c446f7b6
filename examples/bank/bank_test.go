package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"gormi/rmi"
)

// TestAnomalies wants the same table every time: the anomalies do not depend on luck.
func TestAnomalies(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, plan{clients: 8, transfers: 25}); err != nil {
		t.Fatal(err)
	}
	const want = `
servant calls at once confirmed booked lost alice bob
concurrent 8 200 25 175 175.00 25.00
serial 1 200 200 0 0.00 200.00
servant calls at once audits wrong short by true sum sum at the end
concurrent 9 25 25 8.00 200.00 200.00
serial 1 25 0 0.00 200.00 200.00
`
	var got strings.Builder
	got.WriteByte('\n')
	for line := range strings.Lines(out.String()) {
		words := strings.Fields(line)
		if len(words) > 0 && (words[0] == "servant" || words[0] == "concurrent" || words[0] == "serial") {
			got.WriteString(strings.Join(words, " ") + "\n")
		}
	}
	if got.String() != want {
		t.Errorf("got the tables:%swant:%s", got.String(), want)
	}
}

func TestPlan(t *testing.T) {
	for _, c := range []struct {
		plan
		wrong string // part of the error
	}{
		{plan{2, 1}, ""},
		{plan{500, 100_000}, ""},
		{plan{1, 25}, "-clients"},
		{plan{501, 25}, "-clients"},
		{plan{8, 0}, "-transfers"},
		{plan{8, 100_001}, "-transfers"},
	} {
		err := c.check()
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("check of %+v: %v, want an error about %q", c.plan, err, c.wrong)
		}
	}
}

// TestRunInterrupted ends the context as the program prints the first line, and the second.
func TestRunInterrupted(t *testing.T) {
	for lines := range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		w := writer(func() {
			if lines--; lines < 0 {
				cancel()
			}
		})
		if err := run(ctx, w, plan{clients: 8, transfers: 100_000}); !errors.Is(err, context.Canceled) {
			t.Errorf("run returns %v", err)
		}
		cancel()
	}
}

// writer is called at each Write.
type writer func()

func (w writer) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}

// TestInterrupted: a transfer that waits for one that never comes ends with its caller's context.
func TestInterrupted(t *testing.T) {
	branch := &forgetful{read: newMeeting(rmi.ThreadingConcurrent, 2)}
	b, err := open(t.Context(), branch, rmi.ThreadingConcurrent, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.clients[0].Transfer(ctx, amount) }()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the cancelled transfer returns %v", err)
	}
	if got := branch.bob.Load(); got != 0 {
		t.Errorf("the cancelled transfer gave bob %d", got)
	}
}

// TestMeeting: the first of two calls waits for the second, in each round, and gives up with its
// context.
func TestMeeting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeeting(rmi.ThreadingConcurrent, 2)
		for round := range 3 {
			met := make(chan error, 1)
			go func() { met <- m.wait(t.Context()) }()
			synctest.Wait()
			select {
			case err := <-met:
				t.Fatalf("round %d: one party alone goes on: %v", round, err)
			default:
			}
			if err := m.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-met; err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := m.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a party whose context ended: %v", err)
		}
		if err := newMeeting(rmi.ThreadingSerial, 2).wait(t.Context()); err != nil {
			t.Errorf("the only party: %v", err)
		}
	})
}
