package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/divisi-go/divisi/internal/namespace"
)

// folder is one that a sandbox has of its own.
type folder struct {
	path string
	mode os.FileMode
}

// own are the folders that every sandbox has of its own, which are empty at first.
var own = []folder{
	{"/tmp", 0o777 | os.ModeSticky}, {"/run", 0o755}, {"/dev", 0o755}, {"/dev/shm", 0o777 | os.ModeSticky}, {"/var/tmp", 0o777 | os.ModeSticky},
}

// absent are entries of a root of which a sandbox has its own, or nothing.
var absent = []string{"proc", "sys", strings.TrimPrefix(State, "/")}

// devices are those that a sandbox has.
var devices = []string{"null", "zero", "full", "random", "urandom"}

// build arranges what the first process sees, and executes it once more without any rights.
func build(b birth) error {
	if err := b.arrange(); err != nil {
		return err
	}
	env, err := b.environment(stageFirst)
	if err != nil {
		return err
	}
	goruntime.LockOSThread() // the rights are those of a thread, and this one executes the program
	if err := namespace.Drop(); err != nil {
		return err
	}
	err = syscall.Exec("/proc/self/exe", os.Args, env)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("the program needs libraries that the files of the sandbox do not have: build it with CGO_ENABLED=0")
	}
	return err
}

// arrange makes the namespaces of this process those of a sandbox.
func (b birth) arrange() error {
	if err := namespace.Private(); err != nil {
		return err
	}
	trees, err := b.gather()
	if err != nil {
		return err
	}
	const root = "/tmp" // which was gathered
	if err := namespace.Empty(root, 0o755); err != nil {
		return err
	}
	if err := namespace.Processes(root + "/proc"); err != nil {
		return err
	}
	if err := namespace.Enter(root); err != nil {
		return err
	}
	if err := b.furnish(trees); err != nil {
		return err
	}

	name, _, _ := strings.Cut(b.Name, "@")
	err = syscall.Sethostname([]byte(name))
	if err == nil {
		err = os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0) // nobody gets rights by another one
	}
	if err == nil && b.Network == OwnNetwork {
		err = errors.Join(namespace.Loopback(), os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte("0"), 0))
	}
	for _, path := range []string{"/proc", "/dev", "/"} {
		if err == nil {
			err = namespace.RestrictAt(path, namespace.ReadOnly, false)
		}
	}
	return err
}

// tree is what becomes visible at a path: a mount, or a symbolic link.
type tree struct {
	path  string
	link  string
	mount *os.File
}

// gather returns what the sandbox sees of the machine, in the order of its mounting.
func (b birth) gather() (trees []tree, err error) {
	add := func(from, to string, a namespace.Attributes) {
		if err != nil {
			return
		}
		var mount *os.File
		if mount, err = namespace.Copy(from); err == nil {
			err = namespace.Restrict(mount, a|namespace.NoSetuid)
			trees = append(trees, tree{path: to, mount: mount})
		}
	}
	base := "/"
	if b.Root != "" {
		base = b.Root
	}
	entries, err := os.ReadDir(base)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		from, to := filepath.Join(base, e.Name()), "/"+e.Name()
		switch {
		case slices.Contains(absent, e.Name()) || isOwn(to):
		case e.Type()&fs.ModeSymlink != 0:
			var link string
			link, err = os.Readlink(from)
			trees = append(trees, tree{path: to, link: link})
		case e.IsDir() || e.Type().IsRegular():
			add(from, to, namespace.ReadOnly|namespace.NoDevices)
		}
	}

	for _, name := range devices {
		add("/dev/"+name, "/dev/"+name, namespace.ReadOnly)
	}
	add(b.State, State, namespace.NoDevices)
	for _, m := range b.Mounts {
		attributes := namespace.NoDevices
		if !m.Writable {
			attributes |= namespace.ReadOnly
		}
		add(m.From, m.To, attributes)
	}
	return trees, err
}

func isOwn(path string) bool {
	return slices.ContainsFunc(own, func(f folder) bool { return f.path == path })
}

// furnish fills the root, which is empty but for /proc.
func (b birth) furnish(trees []tree) error {
	of := func(wanted func(path string) bool) error {
		for _, t := range trees {
			if !wanted(t.path) {
				continue
			}
			if err := t.show(); err != nil {
				return err
			}
		}
		return nil
	}
	top := func(path string) bool { return strings.Count(path, "/") == 1 }
	if err := of(top); err != nil {
		return err
	}
	for _, f := range own {
		if err := f.make(); err != nil {
			return err
		}
	}
	for _, path := range b.Hidden {
		if _, err := os.Stat(path); err == nil && path != "/" {
			if err := namespace.Empty(path, 0o700); err != nil {
				return err
			}
		}
	}
	for name, to := range map[string]string{"fd": "/proc/self/fd", "stdin": "/proc/self/fd/0", "stdout": "/proc/self/fd/1", "stderr": "/proc/self/fd/2"} {
		if err := os.Symlink(to, "/dev/"+name); err != nil {
			return err
		}
	}
	return of(func(path string) bool { return !top(path) })
}

// show makes it visible.
func (t tree) show() error {
	if t.mount == nil {
		return os.Symlink(t.link, t.path)
	}
	defer t.mount.Close()
	return namespace.Attach(t.mount, t.path)
}

// make mounts an empty folder, if there is one or it can be made.
func (f folder) make() error {
	if info, err := os.Lstat(f.path); err == nil && !info.IsDir() {
		return nil // a link to another one
	}
	if err := os.MkdirAll(f.path, 0o755); err != nil {
		return nil // a /var of the root is without it
	}
	return namespace.Empty(f.path, f.mode)
}
