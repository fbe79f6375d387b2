// Package logger takes what components log: it queues entries for a deployer, or prints records for
// people.
package logger

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/divisi-go/divisi/internal/logline"
)

// maxQueued bounds the entries that wait to be written. What comes on top is counted and
// dropped: an application must never wait for its logs.
const maxQueued = 4096

// Queue takes log entries from components and hands them on in order.
type Queue struct {
	entries chan *logline.Entry
	dropped atomic.Int64
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	return &Queue{entries: make(chan *logline.Entry, maxQueued)}
}

func (q *Queue) add(e *logline.Entry) {
	select {
	case q.entries <- e:
	default:
		q.dropped.Add(1)
	}
}

// Serve hands every entry to write until ctx has ended and the queue is empty.
func (q *Queue) Serve(ctx context.Context, write func(*logline.Entry) error) {
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

func (q *Queue) forward(e *logline.Entry, write func(*logline.Entry) error) error {
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

// Handler returns a handler that adds records to the queue, as entries like base.
func (q *Queue) Handler(base logline.Entry) slog.Handler { return &handler{queue: q, base: base} }

// handler makes log entries of records.
type handler struct {
	queue  *Queue
	base   logline.Entry
	attrs  logline.Attrs
	prefix string // of the keys, by open groups
}

var _ slog.Handler = (*handler)(nil)

// Enabled implements [slog.Handler]. Entries of all levels are sent: who reads them chooses.
func (h *handler) Enabled(context.Context, slog.Level) bool { return true }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
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
func (h *handler) add(e *logline.Entry, prefix string, a slog.Attr) {
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

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
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

func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.prefix += name + "."
	}
	return &c
}
