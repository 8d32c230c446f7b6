//go:build unix

package rmi_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/rmitest"
	"gormi/rmi/rmitest/proctest"
)

// mortalEnv makes TestMortalProcess a process: "server ADDRESS" or "client REFERENCE".
const mortalEnv = "GORMI_MORTAL"

// TestMortalProcess is no test: it is a process that the proofs below kill and stop. A
// server prints the reference of its worker; a client listens nowhere, hands its own
// worker to that of the reference, and says so.
func TestMortalProcess(t *testing.T) {
	role, at, ok := strings.Cut(os.Getenv(mortalEnv), " ")
	if !ok {
		t.Skip("started by other tests")
	}
	n := rmi.NewNode(nil)
	defer n.Close()
	w := &worker{do: func(ctx context.Context, id int64) (int64, error) {
		if id < 0 { // until it is killed
			fmt.Println("\nrunning")
			<-ctx.Done()
		}
		return id, work(ctx, time.Duration(id)*time.Millisecond)
	}}
	if role == "server" {
		if _, err := n.Listen(t.Context(), at); err != nil {
			t.Fatal(err)
		}
		text, err := export[Worker](t, n, w, nil).MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nready %s\n", text)
	} else {
		r, err := refs.Parse(at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resolve[Worker](t, n, r).Meet(within(t), w); err != nil {
			t.Fatal(err)
		}
		fmt.Println("\nready client")
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// mortal is such a process.
type mortal struct {
	*proctest.Process
	t *testing.T
}

// begin starts a process and returns what it says when it is ready.
func begin(t *testing.T, what string) (m *mortal, ready string) {
	t.Helper()
	m = &mortal{proctest.Start(t, proctest.Self("TestMortalProcess", mortalEnv+"="+what)), t}
	return m, m.Says("ready ")
}

func (m *mortal) signal(s os.Signal) {
	m.t.Helper()
	if err := m.Cmd.Process.Signal(s); err != nil {
		m.t.Fatal(err)
	}
	if s == syscall.SIGSTOP {
		var status syscall.WaitStatus // the signal returns before all its threads stand still
		if _, err := syscall.Wait4(m.Cmd.Process.Pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
			m.t.Fatal(status, err)
		}
	}
}

// spread is how long something took, many times.
type spread []time.Duration

func (s spread) String() string {
	slices.Sort(s)
	return fmt.Sprintf("%v in the middle, %v at most", s[len(s)/2].Round(time.Millisecond), s[len(s)-1].Round(time.Millisecond))
}

// tooLong is far more than it takes to notice a death, and far less than a deadline or a lease.
const tooLong = 5 * time.Second

// A server is killed during a call: its caller, and Gone, are told, and who calls
// afterwards, over every carrier.
func TestProofAKilledServerIsNoticed(t *testing.T) {
	for _, carrier := range []string{"tcp", "unix", "udp", "tcp, by a name"} {
		t.Run(carrier, func(t *testing.T) {
			var told, gone, next spread
			for range size(3, 100) {
				at := "127.0.0.1:0"
				switch carrier {
				case "unix":
					at = filepath.Join(t.TempDir(), "s")
				case "udp":
					at = "udp:127.0.0.1:0"
				}
				server, text := begin(t, "server "+at)
				r, err := refs.Parse(text)
				if err != nil {
					t.Fatal(err)
				}
				if carrier == "tcp, by a name" { // which has an address that refuses from the beginning, most often
					r.Endpoint.Host = "localhost"
				}
				caller := quiet(t, new(rmi.Options))
				w := resolve[Worker](t, caller, r)
				ctx := duration(t, time.Minute)
				end := make(chan error, 1)
				go func() { _, err := w.Do(ctx, -1); end <- err }()
				server.Says("running")
				over := goneOf(t, w)
				start := time.Now()
				server.signal(syscall.SIGKILL)
				err = receive(t, end)
				told = append(told, time.Since(start))
				expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, err)
				receive(t, over)
				gone = append(gone, time.Since(start))
				start = time.Now()
				_, err = w.Do(ctx, 1)
				next = append(next, time.Since(start))
				expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
				_ = server.Wait()
			}
			figure(t, "%d kills; a call under way fails after %v; Gone after %v; new calls fail after %v", len(told), told, gone, next)
			if worst := max(slices.Max(told), slices.Max(gone), slices.Max(next)); worst > tooLong {
				t.Errorf("it took up to %v", worst)
			}
		})
	}
}

// graces are Grace and SessionLease of the proofs about clients: the defaults in the long form.
func graces() (grace, lease time.Duration) {
	if long {
		return 5 * time.Second, time.Minute
	}
	return time.Second, 4 * time.Second
}

// friend starts a client and returns the server's proxy of its worker.
func friend(t *testing.T, server *rmi.Node) (*mortal, Worker) {
	t.Helper()
	met := make(chan Worker, 1)
	text, err := export[Worker](t, server, &worker{meet: func(_ context.Context, w Worker) (Worker, error) {
		met <- w
		return nil, nil
	}}, nil).MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	m, _ := begin(t, "client "+string(text))
	return m, receive(t, met)
}

// A client with callbacks is killed during one: the server's call fails after the
// grace, the next ones at once, and with the lease the client is gone.
func TestProofAKilledClientHoldsUpNobody(t *testing.T) {
	grace, lease := graces()
	server := quiet(t, &rmi.Options{Grace: grace, SessionLease: lease})
	if _, err := server.Listen(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	client, w := friend(t, server)
	ctx := duration(t, 5*time.Minute)
	end := make(chan error, 1)
	go func() { _, err := w.Do(ctx, -1); end <- err }()
	client.Says("running")
	gone := goneOf(t, w)
	start := time.Now()
	client.signal(syscall.SIGKILL)
	err := receive(t, end)
	told := time.Since(start)
	expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, err)
	var next spread
	for range 20 {
		begun := time.Now()
		_, err := w.Do(ctx, 1)
		next = append(next, time.Since(begun))
		expect{rmi.KindPeerGone, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && !strings.Contains(err.Error(), "has not come back: since "+start.Format("15:")) && start.Minute() != 59 {
			t.Errorf("it does not say since when: %v", err)
		}
	}
	if n := server.Stats().Sessions; n != 1 {
		t.Errorf("%d sessions: the client could not come back", n)
	}
	select {
	case <-gone:
	case <-time.After(2 * lease):
		t.Error("it is not gone")
	}
	figure(t, "a call under way fails after %v, of a grace of %v; new calls fail after %v; Gone after %v, of a lease of %v",
		told.Round(time.Millisecond), grace, next, time.Since(start).Round(time.Millisecond), lease)
	if told > grace+tooLong/2 || slices.Max(next) > tooLong/2 {
		t.Error("it took too long")
	}
}

// A server and a client stand still for a while, which is not dying: what is called
// meanwhile is answered when they go on, and the session is the same.
func TestProofAStoppedProcessComesBack(t *testing.T) {
	for _, still := range []time.Duration{3 * time.Second, 20 * time.Second, 50 * time.Second} {
		if !long && still > 3*time.Second {
			still = still / 50 // too short for anybody to notice
		}
		t.Run(still.String(), func(t *testing.T) {
			t.Parallel()
			ctx := duration(t, 3*time.Minute)
			server, text := begin(t, "server 127.0.0.1:0")
			r, err := refs.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			here := quiet(t, new(rmi.Options))
			if _, err := here.Listen(ctx, "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			there := resolve[Worker](t, here, r)
			client, back := friend(t, here)
			for _, w := range []Worker{there, back} {
				if _, err := w.Do(ctx, 1); err != nil {
					t.Fatal(err)
				}
			}
			before := here.Stats()
			ends := make(chan error, 2)
			server.signal(syscall.SIGSTOP)
			client.signal(syscall.SIGSTOP)
			for _, w := range []Worker{there, back} {
				go func() { _, err := w.Do(ctx, 2); ends <- err }()
			}
			time.Sleep(still)
			server.signal(syscall.SIGCONT)
			client.signal(syscall.SIGCONT)
			start := time.Now()
			var failed []error
			for range 2 {
				if err := <-ends; err != nil {
					failed = append(failed, err)
				}
			}
			// The client's call waits no longer than the grace once its connection is lost, which
			// it is after 15 s.
			if len(failed) > 1 || len(failed) == 1 && (still < 15*time.Second || rmi.KindOf(failed[0]) != rmi.KindPeerGone) {
				t.Errorf("calls meanwhile: %v", errors.Join(failed...))
			}
			answered := time.Since(start)
			for _, w := range []Worker{there, back} {
				for _, err := w.Do(ctx, 3); err != nil; _, err = w.Do(ctx, 3) {
					if rmi.KindOf(err) != rmi.KindPeerGone || rmi.OutcomeOf(err) != rmi.OutcomeNotExecuted || ctx.Err() != nil {
						t.Fatal(err)
					}
					time.Sleep(10 * time.Millisecond)
				}
			}
			after := here.Stats()
			figure(t, "stopped for %v: answered after %v more, %d of 2 calls given up meanwhile; working after %v; %d connections lost, %d made again",
				still, answered.Round(time.Millisecond), len(failed), time.Since(start).Round(time.Millisecond), after.Cuts-before.Cuts, after.Resumes-before.Resumes)
			if after.Sessions != 2 || after.Sessions != before.Sessions {
				t.Errorf("%d sessions, want the two that there were", after.Sessions)
			}
		})
	}
}

// A machine cannot be reached for a while, with and without notice that the connection is lost. The
// sessions go on. Calls of the side that dialled wait. Those of the other side fail after the grace
// and work again afterwards.
func TestProofCutsAreResumed(t *testing.T) {
	for _, still := range []time.Duration{3 * time.Second, 20 * time.Second, 50 * time.Second} {
		for _, told := range []bool{true, false} {
			name := fmt.Sprintf("%v, the connection ends: %v", still, told)
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					network := rmitest.New(t)
					server, client := network.Node(), network.Client()
					met := make(chan Worker, 1)
					there := hire(t, server, client, &worker{meet: func(_ context.Context, w Worker) (Worker, error) {
						met <- w
						return nil, nil
					}})
					ctx := duration(t, time.Hour)
					if _, err := there.Meet(ctx, &worker{}); err != nil {
						t.Fatal(err)
					}
					back := receive(t, met)
					if _, err := back.Do(ctx, 1); err != nil {
						t.Fatal(err)
					}
					goneHere, goneThere := goneOf(t, there), goneOf(t, back)
					network.Partition(server, client)
					if told {
						network.Cut(server, client)
					}
					synctest.Wait()
					start := time.Now()
					up, down := make(chan error, 1), make(chan error, 1)
					var upTook, downTook time.Duration
					go func() { _, err := there.Do(ctx, 2); upTook = time.Since(start); up <- err }()
					go func() { _, err := back.Do(ctx, 2); downTook = time.Since(start); down <- err }()
					time.Sleep(still)
					network.Heal(server, client)
					if err := <-up; err != nil {
						t.Errorf("the side that dialled: %v", err)
					}
					err := <-down
					if err != nil {
						expect{rmi.KindPeerGone, rmi.OutcomeOf(err), nil}.check(t, err)
					}
					// 5 s after it was noticed: at once, or after 15 s of silence.
					lost := told && still > 5*time.Second || still > 25*time.Second
					if even := !told && still == 20*time.Second; (err != nil) != lost && !even {
						t.Errorf("the side that was dialled: %v", err)
					}
					for _, w := range []Worker{there, back} {
						if n, err := w.Do(ctx, 3); n != 3 || err != nil {
							t.Errorf("afterwards: %d, %v", n, err)
						}
					}
					if closed(goneHere) || closed(goneThere) {
						t.Error("somebody is gone")
					}
					a, b := server.Stats(), client.Stats()
					if a.Sessions != 1 || b.Sessions != 1 || told && b.Resumes != 1 {
						t.Errorf("%d and %d sessions, %d resumes", a.Sessions, b.Sessions, b.Resumes)
					}
					figure(t, "a call of the side that dialled is answered after %v, one of the other ends after %v: %v", upTook.Round(time.Millisecond), downTook.Round(time.Millisecond), rmi.KindOf(err))
				})
			})
		}
	}
}

