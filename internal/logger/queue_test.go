package logger

import (
	"context"
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

	"github.com/divisi-go/divisi/internal/logline"
)

// TestQueueFull: adding never waits, and what is dropped is told where it was.
func TestQueueFull(t *testing.T) {
	q := NewQueue()
	for i := range maxQueued + 100 {
		q.add(&logline.Entry{Msg: fmt.Sprint(i), Component: "c", Level: "info", File: "f", Line: 1, Attrs: []string{"k", "v"}})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var got []*logline.Entry
	q.Serve(ctx, func(e *logline.Entry) error { got = append(got, e); return nil })
	if len(got) != maxQueued+1 {
		t.Fatalf("%d entries, want %d and one about the others", len(got), maxQueued)
	}
	want := &logline.Entry{
		Component: "c", Level: "warn", Msg: "100 log entries dropped: they came faster than they could be taken",
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

// TestQueueEnd: what was added before the end is written, in order.
func TestQueueEnd(t *testing.T) {
	for range 300 {
		q := NewQueue()
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		var served sync.WaitGroup
		served.Go(func() {
			q.Serve(ctx, func(e *logline.Entry) error { got = append(got, e.Msg); return nil })
		})
		for i := range 10 {
			q.add(&logline.Entry{Msg: fmt.Sprint(i)})
		}
		cancel()
		served.Wait()
		if want := strings.Split("0123456789", ""); !slices.Equal(got, want) {
			t.Fatalf("written %q, want %q", got, want)
		}
	}
}

// TestQueueBroken: when nothing can be written, adding goes on as before.
func TestQueueBroken(t *testing.T) {
	q := NewQueue()
	q.add(&logline.Entry{})
	q.Serve(t.Context(), func(*logline.Entry) error { return errors.New("the pipe is broken") })
	for range 2 * maxQueued {
		q.add(&logline.Entry{})
	}
	if q.dropped.Load() != maxQueued {
		t.Errorf("%d dropped", q.dropped.Load())
	}
}

func TestHandler(t *testing.T) {
	q := NewQueue()
	base := logline.Entry{Version: "v", Node: "n"}
	logger := slog.New(&handler{queue: q, base: base})
	for _, tc := range []struct {
		log  func()
		want logline.Entry
	}{
		{func() { logger.Info("plain") }, logline.Entry{Level: "info", Msg: "plain"}},
		{func() { logger.Log(t.Context(), slog.LevelDebug-1, "fine") }, logline.Entry{Level: "debug-1", Msg: "fine"}},
		{
			func() { logger.With("component", "p.A", "x", 1).Warn("w", "y", time.Second) },
			logline.Entry{Component: "p.A", Level: "warn", Msg: "w", Attrs: []string{"x", "1", "y", "1s"}},
		},
		{
			func() {
				logger.With("a", true).WithGroup("g").With("b", "").WithGroup("h").Error("e", "component", "c",
					slog.Group("i", "j", 1, slog.Group("", "k", 2)), slog.Group("none"), "", "no key")
			},
			logline.Entry{Level: "error", Msg: "e", Attrs: []string{
				"a", "true", "g.b", "", "g.h.component", "c", "g.h.i.j", "1", "g.h.i.k", "2",
			}},
		},
	} {
		before := time.Now()
		tc.log()
		got := *<-q.entries
		if got.Time.Before(before) || filepath.Base(got.File) != "queue_test.go" || !filepath.IsAbs(got.File) || got.Line == 0 {
			t.Errorf("%s: time %v, place %s:%d", got.Msg, got.Time, got.File, got.Line)
		}
		tc.want.Version, tc.want.Node = "v", "n"
		got.Time, got.File, got.Line = time.Time{}, "", 0
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
	if err := (&handler{queue: q}).Handle(t.Context(), slog.Record{Message: "without a place"}); err != nil {
		t.Fatal(err)
	}
	<-q.entries
	if e := <-q.entries; e.File != "" || e.Line != 0 {
		t.Errorf("place %q:%d", e.File, e.Line)
	}
}
