package process

import (
	"context"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/logline"
)

// maxQueuedLogs bounds the entries that wait to be written. What comes on top is counted and
// dropped: an application must never wait for its logs.
const maxQueuedLogs = 4096

// logQueue takes log entries from components and hands them on in order.
type logQueue struct {
	entries chan *logline.Entry
	dropped atomic.Int64
}

func newLogQueue() *logQueue {
	return &logQueue{entries: make(chan *logline.Entry, maxQueuedLogs)}
}

func (q *logQueue) add(e *logline.Entry) {
	select {
	case q.entries <- e:
	default:
		q.dropped.Add(1)
	}
}

// serve hands every entry to write until ctx has ended and the queue is empty.
func (q *logQueue) serve(ctx context.Context, write func(*logline.Entry) error) {
	for {
		// This comes before the look at the queue: an entry that is added in between, just before
		// ctx ends, is then found by the next look.
		ended := ctx.Err() != nil
		select {
		case e := <-q.entries:
			if q.forward(e, write) != nil {
				return
			}
			continue
		default:
		}
		if ended {
			return
		}

		select {
		case e := <-q.entries:
			if q.forward(e, write) != nil {
				return
			}
		case <-ctx.Done(): // what was added before goes first
		}
	}
}

func (q *logQueue) forward(e *logline.Entry, write func(*logline.Entry) error) error {
	if n := q.dropped.Swap(0); n > 0 {
		lost := *e
		lost.Level, lost.Attrs = "warn", nil
		lost.File, lost.Line = "", 0
		lost.Msg = logline.Dropped(n, "log entries")
		if err := write(&lost); err != nil {
			return err
		}
	}
	return write(e)
}

// logHandler makes log entries of records.
type logHandler struct {
	queue  *logQueue
	base   logline.Entry
	attrs  logline.Attrs
	prefix string // of the keys, by open groups
}

var _ slog.Handler = (*logHandler)(nil)

// Enabled implements [slog.Handler]. Entries of all levels are sent: who reads them chooses.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	e := h.base
	e.Time = r.Time
	e.Level = strings.ToLower(r.Level.String())
	e.Msg = r.Message
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		e.File, e.Line = frame.File, frame.Line
	}
	e.Attrs = slices.Clone(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.add(&e, h.prefix, a)
		return true
	})
	h.queue.add(&e)
	return nil
}

// add flattens an attribute; the component is a field of its own.
func (h *logHandler) add(e *logline.Entry, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			h.add(e, prefix, member)
		}
		return
	}
	if a.Key == "component" && prefix == "" {
		e.Component = v.String()
		return
	}
	if a.Key != "" {
		e.Attrs = append(e.Attrs, prefix+a.Key, v.String())
	}
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	e := h.base
	e.Attrs = slices.Clone(h.attrs)
	for _, a := range attrs {
		h.add(&e, h.prefix, a)
	}
	c.attrs, e.Attrs = e.Attrs, nil
	c.base = e
	return &c
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}

// writeLines returns a function that writes entries as lines of a log.
func writeLines(w io.Writer, key string) func(*logline.Entry) error {
	return func(e *logline.Entry) error {
		_, err := w.Write(logline.Append(nil, e, key))
		return err
	}
}

// sendEntries returns a function that sends entries as messages, in the words of v0.20.
func sendEntries(info *protos.EnvelopeInfo, send func(*protos.LogEntry) error) func(*logline.Entry) error {
	return func(e *logline.Entry) error {
		return send(&protos.LogEntry{
			App:        info.App,
			Version:    e.Version,
			Component:  peerName(info, e.Component),
			Node:       e.Node,
			TimeMicros: e.Time.UnixMicro(),
			Level:      strings.ToUpper(e.Level),
			File:       e.File,
			Line:       int32(e.Line),
			Msg:        e.Msg,
			Attrs:      e.Attrs,
		})
	}
}
