package message

import "strconv"

// HealthStatus is what an envelope knows of a weavelet.
type HealthStatus int32

// The values of HealthStatus.
const (
	HealthStatus_UNKNOWN    HealthStatus = 0
	HealthStatus_HEALTHY    HealthStatus = 1
	HealthStatus_UNHEALTHY  HealthStatus = 2
	HealthStatus_TERMINATED HealthStatus = 3
)

func (e HealthStatus) String() string {
	return enumName(int32(e), "UNKNOWN", "HEALTHY", "UNHEALTHY", "TERMINATED")
}

// MetricType is the type of a metric.
type MetricType int32

// The values of MetricType.
const (
	MetricType_INVALID   MetricType = 0
	MetricType_COUNTER   MetricType = 1
	MetricType_GAUGE     MetricType = 2
	MetricType_HISTOGRAM MetricType = 3
)

func (e MetricType) String() string {
	return enumName(int32(e), "INVALID", "COUNTER", "GAUGE", "HISTOGRAM")
}

// ProfileType is the type of a profile.
type ProfileType int32

// The values of ProfileType.
const (
	ProfileType_Unspecified ProfileType = 0
	ProfileType_Heap        ProfileType = 1
	ProfileType_CPU         ProfileType = 2
)

func (e ProfileType) String() string {
	return enumName(int32(e), "Unspecified", "Heap", "CPU")
}

// Span_Kind is the side of a call that a span saw.
type Span_Kind int32

// The values of Span_Kind.
const (
	Span_UNSPECIFIED Span_Kind = 0
	Span_INTERNAL    Span_Kind = 1
	Span_SERVER      Span_Kind = 2
	Span_CLIENT      Span_Kind = 3
	Span_PRODUCER    Span_Kind = 4
	Span_CONSUMER    Span_Kind = 5
)

func (e Span_Kind) String() string {
	return enumName(int32(e), "UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
}

// Span_Attribute_Value_Type is the type of a value.
type Span_Attribute_Value_Type int32

// The values of Span_Attribute_Value_Type.
const (
	Span_Attribute_Value_INVALID     Span_Attribute_Value_Type = 0
	Span_Attribute_Value_BOOL        Span_Attribute_Value_Type = 1
	Span_Attribute_Value_INT64       Span_Attribute_Value_Type = 2
	Span_Attribute_Value_FLOAT64     Span_Attribute_Value_Type = 3
	Span_Attribute_Value_STRING      Span_Attribute_Value_Type = 4
	Span_Attribute_Value_BOOLLIST    Span_Attribute_Value_Type = 5
	Span_Attribute_Value_INT64LIST   Span_Attribute_Value_Type = 6
	Span_Attribute_Value_FLOAT64LIST Span_Attribute_Value_Type = 7
	Span_Attribute_Value_STRINGLIST  Span_Attribute_Value_Type = 8
)

func (e Span_Attribute_Value_Type) String() string {
	return enumName(int32(e), "INVALID", "BOOL", "INT64", "FLOAT64", "STRING", "BOOLLIST", "INT64LIST", "FLOAT64LIST", "STRINGLIST")
}

// Span_Status_Code is how a span ended.
type Span_Status_Code int32

// The values of Span_Status_Code.
const (
	Span_Status_UNSET Span_Status_Code = 0
	Span_Status_ERROR Span_Status_Code = 1
	Span_Status_OK    Span_Status_Code = 2
)

func (e Span_Status_Code) String() string {
	return enumName(int32(e), "UNSET", "ERROR", "OK")
}

func enumName(e int32, names ...string) string {
	if e < 0 || int(e) >= len(names) {
		return strconv.Itoa(int(e))
	}
	return names[e]
}
