package weavelet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
)

// TestLogQueueFull: adding never waits, and what is dropped is told where it was.
func TestLogQueueFull(t *testing.T) {
	q := newLogQueue()
	for i := range maxQueuedLogs + 100 {
		q.add(&protos.LogEntry{Msg: fmt.Sprint(i), Component: "c", Level: "info", File: "f", Line: 1, Attrs: []string{"k", "v"}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got []*protos.LogEntry
	q.serve(ctx, func(e *protos.LogEntry) error { got = append(got, e); return nil })
	if len(got) != maxQueuedLogs+1 {
		t.Fatalf("%d entries, want %d and one about the others", len(got), maxQueuedLogs)
	}
	want := &protos.LogEntry{
		Component: "c", Level: "WARN", Msg: "100 log entries dropped: they came faster than they could be written",
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v, want %+v", got[0], want)
	}
	for i, e := range got[1:] {
		if e.Msg != fmt.Sprint(i) {
			t.Fatalf("entry %d is %s", i, e.Msg)
		}
	}
}

// TestLogQueueEnd: what was added before the end is written, in order.
func TestLogQueueEnd(t *testing.T) {
	for range 300 {
		q := newLogQueue()
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var served sync.WaitGroup
		served.Go(func() {
			q.serve(ctx, func(e *protos.LogEntry) error { got = append(got, e.Msg); return nil })
		})
		for i := range 10 {
			q.add(&protos.LogEntry{Msg: fmt.Sprint(i)})
		}
		cancel()
		served.Wait()
		if want := strings.Split("0123456789", ""); !slices.Equal(got, want) {
			t.Fatalf("written %q, want %q", got, want)
		}
	}
}

// TestLogQueueBroken: when nothing can be written, adding goes on as before.
func TestLogQueueBroken(t *testing.T) {
	q := newLogQueue()
	q.add(&protos.LogEntry{})
	q.serve(t.Context(), func(*protos.LogEntry) error { return errors.New("the pipe is broken") })
	for range 2 * maxQueuedLogs {
		q.add(&protos.LogEntry{})
	}
	if q.dropped.Load() != maxQueuedLogs {
		t.Errorf("%d dropped", q.dropped.Load())
	}
}

func TestLogHandler(t *testing.T) {
	q := newLogQueue()
	base := protos.LogEntry{App: "app", Version: "v", Node: "n"}
	logger := slog.New(&logHandler{queue: q, base: base})
	for _, tc := range []struct {
		log  func()
		want protos.LogEntry
	}{
		{func() { logger.Info("plain") }, protos.LogEntry{Level: "INFO", Msg: "plain"}},
		{func() { logger.Log(t.Context(), slog.LevelDebug-1, "fine") }, protos.LogEntry{Level: "DEBUG-1", Msg: "fine"}},
		{
			func() { logger.With("component", "p.A", "x", 1).Warn("w", "y", time.Second) },
			protos.LogEntry{Component: "p.A", Level: "WARN", Msg: "w", Attrs: []string{"x", "1", "y", "1s"}},
		},
		{
			func() {
				logger.With("a", true).WithGroup("g").With("b", "").WithGroup("h").Error("e", "component", "c",
					slog.Group("i", "j", 1, slog.Group("", "k", 2)), slog.Group("none"), "", "no key")
			},
			protos.LogEntry{Level: "ERROR", Msg: "e", Attrs: []string{
				"a", "true", "g.b", "", "g.h.component", "c", "g.h.i.j", "1", "g.h.i.k", "2",
			}},
		},
	} {
		before := time.Now().UnixMicro()
		tc.log()
		got := *<-q.entries
		if got.TimeMicros < before || filepath.Base(got.File) != "logger_test.go" || !filepath.IsAbs(got.File) || got.Line == 0 {
			t.Errorf("%s: time %d, place %s:%d", got.Msg, got.TimeMicros, got.File, got.Line)
		}
		tc.want.App, tc.want.Version, tc.want.Node = "app", "v", "n"
		got.TimeMicros, got.File, got.Line = 0, "", 0
		if !reflect.DeepEqual(got, tc.want) {
			t.Errorf("got  %+v\nwant %+v", got, tc.want)
		}
	}
	// Loggers that come from one do not write into each other's attributes.
	one := logger.With("a", 1, "b", 2, "c", 3)
	two, three := one.With("d", "two"), one.With("d", "three")
	two.Info("")
	three.Info("")
	if got := (<-q.entries).Attrs; got[7] != "two" {
		t.Errorf("attributes %q", got)
	}
	if err := (&logHandler{queue: q}).Handle(t.Context(), slog.Record{Message: "without a place"}); err != nil {
		t.Fatal(err)
	}
	<-q.entries
	if e := <-q.entries; e.File != "" || e.Line != 0 {
		t.Errorf("place %q:%d", e.File, e.Line)
	}
}

// TestWriteLine: every entry is one line of JSON, whatever is in it.
func TestWriteLine(t *testing.T) {
	nasty := "a\"b\\c\nd\te\x00f\x7fg\u2028h\xff<&>é😀"
	clean := strings.ToValidUTF8(nasty, "\uFFFD")
	var buf bytes.Buffer
	write := writeLine(&buf)
	for _, e := range []*protos.LogEntry{
		{Msg: nasty, Level: nasty, Component: nasty, Node: nasty, Version: nasty, File: nasty, Line: 7, Attrs: []string{nasty, nasty, "k", ""}, TimeMicros: 1_500_000},
		{Attrs: []string{"odd"}},
	} {
		if err := write(e); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(buf.String(), "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
		t.Fatalf("%v in %s", err, lines[0])
	}
	want := map[string]any{
		"divisi": 1.0, "time": "1970-01-01T00:00:01.5Z", "level": strings.ToLower(clean), "msg": clean, "component": clean,
		"node": clean, "version": clean, "file": clean, "line": 7.0, "attrs": map[string]any{clean: clean, "k": ""},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if lines[1] != `{"divisi":1,"time":"1970-01-01T00:00:00Z","level":"","msg":""}` {
		t.Errorf("an empty entry: %s", lines[1])
	}
}

func FuzzWriteLine(f *testing.F) {
	f.Add("msg", "key", "value")
	f.Add("\xff\"\\\n", "\u2029", "\x00\ufeff")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		var buf bytes.Buffer
		if err := writeLine(&buf)(&protos.LogEntry{Msg: msg, Attrs: []string{key, value}}); err != nil {
			t.Fatal(err)
		}
		var got struct {
			Msg   string
			Attrs map[string]string
		}
		line, rest, _ := strings.Cut(buf.String(), "\n")
		if err := json.Unmarshal([]byte(line), &got); err != nil || rest != "" {
			t.Fatalf("%v in %q", err, buf.String())
		}
		valid := func(s string) string { return string([]rune(s)) }
		if got.Msg != valid(msg) || got.Attrs[valid(key)] != valid(value) {
			t.Errorf("%q %q %q come back as %q", msg, key, value, got)
		}
	})
}
