//go:build unix

package envelope_test

import (
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope"
	"github.com/divisi-go/divisi/envelope/protos"
)

// shake answers the handshake from a shell, in the bytes of Service Weaver v0.20.0.
const shake = `head -c 4 <&3 >/dev/null; printf '\035\000\000\000\022\033\012\025tcp://127.0.0.1:41289\032\002\020\024' >&4; `

// TestOutlivesConversation: a process that goes on after the conversation is over, as a main
// component of v0.20 does that serves, is ended.
func TestOutlivesConversation(t *testing.T) {
	for name, script := range map[string]string{
		"ends the pipe":  shake + `exec 3<&- 4>&-; exec sleep 60`,
		"writes rubbish": shake + `printf 'no frame at all' >&4; exec sleep 60`,
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, script)
			e.SetEndTime(10 * time.Millisecond)
			var exit *exec.ExitError
			if err := e.Serve(newHandler()); !errors.As(err, &exit) || exit.String() != "signal: killed" {
				t.Errorf("Serve returns %v", err)
			}
		})
	}
}

// TestEndsBeforeHandshake: the error has the exit status and what the process printed.
func TestEndsBeforeHandshake(t *testing.T) {
	_, err := envelope.NewEnvelope(t.Context(), &protos.EnvelopeInfo{App: "app", DeploymentId: "v1", Id: "w1"},
		&protos.AppConfig{Binary: "/bin/sh", Args: []string{"-c", `
			seq 100; echo "unknown flag -x" >&2; exit 3`}})
	if err == nil {
		t.Fatal("it is a weavelet")
	}
	for _, want := range []string{"exit status 3", "unknown flag -x", "100", "is the binary an application?"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
	if strings.Contains(err.Error(), "\t50\n") {
		t.Errorf("error %q has more than the last lines", err)
	}
}

// TestManyLines: of more lines than there is room for none is lost without being counted.
func TestManyLines(t *testing.T) {
	const printed = 30_000
	e := start(t, fmt.Sprintf("seq %d; %s exit 0", printed, shake))
	h := newHandler()
	served := make(chan error, 1)
	go func() { served <- e.Serve(h); close(h.logged) }()
	lines, dropped := 0, 0
	for entry := range h.logged {
		var n int
		if _, err := fmt.Sscanf(entry.Msg, "%d lines dropped", &n); err == nil {
			dropped += n
		} else if entry.Level == "stdout" {
			lines++
		}
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if lines+dropped != printed {
		t.Errorf("%d lines have come and %d were dropped, of %d", lines, dropped, printed)
	}
}
