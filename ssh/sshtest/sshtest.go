//go:build linux

package sshtest

import (
	"bufio"
	"context"
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

// Config is what a server has. The zero value has room for 256 MB in the home folder, and runs on this machine.
type Config struct {
	Home  string            // options of the mount of the home folder, such as size=1m,noexec
	Lines []string          // of sshd_config, besides those that it has
	Files map[string]string // contents of programs in /usr/local/bin

	// On is another machine on which the server runs, nil for this one.
	On *Machine
}

// Machine is where a server runs.
type Machine struct {
	Addr string // its address and a port that is free
	Dir  string // an empty folder that it has at the same path

	// Run runs a command there as who is root, at least of a user namespace, until ctx ends.
	Run func(ctx context.Context, words *os.File, args ...string) error
}

// Server is a server that runs until its test ends.
type Server struct {
	Addr       string // and its port
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
const config = `ListenAddress %s
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
	on := c.On
	if on == nil {
		port, err := freePort()
		if err != nil {
			return nil, err
		}
		on = &Machine{Addr: fmt.Sprintf("127.0.0.1:%d", port), Dir: t.TempDir(), Run: here}
	}
	dir := on.Dir
	s := &Server{Addr: on.Addr, Key: filepath.Join(dir, "key"), KnownHosts: filepath.Join(dir, "known_hosts")}
	host, err := newKey(filepath.Join(dir, "hostkey"))
	if err != nil {
		return nil, err
	}
	user, err := newKey(s.Key)
	if err != nil {
		return nil, err
	}
	files := map[string]string{
		"config": fmt.Sprintf(config, s.Addr, strings.Join(c.Lines, "\n")), "allowed": string(ssh.MarshalAuthorizedKey(user)),
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
	return s, on.serve(t, home)
}

// here runs a command on this machine.
func here(ctx context.Context, words *os.File, args ...string) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // if the test is killed
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin"}
	cmd.Stderr = words
	return cmd.Run()
}

// serve runs the server, and returns when it listens.
func (m *Machine) serve(t testing.TB, home string) error {
	words, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(context.Background())
	over := make(chan error, 1)
	go func() {
		defer theirs.Close()
		over <- m.Run(ctx, theirs, "unshare", "-U", "-r", "-m", "-p", "-f", "--mount-proc", "--kill-child", "sh", "-c", world, "sshd", m.Dir, home)
	}()
	t.Cleanup(func() {
		end()
		<-over
		words.Close()
	})

	said := ""
	for lines := bufio.NewScanner(words); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(said, "Server listening") {
			go func() { _, _ = io.Copy(io.Discard, words) }()
			return nil
		}
	}
	err = <-over
	over <- err
	return fmt.Errorf("%w: %s", err, strings.TrimSpace(said))
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
