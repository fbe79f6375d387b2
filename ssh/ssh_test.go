//go:build linux

package ssh_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/divisi-go/divisi/serve"
	"github.com/divisi-go/divisi/ssh"
	"github.com/divisi-go/divisi/ssh/sshtest"
	"github.com/divisi-go/divisi/system"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) { systemtest.Main(m, func() { system.Run("test", nil) }) }

var _ system.Machine = (*ssh.Machine)(nil)

// web is a server that says which process it is.
var web = system.Server("web", func() error {
	l, err := serve.Listener("web", "")
	if err != nil {
		return err
	}
	page := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, os.Getpid()) }
	return serve.Run(context.Background(), serve.Server(l, &http.Server{Handler: http.HandlerFunc(page)}))
})

func options(s *sshtest.Server) ssh.Options {
	return ssh.Options{Keys: []string{s.Key}, KnownHosts: []string{s.KnownHosts}}
}

// open connects to a server.
func open(t *testing.T, s *sshtest.Server) *ssh.Machine {
	t.Helper()
	m := systemtest.Must(ssh.Open(t.Context(), s.To(), options(s)))(t)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// TestHost: a program has a server on a machine where nothing is installed, and talks with it there.
func TestHost(t *testing.T) {
	server := sshtest.New(t, sshtest.Config{})
	m := open(t, server)
	ctx, n, _ := systemtest.New(t)
	h := systemtest.Must(system.Open(ctx, n, m))(t)
	l := systemtest.Must(h.Listen(ctx, n, "web", "127.0.0.1:0"))(t)
	p := systemtest.Must(h.Ensure(ctx, n, system.Spec{Name: "web", Program: web, Listeners: []*system.Listener{l}, Ready: "http:/"}))(t)

	for name, dial := range map[string]func(context.Context, string, string) (net.Conn, error){"the host": h.Dial, "the machine": m.Dial} {
		c := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
		answer := systemtest.Must(c.Get("http://" + l.Addr()))(t)
		text := systemtest.Must(io.ReadAll(answer.Body))(t)
		answer.Body.Close()
		if string(text) != fmt.Sprint(p.Pid()) {
			t.Errorf("by %s, the page is %q, and the process %d", name, text, p.Pid())
		}
	}
	if _, err := m.Dial(ctx, "tcp", "127.0.0.1:1"); err == nil {
		t.Error("there is somebody at port 1")
	}
}

// TestRun: a command has its input, its output and its words, and is killed in time.
func TestRun(t *testing.T) {
	m := open(t, sshtest.New(t, sshtest.Config{}))
	var out bytes.Buffer
	if err := m.Run(t.Context(), strings.NewReader("in"), &out, "sh", "-c", `cat; printf ' %s' "$@"`, "sh", "it's", `"a"`, "b\nc", "$HOME"); err != nil {
		t.Fatal(err)
	}
	if want := "in it's \"a\" b\nc $HOME"; out.String() != want {
		t.Errorf("the command has said %q, and not %q", out.String(), want)
	}
	err := m.Run(t.Context(), nil, io.Discard, "sh", "-c", "echo no >&2; exit 3")
	if err == nil || err.Error() != "exit code 3: no" {
		t.Error(err)
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	reached, said := io.Pipe()
	go func() {
		_, _ = reached.Read(make([]byte, 1)) // it runs
		cancel(io.ErrNoProgress)
	}()
	if err := m.Run(ctx, nil, said, "sh", "-c", "echo; exec sleep 1000"); err != io.ErrNoProgress {
		t.Error(err)
	}
	gone := func() bool {
		return m.Run(t.Context(), nil, io.Discard, "sh", "-c", `for p in /proc/[0-9]*/comm; do read c <$p && [ "$c" = sleep ] && exit 1; done; exit 0`) == nil
	}
	for late := time.Now().Add(time.Minute); !gone(); {
		if time.Now().After(late) {
			t.Fatal("the command goes on")
		}
	}
}

// TestDeadlines: a connection over SSH has deadlines, and hands ends of writing on.
func TestDeadlines(t *testing.T) {
	m := open(t, sshtest.New(t, sshtest.Config{}))
	l := systemtest.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		text, _ := io.ReadAll(conn) // until nothing more is written
		_, _ = conn.Write(append(text, " back"...))
	}()

	conn := systemtest.Must(m.Dial(t.Context(), "tcp", l.Addr().String()))(t)
	defer conn.Close()
	if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Read(make([]byte, 1)); !os.IsTimeout(err) {
		t.Error(err)
	}
	err := conn.SetReadDeadline(time.Time{})
	if err == nil {
		_, err = io.WriteString(conn, "there and")
	}
	if err == nil {
		err = conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	if text, failed := io.ReadAll(conn); err != nil || failed != nil || string(text) != "there and back" {
		t.Errorf("%q, %v, %v", text, err, failed)
	}
}

// road is a way to a server that can be cut.
type road struct {
	net.Listener
	to    string
	sent  atomic.Int64
	conns chan net.Conn
}

func newRoad(t *testing.T, to string) *road {
	t.Helper()
	r := &road{Listener: systemtest.Must(net.Listen("tcp", "127.0.0.1:0"))(t), to: to, conns: make(chan net.Conn, 100)}
	t.Cleanup(func() { r.Close() })
	go func() {
		for {
			near, err := r.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", to)
			if err != nil {
				near.Close()
				continue
			}
			r.conns <- near
			go func() { _, _ = io.Copy(near, far); near.Close() }()
			go func() { _, _ = io.Copy(io.MultiWriter(far, r), near); far.Close() }()
		}
	}()
	return r
}

func (r *road) Write(p []byte) (int, error) {
	r.sent.Add(int64(len(p)))
	return len(p), nil
}

// TestAgain: when the connection ends, the next thing that is asked has another one.
func TestAgain(t *testing.T) {
	server := sshtest.New(t, sshtest.Config{})
	r := newRoad(t, server.Addr)
	text := systemtest.Must(os.ReadFile(server.KnownHosts))(t)
	_, key, _ := strings.Cut(string(text), " ")
	known := filepath.Join(t.TempDir(), "known")
	_, port, _ := net.SplitHostPort(r.Addr().String())
	if err := os.WriteFile(known, []byte("[127.0.0.1]:"+port+" "+key), 0o600); err != nil {
		t.Fatal(err)
	}
	m := systemtest.Must(ssh.Open(t.Context(), "anne@"+r.Addr().String(), ssh.Options{Keys: []string{server.Key}, KnownHosts: []string{known}}))(t)
	defer m.Close()
	over := make(chan error)
	reached, said := io.Pipe()
	go func() { over <- m.Run(t.Context(), nil, said, "sh", "-c", "echo; exec sleep 1000") }()
	_, _ = reached.Read(make([]byte, 1)) // it runs
	(<-r.conns).Close()
	if err := <-over; err == nil || !strings.Contains(err.Error(), "the connection to anne@127.0.0.1:"+port) {
		t.Error(err)
	}
	if err := m.Run(t.Context(), nil, io.Discard, "true"); err != nil {
		t.Error(err)
	}
	if len(r.conns) != 1 {
		t.Errorf("there are %d connections", len(r.conns))
	}
}

// wrong has what happens be an error of one line with some words.
func wrong(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Errorf("the error is %v", err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q lacks %q", err, word)
		}
	}
	t.Log(err)
}

// TestRefusals: what is wrong with keys and users is said in one line, with the way out.
func TestRefusals(t *testing.T) {
	server, other := sshtest.New(t, sshtest.Config{}), sshtest.New(t, sshtest.Config{})
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("SSH_AUTH_SOCK", "")
	_, port, _ := net.SplitHostPort(server.Addr)
	tries := func(to string, change func(*ssh.Options), words ...string) {
		t.Helper()
		o := options(server)
		change(&o)
		m, err := ssh.Open(t.Context(), to, o)
		if err == nil {
			m.Close()
		}
		wrong(t, err, words...)
	}
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}

	swapped := strings.ReplaceAll(string(systemtest.Must(os.ReadFile(other.KnownHosts))(t)), other.Addr[len("127.0.0.1:"):], port)
	known := write("wrong", swapped, 0o600)
	tries(server.To(), func(o *ssh.Options) { o.KnownHosts = []string{known} },
		"another one is known by "+known+", line 1", "ssh-keygen -f "+known+" -R '[127.0.0.1]:"+port+"'")
	tries(server.To(), func(o *ssh.Options) { o.KnownHosts = nil }, "is not known",
		"ssh-keyscan -p "+port+" 127.0.0.1 >> "+dir+"/.ssh/known_hosts")
	revoked := write("revoked", "@revoked "+string(systemtest.Must(os.ReadFile(server.KnownHosts))(t)), 0o600)
	tries(server.To(), func(o *ssh.Options) { o.KnownHosts = []string{revoked} }, "revokes")
	tries("berta@"+server.Addr, func(*ssh.Options) {}, "knows no user berta", "ssh-copy-id -p "+port+" berta@127.0.0.1")
	tries(server.To(), func(o *ssh.Options) { o.Keys = []string{other.Key} }, "none of the keys SHA256:", other.Key, "ssh-copy-id")
	tries(server.To(), func(o *ssh.Options) { o.Keys = nil }, "no key to log in with", "ssh-keygen", "ssh-add")
	tries(server.To(), func(o *ssh.Options) { o.Keys = []string{write("open", "x", 0o644)} }, "can be read by others", "chmod 600")
	tries(server.To(), func(o *ssh.Options) { o.Keys = []string{write("text", "x", 0o600)} }, "has no private key")
	locked, _ := keyWithPassphrase(t)
	tries(server.To(), func(o *ssh.Options) { o.Keys = []string{write("locked", locked, 0o600)} }, "has a passphrase", "ssh-add")
	tries("anne@127.0.0.1:1", func(*ssh.Options) {}, "connection refused", "see whether an SSH server listens there")
	tries("anne@", func(*ssh.Options) {}, "write user@host:port")

	l := systemtest.Must(net.Listen("tcp", "127.0.0.1:0"))(t)
	go func() {
		if conn, err := l.Accept(); err == nil {
			conn.Close()
		}
	}()
	tries("anne@"+l.Addr().String(), func(*ssh.Options) {}, "see whether it is an SSH server")
}

