package proc

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// maxChildren bounds what is read of the children of a thread, in bytes.
const maxChildren = 16 << 20

// Children returns the children of a process, with those that have ended and were not waited for. One is
// missing now and then if another one ends meanwhile. Kernels without CONFIG_PROC_CHILDREN tell of none.
func Children(pid int) []int {
	// They are listed by the threads that they are children of.
	folder, err := os.Open(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return nil // it has ended
	}
	defer folder.Close()
	threads, _ := folder.Readdirnames(-1)
	var children []int
	for _, thread := range threads {
		text, err := Text(pid, "task/"+thread+"/children", maxChildren)
		if err != nil {
			continue // the thread has ended
		}
		for _, field := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				children = append(children, pid)
			}
		}
	}
	return children
}

// TellsChildren reports whether the kernel tells of the children of processes.
func TellsChildren() bool {
	_, err := os.Stat("/proc/thread-self/children")
	return err == nil
}
