package transport

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gormi/refs"
	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

func TestSmallFramesOvertakeFragments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		p, s, h, end := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		<-end
		var calls sync.WaitGroup
		calls.Go(func() {
			if _, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 3<<20))); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait() // the peer does not read: the rest waits in the outbox
		for range 5 {
			calls.Go(func() { works(t, s) })
		}
		synctest.Wait()
		var large wire.CallHeader
		before, got, small := 0, 0, 0
		for got < 3<<20 || small < 5 {
			switch pre, rec, err := p.record(); {
			case err != nil:
				t.Fatal(err)
			case pre.Kind == wire.FrameFragment:
				if got += len(rec) - wire.FragmentHeaderSize; small == 0 {
					before++
				}
			case pre.Flags&wire.FlagFragmented != 0:
				large, _ = p.parseCall(pre, rec)
			default:
				h, body := p.parseCall(pre, rec)
				p.write(p.answer(h, body))
				small++
			}
		}
		if before > 10 { // what the connection had taken already, of 96
			t.Errorf("%d fragments went ahead of the small calls", before)
		}
		p.write(p.answer(large, ""))
		calls.Wait()
	})
}

func TestFragmentsOfSeveralBodiesTakeTurnsWithinTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		p, s, h, end := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		<-end
		var calls sync.WaitGroup
		for range 6 { // 24 MiB; the peer's budget is 16
			calls.Go(func() {
				if _, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 4<<20))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		left := map[wire.Slot]int{}
		headers := map[wire.Slot]wire.CallHeader{}
		var order []wire.Slot
		for done := 0; done < 6; {
			pre, rec, err := p.record()
			if err != nil {
				t.Fatal(err)
			}
			if pre.Kind == wire.FrameCall {
				h, _ := p.parseCall(pre, rec)
				headers[h.Slot], left[h.Slot] = h, h.Payload.Len()
			} else {
				f, err := wire.ParseFragment(pre, rec)
				if err != nil {
					t.Fatal(err)
				}
				order = append(order, f.Slot)
				if left[f.Slot] -= f.Size; left[f.Slot] == 0 {
					delete(left, f.Slot)
					p.write(p.answer(headers[f.Slot], ""))
					done++
				}
			}
			if len(left) > 4 {
				t.Fatalf("%d bodies of 4 MiB are under assembly", len(left))
			}
		}
		// The connection took the first ones when not all had begun; then each turn is a few pieces.
		for i := 5 * pieces; i < 200; i += pieces {
			if slices.Contains(order[i-3*pieces:i], order[i]) || order[i+pieces-1] != order[i] {
				t.Fatalf("the bodies do not take turns: %v", order[:i+pieces])
			}
		}
		calls.Wait()
	})
}

func TestPendingBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		const bound = 4 << 10
		a := newNode(t, mem.Host("a"), "", func(c *Config) { c.Limits.Pending = bound })
		p, s, h, end := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		<-end
		var calls sync.WaitGroup
		for range 500 {
			calls.Go(func() {
				if _, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 1000))); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		q := s.Link().out.mu.Lock()
		if n := len(q.small); n > bound+1100 {
			t.Errorf("%d bytes wait in the outbox", n)
		}
		s.Link().out.mu.Unlock()
		for range 500 {
			h, body := p.called()
			p.write(p.answer(h, body))
		}
		calls.Wait()
	})
}

func TestCallsWaitForASlotNestedOnesDoNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "")
		p, s, h, end := calledRaw(t, a, mem, echo)
		p.write(p.answer(h, ""))
		<-end
		s.outbound.max, s.outbound.rootMax = 4, 2
		ends := make(chan error, 10)
		start := func(depth uint8) {
			go func() {
				r := request(t.Context(), echo, nil)
				r.Header.Depth = depth
				_, err := do(t.Context(), s, r)
				ends <- err
			}()
			synctest.Wait()
		}
		for range 4 {
			start(1)
		}
		start(0) // waits: nested calls have all slots
		start(1)
		wantKind(t, <-ends, fault.KindOverloaded, fault.OutcomeNotExecuted, "a nested call does not wait")
		for range 5 {
			h, _ := p.called()
			p.write(p.answer(h, ""))
			if err := <-ends; err != nil {
				t.Error(err)
			}
		}
	})
}