// keyWithPassphrase returns a key in a file with a passphrase, and the key.
func keyWithPassphrase(t *testing.T) (string, ed25519.PrivateKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block := systemtest.Must(gossh.MarshalPrivateKeyWithPassphrase(private, "test", []byte("secret")))(t)
	return string(pem.EncodeToMemory(block)), private
}

// TestAgent: a key that only the agent has open logs in, by itself and by its file.
func TestAgent(t *testing.T) {
	server := sshtest.New(t, sshtest.Config{})
	dir := systemtest.Must(os.MkdirTemp("", "agent"))(t)
	defer os.RemoveAll(dir)
	raw := systemtest.Must(gossh.ParseRawPrivateKey(systemtest.Must(os.ReadFile(server.Key))(t)))(t)
	keys := agent.NewKeyring()
	if err := keys.Add(agent.AddedKey{PrivateKey: raw}); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	l := systemtest.Must(net.Listen("unix", socket))(t)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(keys, conn) }()
		}
	}()
	locked := filepath.Join(dir, "locked")
	block := systemtest.Must(gossh.MarshalPrivateKeyWithPassphrase(raw, "test", []byte("secret")))(t)
	if err := os.WriteFile(locked, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}

	for _, own := range [][]string{nil, {locked}} {
		m, err := ssh.Open(t.Context(), server.To(), ssh.Options{Keys: own, Agent: socket, KnownHosts: []string{server.KnownHosts}})
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
	}
}

