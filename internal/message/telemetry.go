package message

// GetHealthRequest asks whether the weavelet lives.
type GetHealthRequest struct {
}

func (m *GetHealthRequest) visit(v *visitor) {
}

// GetHealthReply answers a GetHealthRequest.
type GetHealthReply struct {
	Status            HealthStatus `json:"status,omitempty"`
	Ready             bool         `json:"ready,omitempty"`              // extension: all components take calls
	HealthyComponents []string     `json:"healthy_components,omitempty"` // extension: those that do
	Reasons           []string     `json:"reasons,omitempty"`            // extension: why it is not ready
	Look              uint64       `json:"look,omitempty"`               // extension: a later look has a higher number
}

func (m *GetHealthReply) visit(v *visitor) {
	number(v, 1, &m.Status)
	v.bool(1000, &m.Ready)
	v.strings(1001, &m.HealthyComponents)
	v.strings(1002, &m.Reasons)
	number(v, 1003, &m.Look)
}

// GetMetricsRequest asks for metrics.
type GetMetricsRequest struct {
}

func (m *GetMetricsRequest) visit(v *visitor) {
}

// GetMetricsReply answers a GetMetricsRequest.
type GetMetricsReply struct {
	Update *MetricUpdate `json:"update,omitempty"`
}

func (m *GetMetricsReply) visit(v *visitor) {
	message(v, 1, &m.Update)
}

// MetricUpdate has the definitions of metrics that are new, and values of those that changed.
type MetricUpdate struct {
	Defs   []*MetricDef   `json:"defs,omitempty"`
	Values []*MetricValue `json:"values,omitempty"`
}

func (m *MetricUpdate) visit(v *visitor) {
	messages(v, 1, &m.Defs)
	messages(v, 2, &m.Values)
}

// MetricDef defines a metric.
type MetricDef struct {
	Id     uint64            `json:"id,omitempty"`
	Name   string            `json:"name,omitempty"`
	Typ    MetricType        `json:"typ,omitempty"`
	Help   string            `json:"help,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Bounds []float64         `json:"bounds,omitempty"` // of a histogram's buckets
}

func (m *MetricDef) visit(v *visitor) {
	number(v, 1, &m.Id)
	v.string(2, &m.Name)
	number(v, 3, &m.Typ)
	v.string(4, &m.Help)
	v.stringMap(5, &m.Labels)
	v.doubles(6, &m.Bounds)
}

// MetricValue is the value of a metric.
type MetricValue struct {
	Id     uint64   `json:"id,omitempty"`
	Value  float64  `json:"value,omitempty"`  // of a histogram the sum
	Counts []uint64 `json:"counts,omitempty"` // of a histogram's buckets
}

func (m *MetricValue) visit(v *visitor) {
	number(v, 1, &m.Id)
	v.double(2, &m.Value)
	v.numbers(3, &m.Counts)
}

// MetricSnapshot is a metric with its value.
type MetricSnapshot struct {
	Id     uint64            `json:"id,omitempty"`
	Name   string            `json:"name,omitempty"`
	Typ    MetricType        `json:"typ,omitempty"`
	Help   string            `json:"help,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
	Bounds []float64         `json:"bounds,omitempty"`
	Value  float64           `json:"value,omitempty"`
	Counts []uint64          `json:"counts,omitempty"`
}

func (m *MetricSnapshot) visit(v *visitor) {
	number(v, 1, &m.Id)
	v.string(2, &m.Name)
	number(v, 3, &m.Typ)
	v.string(4, &m.Help)
	v.stringMap(5, &m.Labels)
	v.doubles(6, &m.Bounds)
	v.double(7, &m.Value)
	v.numbers(8, &m.Counts)
}

// GetLoadRequest asks for the load of routed components.
type GetLoadRequest struct {
}

func (m *GetLoadRequest) visit(v *visitor) {
}

// GetLoadReply answers a GetLoadRequest.
type GetLoadReply struct {
	Load *LoadReport `json:"load,omitempty"`
}

func (m *GetLoadReply) visit(v *visitor) {
	message(v, 1, &m.Load)
}

// LoadReport is the load of a weavelet.
type LoadReport struct {
	Loads map[string]*LoadReport_ComponentLoad `json:"loads,omitempty"` // by component
}

func (m *LoadReport) visit(v *visitor) {
	messageMap(v, 1, &m.Loads)
}

// LoadReport_ComponentLoad is the load of one routed component.
type LoadReport_ComponentLoad struct {
	Load    []*LoadReport_SliceLoad `json:"load,omitempty"`
	Version uint64                  `json:"version,omitempty"` // of the assignment
}

func (m *LoadReport_ComponentLoad) visit(v *visitor) {
	messages(v, 1, &m.Load)
	number(v, 2, &m.Version)
}

