package transport

import (
	"context"
	"math/rand/v2"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// lossyNetwork is a network whose accepted connections claim to lose, duplicate and reorder
// records. The raw peer does that.
type lossyNetwork struct{ Network }

type lossyListener struct{ net.Listener }

type lossyConn struct{ net.Conn }

func (n lossyNetwork) Listen(ctx context.Context, network, address string) (net.Listener, error) {
	l, err := n.Network.Listen(ctx, network, address)
	return lossyListener{l}, err
}

func (l lossyListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return lossyConn{c}, nil
}

func (lossyConn) Lossy() bool { return true }

// aloneLossy returns a node to which only raw peers talk, over lossy connections. Calls of
// method first take turns, and their bodies are noted. Other calls do not.
func aloneLossy(t *testing.T, set ...func(*Config)) (b *node, ran *[]string) {
	b = newNode(t, lossyNetwork{memnet.New().Host("b")}, "b", set...)
	ran = new([]string)
	b.handler.route = func(in *Incoming) (Threading, *Turn) {
		if in.Header.Method == first {
			return ThreadingPerConnection, nil
		}
		return ThreadingConcurrent, nil
	}
	b.handler.methods[first] = func(in *Incoming) {
		*ran = append(*ran, string(in.Body()))
		in.Reply(0, nil, nil)
	}
	return b, ran
}

// nth returns the record of the next call in a slot, the nth on its connection.
func (p *raw) nth(n wire.CallNum, slot wire.Slot, m wire.MethodID, body string, set ...func(*wire.CallHeader)) []byte {
	var h wire.CallHeader
	p.call(slot, m, body, append(set, func(made *wire.CallHeader) { h = *made })...)
	return append(wire.AppendCall(nil, &h, 0, wire.AppendOrder(nil, n)), body...)
}

func TestCallsThatComeEarlyWaitIfTheyTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t)
		p := enter(t, b)
		second := p.nth(2, 1, first, "2")
		p.write(p.nth(5, 4, first, "5"))
		p.write(p.nth(3, 2, first, "3"))
		p.write(p.nth(4, 3, echo, "of another object"))
		if got, err := p.returned(3); got != "of another object" || err != nil {
			t.Errorf("returned %q, %v", got, err)
		}
		p.write(p.nth(1, 0, first, "1"))
		if _, err := p.returned(0); err != nil {
			t.Error(err)
		}
		p.taken()
		again := p.nth(3, 2, first, "3")
		again[15]-- // the number in the slot: it comes twice, while it waits
		p.seq[2]--
		p.write(again)
		p.taken()
		if want := []string{"1"}; !slices.Equal(*ran, want) {
			t.Errorf("%v ran, want %v", *ran, want)
		}
		p.write(second)
		for _, slot := range []wire.Slot{1, 2, 4} {
			if _, err := p.returned(slot); err != nil {
				t.Error(err)
			}
		}
		if want := []string{"1", "2", "3", "5"}; !slices.Equal(*ran, want) {
			t.Errorf("%v ran, want %v", *ran, want)
		}
		idle(t, b)
	})
}

// A call whose deadline passes while it waits for an earlier one does not run.
func TestACallThatIsHeldUntilItIsLateDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t)
		p := enter(t, b)
		p.write(p.nth(2, 1, first, "2", func(h *wire.CallHeader) { h.Timeout = 2e6 }))
		time.Sleep(3 * time.Second)
		p.write(p.nth(1, 0, first, "1"))
		if _, err := p.returned(0); err != nil {
			t.Error(err)
		}
		_, err := p.returned(1)
		wantKind(t, err, fault.KindDeadline, fault.OutcomeNotExecuted, "")
		if want := []string{"1"}; !slices.Equal(*ran, want) {
			t.Errorf("%v ran, want %v", *ran, want)
		}
	})
}

// Calls that wait for a call that was lost are forgotten with the connection, and come again.
func TestHeldCallsBeginAnewOnANewConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t)
		p := enter(t, b)
		p.write(p.nth(2, 0, first, "a"))
		p.write(p.nth(3, 1, first, "b"))
		p.taken()
		p = p.again(b)
		p.seq[0]--
		p.write(p.nth(1, 0, first, "a"))
		p.returned(0)
		p.write(wire.AppendCancel(nil, 1, 1)) // its caller went away meanwhile
		_, err := p.returned(1)
		wantKind(t, err, fault.KindCancelled, fault.OutcomeNotExecuted, "the call was lost")
		p.write(p.nth(2, 1, first, "c"))
		p.returned(1)
		if want := []string{"a", "c"}; !slices.Equal(*ran, want) {
			t.Errorf("%v ran, want %v", *ran, want)
		}
		idle(t, b)
	})
}

func TestAHeldCallThatIsCancelledDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t)
		p := enter(t, b)
		before := p.nth(1, 1, first, "before")
		p.write(p.nth(2, 0, first, "cancelled"))
		p.write(wire.AppendCancel(nil, 0, 1))
		p.taken()
		p.write(before)
		p.returned(1)
		_, err := p.returned(0)
		wantKind(t, err, fault.KindCancelled, fault.OutcomeNotExecuted, "")
		if want := []string{"before"}; !slices.Equal(*ran, want) {
			t.Errorf("%v ran, want %v", *ran, want)
		}
	})
}

func TestHeldCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t, func(c *Config) { c.Limits.Queue, c.Limits.Assembly, c.Limits.Message = 3, 1<<20, 1<<20 })
		p := enter(t, b)
		missing := p.nth(1, 60, first, "1")
		for n := range wire.CallNum(3) {
			p.write(p.nth(2+n, wire.Slot(n), first, "held"))
		}
		p.write(p.nth(5, 3, first, "one more"))
		_, err := p.returned(3)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "wait already for calls that were sent before them")
		p.write(missing)
		for _, slot := range []wire.Slot{60, 0, 1, 2} {
			if _, err := p.returned(slot); err != nil {
				t.Error(err)
			}
		}
		if len(*ran) != 4 {
			t.Errorf("%d calls ran", len(*ran))
		}
		idle(t, b)
	})
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t, func(c *Config) { c.Limits.Assembly, c.Limits.Message = 1<<20, 1<<20 })
		p := enter(t, b)
		missing := p.nth(1, 60, first, "1")
		large := string(make([]byte, wire.MaxInline))
		for n := range wire.CallNum(32) { // 1 MiB
			p.write(p.nth(2+n, wire.Slot(n), first, large))
		}
		p.write(p.nth(34, 40, first, "x"))
		_, err := p.returned(40)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "bytes of their arguments")
		p.write(missing)
		p.returned(60)
		for n := range wire.Slot(32) {
			p.returned(n)
		}
		if len(*ran) != 33 {
			t.Errorf("%d calls ran", len(*ran))
		}
		idle(t, b)
	})
}

// A node that stops waits for what it holds back.
func TestAHeldCallIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := aloneLossy(t)
		p := enter(t, b)
		before := p.nth(1, 1, first, "before")
		p.write(p.nth(2, 0, first, "held"))
		p.taken()
		over := make(chan error, 1)
		go func() { over <- b.Shutdown(t.Context()) }()
		synctest.Wait()
		select {
		case <-over:
			t.Error("nothing is waited for")
		default:
		}
		p.next(wire.FrameGoAway)
		p.write(before)
		p.returned(1)
		p.returned(0)
		p.write(wire.AppendAck(wire.AppendAck(nil, 1, 1), 0, 1))
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// A call that runs when its connection is lost is answered on the next one only when the call,
// or a cancel in its place, has come there. Otherwise the caller would not send it any more,
// and its number would be missing for ever.
func TestAReturnDoesNotComeBeforeItsCall(t *testing.T) {
	for name, in := range map[string]func(p *raw) []byte{
		"the call":  func(p *raw) []byte { p.seq[0]--; return p.nth(1, 0, first+1, "") },
		"a cancel":  func(p *raw) []byte { return wire.AppendCancel(nil, 0, 1) },
		"a settled": func(p *raw) []byte { return wire.AppendSettle(nil, 0, 1) },
	} {
		for _, late := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b, _ := aloneLossy(t)
					open := make(chan struct{})
					runs := counting(b, first+1, open, func(in *Incoming) { in.Reply(0, nil, nil) })
					p := enter(t, b)
					p.write(p.nth(1, 0, first+1, ""))
					p.taken()
					synctest.Wait() // it runs
					p = p.again(b)
					if late { // it ends before
						close(open)
						synctest.Wait()
						p.taken()
					}
					p.write(in(p))
					if late {
						p.returned(0)
					}
					p.taken()
					if !late {
						close(open)
						p.returned(0)
					}
					if runs.Load() != 1 {
						t.Errorf("ran %d times", runs.Load())
					}
					idle(t, b)
				})
			})
		}
	}
}