// TestUnfit: what a machine lacks is said in one line, with the way out.
func TestUnfit(t *testing.T) {
	ctx, n, _ := systemtest.New(t)
	for name, try := range map[string]struct {
		config sshtest.Config
		state  string
		words  []string
	}{
		"full":     {sshtest.Config{Home: "size=4m"}, "", []string{"No space left on device", "make room there"}},
		"forbids":  {sshtest.Config{}, sshtest.Closed + "/state", []string{sshtest.Closed, "Permission denied", "let its user write there", "DIVISI_HOME"}},
		"noexec":   {sshtest.Config{Home: "noexec"}, "", []string{"no program runs in /home/anne/.local/state/divisi", "noexec", "DIVISI_HOME"}},
		"another":  {sshtest.Config{Files: map[string]string{"uname": "#!/bin/sh\ncase $1 in -m) echo aarch64;; *) echo Linux;; esac\n"}}, "", []string{"it is linux/arm64", "GOOS=linux GOARCH=arm64 go build -o "}},
		"forwards": {sshtest.Config{Lines: []string{"DisableForwarding yes"}}, "", []string{"AllowStreamLocalForwarding"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := sshtest.New(t, try.config)
			o := options(server)
			o.Name, o.State = name, try.state
			m := systemtest.Must(ssh.Open(t.Context(), server.To(), o))(t)
			defer m.Close()
			_, err := system.Open(ctx, n, m)
			wrong(t, err, append(try.words, "cannot use the host "+name)...)
		})
	}
}
