//go:build linux

package hosts

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/lab"
	"github.com/divisi-go/divisi/ssh/sshtest"
)

// Addresses of the virtual machine, and of the host of a lab to which it is connected.
const (
	guest = "10.78.0.2"
	desk  = "10.78.0.1"
)

// boot makes a device, and a virtual machine that is connected to it: a kernel that runs as a program. It has the files of the
// host, and what it writes is in its memory.
const boot = `
ip tuntap add dev tap0 mode tap
ip addr add ` + desk + `/24 dev tap0
ip link set tap0 up
exec "$1" mem=256M uml_dir=/tmp rootfstype=hostfs rootflags=/ ro pty.legacy_count=0 con=null ssl=null con0=null,fd:1 quiet \
	vec0:transport=tap,ifname=tap0,gro=1 init="$2"/begin SCRIPT="$2"/script
`

// wake is what the first process of the machine does. The SSH server gets a control group of its own, as by systemd with
// Delegate=yes and DelegateSubgroup=keeper.
const wake = `#!/bin/bash
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs run /run
mount -t cgroup2 cgroup2 /sys/fs/cgroup
echo +cpu +memory +pids >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /sys/fs/cgroup/unit/keeper
echo $$ >/sys/fs/cgroup/unit/keeper/cgroup.procs
ip link set lo up
ip addr add ` + guest + `/24 dev vec0
ip link set vec0 up
sh "$SCRIPT" 2>&1 | cat
echo o >/proc/sysrq-trigger
sleep 1000
`

// bounds has a program in the sandbox begin more processes than it may.
const bounds = `(for i in $(seq 200); do sleep 1000 & done) 2>&1 | grep -o -m 1 -i 'cannot fork'`

// slow says that the test is to run, which takes minutes where others use the processors.
var slow = flag.Bool("machine", false, "test a virtual machine as a host by SSH")

// TestMachine: a virtual machine, on which nothing is installed, is a host by SSH. Its kernel limits what a sandbox uses.
func TestMachine(t *testing.T) {
	if !*slow {
		t.Skip("the test of a virtual machine runs with -args -machine")
	}
	kernel, err := exec.LookPath("linux.uml")
	if err != nil && os.Getenv("CI") != "true" {
		t.Skipf("no machine can be booted: %v: install Debian's user-mode-linux", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	program := build(t, "./boxed", dir, "1")
	l := lab.New(t, lab.Config{Names: []string{"desk"}, Share: []string{dir}})
	started := time.Now()
	s := sshtest.New(t, sshtest.Config{On: &sshtest.Machine{
		Addr: guest + ":2222", Dir: dir,
		Run: func(ctx context.Context, words *os.File, args ...string) error {
			script := ""
			for _, arg := range args {
				script += " '" + arg + "'"
			}
			for name, text := range map[string]string{"begin": wake, "script": script[1:]} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
					return err
				}
			}
			_, err := l.Host("desk").Run(ctx, lab.Command{Args: []string{"sh", "-ec", boot, "boot", kernel, dir}, Stdout: words, Stderr: words})
			return err
		},
	}})
	t.Logf("its SSH server listens after %v", time.Since(started))

	words, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer words.Close()
	ctx, kill := context.WithCancel(t.Context())
	over := make(chan error, 1)
	go func() {
		defer theirs.Close()
		deploy := fmt.Sprintf(`mkdir -p ~/.ssh; cp %s ~/.ssh/id_ed25519; cp %s ~/.ssh; exec %s`, s.Key, s.KnownHosts, program)
		_, err := l.Host("desk").Run(ctx, lab.Command{Args: []string{"sh", "-ec", deploy}, Stderr: theirs, Env: append(lab.Environ(),
			"SSH="+sshtest.User+"@"+s.Addr, "LIMITS=memory=64M cpus=0.5 pids=60", "SCRIPT="+bounds)})
		over <- err
	}()
	defer func() {
		kill()
		<-over
	}()
	said := ""
	_ = words.SetReadDeadline(time.Now().Add(5 * patience)) // or the test ends by its own
	for lines := bufio.NewScanner(words); !strings.Contains(said, " runs program=") && lines.Scan(); {
		said += lines.Text() + "\n"
	}
	t.Logf("it is a host after %v", time.Since(started))
	limits, err := l.Host("desk").Exec(t.Context(), "ssh", "-i", s.Key, "-o", "UserKnownHostsFile="+s.KnownHosts, "-p", "2222", sshtest.User+"@"+guest,
		"cd /sys/fs/cgroup/unit/divisi-*; for file in memory.max pids.max cpu.max; do echo $file=$(cat $file); done")
	said += limits
	if err != nil {
		t.Error(err)
	}
	for _, want := range []string{"memory.max=67108864\n", "pids.max=60\n", "cpu.max=50000 100000\n", "annot fork\n", " on box", " runs program="} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q", want)
		}
	}
	t.Log(said)
}
