package datagram_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"gormi/rmi/internal/lossy"
	"gormi/rmi/transport/datagram"
	"gormi/rmi/wire"
)

// bad is a bad link: a fifth of the datagrams is lost, others arrive twice or late.
var bad = lossy.Options{Seed: 7, Loss: 0.2, Dup: 0.1, Reorder: 0.2, Delay: 3 * time.Millisecond, Late: 20 * time.Millisecond}

// pair is the two ends of a connection, behind the handshake.
type pair struct {
	packets  interface{ Counts() lossy.Counts }
	listener net.Listener
	d, a     *end
}

// end is one end, as a session uses it.
type end struct{ net.Conn }

// newPair returns a pair over a network in memory.
func newPair(t *testing.T, o lossy.Options) *pair {
	t.Helper()
	packets := lossy.New(o)
	p := pairOver(t, packets, "owner:1")
	p.packets = packets
	return p
}

func pairOver(t *testing.T, packets datagram.Packets, address string) *pair {
	t.Helper()
	n := datagram.Network{Packets: packets}
	l, err := n.Listen(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	p := &pair{listener: l}
	accepted := make(chan net.Conn, 1)
	go func() {
		c, err := p.listener.Accept()
		if err != nil {
			t.Error(err)
		}
		accepted <- c
	}()
	c, err := n.DialContext(t.Context(), "udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p.d, p.a = &end{c}, &end{<-accepted}
	t.Cleanup(p.close)

	// A handshake in form only: the carrier does not look at the content.
	hello := append([]byte(wire.Magic), message(wire.HandshakeHello, 120)...)
	proof := message(wire.HandshakeProof, 98)
	welcome := message(wire.HandshakeWelcome, 18)
	p.d.write(t, hello)
	p.a.expect(t, hello)
	p.a.write(t, hello, proof)
	p.d.expect(t, append(hello[:len(hello):len(hello)], proof...))
	p.d.write(t, proof)
	p.a.expect(t, proof)
	p.a.write(t, welcome)
	p.d.expect(t, welcome)
	return p
}

// close closes both ends. Then nothing is left: synctest fails if a goroutine is.
func (p *pair) close() {
	p.listener.Close()
	p.d.Close()
	p.a.Close()
}

func message(k wire.HandshakeKind, n int) []byte {
	return append([]byte{byte(k), byte(n >> 8), byte(n)}, make([]byte, n)...)
}

func (e *end) write(t *testing.T, parts ...[]byte) {
	t.Helper()
	for _, b := range parts {
		if n, err := e.Write(b); err != nil || n != len(b) {
			t.Fatalf("wrote %d of %d bytes: %v", n, len(b), err)
		}
	}
}

func (e *end) expect(t *testing.T, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(e, got); err != nil || string(got) != string(want) {
		t.Fatalf("read %x, %v; want %x", got, err, want)
	}
}

// record reads one record, prefix included.
func (e *end) record() ([]byte, error) {
	var p [wire.PrefixSize]byte
	if _, err := io.ReadFull(e, p[:]); err != nil {
		return nil, err
	}
	prefix, err := wire.ParsePrefix(p[:])
	if err != nil {
		return nil, err
	}
	rec := append(p[:], make([]byte, prefix.Length)...)
	_, err = io.ReadFull(e, rec[len(p):])
	return rec, err
}

func slotOf(rec []byte) (wire.Slot, wire.Seq) {
	return wire.Slot(binary.BigEndian.Uint32(rec[8:])), wire.Seq(binary.BigEndian.Uint32(rec[12:]))
}

func callRecord(slot wire.Slot, seq wire.Seq, body int) []byte {
	h := wire.CallHeader{Slot: slot, Seq: seq, Timeout: 1, Payload: wire.Payload{Body: uint32(body)}}
	return append(wire.AppendCall(nil, &h, 0, nil), make([]byte, body)...)
}

func returnRecord(slot wire.Slot, seq wire.Seq, body int) []byte {
	h := wire.ReturnHeader{Slot: slot, Seq: seq, Payload: wire.Payload{Body: uint32(body)}}
	return append(wire.AppendReturn(nil, &h, 0, nil), make([]byte, body)...)
}

func TestACallCostsTwoDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, lossy.Options{Delay: time.Millisecond})
		time.Sleep(time.Second) // what the handshake owes
		before := p.packets.Counts().Sent
		const calls = 100
		for seq := range wire.Seq(calls) {
			rec, ret := callRecord(3, seq+1, 100), returnRecord(3, seq+1, 900)
			p.d.write(t, rec)
			p.a.expect(t, rec)
			p.a.write(t, ret)
			p.d.expect(t, ret)
		}
		time.Sleep(time.Second)
		if got := p.packets.Counts().Sent - before; got != 2*calls {
			t.Errorf("%d calls took %d datagrams", calls, got)
		}
	})
}

// A call that runs for a while is acknowledged, and its return then travels in order.
func TestASlowCallCostsFourDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, lossy.Options{Delay: time.Millisecond})
		time.Sleep(time.Second)
		before := p.packets.Counts().Sent
		rec, ret := callRecord(0, 1, 100), returnRecord(0, 1, 100)
		p.d.write(t, rec)
		p.a.expect(t, rec)
		time.Sleep(time.Hour)
		p.a.write(t, ret)
		p.d.expect(t, ret)
		time.Sleep(time.Hour)
		if got := p.packets.Counts().Sent - before; got != 4 {
			t.Errorf("the call took %d datagrams", got)
		}
	})
}

