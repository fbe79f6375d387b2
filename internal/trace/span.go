// Package trace records which work a request caused where: spans with W3C ids, carried in
// contexts and across processes, sampled at the root, handed in batches to whoever keeps them.
//
// It takes the place of a tracing library in every application, for the price of one clock
// reading in a request that is not sampled. Bridges to such libraries plug into Options.
package trace

import (
	"context"
	"log/slog"
	"time"
)

// Kind says which side of a call a span saw. The values are those of OTLP.
type Kind uint8

// The kinds of spans.
const (
	Internal Kind = 1 + iota // work inside a process, also a local call
	Server                   // the called side of a remote call
	Client                   // the calling side of a remote call
	Producer
	Consumer
)

// String returns the kind in lower case.
func (k Kind) String() string {
	if k < Internal || k > Consumer {
		return "unspecified"
	}
	return [...]string{"internal", "server", "client", "producer", "consumer"}[k-Internal]
}

// Status says how a span ended. The values are those of OTLP.
type Status uint8

// The statuses of spans.
const (
	Unset  Status = iota // ended without a verdict, which is what success looks like
	OK                   // said to have succeeded
	Failed               // ended with the error in Span.Error
)

// Span is one piece of work in a trace. The one who started it may call its methods and change
// its fields, from one goroutine at a time, until Finish; from then on nobody changes it. The
// methods of a nil Span, which is what a trace that is not sampled gets, do nothing.
type Span struct {
	TraceID TraceID
	SpanID  SpanID
	Parent  SpanID // zero at the root
	Name    string
	Kind    Kind
	Start   time.Time
	End     time.Time
	Attrs   []slog.Attr
	Status  Status
	Error   string // the error's text if Status is Failed

	recorder *Recorder // nil once finished
}

// Set adds attributes.
func (s *Span) Set(attrs ...slog.Attr) {
	if s != nil && s.recorder != nil {
		s.Attrs = append(s.Attrs, attrs...)
	}
}

// Finish ends the span, as Failed if err is not nil, and hands it to the recorder. It never
// waits: a recorder that cannot keep up drops the span and counts it. Only the first call counts.
func (s *Span) Finish(err error) {
	if s == nil || s.recorder == nil {
		return
	}
	r := s.recorder
	s.recorder = nil
	s.End = time.Now()
	if err != nil {
		s.Status, s.Error = Failed, err.Error()
	}
	select {
	case r.finished <- s:
	default:
		r.dropped.Add(1)
	}
}

// Carrier is a context with the current span. It is a context itself, and may lie in something larger,
// because each of these saves an allocation in every call.
type Carrier struct {
	context.Context
	recorder *Recorder
	current  SpanContext
}

type carrierKey struct{}

// Value implements context.Context.
func (c *Carrier) Value(key any) any {
	if key == (carrierKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// FromContext returns the current span of ctx, which is what log lines should name and calls
// should carry. It is the zero SpanContext outside traces.
func FromContext(ctx context.Context) SpanContext {
	if c, ok := ctx.Value(carrierKey{}).(*Carrier); ok {
		return c.current
	}
	return SpanContext{}
}

// Start starts a span with the recorder that ctx carries, like Recorder.Start; without one it
// returns ctx and nil.
func Start(ctx context.Context, name string, kind Kind) (context.Context, *Span) {
	c, ok := ctx.Value(carrierKey{}).(*Carrier)
	if !ok {
		return ctx, nil
	}
	return c.recorder.Start(ctx, name, kind)
}
