// Package limits runs servers whose control groups have limits, on a machine whose kernel has all
// controllers.
package limits

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds the life of a machine.
const patience = 10 * time.Minute

// begin is what the first process of a machine does. The machine has the files of this one; what is written
// to /run is in its memory.
const begin = `#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
PS4='+ $EPOCHREALTIME ' bash -euxo pipefail "$SCRIPT" 2>&1 | cat # a terminal would be drawn on
echo o >/proc/sysrq-trigger
sleep 1000
`

// word is the last one of a script that has ended well.
const word = "all-is-well"

// limits is a script: root, and a user with a control group of its own, limit what servers may use.
const limits = `
cp "$DIVISI" /run/divisi
mkdir -m 700 /run/root /run/user
chown 65534:65534 /run/user
groups=/sys/fs/cgroup

# As systemd does for a unit with Delegate=yes and DelegateSubgroup=keeper.
delegate() {
	mkdir $groups/$1
	chown 65534 $groups/$1 $groups/$1/cgroup.procs $groups/$1/cgroup.subtree_control
}
echo +cpu +memory +pids >$groups/cgroup.subtree_control
delegate unit
delegate unit/keeper

root() { DIVISI_HOME=/run/root XDG_RUNTIME_DIR=/run/root /run/divisi "$@"; }
user() (
	echo $BASHPID >$groups/unit/keeper/cgroup.procs
	export DIVISI_HOME=/run/user XDG_RUNTIME_DIR=/run/user
	exec setpriv --reuid 65534 --regid 65534 --clear-groups /run/divisi "$@"
)

# A server that uses more than its memory. The end says why.
hungry() {
	$1 start hungry --restart temporary --limit memory=16M -- sh -c '
		while [ ! -e /run/table ]; do sleep 0.05; done
		exec dd if=/dev/zero of=/dev/null bs=64M count=1'
	touch /run/table
	code=0
	$1 wait hungry -o json >/run/end || code=$?
	cat /run/end
	[ $code = 137 ]
	grep '"out_of_memory": true' /run/end
}

# A server that begins as many processes as it may, in sessions of their own, and works until it is seen.
busy() {
	$1 start busy --limit cpus=0.3 --limit memory=64M --limit pids=6 -- sh -c '
		(for i in 1 2 3 4 5 6 7 8; do env -i setsid sleep 1000 & done)
		while [ ! -e $0 ]; do :; done
		exec sleep 1000' /run/seen-$1
	$1 status busy -o json >/run/status
	for limit in cpus=0.3 memory=67108864 pids=6; do
		grep '^ *"'$limit'",\?$' /run/status
	done
	group=$(field control_group)
	[ "$(cat $group/cpu.max)" = '30000 100000' ]
	[ "$(cat $group/memory.max)" = 67108864 ]
	[ "$(cat $group/pids.max)" = 6 ]
	until_says '^max [1-9]' $group/pids.events
	until_says '^nr_throttled [1-9]' $group/cpu.stat
	touch /run/seen-$1
	read -r _ _ _ keeper _ </proc/$(field pid)/stat
}
field() { sed -n 's/^ *"'$1'": "\?\([^",]*\)"\?,\?$/\1/p' /run/status; }
until_says() {
	for i in $(seq 600); do
		grep -q "$1" "$2" && return
		sleep 0.1
	done
	cat "$2"
	return 1
}

# Nothing is left of a server, not even its group.
ended() {
	$1 stop busy | grep '^stopped busy@/local'
	[ ! -e $group ]
}

# A limit is refused in one line.
refused() {
	echo $keeper >$1/cgroup.procs
	if user start more --limit memory=16M -- sleep 1000 2>/run/said; then exit 1; fi
	cat /run/said
	[ $(grep -c divisi: /run/said) = 1 ]
	grep "^divisi: error: cannot start .*more.*: the limit memory=16777216: $2: have systemd" /run/said
}

hungry user
busy user
if [ -n "$LONG" ]; then
	mkdir $groups/session
	refused $groups/session 'cannot make a control group: .*permission denied'
	delegate plain
	refused $groups/plain "the controller memory works for no groups in $groups/plain, since that has processes of its own"
	kill -KILL $keeper # the next one knows the group
fi
ended user
if [ -n "$LONG" ]; then
	busy root
	ended root
fi
echo $WORD
`

// long has all of the script run, which takes minutes where others use the processors: that kernel needs another
// process for each system call.
var long = flag.Bool("long", false, "test the limits as root, without delegation, and with the next keeper as well")

// TestLimits: limits of control groups hold for somebody to whom a group is delegated, and a server ends with its
// group; in the long form also for root and with the next keeper, and where there can be no limits that is said.
func TestLimits(t *testing.T) {
	if said := boot(t, limits); !strings.Contains(said, "\n"+word) {
		t.Errorf("the script has failed:\n%s", said)
	}
}

// boot runs a script as root on a machine of its own, and returns what it has printed. The machine is a
// process of this one, with a kernel that runs as a program.
func boot(t *testing.T, script string) string {
	t.Helper()
	kernel := findKernel(t)
	dir := t.TempDir()
	divisi := filepath.Join(dir, "divisi")
	build := exec.Command("go", "build", "-ldflags", "-s -w", "-o", divisi, "../../cmd/divisi")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the race detector has no room there
	if printed, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build divisi: %v\n%s", err, printed)
	}
	for name, text := range map[string]string{"begin": begin, "script": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	// The old terminals, of which nobody needs one, take longer than all the rest.
	machine := exec.CommandContext(ctx, kernel, "mem=256M", "uml_dir="+dir, "rootfstype=hostfs", "rootflags=/", "rw",
		"pty.legacy_count=0", "con=null", "ssl=null", "con0=null,fd:1", "quiet", "init="+filepath.Join(dir, "begin"),
		"DIVISI="+divisi, "SCRIPT="+filepath.Join(dir, "script"), "WORD="+word, "LONG="+map[bool]string{true: "yes"}[*long])
	machine.Env = append(os.Environ(), "TMPDIR="+dir) // its memory is a file
	machine.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	machine.Cancel = func() error { return syscall.Kill(-machine.Process.Pid, syscall.SIGKILL) }
	machine.WaitDelay = 10 * time.Second
	printed, err := machine.CombinedOutput()
	if err != nil {
		t.Errorf("the machine: %v", err)
	}

	return string(printed)
}

// findKernel returns the kernel that runs as a program.
func findKernel(t *testing.T) string {
	t.Helper()
	kernel, err := exec.LookPath("linux.uml")
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("no machine with control groups can be booted: %v: install user-mode-linux", err)
	default:
		t.Skipf("no machine with control groups can be booted: %v: install Debian's user-mode-linux", err)
	}
	return kernel
}
