package datagram

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// What a system returns for a closed port is a refusal on every system.
func TestARefusalIsTheSameOnEverySystem(t *testing.T) {
	for errno, want := range map[syscall.Errno]bool{
		syscall.ECONNREFUSED: true, windowsReset: true, syscall.EHOSTUNREACH: false, syscall.ENOBUFS: false,
	} {
		err := error(&net.OpError{Op: "read", Net: "udp", Err: os.NewSyscallError("wsarecv", errno)})
		if got := told(err) == syscall.ECONNREFUSED; got != want || !got && told(err) != err {
			t.Errorf("%v is taken for %v", err, told(err))
		}
		if refused(err) != want {
			t.Errorf("%v is a refusal: %v", err, !want)
		}
	}
}
