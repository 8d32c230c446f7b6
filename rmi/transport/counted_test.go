package transport

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"gormi/rmi/fault"
	"gormi/rmi/internal/memnet"
	"gormi/rmi/wire"
)

// tables counts the calls of OnTable.
type tables struct {
	references, bytes, times atomic.Int64
}

func (c *tables) set(cf *Config) {
	cf.OnTable = func(_ *Session, n uint32, table []byte) {
		c.times.Add(1)
		c.references.Add(int64(n))
		c.bytes.Add(int64(len(table)))
	}
}

func (c *tables) want(t *testing.T, times int64) {
	t.Helper()
	if c.times.Load() != times || c.references.Load() != 3*times || c.bytes.Load() != tableSize*times {
		t.Errorf("%d tables of %d references and %d bytes were counted, want %d", c.times.Load(), c.references.Load(), c.bytes.Load(), times)
	}
}

const tableSize = 700

// withTable gives a call of a raw peer a table of three references.
func withTable(h *wire.CallHeader) {
	h.Payload.References, h.Payload.Table, h.Payload.Body = 3, tableSize, h.Payload.Body-tableSize
}

func (p *raw) tableCall(slot wire.Slot, m wire.MethodID, size int, set ...func(*wire.CallHeader)) []byte {
	if size <= wire.MaxInline {
		return p.call(slot, m, string(make([]byte, size)), append(set, withTable)...)
	}
	p.seq[slot]++
	h := wire.CallHeader{Slot: slot, Seq: p.seq[slot], Object: 7, Method: m, Timeout: 10e6, Payload: wire.Payload{Body: uint32(size)}}
	withTable(&h)
	for _, f := range set {
		f(&h)
	}
	b := wire.AppendCall(nil, &h, wire.FlagFragmented, nil)
	for left := size; left > 0; left -= 30000 {
		b = append(b, p.fragment(slot, min(left, 30000))...)
	}
	return b
}

func TestTablesOfCallsThatNobodyDecodes(t *testing.T) {
	for _, c := range []struct {
		name string
		size int
		play func(t *testing.T, b *node, p *raw, size int)
		want int64
	}{
		{"served", 1000, func(t *testing.T, b *node, p *raw, size int) { // the handler's to count
			p.write(p.tableCall(0, echo, size))
			p.whole(0)
		}, 0},
		{"refused for its depth", 1000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(p.tableCall(0, echo, size, func(h *wire.CallHeader) { h.Depth = wire.MaxDepth + 1 }))
			p.whole(0)
		}, 1},
		{"refused for its depth", 100000, func(t *testing.T, b *node, p *raw, size int) {
			call := p.tableCall(0, echo, size, func(h *wire.CallHeader) { h.Depth = wire.MaxDepth + 1 })
			p.write(call)
			flags, first := p.whole(0)
			p = p.again(b)
			p.write(call) // counted once
			if f, again := p.whole(0); f != flags || again != first {
				t.Error("another reply")
			}
			p.taken()
		}, 1},
		{"refused, going away", 1000, func(t *testing.T, b *node, p *raw, size int) {
			b.Live(p.node()).GoAway()
			p.next(wire.FrameGoAway)
			p.write(p.tableCall(0, echo, size))
			p.whole(0)
		}, 1},
		{"refused, going away", 100000, func(t *testing.T, b *node, p *raw, size int) {
			b.Live(p.node()).GoAway()
			p.next(wire.FrameGoAway)
			p.write(p.tableCall(0, echo, size))
			p.whole(0)
		}, 1},
		{"a queue that is full", 1000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(join(p.call(0, linger, ""), p.call(1, linger, ""), p.call(2, echo, "")))
			p.write(p.tableCall(3, echo, size))
			p.whole(3)
		}, 1},
		{"expired in the queue", 1000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(join(p.call(0, linger, ""), p.call(1, linger, "")))
			call := p.tableCall(2, echo, size, func(h *wire.CallHeader) { h.Timeout = 1e6 })
			p.write(call)
			p.taken()
			p = p.again(b)
			p.write(call)
			p.whole(2)
		}, 1},
		{"expired in the queue, large", 100000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(join(p.call(0, linger, ""), p.call(1, linger, "")))
			p.write(p.tableCall(2, echo, size, func(h *wire.CallHeader) { h.Timeout = 1e6 }))
			p.whole(2)
		}, 1},
		{"cancelled in the queue", 1000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(join(p.call(0, linger, ""), p.call(1, linger, "")))
			p.write(p.tableCall(2, echo, size))
			p.write(wire.AppendCancel(nil, 2, 1))
			p.whole(2)
		}, 1},
		{"cancelled under assembly", 100000, func(t *testing.T, b *node, p *raw, size int) {
			call := p.tableCall(0, echo, size)
			p.write(call[:50000/30000*30016+66])
			p.write(wire.AppendCancel(nil, 0, 1))
			p.givenUp(0)
		}, 0},
		{"given up unheard", 1000, func(t *testing.T, b *node, p *raw, size int) {
			p.seq[0]++
			p.write(wire.AppendCancel(nil, 0, 1))
			p.givenUp(0)
		}, 0},
		{"a call without room", 3 << 20, func(t *testing.T, b *node, p *raw, size int) {
			b.held.add(int64(b.Limits.AssemblyTotal))
			defer b.held.add(-int64(b.Limits.AssemblyTotal))
			p.write(p.tableCall(0, echo, size))
			if flags, _ := p.whole(0); flags != wire.FlagError|wire.FlagUncounted {
				t.Errorf("flags %d", flags)
			}
		}, 0},
		{"cut under assembly", 100000, func(t *testing.T, b *node, p *raw, size int) {
			p.write(p.tableCall(0, echo, size)[:50000])
			synctest.Wait()
			p.again(b)
		}, 0},
		{"too much is kept", 100000, func(t *testing.T, b *node, p *raw, size int) {
			b.Limits.Retained = 10
			p.write(p.call(1, echo, "more than ten bytes"))
			p.whole(1)
			p.write(p.tableCall(0, echo, size))
			p.whole(0)
		}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got tables
				b := alone(t, func(c *Config) { c.Limits.Handlers, c.Limits.Queue = 2, 1 }, got.set)
				p := enter(t, b)
				c.play(t, b, p, c.size)
				synctest.Wait()
				got.want(t, c.want)
			})
		})
	}
}

