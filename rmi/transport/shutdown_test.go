package transport

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
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
	wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "shutting down")
	nested := request(t.Context(), echo, nil)
	nested.Header.Depth = 1
	if _, err := do(t.Context(), s, nested); err != nil {
		t.Errorf("a call nested in one in flight: %v", err)
	}
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
			wantKind(t, err, fault.KindClosed, fault.OutcomeUnknown, "the node is closed")
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("%v is not net.ErrClosed", err)
			}
			if a.conns.Load() != 0 || len(a.Sessions()) != 0 {
				t.Error("something is left")
			}
		})
	}
}

// A peer that goes away gets an acknowledgement of every reply, of whatever size, as soon as it
// is here. Earlier replies are acknowledged at once.
func TestAPeerThatGoesAwayHearsOfEveryReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		s := b.Live(p.node())
		results := make(chan error, 2)
		call := func() {
			go func() {
				_, err := do(t.Context(), s, request(t.Context(), echo, nil))
				results <- err
			}()
		}
		acked := func(h wire.CallHeader) {
			t.Helper()
			pre, rec := p.next(wire.FrameAck)
			if slot, seq, err := wire.ParseCancel(pre, rec); err != nil || slot != h.Slot || seq != h.Seq {
				t.Errorf("ack of %d in slot %d, %v; want %d in slot %d", seq, slot, err, h.Seq, h.Slot)
			}
		}
		call()
		call()
		first, _ := p.called()
		second, _ := p.called()
		p.write(p.answer(first, "x"))
		if err := <-results; err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second + tick/2) // a small reply is not acknowledged; between two ticks
		begun := time.Now()
		p.write(appendGoAway(nil))
		acked(first)
		p.write(p.answer(second, "x"))
		acked(second)
		if d := time.Since(begun); d > 0 { // by nobody's clock
			t.Errorf("it hears of them after %v", d)
		}
		if err := <-results; err != nil {
			t.Error(err)
		}
		// So are those that nobody waits for.
		ctx, cancel := context.WithCancel(t.Context())
		r := request(ctx, echo, nil)
		r.Header.Depth = 1
		go func() {
			_, err := do(ctx, s, r)
			results <- err
		}()
		third, _ := p.called()
		cancel()
		p.next(wire.FrameCancel)
		wantKind(t, <-results, fault.KindCancelled, fault.OutcomeUnknown, "")
		p.write(p.answer(third, "x"))
		acked(third)
		// And once more on the next connection: the last acknowledgement may have been lost.
		p = p.again(b)
		acked(first)
		acked(third)
	})
}

// Shutdown waits for the methods of a session without a connection. It does not wait for their
// replies, once the peer had time to come back.
func TestShutdownCountsRepliesThatHaveNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem, _, b, s := connected(t)
		release := make(chan struct{})
		b.handler.methods[first] = func(in *Incoming) {
			<-release
			in.Reply(0, nil, []byte("nobody's"))
		}
		result := make(chan error, 1)
		if _, err := do(t.Context(), s, request(t.Context(), echo, nil)); err != nil {
			t.Fatal(err)
		}
		go func() {
			_, err := do(t.Context(), s, request(t.Context(), first, nil))
			result <- err
		}()
		synctest.Wait()
		lose(mem, s)
		down := make(chan error, 1)
		go func() { down <- b.Shutdown(t.Context()) }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-down:
			t.Fatalf("it does not wait for the method: %v", err)
		default:
		}
		close(release)
		synctest.Wait()
		var u *Unfinished
		if err := <-down; !errors.As(err, &u) || u.Replies != 1 || len(u.Serving)+u.Arriving+len(u.Calls) != 0 {
			t.Errorf("Shutdown returned %v", err)
		}
		wantKind(t, u.Reason, fault.KindPeerGone, fault.OutcomeUnknown, "not made again")
		b.Close(time.Second)
		mem.Heal("a", "b")
		<-result
	})
}

// Replies may have been made long ago. If they still wait to be written, to a peer that reads
// slowly, shutdown waits for them, and then for their acknowledgement.
func TestShutdownWaitsForRepliesThatWaitForLong(t *testing.T) {
	for _, size := range []int{30000, 1 << 20} { // in one record, and in fragments
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			p := enter(t, b)
			b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, size)) }
			const calls = 16
			for slot := range wire.Slot(calls) {
				p.write(p.call(slot, first, ""))
			}
			time.Sleep(settled + 2*time.Second) // it reads nothing
			down := make(chan error, 1)
			go func() { down <- b.Shutdown(t.Context()) }()
			time.Sleep(2 * tick)
			waits := func(what string) {
				t.Helper()
				synctest.Wait()
				select {
				case err := <-down:
					t.Fatalf("%d bytes: Shutdown returned %v while %s", size, err, what)
				default:
				}
			}
			waits("replies wait")
			left := 0
			for returns := 0; returns < calls || left > 0; {
				pre, rec, err := p.record()
				if err != nil {
					t.Fatal(err)
				}
				switch l := (wire.Limits{}).WithDefaults(); pre.Kind {
				case wire.FrameReturn:
					var h wire.ReturnHeader
					rest, err := wire.ParseReturn(pre, rec, &l, &h)
					if err != nil {
						t.Fatal(err)
					}
					returns++
					left += h.Payload.Len() - len(rest)
				case wire.FrameFragment:
					f, err := wire.ParseFragment(pre, rec)
					if err != nil {
						t.Fatal(err)
					}
					left -= len(f.Piece)
				}
			}
			waits("the peer has not said that it has them")
			for slot := range wire.Slot(calls) {
				p.write(wire.AppendAck(nil, slot, p.seq[slot]))
			}
			if err := <-down; err != nil {
				t.Errorf("%d bytes: %v", size, err)
			}
			p.conn.Close()
		})
	}
}