// LoadReport_SliceLoad is the load of one slice of the keys.
type LoadReport_SliceLoad struct {
	Start  uint64                     `json:"start,omitempty"` // inclusive
	End    uint64                     `json:"end,omitempty"`   // exclusive
	Load   float64                    `json:"load,omitempty"`
	Splits []*LoadReport_SubsliceLoad `json:"splits,omitempty"`
	Size   uint64                     `json:"size,omitempty"` // distinct keys
}

func (m *LoadReport_SliceLoad) visit(v *visitor) {
	number(v, 1, &m.Start)
	number(v, 2, &m.End)
	v.double(3, &m.Load)
	messages(v, 4, &m.Splits)
	number(v, 5, &m.Size)
}

// LoadReport_SubsliceLoad is the load of a part of a slice.
type LoadReport_SubsliceLoad struct {
	Start uint64  `json:"start,omitempty"`
	Load  float64 `json:"load,omitempty"`
}

func (m *LoadReport_SubsliceLoad) visit(v *visitor) {
	number(v, 1, &m.Start)
	v.double(2, &m.Load)
}

// GetProfileRequest asks for a profile.
type GetProfileRequest struct {
	ProfileType   ProfileType `json:"profile_type,omitempty"`
	CpuDurationNs int64       `json:"cpu_duration_ns,omitempty"`
}

func (m *GetProfileRequest) visit(v *visitor) {
	number(v, 1, &m.ProfileType)
	number(v, 2, &m.CpuDurationNs)
}

// GetProfileReply answers a GetProfileRequest.
type GetProfileReply struct {
	Data []byte `json:"data,omitempty"` // in pprof's format
}

func (m *GetProfileReply) visit(v *visitor) {
	v.bytes(1, &m.Data)
}

// LogEntry is one entry of a log.
type LogEntry struct {
	App        string   `json:"app,omitempty"`
	Version    string   `json:"version,omitempty"` // deployment id
	Component  string   `json:"component,omitempty"`
	Node       string   `json:"node,omitempty"`        // weavelet id
	TimeMicros int64    `json:"time_micros,omitempty"` // since the epoch
	Level      string   `json:"level,omitempty"`
	File       string   `json:"file,omitempty"`
	Line       int32    `json:"line,omitempty"`
	Msg        string   `json:"msg,omitempty"`
	Attrs      []string `json:"attrs,omitempty"` // keys and values in turn
}

func (m *LogEntry) visit(v *visitor) {
	v.string(1, &m.App)
	v.string(2, &m.Version)
	v.string(3, &m.Component)
	v.string(4, &m.Node)
	v.fixed(5, &m.TimeMicros)
	v.string(6, &m.Level)
	v.string(7, &m.File)
	number(v, 8, &m.Line)
	v.string(9, &m.Msg)
	v.strings(10, &m.Attrs)
}

// TraceSpans are spans that have ended.
type TraceSpans struct {
	Span []*Span `json:"span,omitempty"`
}

func (m *TraceSpans) visit(v *visitor) {
	messages(v, 1, &m.Span)
}

// Span is one piece of work in a trace.
type Span struct {
	Name                  string            `json:"name,omitempty"`
	TraceId               []byte            `json:"trace_id,omitempty"`
	SpanId                []byte            `json:"span_id,omitempty"`
	ParentSpanId          []byte            `json:"parent_span_id,omitempty"`
	Kind                  Span_Kind         `json:"kind,omitempty"`
	StartMicros           int64             `json:"start_micros,omitempty"`
	EndMicros             int64             `json:"end_micros,omitempty"`
	Attributes            []*Span_Attribute `json:"attributes,omitempty"`
	Links                 []*Span_Link      `json:"links,omitempty"`
	Events                []*Span_Event     `json:"events,omitempty"`
	Status                *Span_Status      `json:"status,omitempty"`
	Library               *Span_Library     `json:"library,omitempty"`
	Resource              *Span_Resource    `json:"resource,omitempty"`
	DroppedAttributeCount int64             `json:"dropped_attribute_count,omitempty"`
	DroppedLinkCount      int64             `json:"dropped_link_count,omitempty"`
	DroppedEventCount     int64             `json:"dropped_event_count,omitempty"`
	ChildSpanCount        int64             `json:"child_span_count,omitempty"`
	Scope                 *Span_Scope       `json:"scope,omitempty"`
}

func (m *Span) visit(v *visitor) {
	v.string(1, &m.Name)
	v.bytes(2, &m.TraceId)
	v.bytes(3, &m.SpanId)
	v.bytes(4, &m.ParentSpanId)
	number(v, 5, &m.Kind)
	v.fixed(6, &m.StartMicros)
	v.fixed(7, &m.EndMicros)
	messages(v, 8, &m.Attributes)
	messages(v, 9, &m.Links)
	messages(v, 10, &m.Events)
	message(v, 11, &m.Status)
	message(v, 12, &m.Library)
	message(v, 13, &m.Resource)
	number(v, 14, &m.DroppedAttributeCount)
	number(v, 15, &m.DroppedLinkCount)
	number(v, 16, &m.DroppedEventCount)
	number(v, 17, &m.ChildSpanCount)
	message(v, 18, &m.Scope)
}

