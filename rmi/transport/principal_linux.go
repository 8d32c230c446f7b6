package transport

import "syscall"

func userOfSocket(fd int) (uid uint32, ok bool) {
	cred, err := syscall.GetsockoptUcred(fd, syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	if err != nil {
		return 0, false
	}
	return cred.Uid, true
}