// The depth of a call is what the peer says that it is: nested calls are bounded too.
func TestNestedCallsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Handlers, c.Limits.Nested = 1, 2 })
		p := enter(t, b)
		nested := func(h *wire.CallHeader) { h.Depth = 1 }
		p.write(p.call(0, linger, "")) // has the only handler
		p.write(p.call(1, linger, "", nested))
		p.write(p.call(2, echo, "", nested)) // the last that may run
		if _, err := p.returned(2); err != nil {
			t.Error(err)
		}
		synctest.Wait() // a call leaves the books behind its reply
		p.write(p.call(2, linger, "", nested))
		p.write(p.call(3, echo, "", nested))
		_, err := p.returned(3)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "nested ones included")
		p.write(wire.AppendCancel(nil, 2, p.seq[2]))
		p.returned(2)
		synctest.Wait()
		p.write(p.call(3, echo, "", nested)) // there is room again
		if _, err := p.returned(3); err != nil {
			t.Error(err)
		}
	})
}

// A slot becomes free for a caller that gives up at that moment. It goes to the next one.
func TestASlotIsNotLostWithTheCallerItWasFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, _, s := pair(t, func(c *Config) { c.Limits.Slots = 16 })
		acquire := func(ctx context.Context) *slot {
			sl, err := s.outbound.acquire(ctx, request(ctx, echo, nil), time.Time{})
			if err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			return sl
		}
		var taken []*slot
		for range s.outbound.rootMax {
			taken = append(taken, acquire(t.Context()))
		}
		ctx, cancel := context.WithCancel(t.Context())
		first, second := make(chan *slot, 1), make(chan *slot, 1)
		go func() { first <- acquire(ctx) }()
		synctest.Wait()
		go func() { second <- acquire(t.Context()) }()
		synctest.Wait()
		st := s.outbound.mu.Lock() // so that the first is on its way out
		cancel()
		st.release(taken[0])
		s.outbound.mu.Unlock()
		if sl := <-first; sl != nil {
			t.Error("a caller whose context is over got a slot")
		}
		synctest.Wait()
		select {
		case sl := <-second:
			taken[0] = sl
		default:
			t.Fatal("a slot is free, and the caller who waits for one does not get it")
		}
		for _, sl := range taken {
			s.outbound.release(sl)
		}
	})
}

func TestALargeReplyForACallerThatLeftIsDiscarded(t *testing.T) {
	mem := memnet.New()
	a := newNode(t, mem.Host("a"), "")
	p, s, h, end := calledRaw(t, a, mem, echo)
	p.write(p.answer(h, ""))
	<-end
	const size = 100000
	for begun := range 2 { // does the caller leave before or after the reply began?
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := do(ctx, s, request(ctx, echo, nil)); end <- err }()
		h, _ = p.called()
		r := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{Body: size}}
		fragment := func(n int) []byte {
			return append(wire.AppendFragment(nil, h.Slot, h.Seq, true, n), make([]byte, n)...)
		}
		begin := join(wire.AppendReturn(nil, &r, wire.FlagFragmented, nil), fragment(30000), wire.AppendPing(nil, wire.FramePing, 1))
		if begun == 1 {
			p.write(begin)
			p.next(wire.FramePong) // it was taken in
		}
		cancel()
		err := <-end
		wantKind(t, err, fault.KindCancelled, fault.OutcomeUnknown, "")
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v is not context.Canceled", err)
		}
		p.next(wire.FrameCancel)
		if begun == 0 {
			p.write(begin)
			p.next(wire.FramePong)
		}
		p.write(join(fragment(30000), fragment(30000), fragment(10000)))
		go func() { _, err := do(t.Context(), s, request(t.Context(), echo, nil)); end <- err }()
		next, _ := p.called()
		p.write(p.answer(next, ""))
		if err := <-end; err != nil {
			t.Error(err)
		}
		if held := a.held.now(); held != 0 {
			t.Errorf("%d bytes are still charged", held)
		}
	}
}

