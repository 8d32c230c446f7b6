package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
)

// raw is the floor: messages, each a length and that many bytes, go back and
// forth on a socket. Nothing is encoded, dispatched or multiplexed. With polls, both
// ends look at the socket for a while before they wait, as GoRMI does.
type raw struct {
	network string
	polls   bool
}

func (r raw) conn(c net.Conn) (net.Conn, error) {
	if r.polls {
		return poll(c)
	}
	return c, nil
}

func (r raw) Serve() (string, func(), error) {
	return serveConns(r.network, func(c net.Conn) {
		if c, err := r.conn(c); err == nil {
			serveRaw(newPingPong(c))
		}
	})
}

func serveRaw(p *pingPong) {
	for {
		b, err := p.receive()
		if err != nil {
			return
		}
		if err := p.send(b); err != nil {
			return
		}
	}
}

func (r raw) Dial(address string) (Client, error) {
	c, err := net.Dial(r.network, address)
	if err != nil {
		return nil, err
	}
	if c, err = r.conn(c); err != nil {
		return nil, err
	}
	return &rawClient{pingPong: newPingPong(c), record: make([]byte, 100)}, nil
}

// pingPong is one end.
type pingPong struct {
	net.Conn
	in       *bufio.Reader
	out, buf []byte
}

const rawHeader = 4

func newPingPong(c net.Conn) *pingPong { return &pingPong{Conn: c, in: bufio.NewReader(c)} }

// send writes header and body at once.
func (p *pingPong) send(b []byte) error {
	p.out = binary.BigEndian.AppendUint32(p.out[:0], uint32(len(b)))
	p.out = append(p.out, b...)
	_, err := p.Write(p.out)
	return err
}

// receive returns a message, which is good until the next one.
func (p *pingPong) receive() ([]byte, error) {
	head, err := p.in.Peek(rawHeader)
	if err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(head))
	_, _ = p.in.Discard(rawHeader)
	if n > cap(p.buf) {
		p.buf = make([]byte, n)
	}
	p.buf = p.buf[:n]
	_, err = io.ReadFull(p.in, p.buf)
	return p.buf, err
}

type rawClient struct {
	*pingPong
	record []byte
}

func (c *rawClient) Null() error { return c.EchoBytes(nil) }
func (c *rawClient) Echo() error { return c.EchoBytes(c.record) }

func (c *rawClient) EchoBytes(b []byte) error {
	if err := c.send(b); err != nil {
		return err
	}
	got, err := c.receive()
	if err == nil && len(got) != len(b) {
		err = errWrong
	}
	return err
}