// Span_Attribute is a key and a value.
type Span_Attribute struct {
	Key   string                `json:"key,omitempty"`
	Value *Span_Attribute_Value `json:"value,omitempty"`
}

func (m *Span_Attribute) visit(v *visitor) {
	v.string(1, &m.Key)
	message(v, 2, &m.Value)
}

// Span_Attribute_Value is a value; which field holds it is said by Type.
type Span_Attribute_Value struct {
	Type Span_Attribute_Value_Type        `json:"type,omitempty"`
	Num  uint64                           `json:"num,omitempty"`
	Str  string                           `json:"str,omitempty"`
	Nums *Span_Attribute_Value_NumberList `json:"nums,omitempty"`
	Strs *Span_Attribute_Value_StringList `json:"strs,omitempty"`
}

func (m *Span_Attribute_Value) visit(v *visitor) {
	number(v, 1, &m.Type)
	// The value is a oneof, whose zero is written.
	v.zero = m.Type >= Span_Attribute_Value_BOOL && m.Type <= Span_Attribute_Value_FLOAT64
	number(v, 2, &m.Num)
	v.zero = m.Type == Span_Attribute_Value_STRING
	v.string(3, &m.Str)
	v.zero = false
	message(v, 4, &m.Nums)
	message(v, 5, &m.Strs)
}

// Span_Attribute_Value_NumberList is a list of numbers.
type Span_Attribute_Value_NumberList struct {
	Nums []uint64 `json:"nums,omitempty"`
}

func (m *Span_Attribute_Value_NumberList) visit(v *visitor) {
	v.numbers(1, &m.Nums)
}

// Span_Attribute_Value_StringList is a list of strings.
type Span_Attribute_Value_StringList struct {
	Strs []string `json:"strs,omitempty"`
}

func (m *Span_Attribute_Value_StringList) visit(v *visitor) {
	v.strings(2, &m.Strs)
}

// Span_Link refers to another span.
type Span_Link struct {
	TraceId               []byte            `json:"trace_id,omitempty"`
	SpanId                []byte            `json:"span_id,omitempty"`
	Attributes            []*Span_Attribute `json:"attributes,omitempty"`
	DroppedAttributeCount int64             `json:"dropped_attribute_count,omitempty"`
}

func (m *Span_Link) visit(v *visitor) {
	v.bytes(1, &m.TraceId)
	v.bytes(2, &m.SpanId)
	messages(v, 3, &m.Attributes)
	number(v, 4, &m.DroppedAttributeCount)
}

// Span_Event is something that happened during a span.
type Span_Event struct {
	Name                  string            `json:"name,omitempty"`
	TimeMicros            int64             `json:"time_micros,omitempty"`
	Attributes            []*Span_Attribute `json:"attributes,omitempty"`
	DroppedAttributeCount int64             `json:"dropped_attribute_count,omitempty"`
}

func (m *Span_Event) visit(v *visitor) {
	v.string(1, &m.Name)
	v.fixed(2, &m.TimeMicros)
	messages(v, 3, &m.Attributes)
	number(v, 4, &m.DroppedAttributeCount)
}

// Span_Status is how a span ended.
type Span_Status struct {
	Code  Span_Status_Code `json:"code,omitempty"`
	Error string           `json:"error,omitempty"`
}

func (m *Span_Status) visit(v *visitor) {
	number(v, 1, &m.Code)
	v.string(2, &m.Error)
}

// Span_Library is what created a span.
type Span_Library struct {
	Name      string `json:"name,omitempty"`
	Version   string `json:"version,omitempty"`
	SchemaUrl string `json:"schema_url,omitempty"`
}

func (m *Span_Library) visit(v *visitor) {
	v.string(1, &m.Name)
	v.string(2, &m.Version)
	v.string(3, &m.SchemaUrl)
}

// Span_Scope is what created a span, under the name that OpenTelemetry gives it today.
type Span_Scope struct {
	Name      string `json:"name,omitempty"`
	Version   string `json:"version,omitempty"`
	SchemaUrl string `json:"schema_url,omitempty"`
}

func (m *Span_Scope) visit(v *visitor) {
	v.string(1, &m.Name)
	v.string(2, &m.Version)
	v.string(3, &m.SchemaUrl)
}

// Span_Resource is what a span is about.
type Span_Resource struct {
	SchemaUrl  string            `json:"schema_url,omitempty"`
	Attributes []*Span_Attribute `json:"attributes,omitempty"`
}

func (m *Span_Resource) visit(v *visitor) {
	v.string(1, &m.SchemaUrl)
	messages(v, 2, &m.Attributes)
}
