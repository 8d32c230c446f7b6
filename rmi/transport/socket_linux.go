//go:build linux && !race && !msan && !asan

package transport

import (
	"runtime"
	"syscall"
	"unsafe"
)

// readNow and writeNow read and write a socket that does not block. If quiet, they
// do not tell Go's scheduler, as those of package syscall do: that is for system
// calls that may take long, and has a price when they do not. In a process that was
// idle it wakes the scheduler's monitor, a thread that then looks around every 20 µs;
// with one processor for everything that was a quarter of the time of a null call.
// What they do takes as long as copying the bytes, and the goroutines of this
// processor wait for that, as for any other copy.
//
// With more than one processor the monitor is in nobody's way, and keeps processors
// of a virtual machine awake: being quiet made a lone caller's calls slower there.

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
