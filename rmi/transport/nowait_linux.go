//go:build linux && !race && !msan && !asan

package transport

import (
	"syscall"
	"unsafe"
)

// readNow and writeNow read and write a socket that does not block. Unlike those of
// package syscall they do not tell Go's scheduler: that is for system calls that
// may take long, and has a price when they do not. In a process that was idle it
// wakes the scheduler's monitor, a thread that then looks around every 20 µs; with
// both processes on one core that was a quarter of the time of a null call. What
// they do takes as long as copying the bytes, and the goroutines of this processor
// wait for that, as for any other copy.

func readNow(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

func writeNow(fd uintptr, b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}
