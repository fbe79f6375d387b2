package host

import (
	"bytes"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/divisi-go/divisi/cmd/divisi/console"
	"github.com/divisi-go/divisi/internal/agent"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/door"
	"github.com/divisi-go/divisi/ssh"
	"github.com/divisi-go/divisi/ssh/sshtest"
	"github.com/divisi-go/divisi/system/systemtest"
)

func TestMain(m *testing.M) {
	door.Enter()
	agent.Enter("/")
	os.Exit(m.Run())
}

// TestRemove: what runs on a machine is said, then stopped, and nothing is left there.
func TestRemove(t *testing.T) {
	server := sshtest.New(t, sshtest.Config{})
	m := systemtest.Must(ssh.Open(t.Context(), server.To(), ssh.Options{Keys: []string{server.Key}, KnownHosts: []string{server.KnownHosts}}))(t)
	defer m.Close()
	client, there, err := agent.Open(t.Context(), m, agent.Program{Name: "test", Domain: "/test"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = there.Keeper.Start(t.Context(), keeper.Spec{Domain: "/test", Name: "sleeper", Path: "/bin/sleep", Args: []string{"1000"}, Dir: "/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := there.Keeper.Release(); err != nil {
		t.Error(err)
	}
	client.Close()

	var said bytes.Buffer
	c := command{console.New(&said, io.Discard)}
	run := func(args ...string) error {
		cmd := Command(c.Console)
		cmd.SetArgs(append([]string{"remove", "--key", server.Key, "--known-hosts", server.KnownHosts, server.To()}, args...))
		return cmd.ExecuteContext(t.Context())
	}
	if err := run(); err == nil || !strings.Contains(err.Error(), "sleeper@/test would be stopped") || !strings.Contains(err.Error(), "/home/anne/.local/state/divisi") {
		t.Error(err)
	}
	if err := run("--yes"); err != nil || !strings.Contains(said.String(), "sleeper@/test") {
		t.Errorf("%v, %q", err, said.String())
	}

	var left bytes.Buffer
	find := `find /home/anne /tmp -mindepth 1; for p in /proc/[0-9]*; do readlink $p/exe; done`
	_ = m.Run(t.Context(), nil, &left, "sh", "-c", find) // processes may end meanwhile
	own := regexp.MustCompile(`(?m)^.*/(sshd[^/]*|sh|dash|bash|readlink|find)\n`)
	if own.ReplaceAllString(left.String(), "") != "" {
		t.Errorf("left is %q", left.String())
	}
}
