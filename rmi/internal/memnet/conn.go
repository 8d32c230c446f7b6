package memnet

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// pair is a connection: two directions and the two ends that share them.
type pair struct {
	network *Network
	net     string
	ends    [2]Addr  // dialer, listener
	halves  [2]*half // halves[i] is written at ends[i]
	conns   [2]*conn
	far     bool         // the ends are on two machines: see Network.Far
	closed  atomic.Int32 // ends that were closed
}

// conn is one end of a connection.
type conn struct {
	*pair
	end     int
	in, out *half
	shut    atomic.Bool // Close was called
}

var _ interface {
	net.Conn
	CloseWrite() error
} = (*conn)(nil)

func (c *conn) peer() *conn { return c.conns[1-c.end] }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.opError("read", err)
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.opError("write", err)
}

// CloseWrite ends this side's writing. The peer reads the rest, then io.EOF.
func (c *conn) CloseWrite() error {
	if c.shut.Load() {
		return c.opError("close", net.ErrClosed)
	}
	c.out.closeWrite()
	return nil
}

// Close ends both directions at this side. The peer reads what was written, then io.EOF. What
// the peer wrote and nobody read is lost.
func (c *conn) Close() error {
	if !c.shut.CompareAndSwap(false, true) {
		return c.opError("close", net.ErrClosed)
	}
	c.out.closeWrite()
	c.in.closeRead()
	if c.closed.Add(1) == 2 {
		c.network.forget(c.pair)
	}
	return nil
}

func (c *conn) LocalAddr() net.Addr { return c.ends[c.end] }

func (c *conn) RemoteAddr() net.Addr {
	if c.far {
		return farAddr{c.ends[1-c.end]}
	}
	return c.ends[1-c.end]
}

func (c *conn) SetDeadline(t time.Time) error {
	return c.opError("set", errors.Join(c.in.setReadDeadline(t), c.out.setWriteDeadline(t, c.shut.Load())))
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.opError("set", c.in.setReadDeadline(t))
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.opError("set", c.out.setWriteDeadline(t, c.shut.Load()))
}

// opError wraps an error as package net does. It does not wrap end of file, because readers
// compare it.
func (c *conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	return &net.OpError{Op: op, Net: c.net, Source: c.LocalAddr(), Addr: c.RemoteAddr(), Err: err}
}
