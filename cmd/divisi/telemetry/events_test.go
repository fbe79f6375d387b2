package telemetry

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/divisi-go/divisi/internal/event"
)

func TestEventWriter(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, event.LogFile)
	if err := os.WriteFile(path, []byte(`{"divisi":1,"half of a l`), 0o600); err != nil {
		t.Fatal(err)
	}
	w := event.NewWriter(dir)
	defer w.Close()
	main := event.Server{Name: "shop-main-0", Group: "main", Version: "v1", Pid: 7}
	for _, e := range []event.Event{event.Started{Server: main}, event.Exited{Server: main, Code: 3, Text: "exited with code 3"},
		event.AppStopped{}} {
		if err := w.Write(event.Record{Time: time.Now(), Event: e}); err != nil {
			t.Fatal(err)
		}
	}

	f := Filter{Kind: KindEvent, Level: "warn"}
	if err := f.Compile(); err != nil {
		t.Fatal(err)
	}
	entries, err := Recent(dir, nil, &f, 10)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%+v, %v; want the event of the level warn", entries, err)
	}
	e := entries[0]
	if e.Replica != "shop-main-0" || e.Version != "v1" || e.Attrs["event"] != "exited" || e.Attrs["pid"] != "7" ||
		!strings.HasSuffix(e.Format(false), "warn   * shop-main-0 (process 7) exited with code 3") {
		t.Errorf("%+v: %s", e, e.Format(false))
	}
	all, err := Recent(dir, nil, &Filter{}, 10)
	if err != nil || len(all) != 4 || all[3].Replica != "" {
		t.Errorf("%+v, %v; want all events, and the half line as it is", all, err)
	}

	// A failure is said once.
	w = event.NewWriter(filepath.Join(dir, "none"))
	stopped := event.Record{Event: event.AppStopped{}}
	if first, second := w.Write(stopped), w.Write(stopped); first == nil || second != nil {
		t.Errorf("errors %v and %v, want one", first, second)
	}
}

func TestLastWords(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"nothing":  {"", ""},
		"printed":  {"listening\ncannot start: no db\n\n", "cannot start: no db"},
		"a panic":  {"begin\npanic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"},
		"an error": {`{"divisi":1,"time":"2026-01-02T03:04:05Z","level":"error","msg":"no db","node":"a"}` + "\n", "no db"},
		"before":   {`{"divisi":1,"time":"2026-01-01T03:04:05Z","level":"error","msg":"old","node":"a"}` + "\n", ""},
		"control":  {"bad \x1b[31m\n", `bad \x1b[31m`},
	} {
		dir := t.TempDir()
		var lines strings.Builder
		for line := range strings.Lines(tt.text) {
			if !strings.HasPrefix(line, "{") {
				text, err := json.Marshal(strings.TrimSuffix(line, "\n"))
				if err != nil {
					t.Fatal(err)
				}
				line = `{"time":"2026-01-02T03:04:05Z","level":"stderr","msg":` + string(text) + "}\n"
			}
			lines.WriteString(line)
		}
		if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte(lines.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		started := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		if got := LastWords(dir, "a", started); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}
