package discover

import (
	"context"
	"log/slog"
	"time"
)

// Kind is what has happened to a [Value].
type Kind string

// The events of a Value, in the order in which a first round has them. An Event of each kind has those of its
// fields that are named here.
const (
	Starting  Kind = "worker starting"
	Limited   Kind = "limiter is waiting"   // Delay: the source answered too fast
	Asking    Kind = "sending request"      // Version: what is there
	Answered  Kind = "received response"    // Version
	Adopting  Kind = "updating"             // Version, Origin
	Refusing  Kind = "refusing data"        // Version, Err; what was adopted stays
	Failing   Kind = "request failed"       // Err, and Delay: when the next one is sent
	CacheLost Kind = "cache cannot be used" // Err
	Ending    Kind = "worker shutting down"
	Ended     Kind = "worker stopped"
)

// Event is something that has happened to a [Value].
type Event struct {
	Kind    Kind
	Name    string // of the Value
	Version Version
	Origin  Origin
	Delay   time.Duration
	Err     error
}

// Log returns a function for Value.OnEvent that writes a line for each event. Its messages and the member
// worker_id, which is the Value's name, are those of configstate: of a Value that is called services the third
// line is "updating services".
func Log(to *slog.Logger) func(Event) {
	return func(e Event) {
		message, level := string(e.Kind), slog.LevelInfo
		attrs := []slog.Attr{slog.String("worker_id", e.Name)}
		if e.Version != "" {
			attrs = append(attrs, slog.String("version", string(e.Version)))
		}
		if e.Delay > 0 {
			attrs = append(attrs, slog.Duration("delay", e.Delay))
		}
		if e.Err != nil {
			level = slog.LevelWarn
			attrs = append(attrs, slog.String("error", e.Err.Error()))
		}
		if e.Kind == Adopting {
			message += " " + e.Name
			attrs = append(attrs, slog.String("origin", string(e.Origin)))
		}
		to.LogAttrs(context.Background(), level, message, attrs...)
	}
}
