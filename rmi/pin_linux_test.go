package rmi_test

import (
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// pinToOneCore binds every thread of this process, and processes started from
// now on, to one core.
func pinToOneCore() (unpin func(), err error) {
	var old [16]uint64
	if _, _, e := syscall.RawSyscall(syscall.SYS_SCHED_GETAFFINITY, 0, unsafe.Sizeof(old), uintptr(unsafe.Pointer(&old))); e != 0 {
		return nil, e
	}
	var one [16]uint64
	for i, w := range old {
		if w != 0 {
			one[i] = w & -w
			break
		}
	}
	procs := runtime.GOMAXPROCS(1)
	if err := setAffinity(&one); err != nil {
		runtime.GOMAXPROCS(procs)
		return nil, err
	}
	return func() {
		_ = setAffinity(&old)
		runtime.GOMAXPROCS(procs)
	}, nil
}

func setAffinity(mask *[16]uint64) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		tid, _ := strconv.Atoi(t.Name())
		_, _, e := syscall.RawSyscall(syscall.SYS_SCHED_SETAFFINITY, uintptr(tid), unsafe.Sizeof(*mask), uintptr(unsafe.Pointer(mask)))
		if e != 0 && e != syscall.ESRCH {
			return e
		}
	}
	return nil
}
