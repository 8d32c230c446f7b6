package rmi

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"sync"

	"gormi/proxy"
	"gormi/refs"
	"gormi/rmi/codec"
	"gormi/rmi/fault"
	"gormi/rmi/transport/streams"
	"gormi/rmi/wire"
	"gormi/skeleton"
)

// ReceiverID names a receiver in its node.
type ReceiverID = wire.ReceiverID

// Codec encodes and decodes the values of one type for multicast. It is
// immutable.
type Codec[T any] struct{ m *codec.Method }

// CodecOf returns the codec of T, or tells why values of T cannot travel.
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
	pins *pins
}

// pins are what a packet holds.
type pins struct {
	own    []*skeleton.Export // pinned
	others []refs.ID          // pinned
}

// Size is the length of the encoded value in bytes.
func (p *Packet) Size() int { return len(p.body) }

// Packet encodes v, under n's limits.
func (c *Codec[T]) Packet(n *Node, v T) (*Packet, error) {
	p := &Packet{pins: new(pins)}
	enc := codec.NewEncoder(&packetSide{n, p}, &n.limits)
	defer enc.Release()
	err := c.m.EncodeArgs(enc, []reflect.Value{reflect.ValueOf(&v).Elem()})
	if err != nil {
		n.unpin(p.pins)
		return nil, asError(err, NotExecuted)
	}
	p.body = append(make([]byte, 0, len(enc.Body())), enc.Body()...)
	if r := enc.Refs(); len(r) > 0 {
		p.refs = append([]refs.Ref(nil), r...)
		runtime.AddCleanup(p, n.unpin, p.pins)
	}
	return p, nil
}

// unpin gives up what a packet held.
func (n *Node) unpin(p *pins) {
	for _, e := range p.own {
		n.exports.Unpin(e)
	}
	for _, id := range p.others {
		n.keeper.Unpin(id)
	}
}

// packetSide is the codec's view of a packet under construction, which is for
// no session in particular.
type packetSide struct {
	n *Node
	p *Packet
}

var _ codec.Exporter = (*packetSide)(nil)

// ExportRef implements codec.Exporter.
func (x *packetSide) ExportRef(v reflect.Value, i *codec.Interface) (refs.Ref, error) {
	// The proxy of another node of this process will do if its reference serves anybody.
	if c := holderOf(&x.n.proxies, v); c != nil && (c.Caller == proxy.Caller(x.n) || c.Ref().Listens()) {
		r := c.Ref()
		x.n.keeper.Pin(r)
		x.p.pins.others = append(x.p.pins.others, r.ID)
		runtime.KeepAlive(c)
		return r, nil
	}
	e, err := x.n.exports.Pin(i, v, 0, func(e *skeleton.Export) { e.Extra = new(served) }, nil)
	if err != nil {
		return refs.Ref{}, err
	}
	x.p.pins.own = append(x.p.pins.own, e)
	return x.n.refTo(x.n.exports.Known(e)), nil
}

// table makes the references of a packet fit to be sent on a session, and
// counts them as given once for each of a number of frames.
func (p *Packet) table(x *side, frames int) ([]byte, error) {
	if len(p.refs) == 0 {
		return nil, nil
	}
	var on []refs.Ref
	for range frames {
		on = on[:0]
		for _, r := range p.refs {
			on = append(on, x.n.give(r, x.s))
		}
	}
	return wire.AppendTable(nil, on)
}

// untable takes the counts of table back: the frames are not sent.
func (p *Packet) untable(x *side, frames int) {
	for range frames {
		x.n.ungive(x.s, p.refs...)
	}
}

// Message is one packet on its way to receivers of one peer.
type Message struct {
	To     []ReceiverID // ascending, each once
	Head   []byte       // at most MaxHead bytes, for the receivers to interpret
	Packet *Packet      // nil: the head is all
}

// MaxHead bounds Message.Head, in bytes.
const MaxHead = wire.MaxHead

// outlet is the sending end of a peer's packets.
type outlet struct {
	mu     sync.Mutex // guards the fields below; held while the stream takes bytes
	stream streams.Stream
	buf    []byte
	err    error // why nothing can be sent any more
}

// batchSize is how many bytes of packets are given to the stream at once.
const batchSize = 32 << 10

// MaxMessage is how many bytes of one encoded value the peer accepts.
func (p *Peer) MaxMessage() int { return p.side.s.PeerMessage() }

// Multicast sends messages, in order. It waits while the stream's window is full, at most until the
// connection is lost. The caller may reuse ms when it returns. For a packet over MaxMessage it
// returns an error of kind TooLarge. Then it sends neither that message nor those after it, and
// sent is the number of messages before it. After any other error nothing can be sent any more.
func (p *Peer) Multicast(ms []Message) (sent int, err error) {
	o := &p.out
	o.mu.Lock()
	defer o.mu.Unlock()
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
	for errors.Is(err, streams.ErrOpenTimeout) && p.Err() == nil { // the connection is slow: the session bounds the wait
		st, err = p.link.OpenStream(context.Background())
	}
	if err != nil {
		if e := p.Err(); e != nil {
			err = e
		}
		return asError(err, NotExecuted)
	}
	o.stream = st
	o.buf = append(o.buf, wire.MulticastPreamble...)
	return nil
}

// append appends a message to the buffer, in packets of at most
// wire.MaxReceivers receivers.
func (o *outlet) append(p *Peer, m *Message) error {
	var body []byte
	var table []byte
	references := 0
	frames := (len(m.To) + wire.MaxReceivers - 1) / wire.MaxReceivers
	if m.Packet != nil {
		body, references = m.Packet.body, len(m.Packet.refs)
		if references > 0 {
			var err error
			if table, err = m.Packet.table(p.side, frames); err != nil {
				m.Packet.untable(p.side, frames)
				return asError(err, NotExecuted)
			}
		}
		if n := len(body) + len(table); n > p.MaxMessage() {
			m.Packet.untable(p.side, frames)
			return fault.New(TooLarge, NotExecuted, "%d bytes: the peer accepts %d in one message (its Options.Limits.Message)", n, p.MaxMessage())
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

// flush gives the buffer to the stream.
func (o *outlet) flush() error {
	if len(o.buf) == 0 {
		return nil
	}
	if _, err := o.stream.Write(o.buf); err != nil {
		o.err = asError(err, Unknown)
		o.stream.Reset()
	}
	if cap(o.buf) > 2*batchSize {
		o.buf = nil
	}
	o.buf = o.buf[:0]
	return o.err
}
