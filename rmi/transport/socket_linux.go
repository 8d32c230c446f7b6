//go:build linux && !race && !msan && !asan

package transport

import (
	"runtime"
	"syscall"
	"unsafe"
)

// readNow and writeNow read and write a socket that does not block. The functions of package
// syscall tell Go's scheduler about each call, because it may take long. That has a price
// for calls that do not. In a process that was idle it wakes the scheduler's monitor, a
// thread that then looks around every 20 µs. With one processor that was a quarter of the
// time of a null call. If quiet, readNow and writeNow do not tell the scheduler. They take
// as long as copying the bytes, and the goroutines of the processor wait as for any copy.
//
// With more than one processor the monitor does no harm. It keeps the processors of a
// virtual machine awake: there, being quiet made a single caller's calls slower.

func beQuiet() bool { return runtime.GOMAXPROCS(0) == 1 }

func readNow(fd uintptr, b []byte, quiet bool) (int, error) {
	if !quiet || len(b) == 0 {
		return syscall.Read(int(fd), b)
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

func writeNow(fd uintptr, b []byte, quiet bool) (int, error) {
	if !quiet || len(b) == 0 {
		return syscall.Write(int(fd), b)
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

// yieldProcessor lets other processes have the processor.
func yieldProcessor() { syscall.RawSyscall(syscall.SYS_SCHED_YIELD, 0, 0, 0) }