// A peer that was lost a moment ago is told of the shutdown when it is back, even if nothing is
// in flight. Shutdown does not wait for one that was lost long ago.
func TestShutdownWaitsAMomentForPeersToComeBack(t *testing.T) {
	for _, gone := range []time.Duration{0, 10 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			p := enter(t, b)
			p.cut(b.Live(p.node()))
			time.Sleep(gone)
			begun := time.Now()
			down := make(chan error, 1)
			go func() { down <- b.Shutdown(t.Context()) }()
			if gone == 0 {
				time.Sleep(comeBack / 2)
				stranger := rawTo(t, b, b.Network)
				pr := stranger.greet(stranger.makeHello())
				pr.Session = wire.SessionID{1}
				stranger.sign(pr)
				stranger.write(pr.Append(nil))
				if kind, text := stranger.refusal(); kind != fault.KindConnectFailed || !strings.Contains(text, "shutting down") {
					t.Errorf("a new peer is refused with %v: %s", kind, text)
				}
				p = p.resume(b)
				p.next(wire.FrameGoAway)
			}
			if err := <-down; err != nil {
				t.Error(err)
			}
			if d := time.Since(begun); d > comeBack || gone > 0 && d > tick {
				t.Errorf("gone for %v, it is waited for for %v", gone, d)
			}
			if _, err := b.Network.DialContext(t.Context(), "tcp", b.at.Address()); err == nil {
				t.Error("it still listens")
			}
		})
	}
}

// The close record does not wait behind large payloads, which nobody would read.
func TestTheCloseRecordOvertakesPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, 4<<20)) }
		for slot := range wire.Slot(8) {
			p.write(p.call(slot, first, ""))
		}
		synctest.Wait() // it reads nothing: the payloads wait
		closed := make(chan struct{})
		go func() {
			b.Close(time.Second)
			close(closed)
		}()
		synctest.Wait()
		bytes := 0
		for {
			pre, rec, err := p.record()
			if err != nil {
				t.Fatalf("after %d bytes: %v", bytes, err)
			}
			if bytes += len(rec); pre.Kind == wire.FrameClose {
				break
			}
		}
		if bytes > 4<<20 {
			t.Errorf("%d bytes came before the end", bytes)
		}
		if _, _, err := p.record(); err == nil {
			t.Error("something came behind the close record")
		}
		p.conn.Close()
		<-closed
	})
}

// Close gives a peer more time that slowly reads what is before the close record, and sends
// nothing meanwhile.
func TestCloseWaitsForASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Pending = 1 << 20 })
		p := enter(t, b)
		b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, 30000)) }
		const calls = 16 // more than the network holds
		for slot := range wire.Slot(calls) {
			p.write(p.call(slot, first, ""))
		}
		synctest.Wait() // it reads nothing: the replies wait
		closed := make(chan struct{})
		go func() {
			b.Close(time.Second)
			close(closed)
		}()
		synctest.Wait()
		for n := 0; ; n++ {
			time.Sleep(closeTimeout * 2 / 5) // of the test's own clock
			pre, _, err := p.record()
			if err != nil {
				t.Errorf("after %d records: %v", n, err)
				break
			}
			if pre.Kind == wire.FrameClose {
				if n < calls {
					t.Errorf("the close record came after %d replies", n)
				}
				break
			}
		}
		p.conn.Close()
		<-closed
	})
}

// Close gives a peer that goes on sending more time to close the connection, but not for ever.
func TestCloseWaitsLongerForAPeerThatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		p := enter(t, b)
		go func() { // it reads, and does not close
			for {
				if _, _, err := p.record(); err != nil {
					return
				}
			}
		}()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(closeTimeout / 2):
					if _, err := p.conn.Write(wire.AppendPing(nil, wire.FramePong, 1)); err != nil {
						return
					}
				}
			}
		}()
		begun := time.Now()
		b.Close(time.Second)
		if d := time.Since(begun); d < 2*closeTimeout || d > closeLimit+closeTimeout {
			t.Errorf("Close took %v", d)
		}
	})
}
