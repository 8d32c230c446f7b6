package rmi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"gormi/refs"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi"
	"gormi/rmi/internal/guard"
	"gormi/rmi/rmitest"
)

// Options for an object that is exported already apply if nobody can have called it. Otherwise they
// are refused, and the error names both places.
func TestOptionsOfASecondExport(t *testing.T) {
	serial := &rmi.ExportOptions{Threading: rmi.ThreadingSerial}
	idempotent := &rmi.ExportOptions{Methods: map[string]rmi.Semantics{"Do": {Idempotent: true}}}
	for name, c := range map[string]struct {
		first  *rmi.ExportOptions // of Export; nil: it is passed to a peer
		known  bool               // a reference was made
		second *rmi.ExportOptions
		says   []string // the error; nil: there is none
	}{
		"none after some":        {serial, true, nil, nil},
		"the same":               {serial, true, serial, nil},
		"others, unknown yet":    {&rmi.ExportOptions{MaxMessage: 1000}, false, serial, nil},
		"semantics, unknown yet": {serial, false, idempotent, nil},
		"passed first":           {nil, true, serial, []string{"by being passed to node ", "exports_test.go:"}},
		"known already":          {new(rmi.ExportOptions), true, serial, []string{"by Export at ", "may have called"}},
		"semantics, known":       {serial, true, idempotent, []string{"by Export at ", "may have called"}},
		"a well-known one":       {&rmi.ExportOptions{Number: 7}, false, &rmi.ExportOptions{Number: 7, MaxMessage: 10}, []string{"by Export at ", "may have called"}},
		"a number, unknown yet":  {serial, false, &rmi.ExportOptions{Number: 8}, nil},
		"a number, known":        {serial, true, &rmi.ExportOptions{Number: 8, Threading: rmi.ThreadingSerial}, []string{"by Export at ", "may have called"}},
		"contradicting numbers":  {&rmi.ExportOptions{Number: 7}, false, &rmi.ExportOptions{Number: 8}, []string{"Number 7 there, 8 here"}},
		"contradicting":          {serial, false, &rmi.ExportOptions{Threading: rmi.ThreadingPerConnection}, []string{"Threading serial there, per connection here"}},
		"contradicting limits":   {&rmi.ExportOptions{MaxMessage: 7}, false, &rmi.ExportOptions{MaxMessage: 8}, []string{"MaxMessage 7 there, 8 here"}},
		"contradicting methods":  {idempotent, false, &rmi.ExportOptions{Methods: map[string]rmi.Semantics{"Do": {Timeout: time.Second}}}, []string{"the Methods differ"}},
	} {
		t.Run(name, func(t *testing.T) {
			network := rmitest.New(t)
			owner, caller := network.Node(), network.Node()
			v := &worker{}
			if c.first == nil {
				if _, err := hire(t, caller, owner, &worker{meet: func(_ context.Context, w Worker) (Worker, error) { return nil, nil }}).Meet(within(t), v); err != nil {
					t.Fatal(err)
				}
			} else {
				h, err := rmi.Export[Worker](owner, v, c.first)
				if err != nil {
					t.Fatal(err)
				}
				if c.known {
					h.Ref()
				}
			}
			exports := owner.Exports()
			h, err := rmi.Export[Worker](owner, v, c.second)
			if c.says == nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if n, err := resolve[Worker](t, caller, h.Ref()).Do(within(t), 3); n != 3 || err != nil {
					t.Errorf("called: %v, %v", n, err)
				}
			} else {
				expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
				for _, text := range append(c.says, "exports_test.go:") {
					if err != nil && !strings.Contains(err.Error(), text) {
						t.Errorf("%v does not say %q", err, text)
					}
				}
			}
			if n := owner.Exports(); n != exports {
				t.Errorf("%d exports, of %d before", n, exports)
			}
		})
	}
}

