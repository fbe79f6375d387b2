package event

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/divisi-go/divisi/internal/logline"
)

// LogFile is the log of what happens, in the folder of an application's or a program's logs. No server can be
// called so that its log would have this name.
const LogFile = "+events.log"

const maxFile = 4 << 20 // a longer log is rotated, and one older is kept

// Writer writes what happens to an application to its log. Nothing that fails ends it.
type Writer struct {
	path   string
	file   *os.File // nil before the first event, and after a failure
	size   int64
	failed bool
}

// NewWriter returns a writer for the folder of an application's logs.
func NewWriter(dir string) *Writer {
	return &Writer{path: filepath.Join(dir, LogFile)}
}

// Write writes an event. It returns an error of the system only once, until writing works again.
func (w *Writer) Write(r Record) error {
	err := w.write(r)
	again := w.failed
	w.failed = err != nil
	if err == nil || again {
		return nil
	}

	return err
}

func (w *Writer) write(r Record) error {
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

	n, err := w.file.Write(logline.Append(nil, entryOf(r), ""))
	w.size += int64(n)
	if err != nil {
		w.Close()
	}

	return err
}

// open opens the file at its end. The beginning of a line that a full disk has cut is ended.
func (w *Writer) open() error {
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
func (w *Writer) Close() {
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

// entryOf returns an event as an entry of the log.
func entryOf(r Record) *logline.Entry {
	e := &logline.Entry{
		Time: r.Time, Level: levelOf(r.Event), Msg: r.Event.String(),
		Attrs: logline.Attrs{"event", string(r.Event.Kind())},
	}
	if of, ok := About(r.Event); ok {
		e.Node, e.Version = of.Name, of.Version
		e.Attrs = append(e.Attrs, "group", of.Group)
		if of.Pid != 0 {
			e.Attrs = append(e.Attrs, "pid", strconv.Itoa(of.Pid))
		}
	}

	return e
}

func levelOf(e Event) string {
	switch e := e.(type) {
	case Exited:
		if !e.Asked {
			return "warn"
		}
	case Restarting:
		if e.Failed {
			return "error"
		}
		return "warn"
	case NotReady, Late, Silent, Hung, RolledBack, Warning:
		return "warn"
	}

	return "info"
}
