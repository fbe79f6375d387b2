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
// what it writes is in memory, except for $SAID.
const boot = `
mount -t overlay none -o "lowerdir=/,upperdir=$DIR/up,workdir=$DIR/work" "$DIR/root"
cp -a "$FILES/." "$DIR/root/"
mount --bind "$SAID" "$DIR/root/mnt"
cd "$DIR/root"
rm -f etc/systemd/system/*.wants/*
mount -t proc proc proc
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
ip link set lo up
exec env -i container=nspawn PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	chroot . /lib/systemd/systemd --unit=script.target --log-target=journal --show-status=no
`

// scripted is the only thing that the machine does of itself. It ends with the script, and like it.
var scripted = map[string]string{
	"script.target": "[Unit]\nWants=script.service\n",
	"script.service": `[Unit]
SuccessAction=exit-force
FailureAction=exit-force

[Service]
Type=oneshot
ExecStart=/bin/bash -eux /opt/script
StandardOutput=append:/mnt/said
StandardError=append:/mnt/said
`,
}

// underSystemd runs a shell script on a machine whose first process is a systemd, as root. The machine
// has the files of this one, and over them the tree in a folder, and ends with the script. The test fails
// if a command of the script does.
func underSystemd(t *testing.T, files, script string) {
	t.Helper()
	needSystemd(t)
	for name, text := range scripted {
		write(t, filepath.Join(files, "etc/systemd/system", name), []byte(text), 0o644)
	}
	write(t, filepath.Join(files, "opt/script"), []byte(script), 0o644)
	dir, said := t.TempDir(), t.TempDir()

	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	machine := exec.CommandContext(ctx, "unshare", "--mount", "bash", "-euc", enclose)
	machine.Env = append(os.Environ(), "BOOT="+boot, "DIR="+dir, "FILES="+files, "SAID="+said)
	machine.WaitDelay = 10 * time.Second
	printed, err := machine.CombinedOutput()
	text, readErr := os.ReadFile(filepath.Join(said, "said"))
	if err != nil || readErr != nil {
		t.Fatalf("the script: %v, %v\n%s%s", err, readErr, printed, text)
	}
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

// TestSystemd has systemd run the unit in docs/howto.md: start, restart and stop mean what the document
// says.
func TestSystemd(t *testing.T) {
	needSystemd(t)
	text, err := os.ReadFile("../docs/howto.md")
	if err != nil {
		t.Fatal(err)
	}
	unit := regexp.MustCompile("(?s)```ini\n(.*?)```").FindSubmatch(text)
	look := regexp.MustCompile("`sudo -u hello (DIVISI_HOME=.*? divisi) ps`").FindSubmatch(text)
	if unit == nil || look == nil {
		t.Fatal("docs/howto.md has no unit, or does not say how to look at it")
	}

	files := t.TempDir()
	if err := os.Chmod(files, 0o755); err != nil { // it becomes the root of a file system
		t.Fatal(err)
	}
	write(t, filepath.Join(files, "etc/systemd/system/hello.service"), unit[1], 0o644)
	write(t, filepath.Join(files, "opt/hello/hello.toml"), []byte("[divisi]\nbinary = 'hello'\n"), 0o644)
	copyProgram(t, filepath.Join(files, "opt/hello/hello"), buildHello(t))
	copyProgram(t, filepath.Join(files, "usr/local/bin/divisi"), os.Args[0])

	underSystemd(t, files, `
useradd --system hello
looks() { runuser -u hello -- env PATH=/usr/local/bin:$PATH `+string(look[1])+` "$@"; }
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
`)
}
