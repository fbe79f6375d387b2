package logger

import (
	"context"
	"errors"
	"log/slog"
	"strings"
)

// Lines is a handler of log records that gives each line of a value a record of its own, for errors have the last
// words of a server in them, which nobody can read in one line.
type Lines struct{ slog.Handler }

var _ slog.Handler = Lines{}

// Handle implements [slog.Handler].
func (h Lines) Handle(ctx context.Context, r slog.Record) error {
	first := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	var more []string
	r.Attrs(func(a slog.Attr) bool {
		text, rest, found := strings.Cut(a.Value.Resolve().String(), "\n")
		if found {
			a.Value = slog.StringValue(text)
			more = append(more, strings.Split(rest, "\n")...)
		}
		first.AddAttrs(a)
		return true
	})

	err := h.Handler.Handle(ctx, first)
	for _, line := range more {
		err = errors.Join(err, h.Handler.Handle(ctx, slog.NewRecord(r.Time, r.Level, line, r.PC)))
	}
	return err
}

// WithAttrs implements [slog.Handler].
func (h Lines) WithAttrs(attrs []slog.Attr) slog.Handler { return Lines{h.Handler.WithAttrs(attrs)} }

// WithGroup implements [slog.Handler].
func (h Lines) WithGroup(name string) slog.Handler { return Lines{h.Handler.WithGroup(name)} }
