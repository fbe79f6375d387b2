package telemetry

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/divisi-go/divisi/internal/event"
	"github.com/divisi-go/divisi/internal/logline"
)

const (
	eventName = "events"           // no replica is called so
	eventLog  = eventName + ".log" // in the folder of an application's logs
	maxFile   = 4 << 20            // a longer one is rotated, and one older is kept
)

// EventWriter writes what happens to an application to its log. Nothing that fails ends it.
type EventWriter struct {
	path   string
	file   *os.File // nil before the first event, and after a failure
	size   int64
	failed bool
}

// NewEventWriter returns a writer for the folder of an application's logs.
func NewEventWriter(dir string) *EventWriter {
	return &EventWriter{path: filepath.Join(dir, eventLog)}
}

// Write writes an event. It returns an error of the system only once, until writing works again.
func (w *EventWriter) Write(r event.Record) error {
	err := w.write(r)
	again := w.failed
	w.failed = err != nil
	if err == nil || again {
		return nil
	}

	return err
}

func (w *EventWriter) write(r event.Record) error {
	if w.file != nil && w.size > maxFile {
		w.Close()
		if err := os.Rename(w.path, w.path+".1"); err != nil {
			return err
		}
	}

	if w.file == nil {
		if err := w.open(); err != nil {
			return err
		}
	}

	n, err := w.file.Write(logline.Append(nil, eventEntry(r), ""))
	w.size += int64(n)
	if err != nil {
		w.Close()
	}

	return err
}

// open opens the file at its end. The beginning of a line that a full disk has cut is ended.
func (w *EventWriter) open() error {
	f, err := os.OpenFile(w.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}

	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}

	w.file, w.size = f, info.Size()
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, w.size-1); err == nil && last[0] != '\n' {
		_, err = f.Write([]byte("\n"))
		return err
	}

	return nil
}

// Close closes the file. Write opens it again.
func (w *EventWriter) Close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// eventEntry returns an event as an entry of the log.
func eventEntry(r event.Record) *logline.Entry {
	e := &logline.Entry{
		Time: r.Time, Level: eventLevel(r.Event), Msg: r.Event.String(),
		Attrs: logline.Attrs{"event", string(r.Event.Kind())},
	}
	if of, ok := event.About(r.Event); ok {
		e.Node, e.Version = of.Name, of.Version
		e.Attrs = append(e.Attrs, "group", of.Group)
		if of.Pid != 0 {
			e.Attrs = append(e.Attrs, "pid", strconv.Itoa(of.Pid))
		}
	}

	return e
}

func eventLevel(e event.Event) string {
	switch e := e.(type) {
	case event.Exited:
		if !e.Asked {
			return "warn"
		}
	case event.Restarting:
		if e.Failed {
			return "error"
		}
		return "warn"
	case event.NotReady, event.Late, event.Silent, event.Hung, event.RolledBack, event.Warning:
		return "warn"
	}

	return "info"
}

// LastWords returns why a process of a replica ended that was started at a time, as far as the log
// says: the last error that it logged, or what it printed last, and "" if it has said nothing. Of
// a panic that is the line with the reason.
func LastWords(dir, replica string, started time.Time) string {
	const most = 200
	entries, err := Recent(dir, &Filter{Kind: KindLog}, most)
	if err != nil {
		return "" // one more reason less
	}

	// A process may have said something before anybody could note its start.
	const slack = time.Second
	words, panics := "", false
	for _, e := range entries {
		same := e.Replica == replica || strings.HasPrefix(replica, e.Replica+"@")
		if !same || e.Time.Before(started.Add(-slack)) {
			continue
		}
		switch {
		case strings.HasPrefix(e.Msg, "panic: "), strings.HasPrefix(e.Msg, "fatal error: "):
			words, panics = e.Msg, true
		case e.Level == "error", e.Level == "stderr" && !panics && strings.TrimSpace(e.Msg) != "":
			words, panics = e.Msg, e.Level == "error"
		}
	}

	first, _, _ := strings.Cut(words, "\n")
	return logline.Visible(strings.TrimSpace(first))
}
