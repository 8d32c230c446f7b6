//go:build !linux && !darwin

package transport

import (
	"net"
	"syscall"
)

// tune does nothing: the system has no TCP_NOTSENT_LOWAT.
func tune(net.Conn) {}

// useSocket does nothing: on this system connections are read in the usual way, and every
// write is the flusher's.
func (c *carrier) useSocket(syscall.RawConn) {}

func (x *intake) readPolled(syscall.RawConn) (over bool, err error) { panic("not reached") }