// A machine that cannot be reached any more: who is told what, and when.
func TestProofABlackholedMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := rmitest.New(t)
		server, client := network.Node(), network.Client()
		met := make(chan Worker, 1)
		there := hire(t, server, client, &worker{meet: func(_ context.Context, w Worker) (Worker, error) {
			met <- w
			return nil, nil
		}})
		ctx := duration(t, time.Hour)
		if _, err := there.Meet(ctx, &worker{}); err != nil {
			t.Fatal(err)
		}
		back := receive(t, met)
		goneHere, goneThere := goneOf(t, there), goneOf(t, back)
		synctest.Wait()
		network.Partition(server, client)
		start := time.Now()
		up, down := make(chan error, 1), make(chan error, 1)
		go func() { _, err := there.Do(t.Context(), 2); up <- err }()
		go func() { _, err := back.Do(ctx, 2); down <- err }()
		err := <-down
		expect{rmi.KindPeerGone, rmi.OutcomeUnknown, nil}.check(t, err)
		if d := time.Since(start); d < 18*time.Second || d > 21*time.Second {
			t.Errorf("the server's call failed after %v", d)
		}
		figure(t, "the server's call under way fails after %v: %v", time.Since(start).Round(time.Millisecond), err)
		_, err = back.Do(ctx, 3)
		expect{rmi.KindPeerGone, rmi.OutcomeNotExecuted, nil}.check(t, err)
		err = <-up
		expect{rmi.KindDeadline, rmi.OutcomeUnknown, nil}.check(t, err)
		if !strings.Contains(err.Error(), "(no byte came from the peer for 15s)") || !strings.Contains(err.Error(), "no reply within the default of 30s") {
			t.Errorf("it does not say enough: %v", err)
		}
		figure(t, "the client's call under way fails with its deadline, after %v: %v", time.Since(start).Round(time.Millisecond), err)
		<-goneHere
		figure(t, "the client hears that the server is gone after %v", time.Since(start).Round(time.Second))
		<-goneThere
		figure(t, "the server hears that the client is gone after %v", time.Since(start).Round(time.Second))
		if d := time.Since(start); d < 70*time.Second || d > 80*time.Second {
			t.Errorf("both are gone after %v", d)
		}
	})
}
