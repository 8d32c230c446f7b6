package transport

import (
	"bytes"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gormi/rmi/fault"
	"gormi/rmi/wire"
)

// counting makes a method count its runs, and wait for open if that is not nil.
func counting(n *node, m wire.MethodID, open chan struct{}, serve func(*Incoming)) *atomic.Int64 {
	runs := new(atomic.Int64)
	n.handler.methods[m] = func(in *Incoming) {
		runs.Add(1)
		if open != nil {
			<-open
		}
		serve(in)
	}
	return runs
}

// large returns the records of a call whose payload travels in fragments.
func (p *raw) large(slot wire.Slot, m wire.MethodID, n int) []byte {
	b := p.begin(slot, m, n)
	for left := n; left > 0; left -= 30000 {
		b = append(b, p.fragment(slot, min(left, 30000))...)
	}
	return b
}

func TestACallThatComesAgainWhileItRunsRunsOnce(t *testing.T) {
	for _, size := range []int{0, 10, 100000} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			open := make(chan struct{})
			runs := counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, []byte("done")) })
			p := enter(t, b)
			call := p.call(0, first, strings.Repeat("x", min(size, 10)))
			if size > wire.MaxInline {
				p.seq[0]--
				call = p.large(0, first, size)
			}
			p.write(call)
			p.taken()
			for range 3 {
				p = p.again(b)
				p.write(call)
				p.taken()
			}
			if c := b.Counters(); c.DuplicatesRunning != 3 || c.DuplicatesRetained != 0 || c.RetainedReplies != 0 {
				t.Errorf("%+v", c)
			}
			close(open)
			if got, err := p.returned(0); got != "done" || err != nil {
				t.Errorf("returned %q, %v", got, err)
			}
			p.taken() // and not again
			if n := runs.Load(); n != 1 {
				t.Errorf("ran %d times", n)
			}
			synctest.Wait()
			idle(t, b)
			p.write(p.call(0, echo, "next"))
			if got, err := p.returned(0); got != "next" || err != nil {
				t.Errorf("the next call returned %q, %v", got, err)
			}
		})
	}
}

// The reply of a call that was answered while there was no connection waits for it.
func TestACallIsAnsweredWhileItsSessionIsDetached(t *testing.T) {
	for _, size := range []int{0, ackAbove + 1, 3 * wire.MaxInline} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			open := make(chan struct{})
			runs := counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, make([]byte, size)) })
			p := enter(t, b)
			call := p.call(0, first, "")
			p.write(call)
			p.taken()
			p.cut(b.Live(p.node()))
			close(open)
			synctest.Wait()
			p = p.resume(b)
			p.taken() // a reply is not sent to who may have it
			p.write(call)
			if _, payload := p.whole(0); len(payload) != size {
				t.Errorf("%d bytes", len(payload))
			}
			if c := b.Counters(); runs.Load() != 1 || c.DuplicatesRetained != 1 || c.RetainedReplies != 1 || c.RetainedBytes != int64(size) {
				t.Errorf("ran %d times, %+v", runs.Load(), c)
			}
		})
	}
}

func TestAReplyIsSentAgainByteForByte(t *testing.T) {
	for _, c := range []struct {
		name  string
		size  int
		again bool // the call's payload is large, too
		serve func(*Incoming, []byte)
	}{
		{"empty", 0, false, nil},
		{"small", 100, false, nil},
		{"as much as a slot has memory for", ackAbove, false, nil},
		{"in memory that is used again", ackAbove + 1, false, nil},
		{"one record", wire.MaxInline, false, nil},
		{"fragments", wire.MaxInline + 1, false, nil},
		{"many fragments", 1 << 20, false, nil},
		{"fragments both ways", 1 << 20, true, nil},
		{"small for a large call", 100, true, nil},
		{"an error", 0, false, func(in *Incoming, _ []byte) {
			in.Fail(fault.New(fault.KindApplication, fault.OutcomeExecuted, "no"))
		}},
		{"with references", 2000, false, func(in *Incoming, b []byte) { in.Reply(3, b[:1000], b[1000:]) }},
		{"with references, in memory that is used again", 10000, false, func(in *Incoming, b []byte) {
			if !in.Reply(3, b[:1000], b[1000:]) {
				clear(b)
			}
		}},
		{"with references, large", 100000, false, func(in *Incoming, b []byte) { in.Reply(3, b[:1000], b[1000:]) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := alone(t)
				runs := counting(b, first, nil, func(in *Incoming) {
					body := bytes.Repeat([]byte{1, 2, 3, 4, 5}, c.size/5+1)[:c.size]
					if c.serve != nil {
						c.serve(in, body)
					} else if !in.Reply(0, nil, body) {
						clear(body) // it is ours again
					}
				})
				p := enter(t, b)
				call := p.call(0, first, "x")
				if c.again {
					p.seq[0]--
					call = p.large(0, first, 100000)
				}
				p.write(call)
				flags, payload := p.whole(0)
				p.write(p.call(1, echo, "another uses memory")) // and its own slot
				p.returned(1)
				for range 3 {
					p = p.again(b)
					p.write(call)
					if f, again := p.whole(0); f != flags || again != payload {
						t.Errorf("flags %d and %d bytes, then flags %d and %d bytes, equal: %v", flags, len(payload), f, len(again), again == payload)
					}
					p.taken()
				}
				if c := b.Counters(); runs.Load() != 1 || c.DuplicatesRetained != 3 || c.DuplicatesRunning != 0 {
					t.Errorf("ran %d times, %+v", runs.Load(), c)
				}
				synctest.Wait()
				idle(t, b)
			})
		})
	}
}

func TestAnAcknowledgedReplyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, make([]byte, 1000)) })
		p := enter(t, b)
		call := p.call(0, first, "")
		p.write(call)
		p.returned(0)
		p.write(wire.AppendAck(nil, 0, 2)) // not this one
		p.write(wire.AppendAck(nil, 1, 1))
		p.write(wire.AppendAck(nil, 1<<20, 1))
		p.taken()
		if c := b.Counters(); c.RetainedReplies != 1 || c.RetainedBytes != 1000 {
			t.Errorf("%+v", c)
		}
		p.write(wire.AppendAck(nil, 0, 1))
		p.write(wire.AppendAck(nil, 0, 1)) // again
		p.taken()
		if c := b.Counters(); c.RetainedReplies != 0 || c.RetainedBytes != 0 {
			t.Errorf("%+v", c)
		}
		p = p.again(b)
		p.write(call)
		p.taken() // nothing comes
		if runs.Load() != 1 {
			t.Errorf("ran %d times", runs.Load())
		}
		p.write(p.call(0, first, "")) // acknowledged is not lost
		p.returned(0)
		p.write(p.call(0, first, "")) // the next call acknowledges
		p.returned(0)
		if c := b.Counters(); c.RetainedReplies != 1 || c.RetainedBytes != 1000 {
			t.Errorf("%+v", c)
		}
		p = p.again(b)
		p.seq[0]--
		s := b.Live(p.node())
		p.write(p.callAgain(0, first))
		<-s.Done()
		wantKind(t, s.Err(), fault.KindProtocol, fault.OutcomeUnknown, "call 2 in slot 0, whose last was 3")
	})
}

// callAgain returns the record of the last call in a slot once more.
func (p *raw) callAgain(slot wire.Slot, m wire.MethodID) []byte {
	p.seq[slot]--
	return p.call(slot, m, "")
}

// On a connection that neither loses nor duplicates, a call comes once.
func TestACallThatComesTwiceOnAConnectionBreaksTheProtocol(t *testing.T) {
	for _, c := range []struct {
		name  string
		write func(p *raw)
	}{
		{"while it runs", func(p *raw) { p.write(join(p.call(0, linger, ""), p.callAgain(0, linger))) }},
		{"after it was answered", func(p *raw) { p.write(p.call(0, echo, "")); p.returned(0); p.write(p.callAgain(0, echo)) }},
		{"after it was acknowledged", func(p *raw) {
			p.write(p.call(0, echo, ""))
			p.returned(0)
			p.write(join(wire.AppendAck(nil, 0, 1), p.callAgain(0, echo)))
		}},
		{"while its payload comes", func(p *raw) { p.write(join(p.begin(0, echo, 100000), p.callAgain(0, echo))) }},
		{"after it was given up unheard", func(p *raw) {
			p.write(wire.AppendCancel(nil, 0, 1))
			p.seq[0] = 1
			p.returned(0)
			p.write(p.callAgain(0, echo))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := alone(t)
				p := enter(t, b)
				s := b.Live(p.node())
				c.write(p)
				<-s.gone
				if fault.KindOf(s.Err()) != fault.KindProtocol {
					t.Errorf("the session ended with %v", s.Err())
				}
				idle(t, b)
			})
		})
	}
}