func TestTablesOfReturnsThatNobodyReads(t *testing.T) {
	for _, size := range []int{1000, 100000} {
		for name, c := range map[string]struct {
			leaves, oneWay bool
			cuts           int
			want           int64
		}{
			"read":                  {false, false, 0, 0},
			"left":                  {true, false, 0, 1},
			"one-way":               {false, true, 0, 1},
			"left, cut in between":  {true, false, 2, 1},
			"read, cut in between":  {false, false, 2, 0},
			"one-way, cut in there": {false, true, 1, 1},
		} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var got tables
					mem := memnet.New()
					a := newNode(t, mem.Host("a"), "", got.set)
					r := accepts(t, mem)
					s, p := r.session(a)
					ctx, leave := context.WithCancel(t.Context())
					defer leave()
					end, _ := called(ctx, s, 10, func(r *Request) { r.OneWay = c.oneWay })
					h, _ := p.wholeCall()
					if c.leaves {
						leave()
						p.next(wire.FrameCancel)
					}
					if c.oneWay {
						<-end
					}
					ret := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{References: 3, Table: tableSize, Body: uint32(size - tableSize)}}
					var records []byte
					if size <= wire.MaxInline {
						records = append(wire.AppendReturn(nil, &ret, 0, nil), make([]byte, size)...)
					} else {
						records = wire.AppendReturn(nil, &ret, wire.FlagFragmented, nil)
						for left := size; left > 0; left -= 30000 {
							n := min(left, 30000)
							records = append(append(records, wire.AppendFragment(nil, h.Slot, h.Seq, true, n)...), make([]byte, n)...)
						}
					}
					for range c.cuts {
						p.write(records[:len(records)-100])
						synctest.Wait()
						p.cut(s)
						p = r.welcome()
						if c.leaves || c.oneWay {
							p.next(wire.FrameCancel)
						} else {
							p.wholeCall()
						}
					}
					p.write(records)
					p.taken()
					got.want(t, c.want)
					synctest.Wait()
					idle(t, a)
				})
			})
		}
	}
}

// The table of a reply for which there is no room is discarded with it: the references in it
// stay given until the session ends.
func TestTheTableOfAReplyWithoutRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got tables
		mem := memnet.New()
		a := newNode(t, mem.Host("a"), "", got.set)
		r := accepts(t, mem)
		s, p := r.session(a)
		end, _ := called(t.Context(), s, 10)
		h, _ := p.wholeCall()
		a.held.add(int64(a.Limits.AssemblyTotal) - 1<<20)
		ret := wire.ReturnHeader{Slot: h.Slot, Seq: h.Seq, Payload: wire.Payload{References: 3, Table: tableSize, Body: 3<<20 - tableSize}}
		p.write(wire.AppendReturn(nil, &ret, wire.FlagFragmented, nil))
		for left := 3 << 20; left > 0; left -= 30000 {
			n := min(left, 30000)
			p.write(append(wire.AppendFragment(nil, h.Slot, h.Seq, true, n), make([]byte, n)...))
		}
		wantKind(t, <-end, fault.KindOverloaded, fault.OutcomeExecuted, "had no room")
		a.held.add(-int64(a.Limits.AssemblyTotal) + 1<<20)
		p.next(wire.FrameAck) // it arrived all the same
		synctest.Wait()
		got.want(t, 0)
		idle(t, a)
	})
}
