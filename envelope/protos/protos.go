package protos

import "github.com/divisi-go/divisi/internal/message"

// The messages.
type (
	EnvelopeMsg                     = message.EnvelopeMsg
	WeaveletMsg                     = message.WeaveletMsg
	EnvelopeInfo                    = message.EnvelopeInfo
	WeaveletInfo                    = message.WeaveletInfo
	SemVer                          = message.SemVer
	DrainRequest                    = message.DrainRequest
	DrainReply                      = message.DrainReply
	ReportRequest                   = message.ReportRequest
	ReportReply                     = message.ReportReply
	UpdateRoutingInfoRequest        = message.UpdateRoutingInfoRequest
	UpdateRoutingInfoReply          = message.UpdateRoutingInfoReply
	RoutingInfo                     = message.RoutingInfo
	Assignment                      = message.Assignment
	Assignment_Slice                = message.Assignment_Slice
	UpdateComponentsRequest         = message.UpdateComponentsRequest
	UpdateComponentsReply           = message.UpdateComponentsReply
	ActivateComponentRequest        = message.ActivateComponentRequest
	ActivateComponentReply          = message.ActivateComponentReply
	GetListenerAddressRequest       = message.GetListenerAddressRequest
	GetListenerAddressReply         = message.GetListenerAddressReply
	ExportListenerRequest           = message.ExportListenerRequest
	ExportListenerReply             = message.ExportListenerReply
	GetSelfCertificateRequest       = message.GetSelfCertificateRequest
	GetSelfCertificateReply         = message.GetSelfCertificateReply
	Trust                           = message.Trust
	Trust_Group                     = message.Trust_Group
	VerifyClientCertificateRequest  = message.VerifyClientCertificateRequest
	VerifyClientCertificateReply    = message.VerifyClientCertificateReply
	VerifyServerCertificateRequest  = message.VerifyServerCertificateRequest
	VerifyServerCertificateReply    = message.VerifyServerCertificateReply
	AppConfig                       = message.AppConfig
	ComponentGroup                  = message.ComponentGroup
	GetHealthRequest                = message.GetHealthRequest
	GetHealthReply                  = message.GetHealthReply
	GetMetricsRequest               = message.GetMetricsRequest
	GetMetricsReply                 = message.GetMetricsReply
	MetricUpdate                    = message.MetricUpdate
	MetricDef                       = message.MetricDef
	MetricValue                     = message.MetricValue
	MetricSnapshot                  = message.MetricSnapshot
	GetLoadRequest                  = message.GetLoadRequest
	GetLoadReply                    = message.GetLoadReply
	LoadReport                      = message.LoadReport
	LoadReport_ComponentLoad        = message.LoadReport_ComponentLoad
	LoadReport_SliceLoad            = message.LoadReport_SliceLoad
	LoadReport_SubsliceLoad         = message.LoadReport_SubsliceLoad
	GetProfileRequest               = message.GetProfileRequest
	GetProfileReply                 = message.GetProfileReply
	LogEntry                        = message.LogEntry
	TraceSpans                      = message.TraceSpans
	Span                            = message.Span
	Span_Attribute                  = message.Span_Attribute
	Span_Attribute_Value            = message.Span_Attribute_Value
	Span_Attribute_Value_NumberList = message.Span_Attribute_Value_NumberList
	Span_Attribute_Value_StringList = message.Span_Attribute_Value_StringList
	Span_Link                       = message.Span_Link
	Span_Event                      = message.Span_Event
	Span_Status                     = message.Span_Status
	Span_Library                    = message.Span_Library
	Span_Scope                      = message.Span_Scope
	Span_Resource                   = message.Span_Resource
)

// The enumerations.
type (
	HealthStatus              = message.HealthStatus
	MetricType                = message.MetricType
	ProfileType               = message.ProfileType
	Span_Kind                 = message.Span_Kind
	Span_Attribute_Value_Type = message.Span_Attribute_Value_Type
	Span_Status_Code          = message.Span_Status_Code
)

// The values of enumerations.
const (
	HealthStatus_UNKNOWN             = message.HealthStatus_UNKNOWN
	HealthStatus_HEALTHY             = message.HealthStatus_HEALTHY
	HealthStatus_UNHEALTHY           = message.HealthStatus_UNHEALTHY
	HealthStatus_TERMINATED          = message.HealthStatus_TERMINATED
	MetricType_INVALID               = message.MetricType_INVALID
	MetricType_COUNTER               = message.MetricType_COUNTER
	MetricType_GAUGE                 = message.MetricType_GAUGE
	MetricType_HISTOGRAM             = message.MetricType_HISTOGRAM
	ProfileType_Unspecified          = message.ProfileType_Unspecified
	ProfileType_Heap                 = message.ProfileType_Heap
	ProfileType_CPU                  = message.ProfileType_CPU
	Span_UNSPECIFIED                 = message.Span_UNSPECIFIED
	Span_INTERNAL                    = message.Span_INTERNAL
	Span_SERVER                      = message.Span_SERVER
	Span_CLIENT                      = message.Span_CLIENT
	Span_PRODUCER                    = message.Span_PRODUCER
	Span_CONSUMER                    = message.Span_CONSUMER
	Span_Attribute_Value_INVALID     = message.Span_Attribute_Value_INVALID
	Span_Attribute_Value_BOOL        = message.Span_Attribute_Value_BOOL
	Span_Attribute_Value_INT64       = message.Span_Attribute_Value_INT64
	Span_Attribute_Value_FLOAT64     = message.Span_Attribute_Value_FLOAT64
	Span_Attribute_Value_STRING      = message.Span_Attribute_Value_STRING
	Span_Attribute_Value_BOOLLIST    = message.Span_Attribute_Value_BOOLLIST
	Span_Attribute_Value_INT64LIST   = message.Span_Attribute_Value_INT64LIST
	Span_Attribute_Value_FLOAT64LIST = message.Span_Attribute_Value_FLOAT64LIST
	Span_Attribute_Value_STRINGLIST  = message.Span_Attribute_Value_STRINGLIST
	Span_Status_UNSET                = message.Span_Status_UNSET
	Span_Status_ERROR                = message.Span_Status_ERROR
	Span_Status_OK                   = message.Span_Status_OK
)

// Features of the handshake, beyond v0.20.
const (
	FeatureLogLines     = message.FeatureLogLines
	FeatureLocalMetrics = message.FeatureLocalMetrics
	FeatureReports      = message.FeatureReports
	FeatureLocalVerify  = message.FeatureLocalVerify
)

// Message is a message of the protocol.
type Message = message.Message

// Marshal returns the bytes of a message.
func Marshal(m Message) []byte { return message.Marshal(m) }

// Unmarshal adds what data says to m. Fields that m does not have are skipped.
func Unmarshal(data []byte, m Message) error { return message.Unmarshal(data, m) }
