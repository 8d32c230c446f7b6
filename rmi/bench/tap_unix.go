//go:build unix

package main

import (
	"errors"
	"syscall"
)

// TryWrite writes what the socket takes at once.
func (t tap) TryWrite(b []byte) (n int, err error) {
	defer t.log.add(spanWrite, now())
	raw, err := t.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return 0, err
	}
	waited := raw.Write(func(fd uintptr) bool {
		n, err = syscall.Write(int(fd), b)
		return true
	})
	switch {
	case waited != nil:
		return 0, waited
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return 0, nil
	}
	return max(n, 0), err
}
