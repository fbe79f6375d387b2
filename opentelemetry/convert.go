package opentelemetry

import (
	"math"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	api "go.opentelemetry.io/otel/trace"

	"github.com/divisi-go/divisi/envelope/protos"
)

// scope is what spans are made by that do not say it.
var scope = instrumentation.Scope{Name: "github.com/divisi-go/divisi"}

// toSDK returns a span of the envelope protocol as the SDK's exporters take it.
func toSDK(s *protos.Span) sdk.ReadOnlySpan {
	stub := tracetest.SpanStub{
		Name:                 s.Name,
		SpanContext:          spanContext(s.TraceId, s.SpanId),
		SpanKind:             api.SpanKind(s.Kind),
		StartTime:            time.UnixMicro(s.StartMicros),
		EndTime:              time.UnixMicro(s.EndMicros),
		Attributes:           attributes(s.Attributes),
		DroppedAttributes:    int(s.DroppedAttributeCount),
		DroppedLinks:         int(s.DroppedLinkCount),
		DroppedEvents:        int(s.DroppedEventCount),
		ChildSpanCount:       int(s.ChildSpanCount),
		Resource:             withEnvironment(resourceOf(s.Resource)),
		InstrumentationScope: scope,
	}
	if len(s.ParentSpanId) > 0 {
		stub.Parent = spanContext(s.TraceId, s.ParentSpanId)
	}
	for _, l := range s.Links {
		stub.Links = append(stub.Links, sdk.Link{
			SpanContext: spanContext(l.TraceId, l.SpanId), Attributes: attributes(l.Attributes),
			DroppedAttributeCount: int(l.DroppedAttributeCount),
		})
	}
	for _, e := range s.Events {
		stub.Events = append(stub.Events, sdk.Event{
			Name: e.Name, Time: time.UnixMicro(e.TimeMicros), Attributes: attributes(e.Attributes),
			DroppedAttributeCount: int(e.DroppedAttributeCount),
		})
	}
	if s.Status != nil {
		stub.Status = sdk.Status{Code: codes.Code(s.Status.Code), Description: s.Status.Error}
	}
	if s.Scope != nil {
		stub.InstrumentationScope = instrumentation.Scope{
			Name: s.Scope.Name, Version: s.Scope.Version, SchemaURL: s.Scope.SchemaUrl,
		}
	}
	return stub.Snapshot()
}

// fromSDK returns a span of the SDK as the envelope protocol carries it.
func fromSDK(s sdk.ReadOnlySpan) *protos.Span {
	trace, id := s.SpanContext().TraceID(), s.SpanContext().SpanID()
	m := &protos.Span{
		Name:                  s.Name(),
		TraceId:               trace[:],
		SpanId:                id[:],
		Kind:                  protos.Span_Kind(s.SpanKind()),
		StartMicros:           s.StartTime().UnixMicro(),
		EndMicros:             s.EndTime().UnixMicro(),
		Attributes:            attributeMessages(s.Attributes()),
		DroppedAttributeCount: int64(s.DroppedAttributes()),
		DroppedLinkCount:      int64(s.DroppedLinks()),
		DroppedEventCount:     int64(s.DroppedEvents()),
		ChildSpanCount:        int64(s.ChildSpanCount()),
	}
	if parent := s.Parent().SpanID(); parent.IsValid() {
		m.ParentSpanId = parent[:]
	}
	for _, l := range s.Links() {
		trace, id := l.SpanContext.TraceID(), l.SpanContext.SpanID()
		m.Links = append(m.Links, &protos.Span_Link{
			TraceId: trace[:], SpanId: id[:], Attributes: attributeMessages(l.Attributes),
			DroppedAttributeCount: int64(l.DroppedAttributeCount),
		})
	}
	for _, e := range s.Events() {
		m.Events = append(m.Events, &protos.Span_Event{
			Name: e.Name, TimeMicros: e.Time.UnixMicro(), Attributes: attributeMessages(e.Attributes),
			DroppedAttributeCount: int64(e.DroppedAttributeCount),
		})
	}
	if status := s.Status(); status.Code != codes.Unset {
		m.Status = &protos.Span_Status{Code: protos.Span_Status_Code(status.Code), Error: status.Description}
	}
	by := s.InstrumentationScope()
	m.Scope = &protos.Span_Scope{Name: by.Name, Version: by.Version, SchemaUrl: by.SchemaURL}
	if r := s.Resource(); r != nil {
		m.Resource = &protos.Span_Resource{SchemaUrl: r.SchemaURL(), Attributes: attributeMessages(r.Attributes())}
	}
	return m
}

