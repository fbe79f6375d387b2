package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"
)

// enclose has what it boots in a control group of its own, which it removes at the end.
const enclose = `
mount --make-rprivate /
mount -t tmpfs none "$DIR"
mkdir "$DIR/up" "$DIR/work" "$DIR/root" "$DIR/groups"
mount -t cgroup2 cgroup2 "$DIR/groups"
group=$DIR/groups/divisi-e2e-$$
mkdir "$group"
trap 'find "$group" -depth -type d -exec rmdir {} ";"' EXIT
(
	echo $BASHPID >"$group/cgroup.procs"
	exec setpriv --pdeathsig KILL \
		unshare --mount --pid --fork --uts --cgroup --net --mount-proc --kill-child bash -euc "$BOOT"
)
`

// boot makes a machine of its own, as far as processes, mounts, network and control groups go, and has
// systemd be its first process. Its files are those of this machine under those of the folder $FILES;
// what it writes is in memory, except for $SAID. It is another start of a machine than all others, by its
// boot id.
const boot = `
mount -t overlay none -o "lowerdir=/,upperdir=$DIR/up,workdir=$DIR/work" "$DIR/root"
cp -a "$FILES/." "$DIR/root/"
mount --bind "$SAID" "$DIR/root/mnt"
cd "$DIR/root"
rm -f etc/systemd/system/*.wants/*
mount -t proc proc proc
cat /proc/sys/kernel/random/uuid >"$DIR/boot"
mount --bind "$DIR/boot" proc/sys/kernel/random/boot_id
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
exec env -i container=nspawn PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	chroot . /lib/systemd/systemd --unit=script.target --log-target=journal --show-status=no
`

// The machine does nothing of itself but its scripts, all at once. It ends with the last one, or with the
// first one that fails.
const (
	scriptUnit = `[Unit]
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=/bin/bash -eux /opt/scripts/%[1]s
StandardOutput=append:/mnt/%[1]s
StandardError=append:/mnt/%[1]s
`
	endUnit = `[Unit]
Wants=%[1]s
After=%[1]s
SuccessAction=exit-force

[Service]
Type=oneshot
ExecStart=/bin/true
`
)

// underSystemd runs shell scripts, by their names, on a machine whose first process is a systemd, as root.
// The machine has the files of this one, and over them the tree in a folder; /mnt is another folder, which
// has what it leaves. It ends with the scripts, as by the loss of its power. The test fails if a command of
// one of them does.
func underSystemd(t *testing.T, files, said string, scripts map[string]string) {
	t.Helper()
	var units []string
	for name, script := range scripts {
		unit := "script-" + name + ".service"
		units = append(units, unit)
		write(t, filepath.Join(files, "etc/systemd/system", unit), fmt.Appendf(nil, scriptUnit, name), 0o644)
		write(t, filepath.Join(files, "opt/scripts", name), []byte(script), 0o644)
	}
	end := fmt.Appendf(nil, endUnit, strings.Join(units, " "))
	write(t, filepath.Join(files, "etc/systemd/system/script.target"), []byte("[Unit]\nWants=end.service\n"), 0o644)
	write(t, filepath.Join(files, "etc/systemd/system/end.service"), end, 0o644)

	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	machine := exec.CommandContext(ctx, "unshare", "--mount", "bash", "-euc", enclose)
	machine.Env = append(os.Environ(), "BOOT="+boot, "DIR="+t.TempDir(), "FILES="+files, "SAID="+said)
	machine.WaitDelay = 10 * time.Second
	printed, err := machine.CombinedOutput()
	if err == nil {
		return
	}
	for name := range scripts {
		text, readErr := os.ReadFile(filepath.Join(said, name))
		t.Logf("the script %s: %v\n%s", name, readErr, text)
	}
	t.Fatalf("the machine: %v\n%s", err, printed)
}

