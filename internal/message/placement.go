package message

// UpdateRoutingInfoRequest says where a component is.
type UpdateRoutingInfoRequest struct {
	RoutingInfo *RoutingInfo `json:"routing_info,omitempty"`
}

func (m *UpdateRoutingInfoRequest) visit(v *visitor) {
	message(v, 1, &m.RoutingInfo)
}

// UpdateRoutingInfoReply answers an UpdateRoutingInfoRequest.
type UpdateRoutingInfoReply struct {
}

func (m *UpdateRoutingInfoReply) visit(v *visitor) {
}

// RoutingInfo is where a component is.
type RoutingInfo struct {
	Component  string      `json:"component,omitempty"`
	Local      bool        `json:"local,omitempty"`      // in the weavelet itself; never changes
	Replicas   []string    `json:"replicas,omitempty"`   // addresses of replicas elsewhere
	Assignment *Assignment `json:"assignment,omitempty"` // of keys, for routed components
}

func (m *RoutingInfo) visit(v *visitor) {
	v.string(1, &m.Component)
	v.bool(2, &m.Local)
	v.strings(3, &m.Replicas)
	message(v, 4, &m.Assignment)
}

// Assignment assigns the hashes of keys to replicas.
type Assignment struct {
	Slices  []*Assignment_Slice `json:"slices,omitempty"`
	Version uint64              `json:"version,omitempty"`
}

func (m *Assignment) visit(v *visitor) {
	messages(v, 1, &m.Slices)
	number(v, 2, &m.Version)
}

// Assignment_Slice goes up to the start of the next one.
type Assignment_Slice struct {
	Start    uint64   `json:"start,omitempty"`
	Replicas []string `json:"replicas,omitempty"`
}

func (m *Assignment_Slice) visit(v *visitor) {
	number(v, 1, &m.Start)
	v.strings(2, &m.Replicas)
}

// UpdateComponentsRequest says which components are to run in the weavelet. The set only grows.
type UpdateComponentsRequest struct {
	Components []string `json:"components,omitempty"`
}

func (m *UpdateComponentsRequest) visit(v *visitor) {
	v.strings(1, &m.Components)
}

// UpdateComponentsReply answers an UpdateComponentsRequest.
type UpdateComponentsReply struct {
}

func (m *UpdateComponentsReply) visit(v *visitor) {
}

// ActivateComponentRequest asks that a component runs somewhere, and to be told where.
type ActivateComponentRequest struct {
	Component string `json:"component,omitempty"`
	Routed    bool   `json:"routed,omitempty"`
}

func (m *ActivateComponentRequest) visit(v *visitor) {
	v.string(1, &m.Component)
	v.bool(2, &m.Routed)
}

// ActivateComponentReply answers an ActivateComponentRequest.
type ActivateComponentReply struct {
}

func (m *ActivateComponentReply) visit(v *visitor) {
}

// GetListenerAddressRequest asks where to listen.
type GetListenerAddressRequest struct {
	Name string `json:"name,omitempty"`
}

func (m *GetListenerAddressRequest) visit(v *visitor) {
	v.string(1, &m.Name)
}

// GetListenerAddressReply answers a GetListenerAddressRequest.
type GetListenerAddressReply struct {
	Address string `json:"address,omitempty"`
}

func (m *GetListenerAddressReply) visit(v *visitor) {
	v.string(1, &m.Address)
}

// ExportListenerRequest says where a listener is.
type ExportListenerRequest struct {
	Listener string `json:"listener,omitempty"`
	Address  string `json:"address,omitempty"`
}

func (m *ExportListenerRequest) visit(v *visitor) {
	v.string(1, &m.Listener)
	v.string(2, &m.Address)
}

// ExportListenerReply answers an ExportListenerRequest.
type ExportListenerReply struct {
	ProxyAddress string `json:"proxy_address,omitempty"` // where clients reach it, if that is elsewhere
	Error        string `json:"error,omitempty"`         // if not empty, do not try again
}

