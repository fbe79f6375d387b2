package proc

import "syscall"

// WaitExited waits until a child has ended, and leaves it to be reaped: until it is, its number
// cannot become another's. It may return a moment before the child can be reaped. An error means
// that it could not wait.
func WaitExited(pid int) error {
	queue, err := syscall.Kqueue()
	if err != nil {
		return err
	}
	defer syscall.Close(queue)
	syscall.CloseOnExec(queue)
	var end syscall.Kevent_t
	syscall.SetKevent(&end, pid, syscall.EVFILT_PROC, syscall.EV_ADD|syscall.EV_ONESHOT)
	end.Fflags = syscall.NOTE_EXIT
	happened := make([]syscall.Kevent_t, 1)
	for {
		_, err := syscall.Kevent(queue, []syscall.Kevent_t{end}, happened, nil)
		switch err {
		case syscall.EINTR:
		case syscall.ESRCH: // it has ended already
			return nil
		default:
			return err
		}
	}
}
