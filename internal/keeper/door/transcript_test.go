//go:build linux

package door

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/divisi-go/divisi/internal/home"
	"github.com/divisi-go/divisi/internal/keeper"
	"github.com/divisi-go/divisi/internal/keeper/frame"
	"github.com/divisi-go/divisi/internal/keeper/hold"
	"github.com/divisi-go/divisi/internal/keeper/link"
	"github.com/divisi-go/divisi/internal/keeper/refusal"
	"github.com/divisi-go/divisi/internal/lifecycle"
)

var update = flag.Bool("update", false, "write what this keeper says into the transcript")

const transcript = "testdata/protocol1.txt"

// serveHere serves a keeper in this process.
func serveHere(t *testing.T, h home.Home) {
	t.Helper()
	claim, err := h.Keeper().Claim()
	if err != nil {
		t.Fatal(err)
	}
	k, err := hold.Open(claim.State, claim.Logs, "")
	if err != nil {
		t.Fatal(err)
	}
	l, err := listen(claim.Door)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(h, claim, k, l)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.serve(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		served.Wait()
		if err := errors.Join(k.Close(), claim.Release()); err != nil {
			t.Error(err)
		}
	})
}

// raw is an end of a connection at which frames are seen as they are.
type raw struct {
	*net.UnixConn
	lines *bufio.Reader
}

func newRaw(conn *net.UnixConn) raw { return raw{conn, bufio.NewReader(conn)} }

// say writes a frame, with as many files as it says that it has.
func (r raw) say(t *testing.T, line string) {
	t.Helper()
	var rights []byte
	if strings.Contains(line, `"files":1`) {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		rights = syscall.UnixRights(int(f.Fd()))
	}
	if _, _, err := r.WriteMsgUnix([]byte(line+"\n"), rights, nil); err != nil {
		t.Fatal(err)
	}
}

