//go:build linux || darwin

package transport

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"time"
)

// What a carrier can do if it is a socket of the system: read when it is ready, and written
// without blocking.

// tune keeps bulk data in our queue, where small frames overtake it, instead of in the
// kernel's. It helps and is not needed: errors are ignored.
func tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	notSentLowat := 25 // TCP_NOTSENT_LOWAT, which package syscall does not name
	if runtime.GOOS == "darwin" {
		notSentLowat = 0x201
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, notSentLowat, 128<<10)
		})
	}
}

// useSocket has the carrier read by readPolled and written by a tryWriter.
func (c *carrier) useSocket(socket syscall.RawConn) {
	w := &tryWriter{raw: socket, quiet: beQuiet()}
	w.fn = w.once
	c.polled, c.try = socket, w.write
}

// tryWriter writes to a socket what it takes without blocking, so that a
// caller can write its own frame and still return by its deadline.
type tryWriter struct {
	raw   syscall.RawConn
	quiet bool
	buf   []byte
	n     int
	err   error
	fn    func(fd uintptr) bool
}

func (w *tryWriter) once(fd uintptr) bool {
	for {
		w.n, w.err = writeNow(fd, w.buf, w.quiet)
		if w.err != syscall.EINTR {
			return true // true: do not wait for the socket
		}
	}
}

func (w *tryWriter) write(b []byte) (int, error) {
	w.buf = b
	err := w.raw.Write(w.fn)
	w.buf = nil
	switch {
	case err != nil:
		return 0, err
	case errors.Is(w.err, syscall.EAGAIN):
		return 0, nil
	case w.err != nil:
		return 0, w.err
	case w.n == 0 && len(b) > 0:
		return 0, io.ErrUnexpectedEOF
	}
	return w.n, nil
}

// readPolled is read on a socket. It saves a system call for each message. A read that did
// not fill the space has emptied the socket. So the next read would find nothing, and
// readPolled waits at once. The poller tells only once that bytes came. If waiting began
// anew after each read, bytes that came in between would be missed. So all of it happens
// inside one RawConn.Read. With one caller and both processes on one core, that makes 4 to
// 6 % more calls a second. Instead of waiting it may look again: see busyPoll.
//
// If the connection's end arrives together with the last bytes, the poller does not tell of
// it again. The clock finds it, by Link.onTick's nudge.
//
// The connection cannot be closed in here, because Close waits for RawConn.Read: see
// closeByReader.
func (x *intake) readPolled(raw syscall.RawConn) (over bool, err error) {
	t := x.link.session.transport
	busy, quiet, one := &t.busy, beQuiet(), runtime.GOMAXPROCS(0) == 1
	defer busy.left(&x.look)
	for {
		var failed error
		waited := raw.Read(func(fd uintptr) bool {
			for {
				b := x.space()
				n, err := readNow(fd, b, quiet || x.look.polling)
				now := t.nanotime()
				switch {
				case err == syscall.EINTR:
					continue
				case err == syscall.EAGAIN:
					if !busy.nothing(&x.look, now) {
						return false
					}
					giveWay(one)
					continue
				case err != nil:
					failed = x.lost(os.NewSyscallError("read", err))
					return true
				case n == 0:
					failed = x.lost(io.EOF)
					return true
				}
				busy.came(&x.look, now)
				if over, failed = x.took(n); failed != nil {
					return true
				}
				if n == len(b) {
					if failed = x.yield(); failed != nil {
						return true
					}
					continue
				}
				if !busy.emptied(&x.look, x.records, one, now) {
					return false
				}
				giveWay(one) // those for whom the bytes are run before the next look
			}
		})
		switch {
		case failed != nil:
			return over, failed
		case !errors.Is(waited, os.ErrDeadlineExceeded):
			return false, x.lost(waited)
		}
		_ = x.link.raw.SetReadDeadline(time.Time{}) // a nudge, or a cut
		if err := x.link.Err(); err != nil {
			return false, err
		}
	}
}

// giveWay lets other goroutines run. With one processor it then lets other processes run:
// the peer may be one of them.
func giveWay(one bool) {
	runtime.Gosched()
	if one {
		yieldProcessor()
	}
}