func TestOptionsOfASecondExportAreObeyed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		var o overlap
		v := &worker{do: func(ctx context.Context, n int64) (int64, error) {
			o.enter()
			defer o.leave()
			time.Sleep(time.Second)
			return n, nil
		}}
		first, err := rmi.Export[Worker](owner, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		second, err := rmi.Export[Worker](owner, v, &rmi.ExportOptions{Threading: rmi.ThreadingSerial, MaxMessage: 100,
			Methods: map[string]rmi.Semantics{"Sum": {Timeout: time.Second}}})
		if err != nil {
			t.Fatal(err)
		}
		if first.Ref() != second.Ref() {
			t.Error("two references to one object")
		}
		second.Close() // the first handle is enough
		w := resolve[Worker](t, caller, first.Ref())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if _, err := w.Do(t.Context(), 1); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := o.most.Load(); n != 1 {
			t.Errorf("%d calls at a time", n)
		}
		_, err = w.Bytes(t.Context(), make([]byte, 200))
		expect{rmi.KindTooLarge, rmi.OutcomeNotExecuted, nil}.check(t, err)
		first.Close()
		if all := owner.Inventory().Exports; len(all) != 1 || all[0].Handles != 0 { // the proxy holds it
			t.Errorf("with both handles closed: %+v", all)
		}
	})
}

func TestARevokedObjectIsGoneForEverybody(t *testing.T) {
	overCarriers(t, func(t *testing.T, network carrier) {
		owner, caller := network.Node(), network.Client()
		running, release := make(chan struct{}), make(chan struct{})
		v := &worker{do: func(_ context.Context, n int64) (int64, error) {
			if n == 0 {
				close(running)
				<-release
			}
			return n, nil
		}}
		others := owner.Exports()
		h, err := rmi.Export[Worker](owner, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		other, err := rmi.Export[Worker](owner, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		w := resolve[Worker](t, caller, h.Ref())
		result := make(chan error, 1)
		go func() {
			_, err := w.Do(within(t), 0)
			result <- err
		}()
		<-running
		for range 2 {
			if err := h.Revoke(); err != nil {
				t.Error(err)
			}
		}
		_, err = w.Do(within(t), 1)
		expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
		_, err = resolve[Worker](t, caller, other.Ref()).Do(within(t), 1)
		expect{rmi.KindNoSuchObject, rmi.OutcomeNotExecuted, nil}.check(t, err)
		close(release)
		if err := <-result; err != nil {
			t.Errorf("a call that ran: %v", err)
		}
		if n := owner.Exports() - others; n != 0 {
			t.Errorf("%d exports are left", n)
		}
		again, err := rmi.Export[Worker](owner, v, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again.Ref() == h.Ref() {
			t.Error("exported again, it has the old reference")
		}
		other.Close()
		if n, err := resolve[Worker](t, caller, again.Ref()).Do(within(t), 5); n != 5 || err != nil {
			t.Errorf("exported again: %v, %v", n, err)
		}
	})
}

func TestSemanticsOfAWellKnownObjectCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, caller := network.Node(), network.Client()
		ended := make(chan error, 1)
		export[Worker](t, owner, &worker{do: block(ended)}, &rmi.ExportOptions{Number: 7, Methods: map[string]rmi.Semantics{"Do": {Timeout: 2 * time.Second}}})
		w := resolve[Worker](t, caller, refs.WellKnown(owner.Endpoint(), 7))
		begun := time.Now()
		_, err := w.Do(t.Context(), 1)
		if d := time.Since(begun); rmi.KindOf(err) != rmi.KindDeadline || d > 3*time.Second {
			t.Errorf("after %v: %v", d, err)
		}
		<-ended
	})
}

