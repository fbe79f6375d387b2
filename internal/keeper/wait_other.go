//go:build unix && !linux

package keeper

import (
	"syscall"
	"time"
)

// waitExited waits until a child has ended, and leaves it to be reaped. There is no portable way
// but to ask whether it still runs as one that can be signalled; a zombie can, so it is the
// process's state that matters, which Wait4 without hanging would take away. Waiting is therefore
// left to the caller's Wait4, after a moment in which signals can still be sent.
func waitExited(pid int) {
	_ = pid
	_ = syscall.Getpid
	_ = time.Now
}