func (m *ExportListenerReply) visit(v *visitor) {
	v.string(1, &m.ProxyAddress)
	v.string(2, &m.Error)
}

// GetSelfCertificateRequest asks for the weavelet's certificate.
type GetSelfCertificateRequest struct {
}

func (m *GetSelfCertificateRequest) visit(v *visitor) {
}

// GetSelfCertificateReply answers a GetSelfCertificateRequest.
type GetSelfCertificateReply struct {
	Cert  []byte `json:"cert,omitempty"`  // PEM
	Key   []byte `json:"key,omitempty"`   // PEM
	Trust *Trust `json:"trust,omitempty"` // extension: by what the weavelet judges the certificates of others
}

func (m *GetSelfCertificateReply) visit(v *visitor) {
	v.bytes(1, &m.Cert)
	v.bytes(2, &m.Key)
	message(v, 1000, &m.Trust)
}

// Trust is an extension: by what a weavelet judges the certificates of others, without asking.
type Trust struct {
	Roots     [][]byte                `json:"roots,omitempty"`      // certificates, DER
	NowMicros int64                   `json:"now_micros,omitempty"` // by the clock that judges certificates, since 1970
	Groups    map[string]*Trust_Group `json:"groups,omitempty"`     // by the common name of a certificate
}

func (m *Trust) visit(v *visitor) {
	v.chain(1, &m.Roots)
	number(v, 2, &m.NowMicros)
	messageMap(v, 3, &m.Groups)
}

// Trust_Group is what the replicas of a group may do.
type Trust_Group struct {
	Components []string `json:"components,omitempty"` // that they host
	Callees    []string `json:"callees,omitempty"`    // components that they may call
}

func (m *Trust_Group) visit(v *visitor) {
	v.strings(1, &m.Components)
	v.strings(2, &m.Callees)
}

// VerifyClientCertificateRequest asks who a client is.
type VerifyClientCertificateRequest struct {
	CertChain [][]byte `json:"cert_chain,omitempty"` // DER
}

func (m *VerifyClientCertificateRequest) visit(v *visitor) {
	v.chain(1, &m.CertChain)
}

// VerifyClientCertificateReply answers a VerifyClientCertificateRequest.
type VerifyClientCertificateReply struct {
	Components []string `json:"components,omitempty"` // that the client may call
}

func (m *VerifyClientCertificateReply) visit(v *visitor) {
	v.strings(1, &m.Components)
}

// VerifyServerCertificateRequest asks whether a server may host a component.
type VerifyServerCertificateRequest struct {
	CertChain       [][]byte `json:"cert_chain,omitempty"` // DER
	TargetComponent string   `json:"target_component,omitempty"`
}

func (m *VerifyServerCertificateRequest) visit(v *visitor) {
	v.chain(1, &m.CertChain)
	v.string(2, &m.TargetComponent)
}

// VerifyServerCertificateReply answers a VerifyServerCertificateRequest.
type VerifyServerCertificateReply struct {
}

func (m *VerifyServerCertificateReply) visit(v *visitor) {
}

// AppConfig is the configuration of an application.
type AppConfig struct {
	Name         string            `json:"name,omitempty"`
	Binary       string            `json:"binary,omitempty"`
	Args         []string          `json:"args,omitempty"`
	Env          []string          `json:"env,omitempty"`
	Colocate     []*ComponentGroup `json:"colocate,omitempty"`
	RolloutNanos int64             `json:"rollout_nanos,omitempty"`
	Sections     map[string]string `json:"sections,omitempty"`
}

func (m *AppConfig) visit(v *visitor) {
	v.string(1, &m.Name)
	v.string(2, &m.Binary)
	v.strings(3, &m.Args)
	v.strings(4, &m.Env)
	messages(v, 5, &m.Colocate)
	number(v, 6, &m.RolloutNanos)
	v.stringMap(7, &m.Sections)
}

// ComponentGroup is components that share processes.
type ComponentGroup struct {
	Components []string `json:"components,omitempty"`
}

func (m *ComponentGroup) visit(v *visitor) {
	v.strings(1, &m.Components)
}
