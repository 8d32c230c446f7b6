package multicast

import (
	"context"
	"errors"
	"reflect"
	"runtime"

	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
)

// ReceiverID names a receiver in its node.
type ReceiverID = wire.ReceiverID

// Codec encodes and decodes the values of one type. It is immutable.
type Codec[T any] struct{ m *codec.Method }

// CodecOf returns the codec of T. The error says why values of T cannot be sent.
func CodecOf[T any]() (*Codec[T], error) {
	// A func that takes a T describes it as a call's argument.
	i, err := codec.InterfaceOf(reflect.TypeFor[func(context.Context, T) error]())
	if err != nil {
		return nil, err
	}
	return &Codec[T]{i.Methods[0]}, nil
}

// Packet is a value that is encoded once and sent to any number of peers. It is immutable. While it
// is reachable, the objects that it refers to stay exported, or held.
type Packet struct {
	body []byte
	refs []refs.Ref
}

// Size is the length of the encoded value in bytes.
func (p *Packet) Size() int { return len(p.body) }

// Packet encodes v, under the limits of x's node.
func (c *Codec[T]) Packet(x *Exchange, v T) (*Packet, error) {
	side := &packing{host: x.host}
	enc := codec.NewEncoder(side, x.host.Limits())
	defer enc.Release()
	err := c.m.EncodeArgs(enc, []reflect.Value{reflect.ValueOf(&v).Elem()})
	if err != nil {
		unpin(side.pins)
		return nil, fault.Add(err, fault.OutcomeNotExecuted)
	}
	p := &Packet{body: append(make([]byte, 0, len(enc.Body())), enc.Body()...)}
	if r := enc.Refs(); len(r) > 0 {
		p.refs = append([]refs.Ref(nil), r...)
		runtime.AddCleanup(p, unpin, side.pins)
	}
	return p, nil
}

// unpin releases what a packet held.
func unpin(pins []func()) {
	for _, f := range pins {
		f()
	}
}

// packing is the codec's view of a packet under construction, which belongs to no session.
type packing struct {
	host Host
	pins []func() // they undo the pins
}

var _ codec.Exporter = (*packing)(nil)

// ExportRef implements codec.Exporter.
func (x *packing) ExportRef(v reflect.Value, i *codec.Interface) (refs.Ref, error) {
	r, unpin, err := x.host.Pin(v, i)
	if err == nil {
		x.pins = append(x.pins, unpin)
	}
	return r, err
}

// table returns the table of a packet's references for a session. It counts each as given once
// for each of a number of frames.
func (p *Packet) table(to *Peer, frames int) ([]byte, error) {
	if len(p.refs) == 0 {
		return nil, nil
	}
	var on []refs.Ref
	for range frames {
		on = on[:0]
		for _, r := range p.refs {
			on = append(on, to.exchange.host.Give(to.session, r))
		}
	}
	return wire.AppendTable(nil, on)
}

// untable undoes the counts of table: the frames are not sent.
func (p *Packet) untable(to *Peer, frames int) {
	for range frames {
		to.exchange.host.Ungive(to.session, p.refs...)
	}
}

// Message is one packet on its way to receivers of one peer.
type Message struct {
	To     []ReceiverID // ascending, each once
	Head   []byte       // at most MaxHead bytes, for the receivers to interpret
	Packet *Packet      // nil: there is only the head
}

// MaxHead bounds Message.Head, in bytes.
const MaxHead = wire.MaxHead

// outlet is the sending end of a peer's packets.
type outlet struct {
	turn chan struct{} // has room for one: who has sent to it may use the fields below

	stream streams.Stream
	buf    []byte
	err    error // why nothing can be sent any more
}

// batchSize is how many bytes of packets are written to the stream at once.
const batchSize = 32 << 10

// MaxMessage is the largest encoded value that the peer accepts, in bytes.
func (p *Peer) MaxMessage() int { return p.session.PeerMessage() }

// Send sends messages, in order. It waits while the stream's window is full, at most until the
// connection is lost. The caller may reuse ms when it returns. For a packet over MaxMessage it
// returns an error of kind TooLarge. Then it sends neither that message nor those after it, and
// sent is the number of messages before it. After any other error nothing can be sent any more.
func (p *Peer) Send(ms []Message) (sent int, err error) {
	o := &p.out
	o.turn <- struct{}{} // at most until the connection is lost, as those before end then
	defer func() { <-o.turn }()
	if o.err != nil {
		return 0, o.err
	}
	if o.stream == nil {
		if o.err = o.open(p); o.err != nil {
			return 0, o.err
		}
	}
	written := 0
	for i := range ms {
		err := o.append(p, &ms[i])
		if err != nil {
			if o.flush() == nil {
				return i, err
			}
			return written, o.err
		}
		if len(o.buf) >= batchSize {
			if o.flush() != nil {
				return written, o.err
			}
			written = i + 1
		}
	}
	if o.flush() != nil {
		return written, o.err
	}
	return len(ms), nil
}

func (o *outlet) open(p *Peer) error {
	st, err := p.link.OpenStream(context.Background())
	// The connection may be slow. The session bounds the wait.
	for errors.Is(err, streams.ErrOpenTimeout) && p.Err() == nil {
		st, err = p.link.OpenStream(context.Background())
	}
	if err != nil {
		if e := p.Err(); e != nil {
			err = e
		}
		return fault.Add(err, fault.OutcomeNotExecuted)
	}
	o.stream = st
	o.buf = append(o.buf, wire.MulticastPreamble...)
	return nil
}

// append appends a message to the buffer, in packets of at most wire.MaxReceivers receivers.
func (o *outlet) append(p *Peer, m *Message) error {
	var body []byte
	var table []byte
	references := 0
	frames := (len(m.To) + wire.MaxReceivers - 1) / wire.MaxReceivers
	if m.Packet != nil {
		body, references = m.Packet.body, len(m.Packet.refs)
		if references > 0 {
			var err error
			if table, err = m.Packet.table(p, frames); err != nil {
				m.Packet.untable(p, frames)
				return fault.Add(err, fault.OutcomeNotExecuted)
			}
		}
		if n := len(body) + len(table); n > p.MaxMessage() {
			m.Packet.untable(p, frames)
			return fault.New(fault.KindTooLarge, fault.OutcomeNotExecuted, "%d bytes: the peer accepts %d in one message (its Options.Limits.Message)", n, p.MaxMessage())
		}
	}
	for to := m.To; len(to) > 0; {
		n := min(len(to), wire.MaxReceivers)
		o.buf = wire.AppendMulticast(o.buf, to[:n], m.Head, references, table, len(body))
		o.buf = append(o.buf, body...)
		to = to[n:]
	}
	return nil
}

// flush writes the buffer to the stream.
func (o *outlet) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	if _, err := o.stream.Write(o.buf); err != nil {
		o.err = fault.Add(err, fault.OutcomeUnknown)
		o.stream.Reset()
	}
	if cap(o.buf) > 2*batchSize {
		o.buf = nil
	}
	o.buf = o.buf[:0]
	return o.err
}
