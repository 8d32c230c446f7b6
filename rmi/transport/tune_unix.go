//go:build linux || darwin

package transport

import (
	"net"
	"syscall"
)

// tune keeps bulk data in our queue, where small frames overtake it, instead
// of in the kernel's. It helps and is not needed: errors are ignored.
func tune(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpNotSentLowat, 128<<10)
		})
	}
}
