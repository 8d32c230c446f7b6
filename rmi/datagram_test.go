package rmi_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi"
	"gormi/rmi/internal/lossy"
	"gormi/rmi/transport/datagram"
)

// overDatagrams returns an owner that listens for datagrams on a link in memory, and a client.
func overDatagrams(t *testing.T, o lossy.Options) (packets *lossy.Network, owner, caller *rmi.Node) {
	t.Helper()
	packets = lossy.New(o)
	opts := &rmi.Options{Network: datagram.Network{Packets: packets}}
	return packets, listening(t, "udp:owner:7000", opts), client(t, opts)
}

// What works over TCP works over datagrams.
func TestCallsOverDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, owner, caller := overDatagrams(t, lossy.Options{Delay: 2 * time.Millisecond})
		if want := (refs.Endpoint{Host: "owner", Port: 7000, UDP: true}); owner.Endpoint() != want {
			t.Errorf("the owner says it is at %v, want %v", owner.Endpoint(), want)
		}
		w := hire(t, owner, caller, &worker{do: func(ctx context.Context, n int64) (int64, error) {
			if n < 0 {
				<-ctx.Done()
				return 0, ctx.Err()
			}
			return n, nil
		}})
		ctx := t.Context()
		for n := range int64(100) {
			if m, err := w.Do(ctx, n); m != n || err != nil {
				t.Fatalf("got %d, %v", m, err)
			}
		}
		for _, size := range []int{1000, 1100, 1150, 1200, 32 << 10, 100 << 10, 3 << 20} {
			b := bytes.Repeat([]byte{byte(size >> 3)}, size)
			if got, err := w.Bytes(ctx, b); err != nil || !bytes.Equal(got, b) {
				t.Fatalf("%d bytes come back as %d, %v", size, len(got), err)
			}
		}
		// A callback, over the connection that the caller opened.
		if n, err := w.Apply(ctx, func(_ context.Context, n int64) (int64, error) { return 2 * n, nil }, 21); n != 42 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		for _, patience := range []time.Duration{3 * time.Millisecond, 20 * time.Second} { // before and after the callee took charge
			short, cancel := context.WithCancel(t.Context())
			time.AfterFunc(patience, cancel)
			_, err := w.Do(short, -1)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a cancelled call ends with %v", err)
			}
			cancel()
		}
		time.Sleep(time.Minute) // an idle session lives
		if n, err := w.Do(ctx, 1); n != 1 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

func TestASmallCallCostsTwoDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		packets, owner, caller := overDatagrams(t, lossy.Options{Delay: time.Millisecond})
		w := hire(t, owner, caller, &worker{})
		ctx := within(t)
		if _, err := w.Do(ctx, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second) // until the caller has registered as a holder
		before := packets.Counts().Sent
		const calls = 200
		for n := range int64(calls) {
			if _, err := w.Do(ctx, n); err != nil {
				t.Fatal(err)
			}
		}
		if got := packets.Counts().Sent - before; got != 2*calls {
			t.Errorf("%d calls took %d datagrams", calls, got)
		}
	})
}

func TestCallsOverUDP(t *testing.T) {
	owner := listening(t, "udp:127.0.0.1:0", nil)
	caller := client(t, nil)
	if ep := owner.Endpoint(); !ep.UDP || !ep.IsLoopback() || owner.Port().Public() {
		t.Errorf("the owner listens at %v", ep)
	}
	w := hire(t, owner, caller, &worker{})
	b := bytes.Repeat([]byte("x"), 200<<10)
	if got, err := w.Bytes(within(t), b); err != nil || !bytes.Equal(got, b) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	owner.Close()
	_, err := w.Do(within(t), 1)
	for rmi.KindOf(err) == rmi.KindPeerGone { // the end of the connection was not noticed yet
		_, err = w.Do(within(t), 1)
	}
	expect{rmi.KindConnectFailed, rmi.OutcomeNotExecuted, nil}.check(t, err)
	if err != nil && !strings.Contains(err.Error(), "nobody listens there") {
		t.Error(err)
	}
}

