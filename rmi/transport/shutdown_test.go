package transport

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/transport/memnet"
	"gormi/rmi/wire"
)

func TestShutdownLetsCallsFinish(t *testing.T) {
	_, b, s := pair(t)
	entered, release := make(chan struct{}), make(chan struct{})
	b.handler.methods[first] = func(in *Incoming) {
		close(entered)
		<-release
		r := request(in.Context(), echo, nil)
		r.Header.Depth = 1
		if _, err := do(in.Context(), in.Session, r); err != nil {
			t.Errorf("a nested call: %v", err)
		}
		in.Reply(0, nil, []byte("finished"))
	}
	type result struct {
		body []byte
		err  error
	}
	end := make(chan result)
	go func() {
		body, err := do(t.Context(), s, request(t.Context(), first, nil))
		end <- result{body, err}
	}()
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown returned %v", err)
	}
	down := make(chan error)
	go func() { down <- b.Shutdown(t.Context()) }()
	for err := error(nil); err == nil; { // until the peer's goaway is here
		_, err = do(t.Context(), s, request(t.Context(), echo, nil))
	}
	_, err := do(t.Context(), s, request(t.Context(), echo, nil))
	wantKind(t, err, fault.PeerGone, fault.NotExecuted, "shutting down")
	close(release)
	if r := <-end; string(r.body) != "finished" || r.err != nil {
		t.Errorf("the call in flight returned %q, %v", r.body, r.err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown returned %v", err)
	}
	b.Close(time.Second)
	<-s.Done()
}

func TestCloseFailsCallsInFlightOnBothSides(t *testing.T) {
	for _, stuck := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			mem := memnet.New()
			a := newNode(t, mem.Host("a"), "")
			p, s, _, end := calledRaw(t, a, mem, linger)
			if stuck { // its peer does not read
				go do(t.Context(), s, request(t.Context(), linger, make([]byte, 1<<20)))
			} else {
				go func() { // and this one closes as soon as it hears of it
					for {
						if pre, _, err := p.record(); err != nil || pre.Kind == wire.FrameClose {
							p.conn.Close()
							return
						}
					}
				}()
			}
			synctest.Wait()
			start := time.Now()
			a.Close(time.Second)
			if d := time.Since(start); d > closeTimeout {
				t.Errorf("Close took %v", d)
			}
			err := <-end
			wantKind(t, err, fault.Closed, fault.Unknown, "the node is closed")
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v is not net.ErrClosed", err)
			}
			if a.conns.Load() != 0 || len(a.Sessions()) != 0 {
				t.Error("something is left")
			}
		})
	}
}
