//go:build darwin || (linux && (race || msan || asan))

package transport

import "syscall"

// See socket_linux.go. The race detector and its like know what happens before
// what by the system calls of package syscall.

func beQuiet() bool { return false }

func readNow(fd uintptr, b []byte, _ bool) (int, error)  { return syscall.Read(int(fd), b) }
func writeNow(fd uintptr, b []byte, _ bool) (int, error) { return syscall.Write(int(fd), b) }

func yieldProcessor() {}
