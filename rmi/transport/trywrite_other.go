//go:build !linux && !darwin

package transport

import "net"

// newTry returns nil: on this system every write is the flusher's.
func newTry(net.Conn) func([]byte) (int, error) { return nil }