// needSystemd skips a test where there can be no machine with a systemd.
func needSystemd(t *testing.T) {
	t.Helper()
	_, err := os.Stat("/lib/systemd/systemd")
	switch {
	case runtime.GOOS != "linux":
		t.Skip("systemd is for Linux")
	case os.Geteuid() != 0:
		err = fmt.Errorf("user %d is not root", os.Geteuid())
	case err == nil:
		err = exec.Command("unshare", "--mount", "--pid", "--fork", "--uts", "--cgroup", "--net", "--mount-proc", "true").Run()
	}
	if err == nil {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("systemd cannot be the first process of namespaces: %v", err)
	}
	t.Skipf("systemd cannot be the first process of namespaces: %v", err)
}

// write writes a file, in folders that it makes.
func write(t *testing.T, path string, content []byte, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		t.Fatal(err)
	}
}

// copyProgram copies a program to a path.
func copyProgram(t *testing.T, path, from string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, content, 0o755)
}

// TestSystemd has one systemd do all that the documents say of it. With DIVISI_SOAK a keeper hangs there, too.
func TestSystemd(t *testing.T) {
	needSystemd(t)
	t.Parallel()
	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil { // it becomes the root of a file system
		t.Fatal(err)
	}
	copyProgram(t, filepath.Join(files, "usr/local/bin/divisi"), buildDivisi(t))
	scripts := map[string]string{
		"hello":  runsUnit(t, files),
		"web":    activatesSocket(t, files),
		"keeper": keepsKeeper,
		"user":   keepsKeeperOfUser,
	}
	if os.Getenv("DIVISI_SOAK") != "" { // it takes half a minute
		scripts["watchdog"] = watchesKeeper
	}
	underSystemd(t, files, t.TempDir(), scripts)
}

// runsUnit has the unit in docs/howto.md run: start, restart and stop mean what the document says.
func runsUnit(t *testing.T, files string) string {
	t.Helper()
	text, err := os.ReadFile("../docs/howto.md")
	if err != nil {
		t.Fatal(err)
	}
	unit := regexp.MustCompile("(?s)```ini\n(.*?)```").FindSubmatch(text)
	look := regexp.MustCompile("`sudo -u hello (DIVISI_HOME=.*? divisi) ps`").FindSubmatch(text)
	if unit == nil || look == nil {
		t.Fatal("docs/howto.md has no unit, or does not say how to look at it")
	}
	write(t, filepath.Join(files, "etc/systemd/system/hello.service"), unit[1], 0o644)
	write(t, filepath.Join(files, "opt/hello/hello.toml"), []byte("[divisi]\nbinary = 'hello'\n"), 0o644)
	copyProgram(t, filepath.Join(files, "opt/hello/hello"), buildHello(t))

	return `
useradd --system hello
looks() { runuser -u hello -- env PATH=/usr/local/bin:$PATH ` + string(look[1]) + ` "$@"; }
ready() { [ "$(looks ps -o json | grep -c '"state": "ready"')" = 4 ]; }
wait_ready() { for i in $(seq 300); do ready && return; sleep 0.1; done; journalctl -u hello --no-pager; return 1; }
is() { for want; do systemctl show hello | grep -x "$want"; done; }

systemctl start hello
wait_ready
is ActiveState=active
first=$(systemctl show hello -p MainPID --value)

systemctl restart hello
wait_ready
is ActiveState=active NRestarts=0
[ "$(systemctl show hello -p MainPID --value)" != "$first" ]

# Its processes end with it, and systemd starts all of them again.
kill -KILL "$(systemctl show hello -p MainPID --value)"
for i in $(seq 300); do is NRestarts=1 && break; sleep 0.1; done
wait_ready

systemctl stop hello
is ActiveState=inactive
[ "$(journalctl -u hello --no-pager | grep -c 'everything has stopped')" = 2 ]
[ "$(journalctl -u hello --no-pager | grep -c 'Deactivated successfully')" = 2 ]
`
}
