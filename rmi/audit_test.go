package rmi_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/access"
	"gormi/rmi/audit"
	"gormi/rmi/rmitest"
)

// auditor notes events.
type auditor struct {
	mu     sync.Mutex
	events []audit.Event
}

func (a *auditor) note(e audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

func (a *auditor) of(kind audit.Kind) (events []audit.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}

// A hook is told of every denied call. The log has ten in a second, and how many it left out.
func TestDeniedCallsAreAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a auditor
		var b syncBuffer
		network := rmitest.New(t)
		owner, caller := network.NodeWith(&rmi.Options{
			Authorize: func(_ context.Context, c access.Call) bool { return c.Method != "Do" },
			Audit:     a.note, Logger: slog.New(slog.NewTextHandler(&b, nil)),
		}), network.Client()
		w := hire(t, owner, caller, &worker{})
		const calls = 35
		for range calls {
			_, err := w.Do(t.Context(), 1)
			wantDenied(t, err)
		}
		events := a.of(audit.CallDenied)
		if len(events) != calls {
			t.Fatalf("%d events for %d calls", len(events), calls)
		}
		if e := events[0]; e.Principal != "anonymous" || e.Node != caller.ID() || !strings.HasSuffix(e.Interface, "Worker") || e.Method != "Do" {
			t.Errorf("%+v", e)
		}
		time.Sleep(2 * time.Second)
		if n := strings.Count(b.String(), `msg="call denied" audit=true principal=anonymous`); n != 10 {
			t.Errorf("%d records, want 10:\n%s", n, b.String())
		}
		if want := fmt.Sprintf(`event="call denied" number=%d`, calls-10); !strings.Contains(b.String(), want) {
			t.Errorf("the log says\n%s\nwant %s", b.String(), want)
		}
		// The next second begins anew, and one kind does not silence another.
		if _, err := w.Do(t.Context(), 1); rmi.KindOf(err) != rmi.KindDenied {
			t.Error(err)
		}
		if n := strings.Count(b.String(), `msg="call denied"`); n != 11 {
			t.Errorf("%d records, want 11", n)
		}
	})
}

// A hook that panics harms nobody.
func TestAnAuditThatPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b syncBuffer
		network := rmitest.New(t)
		owner, caller := network.NodeWith(&rmi.Options{
			Authorize: func(_ context.Context, c access.Call) bool { return c.Method != "Do" },
			Audit:     func(audit.Event) { panic("oops") }, Logger: slog.New(slog.NewTextHandler(&b, nil)),
		}), network.Client()
		w := hire(t, owner, caller, &worker{})
		_, err := w.Do(t.Context(), 1)
		wantDenied(t, err)
		if _, err := w.Sum(t.Context(), 1, 2); err != nil {
			t.Error(err)
		}
		if log := b.String(); !strings.Contains(log, `msg="Options.Audit panicked" panic=oops`) || !strings.Contains(log, `msg="call denied"`) {
			t.Error(log)
		}
	})
}

// A call for which its peer has no handler left, and whose queue is full, is an event.
func TestQuotasAreAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a auditor
		network := rmitest.New(t)
		owner, caller := network.NodeWith(&rmi.Options{Limits: rmi.Limits{Handlers: 1, Queue: 1}, Audit: a.note}), network.Client()
		release := make(chan struct{})
		w := hire(t, owner, caller, &worker{do: func(_ context.Context, n int64) (int64, error) { <-release; return n, nil }})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		done := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := w.Do(ctx, 1)
				done <- err
			}()
		}
		synctest.Wait()
		events := a.of(audit.QuotaExceeded)
		if len(events) == 0 || events[0].Node != caller.ID() || events[0].From == "" || !strings.Contains(events[0].Reason, "Options.Limits.Handlers") {
			t.Errorf("%+v", events)
		}
		close(release)
		for range 3 {
			<-done
		}
	})
}
