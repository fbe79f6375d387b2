package family

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Control sets what a file of a controller says of the group, such as memory.max. The controller is enabled
// for it where the system lets this program do so.
func (g *Group) Control(file, value string) error {
	controller, _, _ := strings.Cut(file, ".")
	if err := enable(filepath.Dir(g.path), controller); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(g.path, file), []byte(value), 0); err != nil {
		return fmt.Errorf("cannot limit the control group: %w", err)
	}
	return nil
}

// enable has a controller work for the groups in a folder.
func enable(folder, controller string) error {
	enabled := filepath.Join(folder, "cgroup.subtree_control")
	if words, err := wordsOf(enabled); err == nil && slices.Contains(words, controller) {
		return nil
	}
	there, err := wordsOf(filepath.Join(folder, "cgroup.controllers"))
	if err == nil && !slices.Contains(there, controller) {
		return fmt.Errorf("the control group %s does not have the controller %s, but has: %s",
			folder, controller, strings.Join(there, " "))
	}

	err = os.WriteFile(enabled, []byte("+"+controller), 0)
	switch {
	case errors.Is(err, syscall.EBUSY):
		return fmt.Errorf("the controller %s works for no groups in %s, since that has processes of its own", controller, folder)
	case err != nil:
		return fmt.Errorf("cannot enable the controller %s: %w", controller, err)
	}
	return nil
}

func wordsOf(file string) ([]string, error) {
	text, err := os.ReadFile(file)
	return strings.Fields(string(text)), err
}

// OutOfMemory reports whether the kernel has killed a process of the group because its memory was used up.
func (g *Group) OutOfMemory() bool {
	text, err := os.ReadFile(filepath.Join(g.path, "memory.events"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		if count, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
			n, err := strconv.ParseUint(count, 10, 64)
			return err == nil && n > 0
		}
	}
	return false
}
