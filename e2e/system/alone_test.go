//go:build linux

package system

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// nobody is a user without rights.
const nobody = 65534

// alone has the program run twice where there is nothing else: no divisi, no shell, nothing in /usr.
const alone = `set -e
PATH=$PATH:/usr/sbin:/sbin
chroot=$(command -v chroot)
mount -t tmpfs none root
mkdir root/proc root/dev root/tmp root/usr root/home
cp subject root/subject
: > root/dev/null
mount --bind /dev/null root/dev/null
mount -t proc proc root/proc
mount -t tmpfs -o ro none root/usr
for run in 1 2; do
	env -i HOME=/home SUBJECT_ALONE=1 $chroot root /subject 2> words.$run &
	until grep -q ' runs program=' words.$run; do kill -0 $! || { cat words.$run; exit 1; }; sleep 0.05; done
	kill -9 $!
done
cat words.1 words.2
`

// namespaces returns a command in namespaces of its own, of a user without rights who is root there.
func namespaces(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", script)
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// TestAlone: the program is all that is needed. Copied to where there is nothing else, it deploys, and when it
// was killed and runs again, it finds the same processes.
func TestAlone(t *testing.T) {
	if printed, err := namespaces(t.Context(), "mount -t tmpfs none /mnt").CombinedOutput(); err != nil {
		t.Skipf("users without rights may have no namespaces here: %v: %s", err, printed)
	}
	binary, err := builds["1"]()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "alone")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := prepare(dir, binary); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := namespaces(ctx, alone)
	cmd.Dir = dir
	printed, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	words := regexp.MustCompile(`(started|adopted) server=(\S+ pid=\d+)`).FindAllStringSubmatch(string(printed), -1)
	var started, adopted []string
	for _, w := range words {
		if w[1] == "started" {
			started = append(started, w[2])
		} else {
			adopted = append(adopted, w[2])
		}
	}
	if len(started) != 2 || !slices.Equal(started, adopted) {
		t.Errorf("it has started %q and adopted %q:\n%s", started, adopted, strings.TrimSpace(string(printed)))
	}
}

// prepare makes a folder with the program for a user without rights.
func prepare(dir, binary string) error {
	from, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(dir, "subject"), os.O_WRONLY|os.O_CREATE, 0o755)
	if err != nil {
		return err
	}
	defer to.Close()
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	if err := os.Mkdir(filepath.Join(dir, "root"), 0o755); err != nil || os.Getuid() != 0 {
		return err
	}
	return os.Chown(dir, nobody, nobody)
}
