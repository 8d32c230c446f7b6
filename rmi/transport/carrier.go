package transport

import (
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// carrier is a connection with all that it can do beyond a net.Conn. It is made once, when
// the connection was dialled or accepted (carry). Nothing else of this package asks a
// net.Conn what it is.
//
// A connection of the program's own (Config.Network) may have these methods, and is used
// accordingly:
//
//	SyscallConn() (syscall.RawConn, error)  read and written without blocking, as sockets are
//	TryWrite(b []byte) (int, error)         Write for as much of b as needs no waiting
//	CloseWrite() error                      ends one direction, so that the peer reads all
//	Lossy() bool                            see below
//
// # What a lossy carrier changes
//
// A lossy carrier may deliver a call more than once, lose its return, and deliver calls and
// returns in another order than they were sent in. It repeats a call until the return, or
// another sign of the peer's, came. What else is sent arrives once and in order. (Package
// datagram says it in full.) A session is the same over any carrier. Where it does something
// else over a lossy one, it asks this property. That is here:
//
//   - carrier.handshakeLimit: a handshake may take longer.
//   - carrier.pingAfter: the side that dialled pings sooner.
//   - handshake.readHello: both nodes must know how to resume a session. That is what
//     recognises a call that comes twice.
//   - lockedOutbox.extensions, outbox.flush: a call is sent with its number, its place among the
//     calls of the connection. order.go says what for.
//   - Link.call, Link.fragment, Link.fragmented: a call that came has such a number. Over
//     other carriers it has none.
//   - Link.came, Session.arrive: calls that take turns are put back in order.
//   - lockedInbound.occupy: a call may come again on the connection on which it came before.
//   - lockedInbound.replyAgain: the return of such a call is sent again.
//   - lockedInbound.retain, lockedInbound.cancel: on a new connection, a return is sent only when
//     its call, or a cancel in its place, came again there.
//
// And its Close may wait: see closeBeside.
type carrier struct {
	conn     net.Conn                        // records are read from it and written to it
	raw      net.Conn                        // conn, or what is below its TLS layer: for deadlines and closing
	tls      *tls.Conn                       // conn, if it is one
	unix     *net.UnixConn                   // likewise
	polled   syscall.RawConn                 // of a socket that is read by readPolled; else nil
	try      func([]byte) (int, error)       // writes what needs no waiting; nil: not possible
	half     interface{ CloseWrite() error } // raw, if it can close one direction; else nil
	vectored bool                            // conn writes net.Buffers by one system call
	lossy    bool                            // see above
	closes   closeMode                       // how a link closes it
}

// closeMode says how whoever cuts a link has its carrier closed. That may be the link's
// reader, so nothing may be waited for that the reader has to do.
type closeMode uint8

const (
	closeAtOnce   closeMode = iota // Close does not wait
	closeByReader                  // Close waits for a read under way: a deadline ends that, and the reader closes
	closeBeside                    // Close waits for the peer: a goroutine of its own closes
)

// carry makes the carrier of a connection. over is the TLS layer over it, nil in the clear.
func carry(raw net.Conn, over *tls.Conn) carrier {
	if tc, ok := raw.(*tls.Conn); ok && over == nil { // of the program's network
		raw, over = tc.NetConn(), tc
	}
	c := carrier{conn: raw, raw: raw, tls: over}
	if over != nil {
		c.conn = over
	}
	tune(raw)
	if x, ok := raw.(interface{ CloseWrite() error }); ok {
		c.half = x
	}
	switch x := c.conn.(type) {
	case *net.TCPConn:
		c.vectored = true
	case *net.UnixConn:
		c.vectored, c.unix = true, x
	}
	if x, ok := c.conn.(syscall.Conn); ok {
		if socket, err := x.SyscallConn(); err == nil {
			c.useSocket(socket)
		}
	}
	if x, ok := c.conn.(interface{ TryWrite([]byte) (int, error) }); ok {
		c.try = x.TryWrite
	}
	if x, ok := c.conn.(interface{ Lossy() bool }); ok {
		c.lossy = x.Lossy()
	}
	switch {
	case c.polled != nil:
		c.closes = closeByReader
	case c.lossy:
		c.closes = closeBeside
	}
	return c
}

// handshakeLimit is how long a handshake may take: longer where what is lost is sent again
// after longer and longer pauses.
func (c *carrier) handshakeLimit() time.Duration {
	if c.lossy {
		return 2 * handshakeTimeout
	}
	return handshakeTimeout
}

// pingAfter is how long a link is silent before it pings. Datagrams have no connection that
// ends with a process. The peer's system refuses them when the process has ended, and so
// tells who sends something.
func (c *carrier) pingAfter(dialled bool) time.Duration {
	if c.lossy && dialled {
		return pingLossyAfter
	}
	return pingAfter
}

// remoteHost is the host at the other end; for a unix socket, this machine.
func (c *carrier) remoteHost() string {
	if a := c.conn.RemoteAddr(); a != nil && a.Network() != "unix" {
		if host, _, err := net.SplitHostPort(a.String()); err == nil {
			return host
		}
	}
	return "127.0.0.1"
}

// local tells of the address at the other end whether it is of this machine: loopback or a unix
// socket. Of an address of any other type, which a network in memory has, it asks the address
// itself, by its method IsLocal. One without that method is of another machine.
func (c *carrier) local() bool {
	switch a := c.raw.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	case *net.UDPAddr:
		return a.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	case interface{ IsLocal() bool }:
		return a.IsLocal()
	}
	return false
}

// reachedAt is the address at which a dial ended, "" if it has none that can be dialled: what
// the network of a program's own calls an address may be a proxy's.
func reachedAt(conn net.Conn) string {
	switch a := conn.RemoteAddr().(type) {
	case *net.TCPAddr:
		return a.String()
	case *net.UDPAddr:
		return a.String()
	}
	return ""
}

// How many bytes that a peer still sends are read before its connection is closed: of a
// stranger, and of a peer that may be in the middle of large payloads.
const (
	lingerRefused = 16 << 10
	lingerEnded   = 16 << 20
)

// linger lets a refusal or a close record get through: closing a TCP connection with bytes
// unread resets it, and the peer might never see why.
func (c *carrier) linger(until time.Time, most int) {
	if c.half == nil || c.half.CloseWrite() != nil {
		return
	}
	_ = c.raw.SetReadDeadline(until)
	waste := make([]byte, 4<<10)
	for read := 0; read < most; {
		n, err := c.raw.Read(waste)
		if err != nil {
			return
		}
		read += n
	}
}
