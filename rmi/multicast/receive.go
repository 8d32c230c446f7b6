package multicast

import (
	"bytes"
	"encoding/binary"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// Receiver gets the packets that peers send to its id. A peer's packets arrive on one goroutine, in
// order. Packets from different peers may arrive concurrently. A Receiver must not block, because
// all other receivers of that peer's packets wait meanwhile.
type Receiver interface {
	// Receive takes a packet. d is valid until it returns.
	Receive(d *Delivery)
	// Flush is called after calls of Receive: when nothing more can be read at once, or after
	// many packets.
	Flush(p *Peer)
}

// Delivery is a packet that arrived.
type Delivery struct {
	Peer *Peer  // the sender
	Head []byte // chosen by the sender

	packet   wire.Multicast
	table    []refs.Ref // of the packet, counted; tableErr says why it could not be read
	tableErr error
	value    any // the decoded value, for the other receivers
	err      error
}

// receivers are the receivers of an Exchange.
type receivers struct {
	last atomic.Uint64
	mu   sync.RWMutex // guards byID
	byID map[ReceiverID]Receiver
}

// Register gives r an id by which peers can send to it, until stop is called. A call of
// r.Receive or r.Flush that is under way then may return after stop.
func (e *Exchange) Register(r Receiver) (id ReceiverID, stop func()) {
	x := &e.receivers
	id = ReceiverID(x.last.Add(1))
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.byID == nil {
		x.byID = make(map[ReceiverID]Receiver)
	}
	x.byID[id] = r
	return id, func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		delete(x.byID, id)
	}
}

// Value decodes the packet's value. It is decoded once for all receivers of the packet that ask for
// the same type. They share the value, so *T is read-only.
func (c *Codec[T]) Value(d *Delivery) (*T, error) {
	if v, ok := d.value.(*T); ok {
		return v, d.err
	}
	v, err := c.decode(d)
	d.value, d.err = v, err
	return v, err
}

func (c *Codec[T]) decode(d *Delivery) (*T, error) {
	switch any((*T)(nil)).(type) { // plain bytes need no Decoder
	case *[]byte:
		if b, ok := codec.SoleBytes(d.packet.Body, false); ok {
			v := bytes.Clone(b)
			return any(&v).(*T), nil
		}
	case *string:
		if b, ok := codec.SoleBytes(d.packet.Body, true); ok {
			v := string(b)
			return any(&v).(*T), nil
		}
	}
	if d.tableErr != nil {
		return nil, d.tableErr
	}
	h := d.Peer.exchange.host
	dec, err := codec.NewDecoder(d.packet.Body, d.table, h.Importer(d.Peer.session), h.Limits())
	if err != nil {
		return nil, err
	}
	defer dec.Release()
	out, err := c.m.DecodeArgs(dec)
	if err != nil {
		return nil, err
	}
	return out[0].Addr().Interface().(*T), nil
}

// inlet is the receiving end of a peer's packets.
type inlet struct {
	reading atomic.Bool // a stream of packets is being read
	ids     []ReceiverID

	delivery Delivery  // the packet that is being delivered; Receive does not keep it
	touched  []touched // Receive was called and Flush is due
}

// touched is a receiver with its id. The ids are compared, because receivers may be of types
// that cannot be.
type touched struct {
	id ReceiverID
	r  Receiver
}

const (
	idleBuffer  = 4 << 10  // while there is little to read
	burstBuffer = 64 << 10 // while there is much
	// preambleTime is how long the sender of a stream may take to say what the stream is for.
	preambleTime = 10 * time.Second
	// flushAfter is the number of packets after which receivers are flushed even if there is
	// more. So a receiver need not store a whole buffer of packets.
	flushAfter = 128
)

// read takes packets from a stream until the stream fails. An error means that the peer broke
// the protocol.
func (in *inlet) read(p *Peer, st streams.Stream) error {
	defer st.Reset()
	var preamble [len(wire.MulticastPreamble)]byte
	st.SetReadDeadline(time.Now().Add(preambleTime))
	if _, err := io.ReadFull(st, preamble[:]); err != nil || string(preamble[:]) != wire.MulticastPreamble {
		return nil // of a purpose that is unknown here: reset
	}
	st.SetReadDeadline(time.Time{})
	if in.reading.Swap(true) {
		return wire.ProtocolError("W-90: a second stream of multicast packets")
	}
	defer in.reading.Store(false)

	l := p.exchange.host.Limits()
	buf := make([]byte, idleBuffer)
	r, w := 0, 0
	small := 0 // reads in a row that a small buffer would have served
	for {
		need := 4
		for n := 0; w-r >= 4; n++ {
			size := int64(binary.BigEndian.Uint32(buf[r:]))
			if size > int64(l.Message)+wire.MaxMulticast {
				in.flush(p)
				return wire.ProtocolError("W-92: multicast packet of %d bytes: the limit is %d and its head", size, l.Message)
			}
			if need = 4 + int(size); w-r < need {
				break
			}
			if err := in.packet(p, buf[r+4:r+need], l); err != nil {
				in.flush(p)
				return err
			}
			r += need
			need = 4
			if n%flushAfter == flushAfter-1 {
				in.flush(p)
			}
		}
		in.flush(p)
		switch {
		case r == w:
			r, w = 0, 0
			if len(buf) > burstBuffer || small > 8 && len(buf) > idleBuffer {
				buf = make([]byte, idleBuffer)
			}
		case r > 0:
			w = copy(buf, buf[r:w])
			r = 0
		}
		if w == len(buf) {
			// The buffer grows with what has arrived, not with what was announced.
			b := make([]byte, min(max(2*len(buf), burstBuffer), max(need, burstBuffer)))
			copy(b, buf[:w])
			buf = b
		}
		n, err := st.Read(buf[w:])
		w += n
		if err != nil {
			return nil
		}
		if small++; n >= idleBuffer/2 {
			small = 0
		}
		if n >= idleBuffer && len(buf) < burstBuffer {
			b := make([]byte, burstBuffer)
			copy(b, buf[:w])
			buf = b
		}
	}
}

func (in *inlet) packet(p *Peer, b []byte, l *wire.Limits) (err error) {
	d := &in.delivery
	*d = Delivery{Peer: p}
	if in.ids, err = wire.ParseMulticast(b, in.ids[:0], l, &d.packet); err != nil {
		return err
	}
	d.Head = d.packet.Head
	if d.packet.References > 0 {
		// Whatever the receivers do with the packet, its references were given to this node.
		h := p.exchange.host
		d.table, d.tableErr = h.Receive(p.session, d.packet.References, d.packet.Table)
		defer func() { h.Decoded(d.table) }()
	}
	rs := &p.exchange.receivers
	for _, id := range in.ids {
		rs.mu.RLock()
		r := rs.byID[id]
		rs.mu.RUnlock()
		if r == nil {
			continue // it has just been closed, and the sender does not know that yet
		}
		in.touch(p, touched{id, r})
		r.Receive(d)
	}
	return nil
}

// touch notes that a receiver must be flushed.
func (in *inlet) touch(p *Peer, r touched) {
	n := len(in.touched)
	if n > 0 && in.touched[n-1].id == r.id {
		return
	}
	if n >= wire.MaxReceivers {
		in.flush(p)
	}
	in.touched = append(in.touched, r)
}

func (in *inlet) flush(p *Peer) {
	for _, r := range in.touched {
		r.r.Flush(p)
	}
	clear(in.touched)
	in.touched = in.touched[:0]
}
