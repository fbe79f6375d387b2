package message

// EnvelopeMsg is what an envelope sends. Exactly one field besides Id and Error is set.
type EnvelopeMsg struct {
	Id                           int64                         `json:"id,omitempty"` // request x > 0, reply -x, one-way 0
	EnvelopeInfo                 *EnvelopeInfo                 `json:"envelope_info,omitempty"`
	GetHealthRequest             *GetHealthRequest             `json:"get_health_request,omitempty"`
	GetMetricsRequest            *GetMetricsRequest            `json:"get_metrics_request,omitempty"`
	GetLoadRequest               *GetLoadRequest               `json:"get_load_request,omitempty"`
	GetProfileRequest            *GetProfileRequest            `json:"get_profile_request,omitempty"`
	UpdateRoutingInfoRequest     *UpdateRoutingInfoRequest     `json:"update_routing_info_request,omitempty"`
	UpdateComponentsRequest      *UpdateComponentsRequest      `json:"update_components_request,omitempty"`
	Error                        string                        `json:"error,omitempty"` // of a reply to a request that failed
	ActivateComponentReply       *ActivateComponentReply       `json:"activate_component_reply,omitempty"`
	GetListenerAddressReply      *GetListenerAddressReply      `json:"get_listener_address_reply,omitempty"`
	ExportListenerReply          *ExportListenerReply          `json:"export_listener_reply,omitempty"`
	VerifyClientCertificateReply *VerifyClientCertificateReply `json:"verify_client_certificate_reply,omitempty"`
	VerifyServerCertificateReply *VerifyServerCertificateReply `json:"verify_server_certificate_reply,omitempty"`
	GetSelfCertificateReply      *GetSelfCertificateReply      `json:"get_self_certificate_reply,omitempty"`
	DrainRequest                 *DrainRequest                 `json:"drain_request,omitempty"` // extension
	ReportReply                  *ReportReply                  `json:"report_reply,omitempty"`  // extension
	Cancel                       int64                         `json:"cancel,omitempty"`        // extension: the request whose reply nobody waits for any more
}

func (m *EnvelopeMsg) visit(v *visitor) {
	number(v, 1, &m.Id)
	message(v, 2, &m.EnvelopeInfo)
	message(v, 3, &m.GetHealthRequest)
	message(v, 4, &m.GetMetricsRequest)
	message(v, 5, &m.GetLoadRequest)
	message(v, 6, &m.GetProfileRequest)
	message(v, 7, &m.UpdateRoutingInfoRequest)
	message(v, 8, &m.UpdateComponentsRequest)
	v.string(9, &m.Error)
	message(v, 10, &m.ActivateComponentReply)
	message(v, 11, &m.GetListenerAddressReply)
	message(v, 12, &m.ExportListenerReply)
	message(v, 13, &m.VerifyClientCertificateReply)
	message(v, 14, &m.VerifyServerCertificateReply)
	message(v, 15, &m.GetSelfCertificateReply)
	message(v, 1000, &m.DrainRequest)
	message(v, 1001, &m.ReportReply)
	number(v, 1002, &m.Cancel)
}

