//go:build linux || darwin

package transport

import (
	"errors"
	"io"
	"net"
	"syscall"
)

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

// newTry returns the non-blocking write of conn, or nil where there is none
// (TLS, in-memory connections).
func newTry(conn net.Conn) func([]byte) (int, error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	w := &tryWriter{raw: raw, quiet: beQuiet()}
	w.fn = w.once
	return w.write
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
