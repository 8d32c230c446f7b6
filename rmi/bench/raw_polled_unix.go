//go:build unix

package main

import (
	"io"
	"net"
	"runtime"
	"syscall"
	"time"
)

// polledFor is how long a polled socket is looked at before it is waited for: as
// long as GoRMI looks.
const polledFor = 100 * time.Microsecond

// polled reads a socket by looking at it again and again for a while, and only
// then waits in Go's poller.
type polled struct {
	net.Conn
	raw  syscall.RawConn
	look func(fd uintptr) bool // reads into b, without waiting; made once, as it would be allocated

	b   []byte
	n   int
	err error
}

func poll(c net.Conn) (net.Conn, error) {
	raw, err := c.(syscall.Conn).SyscallConn()
	p := &polled{Conn: c, raw: raw}
	p.look = func(fd uintptr) bool {
		p.n, p.err = syscall.Read(int(fd), p.b)
		return true
	}
	return p, err
}

func (p *polled) Read(b []byte) (n int, err error) {
	for began := time.Now(); time.Since(began) < polledFor; runtime.Gosched() {
		p.b = b
		if err := p.raw.Read(p.look); err != nil {
			return 0, err
		}
		switch {
		case p.err == syscall.EAGAIN || p.err == syscall.EINTR:
			continue
		case p.err != nil:
			return 0, p.err
		case p.n == 0 && len(b) > 0:
			return 0, io.EOF
		}
		return p.n, nil
	}
	return p.Conn.Read(b)
}

func polledMissing() string { return "" }
