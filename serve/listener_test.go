//go:build unix

package serve

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// roleVar makes TestProcess a program that asks for listeners, by name and address, or runs, speaks to
// its supervisor without that, or panics.
const roleVar = "SERVE_TEST_ROLE"

func TestProcess(t *testing.T) {
	role := os.Getenv(roleVar)
	if role == "" {
		t.Skip("it is a process of other tests")
	}
	log.SetFlags(0)
	switch role {
	case "run":
		fmt.Println(Run(context.Background(), Func(func(context.Context) error { return nil })))
		os.Exit(0)
	case "speak":
		fmt.Println(Status("begins\nnow"), Ready())
		os.Exit(0)
	case "panic":
		fmt.Println(Run(context.Background(), Func(func(context.Context) error { panic("a bug") })))
		os.Exit(0)
	}
	for ask := range strings.FieldsSeq(role) {
		name, address, _ := strings.Cut(ask, "=")
		l, err := Listener(name, address)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(name, l.Addr())
	}
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "LISTEN_") {
			fmt.Println("left", v)
		}
	}
	os.Exit(0)
}

// process returns a command that runs a role, with what is added to its environment.
func process(t *testing.T, role string, env ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProcess$")
	cmd.Env = append(os.Environ(), append(env, roleVar+"="+role, "GORACE=atexit_sleep_ms=0")...)
	return cmd
}

// TestListenerInherited: a process gets the sockets that its parent has opened for it.
func TestListenerInherited(t *testing.T) {
	var files []*os.File
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		file, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		files = append(files, file)
		addresses = append(addresses, l.Addr().String())
	}
	first, second := addresses[0], addresses[1]
	const wrong = "cannot open the listener web, which this process has not inherited: "

	for name, tc := range map[string]struct {
		role  string
		names string // of inherited sockets, with a colon between them
		want  []string
	}{
		"by name":               {"web= admin=", "admin:web", []string{"web " + second, "admin " + first}},
		"by unit":               {"web= admin=", "admin.socket:web.socket", []string{"web " + second, "admin " + first}},
		"the only one":          {"web=", "", []string{"web " + first}},
		"the only one, by unit": {"web= admin=:x", "shop.socket", []string{"web " + first, "cannot open the listener admin, "}},
		"not the only one":      {"web=", "admin", []string{wrong + `the address "" is none of host:port and unix:///path`}},
		"twice":                 {"web= web=", "web", []string{"web " + first, wrong + `the address ""`}},
		"a path without a slash": {"web=unix://web.sock", "admin", []string{
			wrong + `the address "unix://web.sock" is none of`}},
		"a path alone":     {"web=/web.sock", "admin", []string{wrong + `the address "/web.sock" is none of`}},
		"an address":       {"web=http://localhost", "admin", []string{wrong + `the address "http://localhost" is none of`}},
		"no port":          {"web=localhost", "admin", []string{wrong + "listen tcp: address localhost: missing port in address"}},
		"a port in use":    {"web=" + second, "admin", []string{wrong + "listen tcp " + second + ": bind: address already in use"}},
		"without an error": {"web=127.0.0.1:0", "admin", []string{"web 127.0.0.1:"}},
	} {
		names := strings.Split(tc.names, ":")
		cmd := process(t, tc.role, fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+tc.names)
		cmd.ExtraFiles = files[:len(names)]
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Split(strings.TrimSpace(string(out)), "\n")
		if !slices.EqualFunc(got, tc.want, strings.HasPrefix) {
			t.Errorf("%s: it says %q, want %q", name, got, tc.want)
		}
	}

	out, err := process(t, "web= admin=", "LISTEN_FDS=some").CombinedOutput()
	if want := `cannot open the listener web: the environment variable LISTEN_FDS is "some": `; err != nil ||
		!strings.HasPrefix(string(out), want) {
		t.Errorf("it says %s, %v", out, err)
	}
}

// TestListenerUnix: a socket file is taken over from a process that was killed, and from no other.
func TestListenerUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "web")
	old, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	if l, err := Listener("web", "unix://"+path); err == nil {
		l.Close()
		t.Error("two listen on one socket file")
	}
	old.SetUnlinkOnClose(false)
	old.Close()
	l, err := Listener("web", "unix://"+path)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Listener("web", "unix://"+path); err == nil {
		l.Close()
		t.Error("a file is taken for a socket")
	}
	if text, err := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file has %q, %v", text, err)
	}
}

// TestSupervisor: a program says what it does to its supervisor, and of which sockets it knows nothing.
func TestSupervisor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer supervisor.Close()
	if err := supervisor.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	web, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	file, err := web.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	cmd := process(t, "run", "NOTIFY_SOCKET="+name, "LISTEN_FDS=1", "LISTEN_FDNAMES=web")
	cmd.ExtraFiles = []*os.File{file}
	out, err := cmd.CombinedOutput()
	warning := `serve: this process has inherited a socket "web", but does not use it`
	if err != nil || !strings.HasPrefix(string(out), warning) || !strings.HasSuffix(string(out), "<nil>\n") {
		t.Errorf("it says %s, %v", out, err)
	}
	if out, err := process(t, "speak", "NOTIFY_SOCKET="+name).CombinedOutput(); err != nil || string(out) != "<nil> <nil>\n" {
		t.Errorf("it says %s, %v", out, err)
	}
	for _, want := range []string{"READY=1", "STOPPING=1", "STATUS=begins now", "READY=1"} {
		var b [100]byte
		n, err := supervisor.Read(b[:])
		if got := string(b[:n]); err != nil || got != want {
			t.Errorf("the supervisor hears %q, %v, want %s", got, err, want)
		}
	}
	for _, gone := range []string{"gone", "unix:gone"} {
		out, err := process(t, "run", "NOTIFY_SOCKET="+filepath.Join(t.TempDir(), gone)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "cannot tell the supervisor READY=1") {
			t.Errorf("without the supervisor it says %s, %v", out, err)
		}
	}
}

// TestPanic: a member that panics ends the process as any other goroutine does.
func TestPanic(t *testing.T) {
	out, err := process(t, "panic").CombinedOutput()
	if err == nil || !strings.HasPrefix(string(out), "panic: a bug [") ||
		!strings.Contains(string(out), "serve.TestProcess.") {
		t.Errorf("it says %s, %v", out, err)
	}
}
