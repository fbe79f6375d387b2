// Package journal brings what etcd's packages log to a log of this program's.
package journal

import (
	"context"
	"log/slog"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New returns a logger that writes to handler. What is fatal, or a panic, ends the goroutine that says so, in the place of
// the process, after failed was told: a store that has lost its disk is no reason for the rest of the process to end. The
// goroutine keeps what it has locked.
func New(handler slog.Handler, failed func(error)) *zap.Logger {
	hook := goexit{failed}
	return zap.New(core{handler: handler}, zap.WithFatalHook(hook), zap.WithPanicHook(hook))
}

// Failure is what could not be done.
type Failure struct{ Message string }

func (f Failure) Error() string { return f.Message }

type goexit struct{ failed func(error) }

func (g goexit) OnWrite(entry *zapcore.CheckedEntry, fields []zapcore.Field) {
	message := entry.Message
	for _, f := range fields {
		if cause, ok := f.Interface.(error); ok {
			message += ": " + cause.Error()
		}
	}
	g.failed(Failure{message})
	zapcore.WriteThenGoexit.OnWrite(entry, fields)
}

// core is a zapcore.Core.
type core struct {
	handler slog.Handler
	fields  []zapcore.Field
}

func (c core) Enabled(level zapcore.Level) bool {
	return c.handler.Enabled(context.Background(), slogLevel(level))
}

func (c core) With(fields []zapcore.Field) zapcore.Core {
	return core{c.handler, append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(entry.Level) {
		return checked
	}
	return checked.AddCore(entry, c)
}

func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	values := zapcore.NewMapObjectEncoder()
	record := slog.NewRecord(entry.Time, slogLevel(entry.Level), entry.Message, 0)
	for _, f := range append(c.fields[:len(c.fields):len(c.fields)], fields...) {
		f.AddTo(values)
	}
	for key, value := range values.Fields {
		record.AddAttrs(slog.Any(key, value))
	}
	return c.handler.Handle(context.Background(), record)
}

func (core) Sync() error { return nil }

func slogLevel(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelWarn
	case level == zapcore.InfoLevel:
		return slog.LevelInfo
	}
	return slog.LevelDebug
}
