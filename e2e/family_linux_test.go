package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/family"
)

// grandchildren starts ten processes in sessions of their own, and says so.
const grandchildren = `
for i in 1 2 3 4 5 6 7 8 9 10; do
  setsid sh -c 'sleep 1000 & exec sleep 1000' &
done
echo "all are there"
exec sleep 1000`

// TestFamilies: what a server has started, in sessions of its own, does not outlive the server by a second: with a
// control group and without one, of root and of somebody who may do little.
func TestFamilies(t *testing.T) {
	for _, who := range []string{"root", "nobody"} {
		for _, where := range []string{"a control group", "no control group"} {
			t.Run(who+" with "+where, func(t *testing.T) {
				if os.Getuid() != 0 {
					t.Skip("root alone can be both, and can keep control groups from a keeper")
				}
				testFamily(t, who == "nobody", where == "a control group")
			})
		}
	}
}

func testFamily(t *testing.T, nobody, grouped bool) {
	const nobodysID = 65534
	dir, err := os.MkdirTemp("/tmp", "family") // paths of sockets are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "bin", "divisi")
	copyProgram(t, program, buildDivisi(t))
	if err := os.Chown(dir, nobodysID, nobodysID); err != nil && nobody {
		t.Fatal(err)
	}
	cgroup := delegated(t, nobodysID, nobody, grouped)

	divisi := func(args ...string) string {
		t.Helper()
		// The keeper is made in the group of the first command. Without one, none can be made there: the
		// hierarchy is mounted read-only over itself in a namespace of mounts.
		script := `echo $$ >"$GROUP/cgroup.procs" && exec "$@"`
		if !grouped {
			script = `for m in /sys/fs/cgroup /sys/fs/cgroup/unified; do mount -t tmpfs none $m 2>/dev/null && break; done; exec "$@"`
		}
		command := append([]string{"-c", script, "sh"}, as(nobody)...)
		command = append(append(command, program), args...)
		cmd := exec.Command("sh", command...)
		if !grouped {
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
		}
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "HOME=/", "GROUP="+cgroup, "DIVISI_HOME="+dir+"/home", "XDG_RUNTIME_DIR="+dir)
		printed, err := cmd.CombinedOutput()
		if err != nil && !strings.Contains(string(printed), "no keeper runs") {
			t.Fatalf("divisi %q: %v\n%s", args, err, printed)
		}
		return string(printed)
	}
	t.Cleanup(func() { divisi("keeper", "stop", "--yes") })

	life := filepath.Join(dir, "life")
	if err := syscall.Mkfifo(life, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(life, 0o666); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(life, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	divisi("start", "parent", "--dir", "/", "--ready", "log:all are there", "--", "sh", "-c", "exec 9>"+life+"; "+grandchildren)
	var status struct {
		Group   string `json:"control_group"`
		NoGroup string `json:"no_control_group"`
	}
	if text := divisi("status", "parent", "-o", "json"); json.Unmarshal([]byte(text), &status) != nil {
		t.Fatal(text)
	}
	if grouped != (status.Group != "") || grouped != (status.NoGroup == "") {
		t.Errorf("%+v", status)
	}

	if said := divisi("stop", "parent"); !strings.Contains(said, "stopped parent@/local, which was ended by the signal terminated") {
		t.Error(said)
	}
	if err := reader.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(reader); err != nil { // it ends when nobody has the other end
		t.Errorf("something lives a second after it was stopped: %v", err)
	}
	if _, err := os.Stat(status.Group); grouped && err == nil {
		t.Errorf("%s is left", status.Group)
	}
}

// as returns what has a command line be one of somebody who may do little.
func as(nobody bool) []string {
	if !nobody {
		return nil
	}
	return []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
}

// delegated returns a control group that belongs to who is to make others in it.
func delegated(t *testing.T, id int, nobody, grouped bool) string {
	t.Helper()
	if !grouped {
		return ""
	}
	g, err := family.MakeGroup(fmt.Sprintf("divisi-test-%d", os.Getpid()))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("this machine has no control groups for root: %v", err)
	}
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(g.Path(), "cgroup.kill"), []byte("1"), 0)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := g.Remove(ctx); err != nil {
			t.Error(err)
		}
	})
	if nobody {
		for _, name := range []string{".", "cgroup.procs", "cgroup.subtree_control"} {
			if err := os.Chown(filepath.Join(g.Path(), name), id, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	return g.Path()
}