// WeaveletMsg is what a weavelet sends. Exactly one field besides Id and Error is set.
type WeaveletMsg struct {
	Id                             int64                           `json:"id,omitempty"` // request x > 0, reply -x, one-way 0
	WeaveletInfo                   *WeaveletInfo                   `json:"weavelet_info,omitempty"`
	LogEntry                       *LogEntry                       `json:"log_entry,omitempty"`
	TraceSpans                     *TraceSpans                     `json:"trace_spans,omitempty"`
	Error                          string                          `json:"error,omitempty"` // of a reply to a request that failed
	GetHealthReply                 *GetHealthReply                 `json:"get_health_reply,omitempty"`
	GetMetricsReply                *GetMetricsReply                `json:"get_metrics_reply,omitempty"`
	GetLoadReply                   *GetLoadReply                   `json:"get_load_reply,omitempty"`
	GetProfileReply                *GetProfileReply                `json:"get_profile_reply,omitempty"`
	UpdateRoutingInfoReply         *UpdateRoutingInfoReply         `json:"update_routing_info_reply,omitempty"`
	UpdateComponentsReply          *UpdateComponentsReply          `json:"update_components_reply,omitempty"`
	ActivateComponentRequest       *ActivateComponentRequest       `json:"activate_component_request,omitempty"`
	GetListenerAddressRequest      *GetListenerAddressRequest      `json:"get_listener_address_request,omitempty"`
	ExportListenerRequest          *ExportListenerRequest          `json:"export_listener_request,omitempty"`
	VerifyClientCertificateRequest *VerifyClientCertificateRequest `json:"verify_client_certificate_request,omitempty"`
	VerifyServerCertificateRequest *VerifyServerCertificateRequest `json:"verify_server_certificate_request,omitempty"`
	GetSelfCertificateRequest      *GetSelfCertificateRequest      `json:"get_self_certificate_request,omitempty"`
	DrainReply                     *DrainReply                     `json:"drain_reply,omitempty"`    // extension
	ReportRequest                  *ReportRequest                  `json:"report_request,omitempty"` // extension
}

func (m *WeaveletMsg) visit(v *visitor) {
	number(v, 1, &m.Id)
	message(v, 2, &m.WeaveletInfo)
	message(v, 3, &m.LogEntry)
	message(v, 4, &m.TraceSpans)
	v.string(5, &m.Error)
	message(v, 6, &m.GetHealthReply)
	message(v, 7, &m.GetMetricsReply)
	message(v, 8, &m.GetLoadReply)
	message(v, 9, &m.GetProfileReply)
	message(v, 10, &m.UpdateRoutingInfoReply)
	message(v, 11, &m.UpdateComponentsReply)
	message(v, 12, &m.ActivateComponentRequest)
	message(v, 13, &m.GetListenerAddressRequest)
	message(v, 14, &m.ExportListenerRequest)
	message(v, 15, &m.VerifyClientCertificateRequest)
	message(v, 16, &m.VerifyServerCertificateRequest)
	message(v, 17, &m.GetSelfCertificateRequest)
	message(v, 1000, &m.DrainReply)
	message(v, 1001, &m.ReportRequest)
}

// Features of the handshake, beyond v0.20.
const (
	// FeatureLogLines: log entries are lines of JSON on the weavelet's standard error, not messages.
	FeatureLogLines = "log-lines"

	// FeatureLocalMetrics, of an envelope: calls within the weavelet are measured too.
	FeatureLocalMetrics = "local-metrics"

	// FeatureReports, of an envelope: it takes reports.
	FeatureReports = "reports"

	// FeatureLocalVerify, of a weavelet: it judges certificates itself if it is told by what.
	FeatureLocalVerify = "local-verify"
)

// EnvelopeInfo is the envelope's half of the handshake.
type EnvelopeInfo struct {
	App             string            `json:"app,omitempty"`            // name of the application
	DeploymentId    string            `json:"deployment_id,omitempty"`  // unique to the deployment
	Id              string            `json:"id,omitempty"`             // unique to the weavelet
	Sections        map[string]string `json:"sections,omitempty"`       // of the configuration, by component
	SingleProcess   bool              `json:"single_process,omitempty"` // not used since v0.20
	SingleMachine   bool              `json:"single_machine,omitempty"` // not used since v0.20
	RunMain         bool              `json:"run_main,omitempty"`       // whether the main component runs here
	Mtls            bool              `json:"mtls,omitempty"`
	InternalAddress string            `json:"internal_address,omitempty"` // to listen on for calls
	Features        []string          `json:"features,omitempty"`         // extension: what the envelope understands beyond v0.20
	Group           string            `json:"group,omitempty"`            // extension: the weavelet's group
	Name            string            `json:"name,omitempty"`             // extension: the replica's name
	Epoch           uint64            `json:"epoch,omitempty"`            // extension: of the deployer; those of its successors are larger
	LogKey          string            `json:"log_key,omitempty"`          // extension: begins the weavelet's lines of logs
}

