package logger

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/divisi-go/divisi/internal/name"
)

// console prints the records of an application that runs alone, for people: all levels, as under a
// deployer, short names of components, and a stack as lines below its record.
type console struct {
	slog.Handler
	w io.Writer
}

var _ slog.Handler = console{}

// NewConsole returns a handler that prints to w.
func NewConsole(w io.Writer) slog.Handler {
	return console{slog.NewTextHandler(w, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == "component" && len(groups) == 0 {
				a.Value = slog.StringValue(name.Short(a.Value.String()))
			}
			return a
		},
	}), w}
}

// Handle implements slog.Handler.
func (c console) Handle(ctx context.Context, r slog.Record) error {
	stack := ""
	short := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "stack" {
			stack = a.Value.String()
		} else {
			short.AddAttrs(a)
		}
		return true
	})

	err := c.Handler.Handle(ctx, short)
	if err != nil || stack == "" {
		return err
	}
	_, err = io.WriteString(c.w, "\t"+strings.ReplaceAll(strings.TrimSpace(stack), "\n", "\n\t")+"\n")
	return err
}

// WithAttrs implements slog.Handler.
func (c console) WithAttrs(attrs []slog.Attr) slog.Handler {
	return console{c.Handler.WithAttrs(attrs), c.w}
}

// WithGroup implements slog.Handler.
func (c console) WithGroup(name string) slog.Handler { return console{c.Handler.WithGroup(name), c.w} }