func TestTwiceAgainOnANewConnectionBreaksTheProtocol(t *testing.T) {
	for _, m := range []wire.MethodID{echo, linger} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			p := enter(t, b)
			p.write(p.call(0, m, ""))
			if m == echo {
				p.returned(0)
			} else {
				p.taken()
			}
			p = p.again(b)
			s := b.Live(p.node())
			p.write(join(p.callAgain(0, m), p.callAgain(0, m)))
			<-s.gone
			wantKind(t, s.Err(), fault.KindProtocol, fault.OutcomeUnknown, "call 1 in slot 0")
		})
	}
}

func TestACallCutInTheMiddleBeginsAnew(t *testing.T) {
	for _, sent := range []int{0, 30000, 90000} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, nil) })
			p := enter(t, b)
			p.write(p.call(0, echo, "before"))
			p.returned(0)
			call := p.large(0, first, 100000)
			p.write(p.begin(1, first, 200000)) // another is under way for good
			for i := range 2 {
				p.write(call[:8+58+sent/30000*30016+i*100]) // in or between fragments
				synctest.Wait()
				p = p.again(b)
				synctest.Wait()
				idle(t, b)
			}
			p.write(call)
			if _, err := p.returned(0); err != nil || runs.Load() != 1 {
				t.Errorf("ran %d times, %v", runs.Load(), err)
			}
			p.seq[1] = 0
			p.write(p.call(1, echo, "instead"))
			if got, err := p.returned(1); got != "instead" || err != nil {
				t.Errorf("returned %q, %v", got, err)
			}
			synctest.Wait()
			idle(t, b)
		})
	}
}

// A call comes again in fragments, and its caller gives it up in the middle.
func TestACallThatComesAgainIsCancelledInItsMiddle(t *testing.T) {
	for _, done := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			b := alone(t)
			open := make(chan struct{})
			runs := counting(b, first, open, func(in *Incoming) { in.Reply(0, nil, []byte(context0(in))) })
			p := enter(t, b)
			call := p.large(0, first, 100000)
			p.write(call)
			p.taken()
			if done {
				close(open)
				p.returned(0)
			}
			p = p.again(b)
			p.write(call[:50000])
			if done {
				p.returned(0) // it gets the reply, and has no use for the rest
			}
			synctest.Wait()
			p = p.again(b)
			l := b.Live(p.node()).Link()
			p.write(call[:8+58+2*30016])
			if done {
				p.returned(0)
			}
			synctest.Wait()
			if l.assembling.Load() != 100000 {
				t.Errorf("%d bytes are under assembly", l.assembling.Load())
			}
			p.write(wire.AppendCancel(nil, 0, 1))
			synctest.Wait()
			if l.assembling.Load() != 0 {
				t.Errorf("%d bytes are under assembly", l.assembling.Load())
			}
			if !done {
				close(open)
				if got, err := p.returned(0); got != "context canceled" || err != nil {
					t.Errorf("returned %q, %v", got, err)
				}
			}
			p.write(p.large(0, first, 100000))
			if _, err := p.returned(0); err != nil {
				t.Error(err)
			}
			p = p.again(b)
			p.seq[0]--
			p.write(p.large(0, first, 100000)) // again
			if _, err := p.returned(0); err != nil || runs.Load() != 2 {
				t.Errorf("ran %d times, %v", runs.Load(), err)
			}
			p.taken()
			idle(t, b)
		})
	}
}

func context0(in *Incoming) string {
	if err := in.Context().Err(); err != nil {
		return err.Error()
	}
	return ""
}

func TestAReplyCutInTheMiddleIsSentAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t)
		runs := counting(b, first, nil, func(in *Incoming) { in.Reply(0, nil, bytes.Repeat([]byte("abc"), 100000)) })
		p := enter(t, b)
		call := p.call(0, first, "")
		for range 3 {
			p.write(call)
			p.next(wire.FrameReturn)
			p.next(wire.FrameFragment)
			p = p.again(b)
		}
		p.write(call)
		if _, payload := p.whole(0); payload != strings.Repeat("abc", 100000) || runs.Load() != 1 {
			t.Errorf("%d bytes, ran %d times", len(payload), runs.Load())
		}
	})
}
