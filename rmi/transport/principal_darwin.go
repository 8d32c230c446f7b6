package transport

import "golang.org/x/sys/unix"

func userOfSocket(fd int) (uid uint32, ok bool) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, false
	}
	return cred.Uid, true
}