// spanContext returns a context of ids, which are zero if they have not the right length. What was
// not sampled is not sent.
func spanContext(trace, span []byte) api.SpanContext {
	c := api.SpanContextConfig{TraceFlags: api.FlagsSampled}
	if len(trace) == len(c.TraceID) && len(span) == len(c.SpanID) {
		copy(c.TraceID[:], trace)
		copy(c.SpanID[:], span)
	}
	return api.NewSpanContext(c)
}

func resourceOf(r *protos.Span_Resource) *resource.Resource {
	if r == nil {
		return resource.Empty()
	}
	return resource.NewWithAttributes(r.SchemaUrl, attributes(r.Attributes)...)
}

// withEnvironment adds what the user says in the environment, which goes before.
func withEnvironment(r *resource.Resource) *resource.Resource {
	merged, err := resource.Merge(r, resource.Environment())
	if err != nil { // the schemas differ: what is known counts, not by whose names
		return r
	}
	return merged
}

func attributes(list []*protos.Span_Attribute) (all []attribute.KeyValue) {
	for _, a := range list {
		if a.Value != nil {
			all = append(all, attribute.KeyValue{Key: attribute.Key(a.Key), Value: value(a.Value)})
		}
	}
	return all
}

func value(v *protos.Span_Attribute_Value) attribute.Value {
	var nums []uint64
	if v.Nums != nil {
		nums = v.Nums.Nums
	}
	switch v.Type {
	case protos.Span_Attribute_Value_BOOL:
		return attribute.BoolValue(v.Num != 0)
	case protos.Span_Attribute_Value_INT64:
		return attribute.Int64Value(int64(v.Num))
	case protos.Span_Attribute_Value_FLOAT64:
		return attribute.Float64Value(math.Float64frombits(v.Num))
	case protos.Span_Attribute_Value_STRING:
		return attribute.StringValue(v.Str)
	case protos.Span_Attribute_Value_BOOLLIST:
		return attribute.BoolSliceValue(each(nums, func(n uint64) bool { return n != 0 }))
	case protos.Span_Attribute_Value_INT64LIST:
		return attribute.Int64SliceValue(each(nums, func(n uint64) int64 { return int64(n) }))
	case protos.Span_Attribute_Value_FLOAT64LIST:
		return attribute.Float64SliceValue(each(nums, math.Float64frombits))
	case protos.Span_Attribute_Value_STRINGLIST:
		if v.Strs == nil {
			return attribute.StringSliceValue(nil)
		}
		return attribute.StringSliceValue(v.Strs.Strs)
	}
	return attribute.Value{}
}

func attributeMessages(list []attribute.KeyValue) (all []*protos.Span_Attribute) {
	for _, a := range list {
		all = append(all, &protos.Span_Attribute{Key: string(a.Key), Value: valueMessage(a.Value)})
	}
	return all
}

func valueMessage(v attribute.Value) *protos.Span_Attribute_Value {
	numbers := func(nums []uint64) *protos.Span_Attribute_Value_NumberList {
		return &protos.Span_Attribute_Value_NumberList{Nums: nums}
	}
	switch v.Type() {
	case attribute.BOOL:
		return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_BOOL, Num: bit(v.AsBool())}
	case attribute.INT64:
		return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_INT64, Num: uint64(v.AsInt64())}
	case attribute.FLOAT64:
		return &protos.Span_Attribute_Value{
			Type: protos.Span_Attribute_Value_FLOAT64, Num: math.Float64bits(v.AsFloat64())}
	case attribute.BOOLSLICE:
		return &protos.Span_Attribute_Value{
			Type: protos.Span_Attribute_Value_BOOLLIST, Nums: numbers(each(v.AsBoolSlice(), bit))}
	case attribute.INT64SLICE:
		return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_INT64LIST,
			Nums: numbers(each(v.AsInt64Slice(), func(n int64) uint64 { return uint64(n) }))}
	case attribute.FLOAT64SLICE:
		return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_FLOAT64LIST,
			Nums: numbers(each(v.AsFloat64Slice(), math.Float64bits))}
	case attribute.STRINGSLICE:
		return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_STRINGLIST,
			Strs: &protos.Span_Attribute_Value_StringList{Strs: v.AsStringSlice()}}
	}
	return &protos.Span_Attribute_Value{Type: protos.Span_Attribute_Value_STRING, Str: v.String()}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

func each[S, T any](list []S, f func(S) T) []T {
	all := make([]T, len(list))
	for i, v := range list {
		all[i] = f(v)
	}
	return all
}