// Datagrams go in the clear: TLS in the options is no leave for them.
func TestDatagramsStayOnLoopback(t *testing.T) {
	for _, cfg := range []*tls.Config{nil, {}} {
		n := client(t, &rmi.Options{TLS: cfg})
		_, err := n.Listen(t.Context(), "udp::0")
		expect{rmi.KindDenied, rmi.OutcomeNotExecuted, nil}.check(t, err)
		if err != nil && !strings.Contains(err.Error(), "TLS does not run over datagrams") {
			t.Error(err)
		}
		r := export[Worker](t, n, &worker{}, nil)
		r.Endpoint = refs.Endpoint{Host: "192.0.2.1", Port: 7, UDP: true} // nobody's
		r.Node[0]++
		_, err = resolve[Worker](t, n, r).Do(within(t), 1)
		if err == nil || !strings.Contains(err.Error(), "TLS does not run over them") && !strings.Contains(err.Error(), "unreachable") {
			t.Errorf("dialling another machine ends with %v", err)
		}
	}
	n := listening(t, "udp::0", &rmi.Options{Insecure: true})
	if ep := n.Endpoint(); !ep.UDP || !ep.IsBlank() || !n.Port().Public() {
		t.Errorf("the node listens at %v", ep)
	}
}

// A call that is cancelled just as it is answered harms nothing but itself. Its cancel crosses the
// return, whichever way that went, and finds the call done.
func TestACancelThatCrossesTheReturnIsHarmlessOverDatagrams(t *testing.T) {
	good := lossy.Options{Delay: time.Millisecond}
	bad := badLink(3)
	bad.Delay = time.Millisecond
	for name, o := range map[string]lossy.Options{"a good link": good, "a bad link": bad} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, owner, caller := overDatagrams(t, o)
				var ran ledger
				w := hire(t, owner, caller, &worker{
					do: func(_ context.Context, id int64) (int64, error) {
						ran.enter(id)
						time.Sleep(time.Duration(id%3) * 8 * time.Millisecond) // before and after the callee took charge
						return id, nil
					},
					bytes: func(_ context.Context, b []byte) ([]byte, error) { return b, nil }, // not in one datagram
				})
				if _, err := w.Sum(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				var told tally
				var callers sync.WaitGroup
				for c := range uint64(8) {
					callers.Go(func() {
						random := draw(9, c)
						for i := range int64(250) {
							id := i*8 + int64(c)
							patience := time.Duration(id%3)*8*time.Millisecond + time.Duration(random.Int64N(int64(6*time.Millisecond))) // a round trip and a while
							ctx, cancel := context.WithTimeout(t.Context(), patience)
							if id%2 == 0 {
								ctx, cancel = context.WithCancel(t.Context())
								time.AfterFunc(patience, cancel)
							}
							if i%10 == 9 {
								_, _ = w.Bytes(ctx, make([]byte, 2000))
							} else {
								_, err := w.Do(ctx, id)
								if told.note(id, err); err != nil && ctx.Err() == nil {
									t.Errorf("call %d: %v", id, err)
								}
							}
							cancel()
						}
					})
				}
				callers.Wait()
				synctest.Wait()
				time.Sleep(time.Second)
				told.check(t, &ran)
				c := told.counts()
				if c.OK < 100 || c.Unknown < 100 {
					t.Errorf("%v: this proves nothing", c)
				}
				if a, b := owner.Stats(), caller.Stats(); a.Sessions != 1 || b.Sessions != 1 || a.Cuts+b.Cuts != 0 || a.Resumes != 0 {
					t.Errorf("%d and %d sessions, want the one that there was, and %d connections lost", a.Sessions, b.Sessions, a.Cuts+b.Cuts)
				}
			})
		})
	}
}