// hear reads a frame; the system closes the files that come with it.
func (r raw) hear(t *testing.T) string {
	t.Helper()
	line, err := r.lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// differing are the parts of frames that differ from run to run, with what is written for them.
var differing = []struct {
	what *regexp.Regexp
	as   string
}{
	{regexp.MustCompile(`"20\d\d-[^"]*"`), `"2026-01-02T03:04:05Z"`},
	{regexp.MustCompile(`"pid":\d+`), `"pid":7`},
	{regexp.MustCompile(`process \d+`), `process 7`},
	{regexp.MustCompile(`"resident":\d+`), `"resident":4096`},
	{regexp.MustCompile(`"(program|home|boot)":"[^"]*"`), `"$1":"/x"`},
	{regexp.MustCompile(`127\.0\.0\.1:[1-9]\d*`), `127.0.0.1:80`},
}

func same(line string) string {
	for _, d := range differing {
		line = d.what.ReplaceAllString(line, d.as)
	}
	return line
}

// TestKeeperUnderstandsTranscript: this keeper answers a client of protocol 1 as one of that time.
func TestKeeperUnderstandsTranscript(t *testing.T) {
	h := newHome(t)
	serveHere(t, h)
	conn, err := link.Dial(t.Context(), h.Keeper().Door)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}

	r := newRaw(conn)
	var now bytes.Buffer
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "> "):
			r.say(t, strings.TrimSpace(line[2:]))
		case strings.HasPrefix(line, "<"):
			line = "< " + same(r.hear(t)) + "\n"
		}
		now.WriteString(line)
	}
	if *update {
		if err := os.WriteFile(transcript, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for want := range strings.Lines(string(text)) {
		got, _ := now.ReadString('\n')
		if words, ok := strings.CutPrefix(want, "< "); ok {
			contains(t, "the keeper", got[2:], words)
		}
	}
}

// contains checks that a frame says at least what it is to say: members are added over time. What
// errors say to people may change.
func contains(t *testing.T, who, got, want string) {
	t.Helper()
	var all, part any
	if err := errors.Join(json.Unmarshal([]byte(got), &all), json.Unmarshal([]byte(want), &part)); err != nil {
		t.Error(err)
		return
	}
	if missing := lacks(all, part); missing != "" {
		t.Errorf("%s says\n%swant\n%sat%s", who, got, want, missing)
	}
}

// lacks returns where a value does not have what another one has, "" if it has everything.
func lacks(all, part any) string {
	switch part := part.(type) {
	case map[string]any:
		object, ok := all.(map[string]any)
		if !ok {
			return " an object"
		}
		for name, value := range part {
			if _, ok := object[name]; name == "error" && ok {
				continue
			}
			if missing := lacks(object[name], value); missing != "" {
				return " " + name + missing
			}
		}
		return ""
	case []any:
		list, ok := all.([]any)
		if !ok || len(list) != len(part) {
			return fmt.Sprintf(" a list of %d", len(part))
		}
		for i, value := range part {
			if missing := lacks(list[i], value); missing != "" {
				return fmt.Sprintf(" %d%s", i, missing)
			}
		}
		return ""
	}
	if all != part {
		return fmt.Sprintf(" %v", part)
	}
	return ""
}

// TestClientUnderstandsTranscript: this client asks and understands a keeper of protocol 1 as one of
// that time.
func TestClientUnderstandsTranscript(t *testing.T) {
	h := newHome(t)
	recite(t, h)
	ctx := t.Context()
	l, err := link.Reach(ctx, h, shop("a client of protocol 1"))
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(here{h}, shop("a client of protocol 1"), l)
	if l.Keeper.Pid != 7 || c.Holder().Domain != "/shop" || c.Holder().Epoch != 1 {
		t.Errorf("welcome %+v", l.Welcome)
	}

	socket := keeper.Socket{Domain: "/shop", Key: "web", Network: "tcp", Address: "127.0.0.1:0"}
	if got, err := c.Listen(ctx, socket); err != nil || got.Actual != "127.0.0.1:80" {
		t.Errorf("listen: %+v, %v", got, err)
	}
	socket.Address = "127.0.0.2:0"
	if _, err := c.Listen(ctx, socket); !errors.Is(err, keeper.ErrDiffers) {
		t.Errorf("listen elsewhere: %v", err)
	}
	took, err := c.Take(ctx, "/shop", "web")
	if err != nil {
		t.Fatal(err)
	}
	took.Close()
	if list, err := c.Sockets(ctx, "/"); err != nil || len(list) != 1 || list[0].Key != "web" {
		t.Errorf("sockets: %+v, %v", list, err)
	}

	servers(t, c)
	if exits, err := c.Exits(ctx, "/shop", 0); err != nil || len(exits) != 2 || exits[0].Exit.Code != 7 || exits[1].Exit.Signal != "terminated" {
		t.Errorf("exits: %+v, %v", exits, err)
	}
	events, err := c.Next(ctx, "/shop", 2)
	kinds := []keeper.Kind{}
	for _, e := range events {
		kinds = append(kinds, e.Kind)
	}
	want := []keeper.Kind{keeper.Exited, keeper.Stopped, keeper.Started, keeper.Ready, keeper.Leaves, keeper.Exited, keeper.Stopped}
	if err != nil || !slices.Equal(kinds, want) {
		t.Errorf("events: %v, %v", kinds, err)
	}

	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Put(ctx, "/shop", "slot", f); err != nil {
		t.Error(err)
	}
	got, err := c.Get(ctx, "/shop", "slot")
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
	if err := c.Unlisten(ctx, "/other", "web"); !errors.Is(err, keeper.ErrNoClaim) {
		t.Errorf("unlisten elsewhere: %v", err)
	}
	if err := c.Unlisten(ctx, "/shop", "web"); err != nil {
		t.Error(err)
	}
	last(t, c, l)
}

// last is what the transcript has of the keeper itself.
func last(t *testing.T, c *Client, l *link.Link) {
	t.Helper()
	ctx := t.Context()
	if _, err := c.Upgrade(ctx, "divisi"); !errors.Is(err, keeper.ErrInvalid) {
		t.Errorf("upgrade to a program without a path: %v", err)
	}
	again := link.Hello{
		Protocol: link.Protocol,
		Claim:    keeper.Claim{Domain: "/other", Who: "a client of protocol 1", Take: true, Ends: true, Epoch: 1},
	}
	if _, err := l.Conn.Call(ctx, "attach", again, nil, nil); !errors.Is(refusal.Understood(err), keeper.ErrInvalid) {
		t.Errorf("attach twice: %v", err)
	}
	var e *frame.Error
	if _, err := c.call(ctx, "dance", &link.Ask{}, nil, nil); !errors.As(err, &e) || e.Code != frame.CodeUnknownVerb {
		t.Errorf("an unknown verb: %v", err)
	}
	if _, err := c.call(ctx, "release", &link.Ask{}, nil, nil); err != nil {
		t.Error(err)
	}
	if err := c.Fenced(ctx); !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("a session that is over is fenced: %v", err)
	}
	if err := c.Shutdown(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.List(ctx, "/"); !errors.Is(err, keeper.ErrClosed) {
		t.Errorf("a keeper that has said farewell: %v", err)
	}
}

// servers is what the transcript has of servers.
func servers(t *testing.T, c *Client) {
	t.Helper()
	ctx := t.Context()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	a := keeper.Spec{
		Domain: "/shop", Name: "a", Path: "/bin/sh", Args: []string{"-c", "exit 7"}, Env: []string{"A=1"},
		Files: []keeper.File{{Var: "FILE", File: f}},
	}
	p := run(t, c, a)
	if exit := wait(t, c, p.ID); p.Run != 1 || p.Pid != 7 || exit.Code != 7 || exit.How != keeper.Waited {
		t.Errorf("%+v: %+v", p, exit)
	}

	b := keeper.Spec{
		Domain: "/shop", Name: "b", Path: "/bin/sh", Args: []string{"-c", "sleep 60"},
		Sockets: []keeper.Inherit{{Key: "web", As: "http"}},
		Policy:  &lifecycle.Policy{Restart: lifecycle.Permanent}, Labels: map[string]string{"app": "shop"},
	}
	p = run(t, c, b)
	if _, err := c.Start(ctx, keeper.Spec{Domain: "/shop", Name: "b", Path: "/bin/sh"}); !errors.Is(err, keeper.ErrRuns) {
		t.Errorf("a second b: %v", err)
	}
	if _, err := c.Start(ctx, keeper.Spec{Domain: "/shop", Name: "c", Path: "/nowhere"}); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("a program that is not there: %v", err)
	}
	list, err := c.List(ctx, "/")
	if err != nil || len(list) != 1 || list[0].ID != p.ID || list[0].State != lifecycle.Ready || list[0].Labels["app"] != "shop" {
		t.Errorf("list: %+v, %v", list, err)
	}

	if spec, err := c.Spec(ctx, b.ID()); err != nil || spec.Path != b.Path || spec.Policy == nil || spec.Labels["app"] != "shop" {
		t.Errorf("spec: %+v, %v", spec, err)
	}
	if err := c.Signal(ctx, p.ID, syscall.SIGCONT); err != nil {
		t.Error(err)
	}
	id := keeper.ID{Domain: "/shop", Name: "b"}
	if exit, err := c.Stop(ctx, id); err != nil || exit.Signal != "terminated" {
		t.Errorf("stop: %+v, %v", exit, err)
	}
	if _, err := c.Stop(ctx, id); !errors.Is(err, keeper.ErrUnknown) {
		t.Errorf("stop again: %v", err)
	}
}

// recite plays the keeper of the transcript for one client, and fails the test if that says anything
// else.
func recite(t *testing.T, h home.Home) {
	t.Helper()
	text, err := os.ReadFile(transcript)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.Runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listen(h.Keeper().Door)
	if err != nil {
		t.Fatal(err)
	}
	var recited sync.WaitGroup
	recited.Go(func() {
		conn, err := l.AcceptUnix()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		r := newRaw(conn)
		if _, err := http.ReadRequest(r.lines); err != nil {
			t.Error(err)
			return
		}
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", link.Upgrade)
		for line := range strings.Lines(string(text)) {
			switch {
			case strings.HasPrefix(line, "> "):
				got, err := r.lines.ReadString('\n')
				if err != nil {
					t.Error(err)
					return
				}
				contains(t, "the client", got, line[2:])
			case strings.HasPrefix(line, "< "):
				r.say(t, strings.TrimSpace(line[2:]))
			}
		}
	})
	t.Cleanup(func() { l.Close(); recited.Wait() })
}
