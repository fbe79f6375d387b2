package process

import (
	"io"
	"strings"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/logline"
)

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