// A method that returns because its deadline passed says what its caller says.
func TestTheErrorOfAPassedDeadlineIsADeadline(t *testing.T) {
	for _, desked := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			network := rmitest.New(t)
			owner, caller := network.Node(), network.ClientWith(&rmi.Options{Timeout: 3 * time.Second})
			do := func(ctx context.Context, n int64) (int64, error) {
				switch n {
				case 1:
					<-ctx.Done()
					return 0, fmt.Errorf("reading: %w", ctx.Err())
				case 2: // its own, shorter one
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					<-ctx.Done()
					return 0, ctx.Err()
				}
				<-ctx.Done()
				return 0, errPoor
			}
			call := hire(t, owner, caller, &worker{do: do}).Do
			if desked {
				call = staff(t, owner, caller, &desk{do: do}, nil).Do
			}
			_, err := call(t.Context(), 1)
			expect{rmi.KindDeadline, rmi.OutcomeExecuted, context.DeadlineExceeded}.check(t, err)
			for _, text := range []string{"reading", "within the default of 3s (Options.Timeout)", "said by the peer"} {
				if err != nil && !strings.Contains(err.Error(), text) {
					t.Errorf("the text does not say %q: %v", text, err)
				}
			}
			_, err = call(t.Context(), 2)
			expect{rmi.KindApplication, rmi.OutcomeExecuted, context.DeadlineExceeded}.check(t, err)
			_, err = call(t.Context(), 3)
			expect{rmi.KindApplication, rmi.OutcomeExecuted, errPoor}.check(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second) // the caller is first
			defer cancel()
			_, err = call(ctx, 1)
			expect{rmi.KindDeadline, rmi.OutcomeUnknown, context.DeadlineExceeded}.check(t, err)
		})
	}
}

func TestTheContextOfAMethodThatReturnedSaysSo(t *testing.T) {
	network := rmitest.New(t)
	owner, caller := network.Node(), network.Client()
	kept := make(chan context.Context, 2)
	w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		derived, cancel := context.WithCancel(ctx)
		_ = cancel
		kept <- ctx
		kept <- context.WithValue(derived, errPoor, 1)
		if ctx.Value(errPoor) != nil || context.Cause(ctx) != nil {
			t.Error("it has a value or a cause")
		}
		return n, nil
	}})
	if _, err := w.Do(within(t), 1); err != nil {
		t.Fatal(err)
	}
	other := hire(t, caller, owner, &worker{})
	for _, ctx := range []context.Context{<-kept, <-kept} {
		<-ctx.Done()
		later, cancel := context.WithCancel(ctx)
		defer cancel()
		for _, ctx := range []context.Context{ctx, later} {
			if cause := context.Cause(ctx); ctx.Err() != context.Canceled || !errors.Is(cause, context.Canceled) || !strings.Contains(cause.Error(), "has returned") {
				t.Errorf("%v: %v, because of %v", ctx, ctx.Err(), cause)
			}
			_, err := other.Do(ctx, 1)
			expect{rmi.KindCancelled, rmi.OutcomeNotExecuted, context.Canceled}.check(t, err)
			if err != nil && !strings.Contains(err.Error(), "has returned: what goes on after that needs a context of its own") {
				t.Errorf("the call's error is %v", err)
			}
		}
		if n, err := other.Do(context.WithoutCancel(ctx), 4); n != 4 || err != nil {
			t.Errorf("the advice: %v, %v", n, err)
		}
	}
	// A context that its caller ended says nothing of that.
	running := make(chan context.Context, 1)
	blocks := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
		running <- ctx
		<-ctx.Done()
		return n, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(within(t))
	go func() { kept <- <-running; cancel() }()
	_, err := blocks.Do(ctx, 1)
	expect{rmi.KindCancelled, rmi.OutcomeUnknown, nil}.check(t, err)
	if strings.Contains(err.Error(), "has returned") {
		t.Error(err)
	}
	ended := <-kept
	<-ended.Done()
	if cause := context.Cause(ended); cause != context.Canceled {
		t.Errorf("cancelled by the caller, its cause is %v", cause)
	}
}

