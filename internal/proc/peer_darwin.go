package proc

import "syscall"

// Of <sys/un.h>.
const (
	solLocal     = 0
	localPeerPid = 2
)

func peer(fd uintptr) (int, error) { return syscall.GetsockoptInt(int(fd), solLocal, localPeerPid) }