func TestLargeBodiesBothWays(t *testing.T) {
	for _, network := range []Network{&tcp{}, memnet.New()} {
		a, b := newNode(t, network, ""), newNode(t, network, "127.0.0.1")
		s := a.session(t, b)
		var calls sync.WaitGroup
		for i, size := range []int{0, 1, wire.MaxInline, wire.MaxInline + 1, 60000, 1 << 20, 3<<20 + 7, 4 << 20} {
			calls.Go(func() {
				body := bytes.Repeat([]byte{byte(i + 1)}, size)
				for _, from := range []*Session{s, b.Live(a.Node())} {
					if got, err := do(t.Context(), from, request(t.Context(), echo, body)); err != nil || !bytes.Equal(got, body) {
						t.Errorf("echo of %d bytes returned %d, %v", size, len(got), err)
					}
				}
			})
		}
		calls.Wait()
		_, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 4<<20+1)))
		wantKind(t, err, fault.KindTooLarge, fault.OutcomeNotExecuted, "4194305 bytes of arguments: the peer accepts 4194304")
		b.handler.methods[first] = func(in *Incoming) { in.Reply(0, nil, make([]byte, 5<<20)) }
		_, err = do(t.Context(), s, request(t.Context(), first, nil))
		wantKind(t, err, fault.KindTooLarge, fault.OutcomeExecuted, "5242880 bytes of results: the caller accepts 4194304")
		uncharged(t, a, s)
		uncharged(t, b, b.Live(a.Node()))
	}
}

// Bodies above the default limit are received in blocks, which fragments do not fill to the
// last byte. They arrive unchanged.
func TestBodiesOfManyBlocks(t *testing.T) {
	set := func(c *Config) { c.Limits.Message, c.Limits.Assembly, c.Limits.AssemblyTotal = 12<<20, 64<<20, 256<<20 }
	mem := memnet.New()
	var counted atomic.Int64
	a, b := newNode(t, mem.Host("a"), "", set), newNode(t, mem.Host("b"), "b", set, func(c *Config) {
		c.OnTable = func(_ *Session, n uint32, table []byte) {
			for i, x := range table {
				if x != byte(i>>7) {
					t.Errorf("byte %d of a table that nobody decodes is %d", i, x)
					break
				}
			}
			counted.Add(int64(n))
		}
	})
	s := a.session(t, b)
	pattern := func(size int) []byte {
		p := make([]byte, size)
		for i := range p {
			p[i] = byte(i >> 7)
		}
		return p
	}
	b.handler.methods[first] = func(in *Incoming) {
		in.Reply(int(in.Header.Payload.References), bytes.Clone(in.Table()), bytes.Clone(in.Body()))
	}
	for _, size := range []int{oneBlock, oneBlock + 1, 9<<20 + 5} {
		for _, table := range []int{0, 1, 3 << 20} {
			r := request(t.Context(), first, pattern(size)[table:])
			if table > 0 {
				r.References, r.Table = 1, pattern(table)
			}
			reply, err := s.Call(t.Context(), r)
			if err != nil {
				t.Fatalf("%d bytes, %d of them a table: %v", size, table, err)
			}
			if !bytes.Equal(slices.Concat(r.Table, r.Body), slices.Concat(reply.Table, reply.Body)) {
				t.Errorf("%d bytes, %d of them a table, came back as %d and %d others", size, table, len(reply.Table), len(reply.Body))
			}
			reply.Release()
		}
	}
	if counted.Load() != 0 {
		t.Errorf("%d references were counted although their calls were served", counted.Load())
	}

	// The table of a call that is refused is counted, however many blocks it is in.
	r := request(t.Context(), first, pattern(1<<20))
	r.References, r.Table = 7, pattern(6<<20)
	r.Header.Depth = wire.MaxDepth + 1
	_, err := do(t.Context(), s, r)
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "the chain of calls is deeper")
	r.Header.Depth = 0
	b.Live(a.Node()).goingOff.Store(true)
	_, err = do(t.Context(), s, r)
	wantKind(t, err, fault.KindPeerGone, fault.OutcomeNotExecuted, "shutting down")
	if counted.Load() != 14 {
		t.Errorf("%d references of refused calls were counted, want 14", counted.Load())
	}
	if held := a.held.now() + b.held.now(); held != 0 {
		t.Errorf("%d bytes are still charged", held)
	}
}

