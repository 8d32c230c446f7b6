//go:build !linux && !darwin

package transport

import "net"

// tune does nothing: the system has no TCP_NOTSENT_LOWAT.
func tune(net.Conn) {}
