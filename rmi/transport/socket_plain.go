//go:build darwin || (linux && (race || msan || asan))

package transport

import "syscall"

// See socket_linux.go. The race detector and the other sanitizers learn from the system calls
// of package syscall what happens before what.

func beQuiet() bool { return false }

func readNow(fd uintptr, b []byte, _ bool) (int, error)  { return syscall.Read(int(fd), b) }
func writeNow(fd uintptr, b []byte, _ bool) (int, error) { return syscall.Write(int(fd), b) }

func yieldProcessor() {}