func TestNoRoomForABody(t *testing.T) {
	mem := memnet.New()
	set := func(c *Config) { c.Limits.Message, c.Limits.Assembly, c.Limits.AssemblyTotal = 1<<20, 1<<20, 1<<20 }
	a, b := newNode(t, mem.Host("a"), "", set), newNode(t, mem.Host("b"), "b", set)
	s := a.session(t, b)
	entered, release := make(chan struct{}), make(chan struct{})
	b.handler.methods[first] = func(in *Incoming) { close(entered); <-release; in.Reply(0, nil, nil) }
	end := make(chan error)
	go func() {
		_, err := do(t.Context(), s, request(t.Context(), first, make([]byte, 1<<20)))
		end <- err
	}()
	<-entered
	_, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 1<<20)))
	wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "holds as many bytes of payloads as its limits allow")
	works(t, s)
	close(release)
	if err := <-end; err != nil {
		t.Error(err)
	}
}

// A peer may have a quarter of the bytes for all of them, so that slow methods for one leave
// room for the others.
func TestAPeerHasAQuarterOfTheRoomForBodies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		set := func(c *Config) { c.Limits.Message, c.Limits.Assembly, c.Limits.AssemblyTotal = 1<<20, 1<<20, 8<<20 }
		b := newNode(t, mem.Host("b"), "b", set)
		release := make(chan struct{})
		b.handler.methods[first] = func(in *Incoming) { <-release; in.Reply(0, nil, nil) }
		var calls sync.WaitGroup
		for peer := range 4 {
			a := newNode(t, mem.Host(fmt.Sprint("a", peer)), "", set)
			s := a.session(t, b)
			for range 2 {
				calls.Go(func() {
					if _, err := do(t.Context(), s, request(t.Context(), first, make([]byte, 1<<20))); err != nil {
						t.Errorf("a call of peer %d: %v", peer, err)
					}
				})
				synctest.Wait()
			}
			_, err := do(t.Context(), s, request(t.Context(), echo, make([]byte, 100_000)))
			wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "as many bytes of payloads as its limits allow")
			works(t, s)
		}
		close(release)
		calls.Wait()
		idle(t, b)
	})
}

// When one of the sessions that wait for room has ended, the others get it.
func TestTheLimitOnAllCallsPassesRoomOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := memnet.New()
		b := newNode(t, mem.Host("b"), "b", func(c *Config) { c.Limits.HandlersTotal = 1 })
		var peers [4]*raw
		for i := range peers {
			peers[i] = rawTo(t, b, b.Network).join()
		}
		for i, p := range peers {
			m := echo
			if i == 0 {
				m = linger
			}
			p.write(p.call(0, m, "x"))
			synctest.Wait()
		}
		for _, p := range peers[1:3] {
			p.conn.Close()
		}
		synctest.Wait()
		start := time.Now()
		peers[0].write(wire.AppendCancel(nil, 0, 1))
		if got, err := peers[3].returned(0); got != "x" || err != nil {
			t.Errorf("the last in the queue got %q, %v", got, err)
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("it waited %v", d)
		}
		synctest.Wait()
		if n := b.workers.serving(); n != 0 {
			t.Errorf("%d calls are counted", n)
		}
	})
}

func TestQueuedBytesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, b, _ := pair(t, func(c *Config) {
			c.Limits.Handlers, c.Limits.Message, c.Limits.Assembly = 1, 50000, 50000
		})
		p := rawTo(t, b, b.Network).join()
		p.write(p.call(0, linger, ""))
		for i := range wire.Slot(3) {
			p.write(p.call(1+i, echo, string(make([]byte, 20000))))
		}
		_, err := p.returned(3)
		wantKind(t, err, fault.KindOverloaded, fault.OutcomeNotExecuted, "bytes of their arguments (Assembly) wait already")
	})
}

func TestCallsOfOneConnectionInOrder(t *testing.T) {
	_, b, _ := pair(t)
	var running atomic.Int32
	var order []byte
	b.handler.route = func(*Incoming) (Threading, *Turn) { return ThreadingPerConnection, nil }
	b.handler.methods[first] = func(in *Incoming) {
		if running.Add(1) != 1 {
			t.Error("two run at once")
		}
		order = append(order, in.Body()...)
		running.Add(-1)
		in.Reply(0, nil, nil)
	}
	p := rawTo(t, b, b.Network).join()
	var all, want []byte
	for i := range wire.Slot(200) {
		all = append(all, p.call(i, first, string([]byte{byte(i)}))...)
		want = append(want, byte(i))
	}
	p.write(all)
	for range want {
		p.next(wire.FrameReturn)
	}
	if !bytes.Equal(order, want) {
		t.Errorf("the order was %v", order)
	}
}

// However many objects a peer calls, the turns that are in use stay, also that of a call that
// waits for a handler.
func TestATurnInUseIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := alone(t, func(c *Config) { c.Limits.Handlers = 2 })
		b.handler.route = func(*Incoming) (Threading, *Turn) { return ThreadingPerConnection, nil }
		var running, most [9]atomic.Int32 // by object
		open := [9]chan struct{}{7: make(chan struct{}), 8: make(chan struct{})}
		b.handler.methods[first] = func(in *Incoming) {
			obj := in.Header.Object
			if n := running[obj].Add(1); n > most[obj].Load() {
				most[obj].Store(n)
			}
			<-open[obj]
			running[obj].Add(-1)
			in.Reply(0, nil, nil)
		}
		p := enter(t, b)
		of := func(obj refs.ObjNum) func(*wire.CallHeader) { return func(h *wire.CallHeader) { h.Object = obj } }
		many := func(from refs.ObjNum) {
			for obj := range refs.ObjNum(1500) {
				p.write(p.call(3, echo, "", of(from+obj)))
				p.returned(3)
			}
		}
		p.write(p.call(0, first, "", of(7)))
		many(10_000)
		p.write(p.call(1, first, "", of(7)))                                 // waits for its turn
		p.write(p.call(2, first, "", of(8)))                                 // waits for a handler
		nested := func(h *wire.CallHeader) { h.Object, h.Depth = 20_000, 1 } // passes it
		for i := range refs.ObjNum(1500) {
			p.write(p.call(3, echo, "", nested, func(h *wire.CallHeader) { h.Object += i }))
			p.returned(3)
		}
		p.write(p.call(4, first, "", func(h *wire.CallHeader) { h.Object, h.Depth = 8, 1 })) // runs, beside that of object 7
		p.taken()
		close(open[7])
		p.next(wire.FrameReturn)
		p.next(wire.FrameReturn)
		p.taken() // now the queued call has a handler
		close(open[8])
		p.next(wire.FrameReturn)
		p.next(wire.FrameReturn)
		if a, b := most[7].Load(), most[8].Load(); a != 1 || b != 1 {
			t.Errorf("%d and %d calls of one object ran at a time", a, b)
		}
		served := &b.Live(p.node()).inbound
		defer served.mu.Unlock()
		if n := len(served.mu.Lock().turns); n > 1024 {
			t.Errorf("%d turns are kept", n)
		}
	})
}

