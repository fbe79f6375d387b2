package process

import (
	"context"
	"strconv"
	"time"

	"github.com/divisi-go/divisi/envelope/protos"
	"github.com/divisi-go/divisi/internal/trace"
	"github.com/divisi-go/divisi/internal/weavelet"
)

// Bridge joins the spans of a weavelet with those that the application makes with a tracing
// library. All functions may be nil.
type Bridge struct {
	// From, Into and Sample are those of trace.Options.
	From   func(context.Context) (trace.SpanContext, bool)
	Into   func(ctx context.Context, current trace.SpanContext) context.Context
	Sample func(trace.TraceID) bool

	// Start begins the weavelet's life. The library's spans are of the resource, and go to send,
	// which is nil where no deployer takes spans. There, Start returns what takes the weavelet's;
	// nil if nobody wants any.
	Start func(ctx context.Context, of *protos.Span_Resource, send func(*protos.TraceSpans) error) (
		export func(*protos.TraceSpans) error, err error)

	// Shutdown waits until what was given for export has been sent, or ctx ends.
	Shutdown func(ctx context.Context)
}

type bridgeKey struct{}

// WithBridge returns a context that makes Run use the bridge.
func WithBridge(ctx context.Context, b *Bridge) context.Context {
	return context.WithValue(ctx, bridgeKey{}, b)
}

// bridgeOf returns the bridge in a context, nil if there is none. A nil bridge does nothing.
func bridgeOf(ctx context.Context) *Bridge {
	b, _ := ctx.Value(bridgeKey{}).(*Bridge)
	return b
}

func (b *Bridge) start(ctx context.Context, of *protos.Span_Resource,
	send func(*protos.TraceSpans) error) (func(*protos.TraceSpans) error, error) {
	if b == nil || b.Start == nil {
		return nil, nil
	}
	return b.Start(ctx, of, send)
}

// bridgeTime bounds the export of the last spans.
const bridgeTime = 5 * time.Second

func (b *Bridge) shutdown(ctx context.Context) {
	if b == nil || b.Shutdown == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), bridgeTime)
	defer cancel()
	b.Shutdown(ctx)
}

// options returns those of a recorder whose spans go to send, if that is not nil.
func (b *Bridge) options(of *protos.Span_Resource, send func(*protos.TraceSpans) error) trace.Options {
	var o trace.Options
	if b != nil {
		o = trace.Options{From: b.From, Into: b.Into, Sample: b.Sample}
	}
	if send != nil {
		o.Export = func(_ context.Context, spans []*trace.Span) error {
			message := &protos.TraceSpans{}
			for _, s := range spans {
				m := spanMessage(s)
				m.Resource = of
				message.Span = append(message.Span, m)
			}
			return send(message)
		}
	}
	return o
}

// resource says whom spans are about, in the words of OpenTelemetry.
func resource(self weavelet.Self) *protos.Span_Resource {
	r := &protos.Span_Resource{}
	for _, a := range [][2]string{
		{"service.name", self.App}, {"service.version", self.Version}, {"service.instance.id", self.Replica},
		{"service.namespace", self.Domain}, {"host.name", self.Host}, {"process.pid", strconv.Itoa(self.Pid)}, {"divisi.group", self.Group},
	} {
		if a[1] != "" {
			r.Attributes = append(r.Attributes, attribute(a[0], a[1]))
		}
	}
	return r
}

func attribute(key, value string) *protos.Span_Attribute {
	return &protos.Span_Attribute{
		Key:   key,
		Value: &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_STRING, Str: value},
	}
}

func spanMessage(s *trace.Span) *protos.Span {
	m := &protos.Span{
		Name:        s.Name,
		TraceId:     s.TraceID[:],
		SpanId:      s.SpanID[:],
		Kind:        protos.Span_Kind(s.Kind),
		StartMicros: s.Start.UnixMicro(),
		EndMicros:   s.End.UnixMicro(),
	}
	if s.Parent != (trace.SpanID{}) {
		m.ParentSpanId = s.Parent[:]
	}
	if s.Status == trace.Failed {
		m.Status = &protos.Span_Status{Code: protos.Span_Status_ERROR, Error: s.Error}
	}
	for _, a := range s.Attrs {
		m.Attributes = append(m.Attributes, attribute(a.Key, a.Value.String()))
	}
	return m
}
