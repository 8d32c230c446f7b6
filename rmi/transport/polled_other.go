//go:build !linux && !darwin

package transport

import (
	"net"
	"syscall"
)

// polledOf returns nil: on this system connections are read in the usual way.
func polledOf(net.Conn) syscall.RawConn { return nil }

func (x *intake) readPolled(syscall.RawConn) (over bool, err error) { panic("not reached") }