func TestSerialCallsAndThoseThatComeBack(t *testing.T) {
	a, b, s := pair(t)
	var turn Turn
	b.handler.route = func(in *Incoming) (Threading, *Turn) { return ThreadingSerial, &turn }
	nested := func(in *Incoming, m wire.MethodID) error {
		chain, depth, ok := ChainOf(in.Context())
		if !ok || SessionOf(in.Context()) != in.Session {
			t.Error("the context does not know its call")
		}
		r := request(in.Context(), m, nil)
		r.Header.Chain, r.Header.Depth = chain, depth+1
		_, err := do(in.Context(), in.Session, r)
		return err
	}
	var running atomic.Int32
	b.handler.methods[first] = func(in *Incoming) {
		if running.Add(1) != 1 {
			t.Error("two chains are in the servant")
		}
		if err := nested(in, first); err != nil { // calls a back, which calls b
			t.Error(err)
		}
		running.Add(-1)
		in.Reply(0, nil, nil)
	}
	a.handler.methods[first] = func(in *Incoming) {
		if err := nested(in, echo); err != nil {
			t.Error(err)
		}
		in.Reply(0, nil, nil)
	}
	var calls sync.WaitGroup
	for range 20 {
		calls.Go(func() {
			if _, err := do(t.Context(), s, request(t.Context(), first, nil)); err != nil {
				t.Error(err)
			}
		})
	}
	calls.Wait()
	if !turn.idle() {
		t.Error("somebody has the turn")
	}
}

func TestTurn(t *testing.T) {
	call := func(chain, depth byte) *Incoming {
		return &Incoming{Header: wire.CallHeader{Chain: wire.ChainID{chain}, Depth: depth}, ctx: new(callContext)}
	}
	var turn Turn
	one, two, three, back, also, again := call(1, 0), call(2, 0), call(3, 3), call(1, 2), call(1, 2), call(1, 0)
	one.ctx.nested.Store(2)
	if !turn.enter(one) || turn.enter(two) || turn.enter(three) || turn.idle() {
		t.Fatal("the first has the turn, the others wait")
	}
	if !turn.enter(back) || turn.enter(also) {
		t.Error("a call that comes back in the chain re-enters, and the next one waits for it")
	}
	if turn.leave(back) != also || turn.leave(also) != nil {
		t.Error("the next call that comes back re-enters, and ends no turn")
	}
	one.ctx.nested.Store(0)
	if late := call(1, 2); turn.enter(late) {
		t.Error("a call is let in although the one that runs waits for none")
	} else {
		st := turn.mu.Lock()
		st.queue = st.queue[:2]
		turn.mu.Unlock()
	}
	if turn.enter(again) {
		t.Error("a call of depth 0 is no call that comes back")
	}
	for i, c := range []struct{ leaves, next *Incoming }{{one, two}, {two, three}, {three, again}, {again, nil}} {
		if next := turn.leave(c.leaves); next != c.next {
			t.Errorf("%d: the turn went to another", i)
		}
	}
	if !turn.idle() {
		t.Error("nobody is left, and the turn is taken")
	}
}

func TestStreams(t *testing.T) {
	net, echoed := &tcp{}, make(chan error, 1)
	a, b := newNode(t, net, ""), newNode(t, net, "127.0.0.1", func(c *Config) {
		c.OnStream = func(_ *Link, st streams.Stream) {
			_, err := io.Copy(st, st)
			echoed <- err
		}
	})
	s := a.session(t, b)
	st, err := s.Link().OpenStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sent := bytes.Repeat([]byte("GoRMI streams. "), 200000) // 3 MB
	var writer sync.WaitGroup
	writer.Go(func() { st.Write(sent); works(t, s) })
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(st, got); err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("the echo differs: %v", err)
	}
	writer.Wait()
	s.end(fault.New(fault.KindPeerGone, fault.OutcomeUnknown, "cut"))
	if _, err := st.Read(got); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a stream of a session that is over reads %v", err)
	}
	if err := <-echoed; err == nil {
		t.Error("the other end took the end of the session for the end of the stream")
	}
}