func TestRecordsWrittenTogetherShareADatagram(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPair(t, lossy.Options{})
		time.Sleep(time.Second)
		before := p.packets.Counts().Sent
		var calls, returns []byte
		for slot := range wire.Slot(8) {
			calls = append(calls, callRecord(slot, 1, 50)...)
			returns = append(returns, returnRecord(slot, 1, 50)...)
		}
		p.d.write(t, calls)
		p.a.expect(t, calls)
		p.a.write(t, returns)
		p.d.expect(t, returns)
		time.Sleep(time.Second)
		if got := p.packets.Counts().Sent - before; got != 2 {
			t.Errorf("8 small calls that were made together took %d datagrams", got)
		}
	})
}

// What is not a small call or return arrives as it was written.
func TestOrderedRecordsOverABadLink(t *testing.T) {
	for _, o := range []lossy.Options{{}, {Delay: 30 * time.Millisecond}, bad} {
		t.Run(fmt.Sprint(o.Loss), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newPair(t, o)
				began := time.Now()
				const records = 10_000
				random := rand.New(rand.NewPCG(1, 2))
				sizes := make([]int, records)
				for i := range sizes {
					sizes[i] = 1 + random.IntN(2000)
					if i%100 == 0 {
						sizes[i] = 1 + random.IntN(wire.MaxInline)
					}
				}
				record := func(i int, b []byte) []byte {
					b = wire.AppendFragment(b, wire.Slot(i), 1, false, sizes[i])
					for j := range sizes[i] {
						b = append(b, byte(i+j))
					}
					return b
				}
				for _, ends := range [][2]*end{{p.d, p.a}, {p.a, p.d}} { // both ways at once
					from := ends[0]
					go func() {
						var b []byte
						for i := range records {
							b = record(i, b[:0])
							if _, err := from.Write(b); err != nil {
								t.Error(err)
								return
							}
						}
					}()
				}
				done := make(chan error, 2)
				for _, to := range []*end{p.d, p.a} {
					go func() {
						var want []byte
						for i := range records {
							got, err := to.record()
							if want = record(i, want[:0]); err == nil && string(got) != string(want) {
								err = fmt.Errorf("record %d: got %d bytes that are not the %d written", i, len(got), len(want))
							}
							if err != nil {
								done <- err
								return
							}
						}
						done <- nil
					}()
				}
				for range 2 {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				c := p.packets.Counts()
				t.Logf("%+v in %v", c, time.Since(began))
				if o.Loss > 0 && (c.Lost == 0 || c.Dup == 0 || c.Late == 0) {
					t.Errorf("the link was not bad: %+v", c)
				}
			})
		})
	}
}

// Calls over a bad link: each is executed once, whatever arrives twice, and each is answered.
func TestDirectCallsOverABadLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { newPair(t, bad).call(t, 16, 700) })
}

func TestDirectCallsOverBadSockets(t *testing.T) {
	packets := lossy.NewSockets(lossy.Options{Seed: 11, Loss: 0.2, Dup: 0.1, Reorder: 0.2})
	p := pairOver(t, packets, "127.0.0.1:0")
	p.packets = packets
	p.call(t, 32, 30)
}

// call makes calls by so many concurrent callers, in place of the sessions.
func (p *pair) call(t *testing.T, callers, each int) {
	began := time.Now()
	executed := make(map[[2]uint32]int)
	last := make(map[wire.Slot]wire.Seq)
	again := 0
	serving := make(chan error, 1)
	go func() {
		for {
			rec, err := p.a.record()
			if err != nil {
				serving <- err
				return
			}
			slot, seq := slotOf(rec)
			switch {
			case seq == last[slot]: // the return was lost: the kept one
				again++
			case seq == last[slot]+1:
				last[slot] = seq
				executed[[2]uint32{uint32(slot), uint32(seq)}]++
			default:
				t.Errorf("call %d of slot %d after %d", seq, slot, last[slot])
			}
			if _, err := p.a.Write(returnRecord(slot, seq, int(seq)%1500)); err != nil {
				serving <- err
				return
			}
		}
	}()
	slots := make([]chan []byte, callers)
	for i := range slots {
		slots[i] = make(chan []byte, 1)
	}
	go func() {
		for {
			rec, err := p.d.record()
			if err != nil {
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("the calling end's connection ended with %v", err)
				}
				for _, slot := range slots {
					close(slot)
				}
				return
			}
			slot, _ := slotOf(rec)
			select {
			case slots[slot] <- rec:
			default:
				t.Errorf("two returns at once in slot %d", slot)
			}
		}
	}()
	over := make(chan bool)
	for i := range slots {
		go func() {
			defer func() { over <- true }()
			for seq := range wire.Seq(each) {
				seq++
				if _, err := p.d.Write(callRecord(wire.Slot(i), seq, int(seq)%1300)); err != nil {
					t.Error(err)
					return
				}
				rec, ok := <-slots[i]
				if !ok {
					return
				}
				if _, got := slotOf(rec); got != seq || len(rec) != len(returnRecord(0, 0, int(seq)%1500)) {
					t.Errorf("return of call %d in slot %d where %d was due", got, i, seq)
				}
			}
		}()
	}
	for range slots {
		<-over
	}
	p.d.Close()
	if err := <-serving; !errors.Is(err, io.EOF) {
		t.Errorf("the serving end's connection ended with %v", err)
	}
	if len(executed) != callers*each {
		t.Errorf("%d calls were executed, want %d", len(executed), callers*each)
	}
	if again == 0 {
		t.Error("no return was lost: the test tests nothing")
	}
	t.Logf("%+v, %d returns given again, %v", p.packets.Counts(), again, time.Since(began))
}
