package weavelet

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/divisi-go/divisi/envelope/protos"
)

// maxQueuedLogs bounds the entries that wait to be written. What comes on top is counted and
// dropped: an application must never wait for its logs.
const maxQueuedLogs = 4096

// logQueue takes log entries from components and hands them on in order.
type logQueue struct {
	entries chan *protos.LogEntry
	dropped atomic.Int64
}

func newLogQueue() *logQueue {
	return &logQueue{entries: make(chan *protos.LogEntry, maxQueuedLogs)}
}

func (q *logQueue) add(e *protos.LogEntry) {
	select {
	case q.entries <- e:
	default:
		q.dropped.Add(1)
	}
}

// serve hands every entry to write until ctx has ended and the queue is empty.
func (q *logQueue) serve(ctx context.Context, write func(*protos.LogEntry) error) {
	for {
		// Asked for before the queue is looked at: entries may come between, and then the end.
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

func (q *logQueue) forward(e *protos.LogEntry, write func(*protos.LogEntry) error) error {
	if n := q.dropped.Swap(0); n > 0 {
		lost := *e
		lost.Level, lost.File, lost.Line = slog.LevelWarn.String(), "", 0
		lost.Msg = fmt.Sprintf("%d log entries dropped: they came faster than they could be written", n)
		lost.Attrs = nil
		if err := write(&lost); err != nil {
			return err
		}
	}
	return write(e)
}

// logHandler makes log entries of records. It implements slog.Handler.
type logHandler struct {
	queue  *logQueue
	base   protos.LogEntry
	attrs  []string // keys and values in turn
	prefix string   // of the keys, by open groups
}

// Enabled implements [slog.Handler]. Entries of all levels are sent: who reads them chooses.
func (h *logHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h *logHandler) Handle(_ context.Context, r slog.Record) error {
	e := h.base
	e.TimeMicros = r.Time.UnixMicro()
	e.Level = r.Level.String()
	e.Msg = r.Message
	if r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		e.File, e.Line = frame.File, int32(frame.Line)
	}
	e.Attrs = append([]string(nil), h.attrs...)
	r.Attrs(func(a slog.Attr) bool {
		h.add(&e, h.prefix, a)
		return true
	})
	h.queue.add(&e)
	return nil
}

// add flattens an attribute; the component is a field of its own.
func (h *logHandler) add(e *protos.LogEntry, prefix string, a slog.Attr) {
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
	e.Attrs = append([]string(nil), h.attrs...)
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

// writeLine returns a function that writes entries as lines of JSON, whose first member tells them
// from what the application prints itself. Encoding by hand keeps encoding/json out of
// applications that do not use it.
func writeLine(w io.Writer) func(*protos.LogEntry) error {
	return func(e *protos.LogEntry) error {
		line := []byte(`{"divisi":1,"time":"`)
		line = time.UnixMicro(e.TimeMicros).UTC().AppendFormat(line, time.RFC3339Nano)
		line = append(line, '"')
		member := func(key, value string) {
			line = appendString(append(appendString(append(line, ','), key), ':'), value)
		}
		member("level", strings.ToLower(e.Level))
		member("msg", e.Msg)
		for _, field := range [][2]string{
			{"component", e.Component}, {"node", e.Node}, {"version", e.Version}, {"file", e.File},
		} {
			if field[1] != "" {
				member(field[0], field[1])
			}
		}
		if e.Line > 0 {
			line = strconv.AppendInt(append(line, `,"line":`...), int64(e.Line), 10)
		}
		if len(e.Attrs) > 1 {
			line = append(line, `,"attrs":{`...)
			for i := 0; i+1 < len(e.Attrs); i += 2 {
				if i > 0 {
					line = append(line, ',')
				}
				line = appendString(append(appendString(line, e.Attrs[i]), ':'), e.Attrs[i+1])
			}
			line = append(line, '}')
		}
		_, err := w.Write(append(line, "}\n"...))
		return err
	}
}

// appendString appends a string as JSON has it. Bytes that are not UTF-8 become U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029':
			b = append(b, fmt.Sprintf("\\u%04x", r)...)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