func TestAMethodThatEndsItsGoroutineIsLogged(t *testing.T) {
	network := rmitest.New(t)
	var log bytes.Buffer
	var mu sync.Mutex
	owner := network.NodeWith(&rmi.Options{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	w := hire(t, owner, network.Client(), &worker{
		do: func(context.Context, int64) (int64, error) { runtime.Goexit(); return 0, nil },
	})
	_, err := w.Do(within(t), 1)
	expect{rmi.KindPanic, rmi.OutcomeExecuted, nil}.check(t, err)
	mu.Lock()
	defer mu.Unlock()
	for _, text := range []string{"level=ERROR", "a method ended its goroutine", "method=Do", "rmi_test.Worker", "TestAMethodThatEndsItsGoroutineIsLogged.func"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("%q is not in the log:\n%s", text, log.String())
		}
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// References among results that are never sent hold nothing.
func TestResultsThatCannotBeSentHoldNothing(t *testing.T) {
	network := rmitest.New(t)
	owner := network.Node()
	huge := make([]Worker, 3)
	for i := range huge {
		huge[i] = &worker{}
	}
	o := new(rmi.Options)
	o.Limits.Message = 64 << 10
	w := hire(t, owner, network.ClientWith(o), &worker{visit: func(_ context.Context, v Visit) (Visit, error) {
		switch v.Name {
		case "larger": // than the caller takes
			return Visit{Name: strings.Repeat("x", 100<<10), Host: &worker{}, Guests: huge}, nil
		case "large": // more than the owner sends
			return Visit{Name: strings.Repeat("x", 5<<20), Host: &worker{}, Guests: huge}, nil
		case "deep": // more than can be encoded, behind the references
			v := Visit{Host: &worker{}, Guests: huge}
			for range 100 {
				last := v
				v = Visit{Host: &worker{}, Past: &last}
			}
			return v, nil
		}
		return Visit{Host: &worker{}, Guests: huge}, nil
	}})
	before := owner.Exports()
	for _, name := range []string{"large", "larger", "deep"} {
		_, err := w.Visit(within(t), Visit{Name: name})
		if err == nil || rmi.OutcomeOf(err) != rmi.OutcomeExecuted {
			t.Errorf("%s: %v", name, err)
		}
		if n := owner.Exports(); n != before {
			t.Errorf("%s: %d objects are exported, of %d before", name, n, before)
		}
	}
	if _, err := w.Visit(within(t), Visit{}); err != nil || owner.Exports() != before+4 {
		t.Errorf("those that can are: %v, %d of %d", err, owner.Exports(), before)
	}
}

func TestAListenThatFailsLeavesNothingListening(t *testing.T) {
	at := func(a net.Addr) string { return a.String() }
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := at(free.Addr())
	free.Close()
	n := client(t, &rmi.Options{Advertise: "no port"})
	_, err = n.Listen(t.Context(), addr)
	expect{rmi.KindInvalid, rmi.OutcomeNotExecuted, nil}.check(t, err)
	odd := &oddNetwork{}
	m := client(t, &rmi.Options{Network: odd})
	_, err = m.Listen(t.Context(), addr)
	expect{rmi.KindInternal, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if !odd.closed.Load() {
		t.Error("a listener whose address makes no sense is left")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatalf("the address is taken: %v", err)
	}
	l.Close()
	if ep := m.Endpoint(); !ep.IsZero() {
		t.Errorf("it says that it listens at %v", ep)
	}
}

// oddNetwork listens at addresses that are none.
type oddNetwork struct{ closed atomic.Bool }

func (o *oddNetwork) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, errors.New("not here")
}

func (o *oddNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	return &oddListener{l, o}, err
}

type oddListener struct {
	net.Listener
	o *oddNetwork
}

func (l *oddListener) Addr() net.Addr { return &net.UnixAddr{Name: "where?", Net: "odd"} }
func (l *oddListener) Close() error   { l.o.closed.Store(true); return l.Listener.Close() }

func TestListeningRemovesNothingButAbandonedSockets(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no unix sockets as here")
	}
	dir, err := os.MkdirTemp("", "rmi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := func(name string) string { return filepath.Join(dir, name) }
	leave := func(name string) {
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path(name), Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
	}
	leave("left")
	for name, occupy := range map[string]func() error{
		"a file":   func() error { return os.WriteFile(path("a file"), []byte("mine"), 0o600) },
		"a folder": func() error { return os.Mkdir(path("a folder"), 0o700) },
		"a link":   func() error { return os.Symlink(path("left"), path("a link")) },
	} {
		if err := occupy(); err != nil {
			t.Fatal(err)
		}
		before, _ := os.Lstat(path(name))
		_, err := client(t, nil).Listen(t.Context(), path(name))
		expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && !strings.Contains(err.Error(), "there is "+name+" already") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.Lstat(path(name)); err != nil || !os.SameFile(before, after) {
			t.Errorf("%s is gone: %v", name, err)
		}
	}
	n := client(t, nil)
	if _, err := n.Listen(t.Context(), path("left")); err != nil {
		t.Errorf("an abandoned socket: %v", err)
	}
	// Somebody takes its place; that stays when the node closes.
	if err := os.Remove(path("left")); err != nil {
		t.Fatal(err)
	}
	other, err := net.Listen("unix", path("left"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	n.Close()
	if info, err := os.Lstat(path("left")); err != nil || info.Mode().Type() != fs.ModeSocket {
		t.Errorf("another program's socket was removed: %v", err)
	}
	m := client(t, nil)
	if _, err := m.Listen(t.Context(), path("own")); err != nil {
		t.Fatal(err)
	}
	m.Close()
	if _, err := os.Lstat(path("own")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its own socket is left: %v", err)
	}
}

// Many programs want the path that a killed one left: one gets it.
func TestAnAbandonedSocketIsTakenOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no unix sockets as here")
	}
	dir, err := os.MkdirTemp("", "rmi")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	for i := range 10 {
		path := filepath.Join(dir, fmt.Sprint(i))
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		l.Close()
		var got atomic.Int64
		var winner atomic.Pointer[rmi.Node]
		var wg sync.WaitGroup
		for range 8 {
			n := client(t, &rmi.Options{Logger: slog.New(slog.DiscardHandler)}) // the others look whether it is there
			wg.Go(func() {
				if _, err := n.Listen(t.Context(), path); err == nil {
					got.Add(1)
					winner.Store(n)
				}
			})
		}
		wg.Wait()
		if n := got.Load(); n > 1 {
			t.Fatalf("%d nodes listen at one path", n)
		}
		if w := winner.Load(); w != nil {
			if n, err := hire(t, w, client(t, nil), &worker{}).Do(within(t), 1); n != 1 || err != nil {
				t.Fatalf("the one that listens cannot be reached: %v", err)
			}
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestACallMayWaitForADay(t *testing.T) {
	if guard.Checked {
		t.Skip("a day of ticks takes minutes where each lock is checked")
	}
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		owner, patient, usual := network.Node(), network.ClientWith(&rmi.Options{Timeout: -1}), network.Client()
		slow := func(_ context.Context, n int64) (int64, error) {
			time.Sleep(23 * time.Hour)
			return n, nil
		}
		byOption, byContext := hire(t, owner, patient, &worker{do: slow}), hire(t, owner, usual, &worker{do: slow})
		ended := make(chan error, 1)
		endless := hire(t, owner, patient, &worker{do: block(ended)})
		// All at once, for each hour of a connection has many heartbeats.
		var calls sync.WaitGroup
		defer calls.Wait()
		calls.Go(func() {
			if n, err := byOption.Do(t.Context(), 1); n != 1 || err != nil {
				t.Errorf("by the node's option: %v, %v", n, err)
			}
		})
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
			defer cancel()
			if n, err := byContext.Do(ctx, 1); n != 1 || err != nil {
				t.Errorf("by the context: %v, %v", n, err)
			}
		})
		_, err := endless.Do(t.Context(), 1)
		if !errors.Is(err, rmi.KindDeadline) || !errors.Is(<-ended, context.DeadlineExceeded) {
			t.Errorf("after a day: %v", err)
		}
	})
}
