package family

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cgroupMagic is the type of the file system of control groups of version 2, of <linux/magic.h>.
const cgroupMagic = 0x63677270

// mounts are where systems have it: the second beside groups of version 1.
var mounts = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}

// Group is a control group of version 2. What is started in it stays in it, with all that it starts.
type Group struct {
	path   string
	folder int // its descriptor
}

// leaf is the group in which systemd runs a program that has groups beside its own: limits work only in a
// group that has no processes itself.
const leaf = "keeper"

// MakeGroup makes a group in that of this process, or beside it if systemd has given that a place of its own,
// which it must be allowed to: root is, and others are where systemd delegates groups to them.
func MakeGroup(name string) (*Group, error) {
	parent, err := ownGroup()
	if err != nil {
		return nil, fmt.Errorf("cannot make a control group: %w", err)
	}
	if name == "" || strings.Contains(name, "/") || strings.HasPrefix(name, ".") {
		return nil, fmt.Errorf("cannot make a control group named %q: the name is also that of a folder", name)
	}

	// Whoever may make a group may still not be allowed to put processes there.
	procs, err := os.OpenFile(filepath.Join(parent, "cgroup.procs"), os.O_WRONLY, 0)
	if err == nil {
		err = procs.Close()
	}
	path := filepath.Join(parent, name)
	if err == nil {
		err = os.Mkdir(path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a control group: %w", err)
	}

	g, err := OpenGroup(path)
	if err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return g, nil
}

// OpenGroup opens the group with a path, which an earlier program has made.
func OpenGroup(path string) (*Group, error) {
	if !isGroup(path) {
		return nil, fmt.Errorf("cannot open the control group %s: there is none", path)
	}
	folder, err := syscall.Open(path, syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the control group %s: %w", path, err)
	}

	return &Group{path, folder}, nil
}

// ownGroup returns the folder of the group of this process, or the one in which it has a place of its own.
func ownGroup() (string, error) {
	at := slices.IndexFunc(mounts, isGroup)
	if at < 0 {
		return "", fmt.Errorf("no control groups of version 2 at %s", strings.Join(mounts, " or "))
	}
	path, err := groupPath("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	path = filepath.Join(mounts[at], path)
	if filepath.Base(path) == leaf {
		path = filepath.Dir(path)
	}
	return path, nil
}

// groupPath returns the path of a group of version 2 that the kernel says in a file.
func groupPath(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(text)) {
		if path, ok := strings.CutPrefix(line, "0::/"); ok {
			return strings.TrimSuffix(path, "\n"), nil
		}
	}

	return "", errors.New("this process is in no control group of version 2")
}

func isGroup(path string) bool {
	var stat syscall.Statfs_t
	return syscall.Statfs(path, &stat) == nil && int64(stat.Type) == cgroupMagic
}

// GroupOf returns the group of a process if that has a name; nil if it has another one.
func GroupOf(pid int, name string) *Group {
	at := slices.IndexFunc(mounts, isGroup)
	path, err := groupPath(fmt.Sprintf("/proc/%d/cgroup", pid))
	if at < 0 || err != nil || filepath.Base(path) != name {
		return nil
	}
	g, err := OpenGroup(filepath.Join(mounts[at], path))
	if err != nil {
		return nil
	}
	return g
}

// EndGroup kills what is in the group with a name that an earlier program made in that of this process, and
// removes it, if there is one.
func EndGroup(ctx context.Context, name string) {
	parent, err := ownGroup()
	if err != nil {
		return
	}
	if g, err := OpenGroup(filepath.Join(parent, name)); err == nil {
		_ = g.kill()      // kernels before 5.14 cannot
		_ = g.Remove(ctx) // what cannot be killed keeps it
	}
}

// Path returns the folder of the group.
func (g *Group) Path() string { return g.path }

// Join has what is started with the attributes be in the group, from its first instruction on.
func (g *Group) Join(attr *syscall.SysProcAttr) { attr.UseCgroupFD, attr.CgroupFD = true, g.folder }

// Close closes the descriptor. The group stays.
func (g *Group) Close() error { return syscall.Close(g.folder) }

// folders returns the folders of the group and of those that its processes have made in it, the
// deepest first.
func (g *Group) folders() []string {
	var list []string
	_ = filepath.WalkDir(g.path, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			list = append(list, path)
		}
		return nil // what has gone meanwhile is no error
	})
	slices.Reverse(list)

	return list
}

// members returns the processes in the group that have not ended.
func (g *Group) members() map[int]bool {
	members := map[int]bool{}
	for _, folder := range g.folders() {
		text, _ := os.ReadFile(filepath.Join(folder, "cgroup.procs")) // it may have gone meanwhile
		for line := range strings.Lines(string(text)) {
			if pid, err := strconv.Atoi(strings.TrimSuffix(line, "\n")); err == nil && pid > 0 {
				members[pid] = true
			}
		}
	}

	return members
}

// kill kills all processes in the group at once.
func (g *Group) kill() error {
	return os.WriteFile(filepath.Join(g.path, "cgroup.kill"), []byte("1"), 0)
}

// Remove closes the group, and removes it once its processes have ended. The error at the end of ctx
// says that there are some.
func (g *Group) Remove(ctx context.Context) error {
	defer g.Close()
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		var err error
		for _, folder := range g.folders() {
			err = os.Remove(folder) // the last one is the group itself
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if !errors.Is(err, syscall.EBUSY) {
			return fmt.Errorf("cannot remove the control group: %w", err)
		}

		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return fmt.Errorf("cannot remove the control group: %w: %w", err, context.Cause(ctx))
		}
	}
}
