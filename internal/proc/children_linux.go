package proc

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Children returns the children of this process, with those that have ended and were not waited for.
// Kernels without CONFIG_PROC_CHILDREN tell of none.
func Children() []int {
	// They are listed by the threads that they are children of.
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	var children []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
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
