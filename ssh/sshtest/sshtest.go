//go:build linux

package sshtest

import (
	"bufio"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// Config is what a server has. The zero value has room for 256 MB in the home folder.
type Config struct {
	Home  string            // options of the mount of the home folder, such as size=1m,noexec
	Lines []string          // of sshd_config, besides those that it has
	Files map[string]string // contents of programs in /usr/local/bin
}

// Server is a server that runs until its test ends.
type Server struct {
	Addr       string // 127.0.0.1 and its port
	Key        string // file with the key that the user anne may log in with
	KnownHosts string // file with the key of the server
}

// User is who may log in, Home the home folder, and Closed a folder that only others may write to.
const (
	User   = "anne"
	Home   = "/home/anne"
	Closed = "/home/closed"
)

// To returns the server as a destination.
func (s *Server) To() string { return User + "@" + s.Addr }

// sshd is the program.
const sshd = "/usr/sbin/sshd"

// world makes the namespaces of a server, and is it then.
const world = `set -e
mount -t tmpfs -o mode=755,size=256m home /home
mkdir /home/anne /home/etc /home/etc/bin
mkdir -m 500 /home/closed
mount -t tmpfs -o mode=700,"$2" home /home/anne
cp "$1"/config "$1"/hostkey "$1"/allowed "$1"/passwd /home/etc
cp "$1"/bin/* /home/etc/bin 2>/dev/null || :
chmod -R go-w,u+rwX /home/etc
mount --bind /home/etc/passwd /etc/passwd
mount --bind /home/etc/bin /usr/local/bin
mount -t tmpfs -o mode=1777 tmp /tmp
cd /
exec unshare -U --map-user=1000 --map-group=1000 ` + sshd + ` -D -e -f /home/etc/config
`

// config is that of every server, for a port. A user cannot change who it is.
const config = `ListenAddress 127.0.0.1
Port %d
HostKey /home/etc/hostkey
PidFile none
UsePAM no
StrictModes no
AuthorizedKeysFile /home/etc/allowed
PasswordAuthentication no
KbdInteractiveAuthentication no
%s
`

// New starts a server for a test, which is skipped where that cannot be, or fails with CI=true in the environment.
func New(t testing.TB, c Config) *Server {
	t.Helper()
	s, err := begin(t, c)
	if err == nil {
		return s
	}
	if os.Getenv("CI") != "true" {
		t.Skipf("no SSH server can be run: %v: install Debian's openssh-server, and allow user namespaces", err)
	}
	t.Fatal(err)
	return nil
}

func begin(t testing.TB, c Config) (*Server, error) {
	if _, err := os.Stat(sshd); err != nil {
		return nil, err
	}
	dir := t.TempDir()
	s := &Server{Key: filepath.Join(dir, "key"), KnownHosts: filepath.Join(dir, "known_hosts")}
	host, err := newKey(filepath.Join(dir, "hostkey"))
	if err != nil {
		return nil, err
	}
	user, err := newKey(s.Key)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s.Addr = fmt.Sprintf("127.0.0.1:%d", port)
	files := map[string]string{
		"config": fmt.Sprintf(config, port, strings.Join(c.Lines, "\n")), "allowed": string(ssh.MarshalAuthorizedKey(user)),
		"passwd":      "anne:x:1000:1000:Anne:" + Home + ":/bin/sh\n",
		"known_hosts": knownhosts.Line([]string{s.Addr}, host) + "\n",
	}
	for name, text := range c.Files {
		files[filepath.Join("bin", name)] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return nil, err
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			return nil, err
		}
	}
	home := c.Home
	if home == "" {
		home = "size=256m"
	}
	return s, run(t, dir, home)
}

// run runs the server, and returns when it listens.
func run(t testing.TB, dir, home string) error {
	cmd := exec.Command("unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", world, "sshd", dir, home)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
	words, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})

	said := ""
	for lines := bufio.NewScanner(words); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(said, "Server listening") {
			go func() { _, _ = io.Copy(io.Discard, words) }()
			return nil
		}
	}
	return fmt.Errorf("%s", strings.TrimSpace(said))
}

// newKey makes a key in a file, and returns the public one.
func newKey(file string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "test")
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return ssh.NewPublicKey(public)
}

// freePort returns a port that nobody listened at a moment ago.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