// A call that comes again on a new connection has its place there like any other.
func TestCallsThatComeAgainAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, ran := aloneLossy(t)
		open := make(chan struct{})
		defer close(open)
		counting(b, first+1, open, func(in *Incoming) { in.Reply(0, nil, nil) })
		p := enter(t, b)
		large := func(n wire.CallNum) []byte {
			return join(p.begin(1, first+1, 10), wire.AppendLastFragment(nil, 1, 1, 10, n), make([]byte, 10))
		}
		p.write(join(p.nth(1, 0, first+1, ""), large(2)))
		p.taken()
		p = p.again(b)
		p.seq[0], p.seq[1] = 0, 0
		p.write(p.nth(3, 2, first, "x"))
		p.write(join(p.nth(1, 0, first+1, ""), large(2)))
		if _, err := p.returned(2); err != nil || len(*ran) != 1 {
			t.Errorf("%v ran, %v", *ran, err)
		}
	})
}

func TestNumbersThatBreakTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name  string
		lossy bool
		write func(p *raw) []byte
		text  string
	}{
		{"a call without one", true, func(p *raw) []byte { return p.call(0, echo, "") }, "a call without its place"},
		{"one that is too large", true, func(p *raw) []byte { return p.nth(18, 0, echo, "") }, "more are missing than may be in flight"},
		{"too many are missing", true, func(p *raw) []byte {
			return join(p.nth(16, 0, echo, ""), p.nth(17, 1, echo, ""), p.nth(20, 2, echo, ""))
		}, "more are missing than may be in flight"},
		{"a last fragment without one", true, func(p *raw) []byte { return join(p.begin(0, echo, 10), p.fragment(0, 10)) }, "the last fragment of a call without its place"},
		{"a fragment with one on a stream", false, func(p *raw) []byte {
			return join(p.begin(0, echo, 10), wire.AppendLastFragment(nil, 0, 1, 10, 1), make([]byte, 10))
		}, "extension 5 is for datagrams"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				small := func(c *Config) { c.Limits.Slots = 16 }
				b := alone(t, small)
				if c.lossy {
					b, _ = aloneLossy(t, small)
				}
				p := enter(t, b)
				s := b.Live(p.node())
				p.write(c.write(p))
				<-s.gone
				wantKind(t, s.Err(), fault.KindProtocol, fault.OutcomeUnknown, c.text)
				idle(t, b)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // nobody can be wrong about the order on a stream: the call is refused
		b := alone(t)
		p := enter(t, b)
		p.write(p.nth(1, 0, echo, ""))
		_, err := p.returned(0)
		wantKind(t, err, fault.KindProtocol, fault.OutcomeNotExecuted, "extension 5 is for datagrams")
	})
	synctest.Test(t, func(t *testing.T) { // as many as may be
		b, _ := aloneLossy(t, func(c *Config) { c.Limits.Slots = 16 })
		p := enter(t, b)
		p.write(p.nth(17, 0, echo, ""))
		if _, err := p.returned(0); err != nil {
			t.Error(err)
		}
	})
}

// In whatever order numbers come, a call is early until all smaller ones are here, and not
// afterwards.
func TestOrder(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		const n = 60
		numbers := dice.Perm(n)
		var o order
		here := make(map[wire.CallNum]bool)
		for i, x := range numbers {
			if i%5 == 4 {
				x = numbers[i-1] // one comes again
			}
			if err := o.came(wire.CallNum(x+1), n); err != nil {
				t.Fatal(err)
			}
			here[wire.CallNum(x+1)] = true
			for m := range wire.CallNum(n) {
				want, beyond := false, m+1 > o.next // of those above all that came nothing is known
				for k := wire.CallNum(1); k < m+1 && !beyond; k++ {
					want = want || !here[k] && k < o.next
				}
				if got := o.early(m + 1); got != want && !beyond {
					t.Fatalf("%v of %v came: early(%d) is %v", here, numbers, m+1, got)
				}
			}
		}
	}
}