func (m *EnvelopeInfo) visit(v *visitor) {
	v.string(1, &m.App)
	v.string(2, &m.DeploymentId)
	v.string(3, &m.Id)
	v.stringMap(4, &m.Sections)
	v.bool(5, &m.SingleProcess)
	v.bool(6, &m.SingleMachine)
	v.bool(7, &m.RunMain)
	v.bool(8, &m.Mtls)
	v.string(10, &m.InternalAddress)
	v.strings(1000, &m.Features)
	v.string(1001, &m.Group)
	v.string(1002, &m.Name)
	number(v, 1003, &m.Epoch)
	v.string(1007, &m.LogKey)
}

// WeaveletInfo is the weavelet's half of the handshake.
type WeaveletInfo struct {
	DialAddr string   `json:"dial_addr,omitempty"` // where other weavelets reach it
	Pid      int64    `json:"pid,omitempty"`       // its process, not sent by v0.20
	Version  *SemVer  `json:"version,omitempty"`   // of the protocol
	Features []string `json:"features,omitempty"`  // extension: what the weavelet understands beyond v0.20

	// Extensions, of a weavelet that dials: what a deployer that takes over wants to know.
	Id         string                   `json:"id,omitempty"`         // that the first deployer has given it
	Components []string                 `json:"components,omitempty"` // that it was asked to run
	Routes     []*RoutingInfo           `json:"routes,omitempty"`     // what it was told last of each component that it uses
	Listeners  []*ExportListenerRequest `json:"listeners,omitempty"`  // that it has exported
	Draining   bool                     `json:"draining,omitempty"`   // it was asked to drain, and takes no more calls
}

func (m *WeaveletInfo) visit(v *visitor) {
	v.string(1, &m.DialAddr)
	number(v, 2, &m.Pid)
	message(v, 3, &m.Version)
	v.strings(1000, &m.Features)
	v.string(1001, &m.Id)
	v.strings(1002, &m.Components)
	messages(v, 1003, &m.Routes)
	messages(v, 1004, &m.Listeners)
	v.bool(1005, &m.Draining)
}

// SemVer is a version of the protocol.
type SemVer struct {
	Major int64 `json:"major,omitempty"`
	Minor int64 `json:"minor,omitempty"`
	Patch int64 `json:"patch,omitempty"`
}

func (m *SemVer) visit(v *visitor) {
	number(v, 1, &m.Major)
	number(v, 2, &m.Minor)
	number(v, 3, &m.Patch)
}

// DrainRequest is an extension: end calls and listeners in order, and answer when they have ended.
type DrainRequest struct {
	TimeoutMicros int64 `json:"timeout_micros,omitempty"`
}

func (m *DrainRequest) visit(v *visitor) {
	number(v, 1, &m.TimeoutMicros)
}

// DrainReply answers a DrainRequest.
type DrainReply struct {
}

func (m *DrainReply) visit(v *visitor) {
}

// ReportRequest is an extension: the weavelet says something that it was not asked for.
type ReportRequest struct {
	Health   *GetHealthReply `json:"health,omitempty"`   // what a request for health would be answered now
	Finished bool            `json:"finished,omitempty"` // the main component's program has returned without an error
	Leaving  string          `json:"leaving,omitempty"`  // why the process wants to end: somebody else has asked it to
}

func (m *ReportRequest) visit(v *visitor) {
	message(v, 1, &m.Health)
	v.bool(2, &m.Finished)
	v.string(3, &m.Leaving)
}

// ReportReply answers a ReportRequest.
type ReportReply struct {
	End bool `json:"end,omitempty"` // go on and end; otherwise, a weavelet that wants to end waits to be drained and ended
}

func (m *ReportReply) visit(v *visitor) {
	v.bool(1, &m.End)
}
